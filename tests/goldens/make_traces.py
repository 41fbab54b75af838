"""Hidden states and attention of every layer, of some of the checkpoints beside this file.

    pip install transformers==4.57.6 torch==2.9.1 safetensors==0.8.0
    python tests/goldens/make_traces.py

writes `traces/<checkpoint>.safetensors`: a batch padded on the left (`ids`, `mask`), `hidden_states.<n>` and
`attentions.<n>` as `output_hidden_states` and `output_attentions` give them.
"""

import pathlib

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent

for name in ["gemma2-tiny", "gpt2-tiny", "llama-gqa-tiny", "olmo2-tiny"]:
    model = AutoModelForCausalLM.from_pretrained(HERE / name, attn_implementation="eager", dtype=torch.float32).eval()
    torch.manual_seed(1)
    ids = torch.randint(3, model.config.vocab_size, (2, 12))
    mask = torch.ones_like(ids)
    mask[1, :5] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        out = model(
            ids, attention_mask=mask, position_ids=positions, output_hidden_states=True, output_attentions=True
        )
    tensors = {"ids": ids, "mask": mask}
    for kind in ["hidden_states", "attentions"]:
        tensors |= {f"{kind}.{number}": tensor.contiguous().clone() for number, tensor in enumerate(out[kind])}
    save_file(tensors, HERE / "traces" / f"{name}.safetensors")
