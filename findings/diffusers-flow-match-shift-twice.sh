#!/usr/bin/env bash
# diffusers 0.39.0: `FlowMatchEulerDiscreteScheduler(shift=3)` (Stable Diffusion 3, AuraFlow) shifts the lowest sigma twice. The constructor
# shifts the table of training and keeps its lowest value; `set_timesteps` spaces its sigmas down to that value and shifts them all. A
# scheduler that gets the same shift by `set_shift` does it once, and sigmas that the caller gives are shifted once, too.
# Touches: golden values of flow models, and ports that write the formula down; the last steps differ most.
# Expected: one schedule for one shift, however it was set: shift(s) = 3 s / (1 + 2 s) of even steps from 1 to 1/1000.
# Seen: of 5 steps the last is 0.0089 by the constructor and 0.0030 by `set_shift`, which is what the formula gives.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet diffusers==0.39.0 torch==2.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from diffusers import FlowMatchEulerDiscreteScheduler

constructed = FlowMatchEulerDiscreteScheduler(shift=3.0)
told = FlowMatchEulerDiscreteScheduler()
told.set_shift(3.0)
for scheduler in (constructed, told):
    scheduler.set_timesteps(5)
even = np.linspace(1, 1 / 1000, 5)
expected = 3 * even / (1 + 2 * even)
twice = np.linspace(1, expected[-1], 5)
twice = 3 * twice / (1 + 2 * twice)
print(constructed.sigmas, told.sigmas, expected)
assert constructed.shift == told.shift == 3
assert np.allclose(told.sigmas[:-1], expected, atol=1e-5)
assert np.allclose(constructed.sigmas[:-1], twice, atol=1e-5)
assert abs(constructed.sigmas[4] - 0.0089) < 1e-4 and abs(told.sigmas[4] - 0.0030) < 1e-4
PYTHON
