#!/usr/bin/env bash
# webrtcvad-wheels 2.0.14.post1: `Vad.is_speech` judges a frame by all frames that the object has seen, though it is asked about one frame and has
# no way to begin anew. A level of noise that was learned from one recording is used for the next: after a loud one, all of a quiet
# recording is speech.
# Touches: voice activity of several recordings or channels: a new Vad for each; comparing with it.
# Expected: the same answer for the same frame, or a method to reset.
# Seen: of 100 frames of faint noise 6 are speech by a new Vad, and 100 by one that has heard two seconds of a humming tone before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet webrtcvad-wheels==2.0.14.post1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import webrtcvad

RATE, FRAME = 16000, 320
time = np.arange(2 * RATE) / RATE
tone = (3000 * np.sin(2 * np.pi * 200 * time) * (1 + np.sin(2 * np.pi * 4 * time))).astype("<i2")
noise = (30 * np.random.default_rng(0).normal(size=2 * RATE)).astype("<i2")


def speech(vad, samples):
    frames = [samples[start : start + FRAME].tobytes() for start in range(0, len(samples), FRAME)]
    return sum(vad.is_speech(frame, RATE) for frame in frames)


fresh, used = webrtcvad.Vad(1), webrtcvad.Vad(1)
heard = speech(used, tone)
seen = heard, speech(fresh, noise), speech(used, noise)
print(seen)
assert heard == 100
assert seen[1] < 10 and seen[2] > 90
PYTHON
