"""Makes `encoders/nomic-heads-tiny`: NomicBERT with its heads, which transformers 4.57 lacks, as transformers 5 defines and saves it.

    venv5/bin/pip install transformers==5.23.0 torch==2.9.1   # an environment of its own
    venv5/bin/python tests/goldens/make_nomic.py

Also holds `encoders/nomic-tiny` against it: `make_encoders.py` computes that folder's numbers with a twin of its own; this
fails where the two differ by more than 2e-5.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import NomicBertConfig, NomicBertModel

import encoder_tokenizers
import make_encoders

ENCODERS = Path(__file__).parent / "encoders"
NAMES = {
    "vocab_size": "vocab_size", "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
    "intermediate_size": "n_inner", "max_position_embeddings": "n_positions", "layer_norm_eps": "layer_norm_epsilon",
}


def main():
    check(ENCODERS / "nomic-tiny")
    make(ENCODERS / "nomic-heads-tiny")


def make(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    torch.manual_seed(7)
    labels = make_encoders.LABELS
    rope = {"rope_type": "default", "rope_theta": 100.0}
    config = NomicBertConfig(
        **make_encoders.TINY, rope_parameters=rope, num_labels=2, id2label=labels, label2id={v: k for k, v in labels.items()},
        attn_implementation="eager",
    )
    del make_encoders.HEADS["spans"]  # there is none
    models = make_encoders.with_shared_weights(config)
    weights = {}
    for head, model in models.items():
        model.eval()
        with tempfile.TemporaryDirectory() as scratch:
            model.save_pretrained(scratch)
            if head != "hidden":
                weights |= load_file(f"{scratch}/model.safetensors")
            if head == "masked":
                stored = json.loads(Path(scratch, "config.json").read_text()) | {"architectures": ["TinyWithEveryHead"]}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(stored, indent=2) + "\n")
    encoder_tokenizers.save("wordpiece", folder, 62)
    make_encoders.write_expected(folder, models, types=2, padding=0)


def check(folder):
    stored = json.loads((folder / "config.json").read_text())
    rope = {"rope_type": "default", "rope_theta": stored["rotary_emb_base"]}
    config = NomicBertConfig(**{ours: stored[theirs] for ours, theirs in NAMES.items()}, rope_parameters=rope)
    model = NomicBertModel.from_pretrained(folder, config=config, attn_implementation="eager", dtype=torch.float32).eval()
    expected = load_file(folder / "expected.safetensors")
    worst = 0.0
    for case in json.loads((folder / "expected.json").read_text())["cases"]:
        for row, (ids, types) in enumerate(zip(case["rows"], case["types"])):
            with torch.no_grad():
                hidden = model(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long), token_type_ids=torch.tensor([types])).last_hidden_state[0]
            worst = max(worst, (hidden - expected[f"{case['name']}.{row}.hidden"]).abs().max().item())
    assert worst < 2e-5, worst
    print("largest difference of nomic-tiny:", worst)


if __name__ == "__main__":
    main()
