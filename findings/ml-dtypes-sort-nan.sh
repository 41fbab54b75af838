#!/usr/bin/env bash
# ml_dtypes 0.6.0 with NumPy 2.4.6: sorting bfloat16 values among which there is a NaN leaves the numbers unsorted.
# NumPy's own floats (float16, float32) go in order, with NaN last; code that ranks scores works until they are in bf16.
# Expected: [1, 2, 3, nan] and the order [2, 3, 0, 1] for [3, nan, 1, 2].
# Seen: argsort gives [0, 1, 2, 3], sort leaves [3, nan, 1, 2] as it is; float16 is as expected.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import ml_dtypes
import numpy as np

values = [3, np.nan, 1, 2]
brain, half = np.array(values, ml_dtypes.bfloat16), np.array(values, np.float16)
print(np.sort(brain), np.argsort(brain), np.sort(half), np.argsort(half))
assert np.argsort(brain).tolist() == [0, 1, 2, 3]
assert np.array_equal(np.sort(brain).astype(np.float32), np.array(values, np.float32), equal_nan=True)
assert np.argsort(half).tolist() == [2, 3, 0, 1]
PYTHON
