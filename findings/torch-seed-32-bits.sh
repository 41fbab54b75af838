#!/usr/bin/env bash
# torch 2.9.1 (CPU): a seed's upper 32 bits have no effect. `manual_seed` takes 64 bits, and `initial_seed` gives all of them back, but the
# generator is set up from the lower 32, so seeds made by joining two numbers, or from a hash, can be one and the same.
# Touches: anything that is to reproduce torch's numbers from a seed, and runs that are to differ by their seed.
# Expected: seeds that differ give other numbers, as in NumPy.
# Seen: 5, 5 + 2**32 and 5 + 7 * 2**32 give the same numbers (0.8302, 0.1261 …), by `manual_seed` and by a `Generator` of one's own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import torch

seeds = [5, 5 + 2**32, 5 + 7 * 2**32, 6]
numbers, kept = [], []
for seed in seeds:
    torch.manual_seed(seed)
    kept.append(torch.initial_seed())
    own = torch.rand(4, generator=torch.Generator().manual_seed(seed))
    numbers.append(torch.rand(4).tolist())
    assert own.tolist() == numbers[-1]
print(numbers, kept)
assert kept == seeds
assert numbers[0] == numbers[1] == numbers[2] != numbers[3]
assert len({np.random.default_rng(seed).random() for seed in seeds}) == 4
PYTHON
