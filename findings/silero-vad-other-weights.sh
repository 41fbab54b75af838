#!/usr/bin/env bash
# silero-vad 6.2.3: silero_vad_16k.safetensors, which tinygrad_model.py loads, holds other weights than silero_vad.jit, which
# the package itself loads: only the Fourier transform is the same. So the two find other probabilities.
# Expected: two forms of one network.
# Seen: of 15 tensors, 1 has bytes that are also in the .jit file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip download --quiet --disable-pip-version-check --no-deps silero-vad==6.2.3
python3 - <<'PYTHON'
import glob
import io
import json
import zipfile

wheel = zipfile.ZipFile(glob.glob("silero_vad-*.whl")[0])
tensors = wheel.read("silero_vad/data/silero_vad_16k.safetensors")
script = zipfile.ZipFile(io.BytesIO(wheel.read("silero_vad/data/silero_vad.jit")))
members = {script.read(name) for name in script.namelist()}
length = int.from_bytes(tensors[:8], "little")
header = json.loads(tensors[8 : 8 + length])
header.pop("__metadata__", None)
found = []
for name, entry in header.items():
    start, end = entry["data_offsets"]
    if tensors[8 + length :][start:end] in members:
        found.append(name)
print(len(header), "tensors, also in the .jit file:", found)
assert found == ["stft_conv.weight"]
PYTHON
