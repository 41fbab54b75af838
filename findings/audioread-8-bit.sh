#!/usr/bin/env bash
# audioread 3.1.0: a WAV file of 8 bits a sample comes out shifted by half of the range. Such files hold 128 for silence; the package's own
# reader, which stands first in its list, widens the numbers as if they had a sign. Silence becomes the lowest sample there is.
# Touches: reading audio (old telephone and voicemail recordings); librosa falls back to this package.
# Expected: silence is 0, and a sample of 3/4 of the range is 16,384, as soundfile 0.14.0 reads the file.
# Seen: -32,768 for silence, -16,384 for 0.5, and 16,384 for -0.5. 16, 24 and 32 bits are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet audioread==3.1.0 soundfile==0.14.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import audioread
import numpy as np
import soundfile

samples = np.array([0, 0.5, -0.5, 0.25])


def read(subtype):
    soundfile.write("sound.wav", samples, 8000, subtype=subtype)
    assert np.allclose(soundfile.read("sound.wav")[0], samples, atol=0.01)
    with audioread.audio_open("sound.wav") as file:
        return np.frombuffer(b"".join(file), "<i2").tolist()


seen = {subtype: read(subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32")}
print(seen)
assert seen["PCM_16"] == seen["PCM_24"] == seen["PCM_32"] == [0, 16384, -16384, 8192]
assert seen["PCM_U8"] == [-32768, -16384, 16384, -24576]
PYTHON
