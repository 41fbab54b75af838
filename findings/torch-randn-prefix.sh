#!/usr/bin/env bash
# torch 2.9.1 (CPU): with one seed, the numbers of a longer `torch.randn` do not begin with those of a shorter one. Below 16 elements
# another algorithm draws them; from 16 on they are made in blocks of 16, and where the length is no multiple the last 16 places are
# drawn once more, over what stood there. 15, 16 and 20 numbers share a few values or none; 16 and 32 agree.
# Touches: anything that is to reproduce a seed: the numbers depend on the size of the whole tensor, and a tensor padded to a nicer
# size, or drawn in parts, has others.
# Expected: the first 15 of 16 numbers are the 15, and the first 16 of 20 are the 16.
# Seen: none of 15, and 4 of 16.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch


def drawn(count):
    return torch.randn(count, generator=torch.Generator().manual_seed(0))


def shared(short, long):
    return (drawn(short) == drawn(long)[:short]).sum().item()


print(shared(15, 16), shared(16, 20), shared(16, 32), shared(10, 15))
assert shared(15, 16) == 0
assert shared(16, 20) == 4
assert shared(16, 32) == 16 and shared(10, 15) == 10
PYTHON
