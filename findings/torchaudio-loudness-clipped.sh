#!/usr/bin/env bash
# torchaudio 2.9.1: filters cut their output to [-1, 1] unless they are told not to, and functions that are made of them cannot tell them. So
# `functional.loudness` is too low for loud sound: its first filter lifts high tones by 4 dB, and what goes over 1 is cut before it is
# measured. `functional.deemphasis`, "inverse of preemphasis", cuts samples on the scale of 16 bits to 1.
# Touches: setting the loudness of speech and music, and features on Kaldi's scale; comparing with this package.
# Expected: ten times the amplitude is 20 LU more, as in pyloudnorm 0.2.0; deemphasis gives back what preemphasis was given.
# Seen: a tone of 8 kHz at 0.1 is -19.70 LUFS in both; at 1.0 it is 0.30 in pyloudnorm and -2.45 here. Of samples up to some thousands
# nothing above 1 comes back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 torchaudio==2.9.1 pyloudnorm==0.2.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import pyloudnorm
import torch
from torchaudio import functional

RATE = 48000
tone = np.sin(2 * np.pi * 8000 * np.arange(3 * RATE) / RATE)
seen = {}
for level in (0.1, 0.5, 1.0):
    by_torchaudio = functional.loudness(torch.tensor(level * tone, dtype=torch.float32)[None], RATE)
    seen[level] = round(float(by_torchaudio), 2), round(pyloudnorm.Meter(RATE).integrated_loudness(level * tone), 2)
print(seen)
assert seen[0.1] == (-19.7, -19.7)
assert abs(seen[0.5][0] - seen[0.5][1]) < 0.02
assert abs(seen[1.0][1] - 0.3) < 0.02 and abs(seen[1.0][0] + 2.45) < 0.02

torch.manual_seed(0)
speech = torch.randn(1000)
for scale, kept in [(0.1, True), (1000, False)]:
    samples = scale * speech
    back = functional.deemphasis(functional.preemphasis(samples))
    print(scale, float(samples.abs().max()), float(back.abs().max()))
    assert torch.allclose(back, samples, atol=1e-4 * scale) == kept
    assert kept or float(back.abs().max()) == 1
PYTHON
