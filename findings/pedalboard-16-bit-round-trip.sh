#!/usr/bin/env bash
# pedalboard 0.9.26: a 16-bit WAV file that is read and written again has each negative sample one lower, and with every further time one
# more. Floats are cut to the integer below, not rounded, and reading divides by 32,767 where negative samples reach 32,768.
# Integers pass unchanged, and soundfile reads and writes the same file without a difference.
# Touches: audio prepared in steps, and reference samples made with this library.
# Expected: reading 16 bits as floats and writing them as 16 bits changes nothing; 0.6 of a unit becomes 1.
# Seen: -3, -2, -1 become -4, -3, -2, and -8, -7, -6 after five times; 0.6 of a unit becomes 0 and -0.4 becomes -1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pedalboard==0.9.26 soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import soundfile
from pedalboard.io import AudioFile


def written(samples):
    file = io.BytesIO()
    with AudioFile(file, "w", 16000, 1, bit_depth=16, format="wav") as writer:
        writer.write(samples)
    return file.getvalue()


def integers(file):
    return soundfile.read(io.BytesIO(file), dtype="int16")[0]


given = np.arange(-3, 4, dtype=np.int16)
file = written(given)
times = [integers(file).tolist()]
for _ in range(5):
    with AudioFile(io.BytesIO(file)) as reader:
        file = written(reader.read(reader.frames))
    times.append(integers(file).tolist())
parts = integers(written(np.array([-0.4, 0.4, 0.6], np.float32) / 32768)).tolist()
other = io.BytesIO()
soundfile.write(other, soundfile.read(io.BytesIO(written(given)))[0], 16000, format="WAV", subtype="PCM_16")
print(times, parts)
assert times[0] == integers(other.getvalue()).tolist() == [-3, -2, -1, 0, 1, 2, 3]
assert times[1] == [-4, -3, -2, 0, 1, 2, 3]
assert times[5] == [-8, -7, -6, 0, 1, 2, 3]
assert parts == [-1, 0, 0]
PYTHON
