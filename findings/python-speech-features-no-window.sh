#!/usr/bin/env bash
# python_speech_features 0.6: `mfcc` and its kin cut frames without a window: by default each is multiplied with ones, where others
# (HTK, Kaldi, librosa, torchaudio) take a Hamming, Povey or Hann window.
# Touches: features that a model was trained on, made anew by another library.
# Expected: what `winfunc=numpy.hamming` gives.
# Seen: exactly what ones give; with a Hamming window coefficients differ by up to 17 for noise of one second.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet python_speech_features==0.6 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from python_speech_features import mfcc

noise = np.random.RandomState(0).randn(16000)
by_default = mfcc(noise)
ones, hamming = mfcc(noise, winfunc=lambda size: np.ones(size)), mfcc(noise, winfunc=np.hamming)
print(np.abs(by_default - ones).max(), np.abs(by_default - hamming).max())
assert (by_default == ones).all()
assert 16 < np.abs(by_default - hamming).max() < 18
PYTHON
