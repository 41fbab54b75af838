#!/usr/bin/env bash
# faster-whisper 1.2.1: `decode_audio(file, split_stereo=True)` gives a recording of one channel twice, as one would hope, but each time 3 dB more
# quietly than without `split_stereo`. One channel is mixed up to two by a rule that keeps the power of both together.
# Touches: reading calls, some of which are stereo and some mono: levels, thresholds of silence and expected samples differ.
# Expected: the samples of the channel, as they are without `split_stereo`, and as both channels of a stereo file are.
# Seen: 0.636 for 0.9, in both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet faster-whisper==1.2.1 av==18.1.0 numpy==2.4.6 requests==2.34.2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import io
import wave

import numpy as np
from faster_whisper.audio import decode_audio


def recording(channels):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, 2, 16000, 0, "NONE", ""))
        writer.writeframes(np.full(16000 * channels, round(0.9 * 32768), "<i2").tobytes())
    file.seek(0)
    return file


plain = decode_audio(recording(1))
split = [decode_audio(recording(channels), split_stereo=True) for channels in (1, 2)]
seen = [round(float(sound[8000]), 3) for sound in (plain, *split[0], *split[1])]
print(seen)
assert seen == [0.9, 0.636, 0.636, 0.9, 0.9]
PYTHON
