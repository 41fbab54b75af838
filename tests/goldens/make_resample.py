"""Writes tests/goldens/audio/resample.json: what torchaudio's resampling makes of a signal.

    pip install torch==2.9.1 torchaudio==2.9.1
    python tests/goldens/make_resample.py

The signal is `noise` below, whole numbers divided by 1000, so that every language has the same one.
"""

import json
import pathlib

import torch
import torchaudio

OUT = pathlib.Path(__file__).parent / "audio" / "resample.json"
CASES = [
    (44100, 16000, 30001),
    (48000, 16000, 5000),
    (8000, 16000, 3000),
    (22050, 16000, 9000),
    (11025, 16000, 4000),
    (32000, 16000, 2000),
    (96000, 16000, 7000),
    (16000, 44100, 2000),
    (16000, 8000, 2001),
    (16000, 250, 5000),
    (250, 16000, 100),
    (12000, 16000, 1),
    (44100, 16000, 1),
    (44100, 16000, 3),
    (16000, 16000, 50),
    (3, 2, 77),
    # Primes: the filters are computed in f32, which shows here.
    (4801, 4799, 9000),
    (4799, 4801, 9000),
]


def noise(length):
    n = torch.arange(length, dtype=torch.int64)
    return ((n * 7919 + n * n * 31) % 2001 - 1000).to(torch.float32) / 1000


def main():
    cases = []
    for rate, new_rate, length in CASES:
        out = torchaudio.functional.resample(noise(length), rate, new_rate)
        places = sorted({*range(min(40, len(out))), *range(0, len(out), 97), *range(max(0, len(out) - 40), len(out))})
        cases.append(
            {
                "from": rate,
                "to": new_rate,
                "samples": length,
                "length": len(out),
                "places": places,
                "values": [round(float(out[place]), 7) for place in places],
            }
        )
    made_with = f"torch {torch.__version__.split('+')[0]}, torchaudio {torchaudio.__version__.split('+')[0]}"
    OUT.parent.mkdir(exist_ok=True)
    text = json.dumps({"made_with": made_with, "cases": cases}, separators=(",", ":"))
    OUT.write_text(text.replace('{"from"', '\n{"from"') + "\n")


main()
