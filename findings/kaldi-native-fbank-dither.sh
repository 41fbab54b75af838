#!/usr/bin/env bash
# kaldi-native-fbank 1.23.0: filter banks with default options differ from call to call. Noise of one unit is added
# (`dither`, meant for samples of 16-bit size), which drowns samples scaled to [-1, 1]. With `dither = 0` they are equal.
# Expected: the same samples give the same features.
# Seen: log energies of a sine of amplitude 1 differ by about 1 between two calls.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet kaldi-native-fbank==1.23.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import kaldi_native_fbank as knf
import numpy as np

samples = np.sin(np.arange(1600) / 10).astype(np.float32).tolist()


def features(**options):
    settings = knf.FbankOptions()
    for name, value in options.items():
        setattr(settings.frame_opts, name, value)
    bank = knf.OnlineFbank(settings)
    bank.accept_waveform(16000, samples)
    bank.input_finished()
    return np.stack([bank.get_frame(frame) for frame in range(bank.num_frames_ready)])


by_default = np.abs(features() - features()).max()
without = np.abs(features(dither=0) - features(dither=0)).max()
print(by_default, without)
assert by_default > 0.1 and without == 0
PYTHON
