#!/usr/bin/env bash
# diffusers 0.39.0: with `timestep_spacing="leading"` (Stable Diffusion's, and what DDPM and DDIM take unless told otherwise) more steps can
# begin with less noise. The distance between steps is cut to a whole number, so of 1,000 training steps 600 inference steps are the steps 599
# to 0: pure noise is given to the model as a picture that is more than half done. DPM-Solver's classes divide by one step more, so
# there 500 steps begin at 500, and 1,000 steps are 1,000 times the step 0.
# Touches: comparing samplers by their number of steps; "as many steps as possible" as a reference.
# Expected: the first step is near 999 for every number of steps, as with "linspace" and "trailing".
# Seen: DDIM begins at 980 with 50 steps, 998 with 500, 599 with 600, 749 with 750, 999 with 1,000.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet diffusers==0.39.0 torch==2.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler


def first(kind, spacing):
    scheduler = kind(timestep_spacing=spacing)
    found = {}
    for steps in (50, 500, 600, 750, 1000):
        scheduler.set_timesteps(steps)
        found[steps] = int(scheduler.timesteps[0])
    return found, set(scheduler.timesteps.tolist())


kinds, spacings = (DDIMScheduler, DPMSolverMultistepScheduler), ("leading", "linspace", "trailing")
seen = {(kind.__name__, spacing): first(kind, spacing) for kind in kinds for spacing in spacings}
print({name: found for name, (found, _) in seen.items()})
assert seen["DDIMScheduler", "leading"][0] == {50: 980, 500: 998, 600: 599, 750: 749, 1000: 999}
assert seen["DPMSolverMultistepScheduler", "leading"] == ({50: 950, 500: 500, 600: 600, 750: 750, 1000: 0}, {0})
for (_, spacing), (found, _) in seen.items():
    assert spacing == "leading" or set(found.values()) == {999}
PYTHON
