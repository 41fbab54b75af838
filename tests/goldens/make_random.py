"""Writes tests/goldens/random.json: the numbers of torch's CPU generator.

    pip install torch==2.9.1
    python tests/goldens/make_random.py

Numbers are the bits of their dtype. Long draws are kept as their first and last numbers and a sum of all bits. Run it on
an x86-64 processor with AVX2: torch's f32 numbers differ in the last bit elsewhere.
"""

import json
import pathlib

import torch

OUT = pathlib.Path(__file__).parent / "random.json"
DTYPES = {"f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16}
BITS = {"f32": torch.int32, "f64": torch.int64, "f16": torch.int16, "bf16": torch.int16}
SEEDS = [0, 1, 42, 123456789012, -1]
COUNTS = [1, 2, 3, 15, 16, 17, 20, 31, 32, 33, 252, 1000]


def bits(numbers, dtype):
    found = [int(bits) for bits in numbers.flatten().view(BITS[dtype])]
    mask = (1 << 64) - 1
    total = 0
    for number in found:
        total = (total * 31 + (number & mask)) & mask
    kept = found if len(found) <= 40 else found[:20] + found[-20:]
    return {"count": len(found), "bits": kept, "hash": total}


def main():
    torch.set_num_threads(1)
    draws = []
    for dtype, kind in DTYPES.items():
        for seed in SEEDS:
            generator = torch.Generator().manual_seed(seed)
            # One generator for all counts: what is kept of a pair survives the longer draws.
            for count in COUNTS + ([4 * 64 * 64] if seed == 0 else []):
                for name in ("randn", "rand"):
                    numbers = getattr(torch, name)(count, generator=generator, dtype=kind)
                    draws.append({"name": name, "dtype": dtype, "seed": seed, **bits(numbers, dtype)})
    integers = []
    for seed, low, high in [(0, 0, 1000), (1, -5, 7), (2, 0, 2**28 - 1), (3, 0, 2**28), (4, -(2**62), 2**62), (5, 3, 4), (6, -(2**63), 2**63 - 1)]:
        generator = torch.Generator().manual_seed(seed)
        found = torch.randint(low, high, (8,), generator=generator).tolist()
        integers.append({"seed": seed, "low": low, "high": high, "numbers": found})
    permutations = []
    for seed, count in [(0, 0), (0, 1), (0, 2), (0, 10), (7, 100)]:
        generator = torch.Generator().manual_seed(seed)
        permutations.append({"seed": seed, "count": count, "numbers": torch.randperm(count, generator=generator).tolist()})
    made = {"torch": torch.__version__.split("+")[0], "draws": draws, "integers": integers, "permutations": permutations}
    OUT.write_text(json.dumps(made, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
