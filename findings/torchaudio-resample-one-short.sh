#!/usr/bin/env bash
# torchaudio 2.9.1: `functional.resample` may return one sample less than ceil(n * to / from). The length is computed as a
# tensor of f32, whose fraction is gone where the length has six digits.
# Expected: 180,697 samples from 44,100 to 16,000 Hz are ceil(65559.002) = 65,560.
# Seen: 65,559.
# Touches: resampling; expected lengths from torchaudio are right for short signals only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 torchaudio==2.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math

import torch
import torchaudio

found = len(torchaudio.functional.resample(torch.zeros(180_697), 44_100, 16_000))
exact = math.ceil(180_697 * 160 / 441)
print(found, exact)
assert (found, exact) == (65_559, 65_560)
PYTHON
