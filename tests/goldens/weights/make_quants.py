"""Blocks of every ggml type sconce reads, and the numbers they stand for.

    pip install gguf==0.19.0 numpy==2.4.6 safetensors==0.8.0
    python tests/goldens/weights/make_quants.py

writes `quants.gguf` (random blocks; gguf-py cannot quantize to the K types) and
`quants.safetensors` (what `gguf.quants.dequantize` makes of them) beside itself.
"""

import pathlib

import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
ROWS, COLUMNS = 3, 512
# Where the f16 scales of a block lie.
SCALES = {
    Kind.Q4_0: [0],
    Kind.Q4_1: [0, 2],
    Kind.Q5_0: [0],
    Kind.Q5_1: [0, 2],
    Kind.Q8_0: [0],
    Kind.Q2_K: [80, 82],
    Kind.Q3_K: [108],
    Kind.Q4_K: [0, 2],
    Kind.Q5_K: [0, 2],
    Kind.Q6_K: [208],
}
# Types that sconce reads and keeps in another format.
READ_ONLY = {
    Kind.IQ1_M: [],
    Kind.IQ1_S: [0],
    Kind.IQ2_S: [0],
    Kind.IQ2_XS: [0],
    Kind.IQ2_XXS: [0],
    Kind.IQ3_S: [0],
    Kind.IQ3_XXS: [0],
    Kind.IQ4_NL: [0],
    Kind.IQ4_XS: [0],
    Kind.MXFP4: [],
    Kind.NVFP4: [],
    Kind.TQ1_0: [52],
    Kind.TQ2_0: [64],
}

random = np.random.default_rng(20_26)
writer = GGUFWriter(HERE / "quants.gguf", "none")
expected = {}


def add(name, raw, kind):
    expected[f"{name}.weight"] = dequantize(raw, kind).astype(np.float32)
    writer.add_tensor(f"{name}.weight", raw, raw_dtype=kind)


def random_blocks(kind, scales):
    weights, size = GGML_QUANT_SIZES[kind]
    raw = random.integers(0, 256, (ROWS, COLUMNS // weights, size), dtype=np.uint8)
    for at in scales:
        scale = random.normal(0, 0.05, raw.shape[:2] + (1,)).astype(np.float16)
        raw[:, :, at : at + 2] = scale.view(np.uint8)
    if kind == Kind.IQ1_M:
        # The exponent of its scale, which lies in four parts, must not say infinity.
        raw[:, :, 55] &= 0x1F
    if kind == Kind.MXFP4:
        raw[:, :, 0] = 112 + raw[:, :, 0] % 16
    add(kind.name.lower(), raw.reshape(ROWS, -1), kind)


for kind, scales in SCALES.items():
    random_blocks(kind, scales)

floats = random.normal(0, 1, (ROWS, 7)).astype(np.float32)
add("f32", floats, Kind.F32)
add("f16", floats.astype(np.float16), Kind.F16)
add("bf16", (floats.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8), Kind.BF16)
expected["f64.weight"] = floats
writer.add_tensor("f64.weight", floats.astype(np.float64), raw_dtype=Kind.F64)
for kind, scales in READ_ONLY.items():
    random_blocks(kind, scales)

writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
save_file(expected, HERE / "quants.safetensors")
