#!/usr/bin/env python3
"""Writes tests/goldens/seq2seq_bin/NAME.bin: models of tests/goldens/seq2seq as older repositories have them, in pytorch_model.bin.

    pip install transformers==4.57.6 torch==2.9.1
    python tests/goldens/make_seq2seq_bin.py
    cargo test --test seq2seq torch

All tensors of the state are there, under each of their names: of encoder, decoder and head, which share one table of words.
"""

from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM

HERE = Path(__file__).parent
for name in ["bart-tiny", "marian-tiny", "t5-tiny"]:
    model = AutoModelForSeq2SeqLM.from_pretrained(HERE / "seq2seq" / name)
    state = model.state_dict()
    shared = {key for key, tensor in state.items() if sum(tensor.data_ptr() == other.data_ptr() for other in state.values()) > 1}
    out = HERE / "seq2seq_bin" / f"{name}.bin"
    out.parent.mkdir(exist_ok=True)
    torch.save(state, out)
    print(name, out.stat().st_size, "bytes", sorted(shared))
