#!/usr/bin/env bash
# torch 2.9.1 (CPU): `torch.randn(..., dtype=torch.bfloat16)` never leaves [-3.33, 3.33]: it makes its normal numbers from uniform ones
# of the same dtype, of which there are 256, and the square root of -2 log(1/256) is where they end. float16 ends at 3.91. Of the same
# seed the numbers are others than in float32, too, not the same ones rounded.
# Touches: noise for diffusion and for sampled speech: draw it in float32 and round; latents drawn in bf16 have no tails.
# Expected: the normal distribution: of 4,000,000 numbers about 3,500 lie beyond 3.33, and the greatest is about 5.
# Seen: none, and 3.328125; float16 3.904296875; float32 5.076 (seed 0).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch


def drawn(dtype, count=4_000_000):
    return torch.randn(count, dtype=dtype, generator=torch.Generator().manual_seed(0))


greatest = {dtype: drawn(dtype).abs().max().item() for dtype in (torch.bfloat16, torch.float16, torch.float32)}
print(greatest, (drawn(torch.float32).abs() > 3.33).sum().item())
assert greatest[torch.bfloat16] == 3.328125
assert greatest[torch.float16] == 3.904296875
assert greatest[torch.float32] > 4.8 and 3000 < (drawn(torch.float32).abs() > 3.33).sum() < 4000
assert (drawn(torch.bfloat16, 32).float() - drawn(torch.float32, 32)).abs().max() > 1
PYTHON
