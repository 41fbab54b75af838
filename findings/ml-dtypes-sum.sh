#!/usr/bin/env bash
# ml_dtypes 0.6.0 with NumPy 2.4.6: `sum` and `mean` of bfloat16 add one value after the other in bfloat16, so a sum of ones
# stops at 256. NumPy sums its own floats in pairs and takes the mean of float16 in float32; the matrix product of
# bfloat16 is accumulated in float32, too.
# Expected: 1000, 1.0 and 1000 for the sum, the mean and the dot product of 1,000 ones.
# Seen: 256, 0.255859 and 1000; float16: 1000, 1.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import ml_dtypes
import numpy as np

brain, half = np.ones(1000, ml_dtypes.bfloat16), np.ones(1000, np.float16)
print(brain.sum(), brain.mean(), brain[None] @ brain[:, None], half.sum(), half.mean())
assert float(brain.sum()) == 256 and abs(float(brain.mean()) - 0.256) < 1e-3
assert float((brain[None] @ brain[:, None])[0, 0]) == 1000
assert float(half.sum()) == 1000 and float(half.mean()) == 1
PYTHON
