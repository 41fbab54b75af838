#!/usr/bin/env bash
# safetensors 0.8.0: `get_slice` takes Python's slices, with a step and with single negative numbers, but other bounds than Python's are
# errors, and of three kinds: a negative start is an OverflowError, an end beyond the tensor a SafetensorError, an empty range a
# SystemError from inside. A shard's last, shorter part (`rows[start : start + size]`) is so an error, not the rest.
# Touches: reading parts of tensors (tensor parallel, embeddings by blocks); a reader of one's own can go by Python's rule.
# Expected: NumPy's results, since the object is indexed the same way.
# Seen: [-1], [::2] and [1:6] are NumPy's; [-2:], [4:8] and [4:2] fail as said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet safetensors==0.8.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

array = np.arange(12, dtype=np.float32).reshape(6, 2)
save_file({"x": array}, "x.safetensors")
with safe_open("x.safetensors", "np") as file:
    part = file.get_slice("x")
    for same in (-1, slice(None, None, 2), slice(1, 6)):
        assert np.array_equal(part[same], array[same]), same
    for other, kind in (slice(-2, None), OverflowError), (slice(4, 8), SafetensorError), (slice(4, 2), SystemError):
        try:
            part[other]
            raise AssertionError(f"{other} works now")
        except kind as error:
            print(other, array[other].shape, repr(error))
PYTHON
