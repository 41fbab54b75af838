#!/usr/bin/env bash
# pedalboard 0.9.26: a `Limiter` makes what is far below its threshold louder, by as much as the threshold is below 0 dB and 3.75 dB more;
# and `Reverb(wet_level=0, dry_level=1)` doubles the sound (at 0.5 it is as it was). Compressor, Chorus, Delay and Phaser without
# effect leave the samples as they are.
# Touches: augmenting speech: levels and ratios of signal to noise are others than those asked for.
# Expected: a limiter only takes away; a reverb that is all dry gives back its input.
# Seen: a tone at -46 dB becomes 4.87 times as loud with a threshold of -10 dB, 1.54 times with 0 dB; the reverb makes it 2.00 times.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pedalboard==0.9.26 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from pedalboard import Compressor, Limiter, Reverb

RATE = 48000
tone = (0.005 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)
effects = {
    "limiter at -10 dB": Limiter(threshold_db=-10),
    "limiter at 0 dB": Limiter(threshold_db=0),
    "dry reverb": Reverb(wet_level=0.0, dry_level=1.0),
    "half dry reverb": Reverb(wet_level=0.0, dry_level=0.5),
    "compressor at 0 dB": Compressor(threshold_db=0, ratio=4),
}
second = slice(RATE // 2, None)
gains = {}
for name, effect in effects.items():
    gains[name] = round(float(np.std(effect(tone, RATE).reshape(-1)[second]) / np.std(tone[second])), 2)
print(gains)
assert list(gains.values()) == [4.87, 1.54, 2.0, 1.0, 1.0]
PYTHON
