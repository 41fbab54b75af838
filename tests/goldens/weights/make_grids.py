"""The codebooks of ggml's IQ block types as Rust source.

    pip install gguf==0.19.0 numpy==2.4.6
    python tests/goldens/weights/make_grids.py && cargo fmt

writes `src/weights/blocks/grids.rs` from the tables of gguf-py, packed as there.
"""

import pathlib

import numpy as np
from gguf import quants

ROOT = pathlib.Path(__file__).parents[3]
GRIDS = [
    (quants.IQ1_S, "Eight numbers, two bits each: -1, 0, 1."),
    (quants.IQ2_S, "Eight numbers, two bits each: 8, 25, 43."),
    (quants.IQ2_XS, "Eight numbers, two bits each: 8, 25, 43."),
    (quants.IQ2_XXS, "Eight numbers, two bits each: 8, 25, 43."),
    (quants.IQ3_S, "Four numbers, four bits each: odd numbers from 1."),
    (quants.IQ3_XXS, "Four numbers, four bits each: 4, 12, 20, 28, 36, 44, 52, 62."),
]


def table(name, doc, kind, values, digits):
    numbers = ", ".join(f"0x{value:0{digits}x}" for value in values)
    return f"\n/// {doc}\npub(super) const {name}: [{kind}; {len(values)}] = [{numbers}];\n"


text = """//! The codebooks of ggml's IQ block types, written by `tests/goldens/weights/make_grids.py`. The first number of an entry
//! is in its lowest bits.
"""
for kind, doc in GRIDS:
    values = np.frombuffer(bytes.fromhex(kind.grid_hex.decode()), dtype="<u2")
    assert len(values) == kind.grid_shape[0]
    text += table(kind.qtype.name, doc, "u16", values, 4)
signs = quants.IQ2_XXS.ksigns
text += table("SIGNS", "Eight signs of which the last makes their number even.", "u8", signs, 2)
(ROOT / "src/weights/blocks/grids.rs").write_text(text)
