#!/usr/bin/env bash
# torch 2.9.1 (CPU): `torch.randn_like(x)` draws other numbers for a transposed tensor than `torch.randn(x.shape)` of the same seed: not the
# same ones in another order, as `rand_like` does, but others. It keeps the strides of `x`, and a tensor that is not contiguous is filled by
# another algorithm from 16 numbers on. (Below 16 there is but one, and the numbers are the same in another order.)
# Touches: reproducing seeded noise: the layout in memory of a tensor, which its shape does not show, decides. VITS' voices draw such noise.
# Expected: the numbers of `randn`, in the order of memory.
# Seen: of 24 numbers of a transposed (4, 6) none is among those of `randn(6, 4)`; the first are 1.5410 and -1.1258. With
# `memory_format=torch.contiguous_format` they are the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch


def seeded(draw, *arguments, **options):
    torch.manual_seed(0)
    return draw(*arguments, **options)


def shared(rows, columns, like=torch.randn_like, plain=torch.randn):
    """How many numbers drawn like a transposed tensor are among those drawn for its shape."""
    turned = torch.zeros(rows, columns).T
    return torch.isin(seeded(like, turned), seeded(plain, turned.shape)).sum().item()


normal = [shared(3, 5), shared(4, 6), shared(8, 16)]
uniform = [shared(*size, torch.rand_like, torch.rand) for size in ((3, 5), (4, 6), (8, 16))]
turned = torch.zeros(4, 6).T
kept = seeded(torch.randn_like, turned, memory_format=torch.contiguous_format)
plain = seeded(torch.randn, 6, 4)
print(normal, uniform, seeded(torch.randn_like, turned)[0, 0], plain[0, 0])
assert normal == [15, 0, 0]
assert uniform == [15, 24, 128]
assert torch.equal(kept, plain)
PYTHON
