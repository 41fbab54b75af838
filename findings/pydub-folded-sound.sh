#!/usr/bin/env bash
# pydub 0.25.1: `set_frame_rate` to a lower rate takes samples (with straight lines between them) without a filter before it. All that is
# above half of the new rate stays, at another pitch: a tone of 12 kHz becomes one of 4 kHz, as loud as it was.
# Touches: resampling to 16 kHz for speech models, for which pydub is often named; hiss and sibilants fall into the speech.
# Expected: nearly silence, as with any resampler: 12 kHz does not exist at 16 kHz.
# Seen: a tone of 4 kHz with all of the energy; soxr 1.1.0 leaves less than a millionth.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pydub==0.25.1 "audioop-lts==0.2.2; python_version >= '3.13'" soxr==1.1.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import soxr
from pydub import AudioSegment

tone = (16000 * np.sin(2 * np.pi * 12000 * np.arange(48000) / 48000 + 0.3)).astype("<i2")
segment = AudioSegment(tone.tobytes(), sample_width=2, frame_rate=48000, channels=1)
folded = np.array(segment.set_frame_rate(16000).get_array_of_samples(), dtype=float)
filtered = soxr.resample(tone.astype(float), 48000, 16000)
pitch = np.abs(np.fft.rfft(folded)).argmax() * 16000 / len(folded)
energy = [(samples[500:-500] ** 2).mean() / (tone.astype(float) ** 2).mean() for samples in (folded, filtered)]
print(pitch, energy)
assert pitch == 4000
assert 0.99 < energy[0] < 1.01 and energy[1] < 1e-6
PYTHON
