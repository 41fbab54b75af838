#!/usr/bin/env bash
# torch 2.9.1 and ml_dtypes 0.6.0 turn float64 into smaller floats by way of float32, so they round twice: a number a little above the
# middle between two values becomes the middle in float32, and then the even one, which is the farther. torch does so for float16 and
# bfloat16, ml_dtypes for bfloat16 and the 8-bit floats; integers beyond 2**24 go the same way. NumPy's own float16 is right.
# Touches: expected values and weights that are computed in float64 and stored in 16 bits: they differ in the last place by the road taken.
# Expected: the nearest value: 1.0009765625 in float16, 1.0078125 and 16908288 in bfloat16, 1.125 in float8_e4m3fn.
# Seen: 1.0, 1.0, 16777216 and 1.0; NumPy's float16 is 1.0009765625.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import ml_dtypes
import numpy as np
import torch

half, brain = np.array([1 + 2.0**-11 + 2.0**-40]), np.array([1 + 2.0**-8 + 2.0**-40])  # a little above the middle
whole = np.array([2**24 + 2**16 + 1])
eighth = np.array([1 + 2.0**-4 + 2.0**-40])
by_torch = [
    torch.from_numpy(number).to(dtype).item()
    for number, dtype in [(half, torch.float16), (brain, torch.bfloat16), (whole, torch.bfloat16)]
]
by_numpy = [
    float(number.astype(dtype)[0])
    for number, dtype in [
        (half, np.float16),
        (brain, ml_dtypes.bfloat16),
        (whole, ml_dtypes.bfloat16),
        (eighth, ml_dtypes.float8_e4m3fn),
    ]
]
print(by_torch, by_numpy)
assert by_torch == [1.0, 1.0, 16777216.0]
assert by_numpy == [1.0009765625, 1.0, 16777216.0, 1.0]
PYTHON
