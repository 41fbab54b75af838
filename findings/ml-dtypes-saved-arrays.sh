#!/usr/bin/env bash
# ml_dtypes 0.6.0 with NumPy 2.4.6: `np.save` writes arrays of bfloat16, 8-bit floats and small integers without their type, and without a
# word. `np.load` gives bytes: |V2 for bfloat16, |V1 for the others, so nobody can tell int4 from float8_e4m3fn. float8_e5m2 goes into the file as
# "<f1", which NumPy itself cannot read.
# Touches: golden values and weights in .npy and .npz files; write them as safetensors, or the bits as uint16 with the name beside them.
# Expected: the array that was saved, or an error from `np.save`.
# Seen: dtype |V2 for bfloat16; |V1 for float8_e4m3fn, float4_e2m1fn, int4 and uint4; a ValueError on loading float8_e5m2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import io

import ml_dtypes
import numpy as np


def saved(values, dtype):
    file = io.BytesIO()
    np.save(file, np.array(values, dtype))
    return file.getvalue()


def loaded(name):
    try:
        return np.load(io.BytesIO(saved([1, 2], getattr(ml_dtypes, name)))).dtype.str
    except ValueError as error:
        return str(error)


seen = {name: loaded(name) for name in ("bfloat16", "float8_e4m3fn", "float4_e2m1fn", "int4", "uint4", "float8_e5m2")}
print(seen)
assert "<f1" in seen.pop("float8_e5m2")
assert seen.pop("bfloat16") == "|V2"
assert set(seen.values()) == {"|V1"}
assert saved([1], ml_dtypes.int4) == saved([1], ml_dtypes.uint4)
assert np.load(io.BytesIO(saved([1, 2], np.float16))).dtype == np.float16
PYTHON
