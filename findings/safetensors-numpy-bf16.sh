#!/usr/bin/env bash
# safetensors 0.8.0: `safetensors.numpy.save` writes bfloat16 and float8 arrays of ml_dtypes 0.6.0 under their names in the format, and
# `load` of the same module cannot read a byte of them: its table of dtypes lacks what its writer knows. The format's other front
# ends, and `safe_open`'s shapes and dtypes, are content with the file.
# Touches: test data in 16 and 8 bits made without torch.
# Expected: what `save` accepts `load` gives back, with ml_dtypes installed.
# Seen: KeyError 'BF16', 'F8_E4M3', 'F8_E5M2', 'F8_E8M0', though the header and the bytes are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet safetensors==0.8.0 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import json
import struct

import ml_dtypes
import numpy as np
from safetensors.numpy import load, save

for name, short in [
    ("bfloat16", "BF16"),
    ("float8_e4m3fn", "F8_E4M3"),
    ("float8_e5m2", "F8_E5M2"),
    ("float8_e8m0fnu", "F8_E8M0"),
]:
    array = np.array([[1, 2, 4]], getattr(ml_dtypes, name))
    file = save({"a": array})
    length = struct.unpack("<Q", file[:8])[0]
    assert json.loads(file[8 : 8 + length])["a"]["dtype"] == short
    assert file[8 + length :] == array.tobytes()
    try:
        load(file)
        raise AssertionError(f"{name} is read now")
    except KeyError as error:
        print(name, error)
assert load(save({"a": np.ones(2, np.float16)}))["a"].tolist() == [1, 1]
PYTHON
