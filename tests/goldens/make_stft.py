"""Makes `stft.json`: what `torch.stft` and `torch.istft` compute.

    venv/bin/python tests/goldens/make_stft.py

Made with torch 2.9.1.
"""

import json
from pathlib import Path

import torch

CASES = [
    # frame, hop, window, samples, samples that are wanted back
    (20, 5, "hann", 60, None),
    (12, 3, "hann", 40, None),
    (10, 2, "hann", 33, 31),
    (9, 4, "hamming", 30, 44),
    (16, 4, "short", 41, 35),
    (2, 1, "ones", 5, None),
]


def main():
    torch.manual_seed(0)
    cases = []
    for length, hop, name, count, wanted in CASES:
        window = {
            "hann": lambda: torch.hann_window(length), "hamming": lambda: torch.hamming_window(length),
            "short": lambda: torch.hamming_window(length - 5), "ones": lambda: torch.ones(length),
        }[name]()
        samples = torch.randn(count)
        options = dict(n_fft=length, hop_length=hop, win_length=len(window), window=window)
        spectrum = torch.stft(samples, **options, return_complex=True)
        # A spectrum that no sound has: also of the first and the last bin with an imaginary part.
        changed = spectrum * torch.polar(torch.rand(spectrum.shape) + 0.5, torch.rand(spectrum.shape) * 6)
        inverse = torch.istft(changed, **options, length=wanted)
        pairs = lambda x: torch.view_as_real(x.T.contiguous()).reshape(-1, 2).tolist()  # noqa: E731
        cases.append({
            "length": length, "hop": hop, "window": window.tolist(), "samples": samples.tolist(), "spectrum": pairs(spectrum),
            "changed": pairs(changed), "inverse": inverse.tolist(), "wanted": wanted,
        })
    rounded = json.loads(json.dumps(cases), parse_float=lambda text: round(float(text), 7))
    (Path(__file__).parent / "stft.json").write_text(json.dumps(rounded) + "\n")


if __name__ == "__main__":
    main()
