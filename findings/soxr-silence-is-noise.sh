#!/usr/bin/env bash
# soxr 1.1.0: 16-bit samples that are resampled come back with noise of one unit on top (a dither that the function has no argument to
# turn off), so digital silence is no silence any more; the same samples as floats are exactly zero.
# Touches: reading audio for speech models; reference samples made from int16 differ by one at random places, and zeros that mark
# a pause or padding are gone. Resample in floats.
# Expected: zeros stay zeros, and a constant stays what it is away from the ends.
# Seen: values -1, 0 and 1; of a constant 100 about three in four samples are 100. In float32 all are 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet soxr==1.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import soxr

silence = soxr.resample(np.zeros(44100, np.int16), 44100, 16000)
constant = soxr.resample(np.full(44100, 100, np.int16), 44100, 16000)[500:-500]
floats = soxr.resample(np.zeros(44100, np.float32), 44100, 16000)
kept = (constant == 100).mean()
print(np.unique(silence), np.unique(constant), kept, np.unique(floats))
assert np.unique(silence).tolist() == [-1, 0, 1]
assert 0.6 < kept < 0.9
assert not floats.any()
PYTHON
