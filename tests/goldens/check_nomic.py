"""Holds `encoders/nomic-tiny` against the NomicBERT of transformers 5, which transformers 4.57 lacks.

    venv5/bin/pip install transformers==5.23.0 torch==2.9.1   # an environment of its own
    venv5/bin/python tests/goldens/check_nomic.py

`make_encoders.py` computes that folder's numbers with a twin of its own; this fails where the two differ by more than 2e-5.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import NomicBertConfig, NomicBertModel

FOLDER = Path(__file__).parent / "encoders/nomic-tiny"
NAMES = {
    "vocab_size": "vocab_size", "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
    "intermediate_size": "n_inner", "max_position_embeddings": "n_positions", "layer_norm_eps": "layer_norm_epsilon",
}


def main():
    stored = json.loads((FOLDER / "config.json").read_text())
    rope = {"rope_type": "default", "rope_theta": stored["rotary_emb_base"]}
    config = NomicBertConfig(**{ours: stored[theirs] for ours, theirs in NAMES.items()}, rope_parameters=rope)
    model = NomicBertModel.from_pretrained(FOLDER, config=config, attn_implementation="eager", dtype=torch.float32).eval()
    expected = load_file(FOLDER / "expected.safetensors")
    worst = 0.0
    for case in json.loads((FOLDER / "expected.json").read_text())["cases"]:
        for row, (ids, types) in enumerate(zip(case["rows"], case["types"])):
            with torch.no_grad():
                hidden = model(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long), token_type_ids=torch.tensor([types])).last_hidden_state[0]
            worst = max(worst, (hidden - expected[f"{case['name']}.{row}.hidden"]).abs().max().item())
    assert worst < 2e-5, worst
    print("largest difference:", worst)


if __name__ == "__main__":
    main()
