#!/usr/bin/env bash
# samplerate 0.2.4 (libsamplerate): the converter `linear` gives the sound one input sample late; miniaudio 1.71, whose `decode` resamples
# to the rate it is asked for, gives it 1.1 to 5.3 output samples late, from a filter and the interpolation after it. Neither says so;
# the sinc converters of samplerate are where they should be, and so is the length.
# Touches: reading audio: samples of one file decoded by two libraries do not lie on each other, and times (words, voice activity) move.
# Expected: a 440 Hz tone keeps its phase, as with the sinc converters.
# Seen: in output samples, 48 to 16 kHz: linear 0.333, miniaudio 1.09; 16 to 48 kHz: 3.0 and 5.26; sinc_fastest 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet samplerate==0.2.4 miniaudio==1.71 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import wave

import miniaudio
import numpy as np
import samplerate

PITCH = 440


def late(samples, rate):
    """How many samples the tone comes after a sine that begins at 0."""
    middle = np.arange(rate // 4, 3 * rate // 4)
    turned = np.sum(samples[middle] * np.exp(-2j * np.pi * PITCH * middle / rate)) * 2j
    return -np.angle(turned) / (2 * np.pi * PITCH) * rate


def decoded(tone, rate, to):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, rate, 0, "NONE", ""))
        writer.writeframes((tone * 32767).astype("<i2").tobytes())
    return np.array(miniaudio.decode(file.getvalue(), miniaudio.SampleFormat.FLOAT32, 1, to).samples)


for rate, to, linear, mini in [(48000, 16000, 0.333, 1.088), (16000, 48000, 3.0, 5.264), (8000, 16000, 2.0, 3.311)]:
    tone = 0.5 * np.sin(2 * np.pi * PITCH * np.arange(rate) / rate)
    by_converter = {name: late(samplerate.resample(tone, to / rate, name), to) for name in ("linear", "sinc_fastest")}
    by_miniaudio = late(decoded(tone, rate, to), to)
    print(rate, to, by_converter, by_miniaudio)
    assert abs(by_converter["linear"] - linear) < 0.01
    assert abs(by_converter["sinc_fastest"]) < 0.01
    assert abs(by_miniaudio - mini) < 0.02
PYTHON
