#!/usr/bin/env bash
# PyAV 18.1.0 (with the FFmpeg it carries) does not give as many samples of an Ogg Vorbis file as the file says: the end is not cut where
# the last page says the sound ends, or 128 samples before it are missing. The stream's own `duration` is right. The samples that both
# decoders give are equal, so nothing is lost at the beginning.
# Touches: reading audio: cut to the length the container gives; do not take a decoder's number of samples for it.
# Expected: the samples that were written, as soundfile 0.14.0 reads them back.
# Seen: of 16,000 samples 16,960 at 48 kHz and 16,128 at 16 kHz; of 48,000 at 48 kHz 47,872.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import av
import numpy as np
import soundfile

for rate, length, given in [(48000, 16000, 16960), (16000, 16000, 16128), (48000, 48000, 47872), (16000, 96007, 96007)]:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(length) / rate)
    file = io.BytesIO()
    soundfile.write(file, tone, rate, format="OGG", subtype="VORBIS")
    whole, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    container = av.open(io.BytesIO(file.getvalue()))
    decoded = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    print(rate, length, len(whole), len(decoded), container.streams[0].duration)
    assert len(whole) == length == container.streams[0].duration
    assert len(decoded) == given
    both = min(length, given)
    assert np.allclose(whole[:both], decoded[:both], atol=1e-5)
PYTHON
