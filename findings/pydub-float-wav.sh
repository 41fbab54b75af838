#!/usr/bin/env bash
# pydub 0.25.1: a WAV file of floats whose header is the extensible one is read as a file of integers: the bits of each float become a
# 32-bit number. The package looks at the first field of the header alone, which says "extensible" for all kinds, and not at the
# field that says "float". With the plain header the same samples are refused (and handed to ffmpeg).
# Touches: reading audio: editors and libsndfile write floats so, above all with several channels; what comes back is loud noise.
# Expected: the samples of the file, as soundfile 0.14.0 reads them, or an error.
# Seen: 0.5 becomes 0.492, 0.25 becomes 0.488, -0.5 becomes -0.508: the scale is gone, and so is the shape. 16 and 24 bits are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pydub==0.25.1 "audioop-lts==0.2.2; python_version >= '3.13'" soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import io

import numpy as np
import soundfile
from pydub import AudioSegment

samples = np.array([0.5, 0.25, 0.125, 0, -0.5, -0.25])


def read(subtype):
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="WAVEX", subtype=subtype)
    assert np.allclose(soundfile.read(io.BytesIO(file.getvalue()))[0], samples, atol=1e-4)
    segment = AudioSegment.from_wav(io.BytesIO(file.getvalue()))
    return np.array(segment.get_array_of_samples()) / 2.0 ** (8 * segment.sample_width - 1)


seen = {subtype: read(subtype).round(3).tolist() for subtype in ("PCM_16", "PCM_24", "FLOAT")}
print(seen)
assert seen["PCM_16"] == seen["PCM_24"] == [0.5, 0.25, 0.125, 0, -0.5, -0.25]
assert seen["FLOAT"] == [0.492, 0.488, 0.484, 0, -0.508, -0.512]
PYTHON
