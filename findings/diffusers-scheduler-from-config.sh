#!/usr/bin/env bash
# diffusers 0.39.0: `Other.from_config(scheduler.config)` gives two schedules for one config. Where `scheduler` was constructed, options that
# were not spelled out count as unset, and `Other` takes its own values for them; where it was saved and loaded (or came with a
# checkpoint) all its options hold. The two configs are equal as dictionaries but for a list of which options were not spelled out.
# Touches: swapping schedulers, which the documentation does by this call, and golden values made from schedulers that were constructed.
# Expected: equal options give equal timesteps, before and after saving.
# Seen: Euler's four timesteps from a DDIM config are [999, 666, 333, 0] before and [750, 500, 250, 0] after; a DPM-Solver from DDPM's too
# differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet diffusers==0.39.0 torch==2.9.1 numpy==2.4.6
venv/bin/python - <<'PYTHON'
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler


def options(scheduler):
    return {name: value for name, value in scheduler.config.items() if not name.startswith("_")}


def timesteps(kind, scheduler):
    other = kind.from_config(scheduler.config)
    other.set_timesteps(4)
    return other.timesteps.tolist()


for first, second in ((DDIMScheduler, EulerDiscreteScheduler), (DDPMScheduler, DPMSolverMultistepScheduler)):
    made = first()
    made.save_pretrained("saved")
    loaded = first.from_pretrained("saved")
    seen = timesteps(second, made), timesteps(second, loaded)
    print(first.__name__, second.__name__, *seen)
    assert options(made) == options(loaded)
    assert seen[0] != seen[1]
    assert second is not EulerDiscreteScheduler or seen == ([999, 666, 333, 0], [750, 500, 250, 0])
PYTHON
