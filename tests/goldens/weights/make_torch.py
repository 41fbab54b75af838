"""A state dict as `torch.save` writes it, now and before PyTorch 1.6.

    pip install torch==2.9.1 safetensors==0.8.0
    python tests/goldens/weights/make_torch.py

writes `zip.bin`, `legacy.bin` and `torch.safetensors` (the same tensors) beside itself.
"""

import pathlib

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Embedding(5, 4), torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
head = torch.nn.Linear(4, 5, bias=False)
head.weight = model[0].weight
model.add_module("head", head)
state = model.state_dict()
whole = torch.randn(6, 4)
state["rows"] = whole[2:5]
state["columns"] = whole[:, 1:3]
state["parameter"] = torch.nn.Parameter(torch.randn(2, 2))
state["half"] = torch.randn(3, 3).half()
state["bfloat16"] = torch.randn(3, 3).bfloat16()
state["double"] = torch.randn(3).double()
state["ids"] = torch.arange(7)
state["step"] = 3

torch.save(state, HERE / "zip.bin")
torch.save(state, HERE / "legacy.bin", _use_new_zipfile_serialization=False)
tensors = {name: value for name, value in state.items() if torch.is_tensor(value)}
save_file({name: value.detach().float().contiguous().clone() for name, value in tensors.items()}, HERE / "torch.safetensors")
