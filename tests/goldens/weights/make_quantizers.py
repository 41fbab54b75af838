"""Numbers, and the blocks that ggml's reference quantizers make of them.

    pip install numpy==2.4.6 safetensors==0.8.0
    python tests/goldens/weights/make_quantizers.py

compiles `ggml-quants.c` of llama-cpp-python 0.3.36 (where tests/support/packages.rs unpacks it) without fused
multiply-adds, so that the result is the same everywhere, and writes `quantizers.safetensors` beside itself: `x`, the
blocks of each kind, and as `errors.*` the sum of the squared errors of many more numbers, which the test makes anew.
"""

import ctypes
import os
import pathlib
import subprocess
import tempfile

import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
CACHE = pathlib.Path(os.environ.get("SCONCE_TEST_CACHE", pathlib.Path.home() / ".cache/sconce-tests"))
GGML = CACHE / "llama-cpp-python-0.3.36/llama_cpp_python-0.3.36/vendor/llama.cpp/ggml"
KINDS = {
    "q4_0": ("q4_0", 32, 18),
    "q4_1": ("q4_1", 32, 20),
    "q5_0": ("q5_0", 32, 22),
    "q5_1": ("q5_1", 32, 24),
    "q8_0": ("q8_0", 32, 34),
    "q2_k": ("q2_K", 256, 84),
    "q3_k": ("q3_K", 256, 110),
    "q4_k": ("q4_K", 256, 144),
    "q5_k": ("q5_K", 256, 176),
    "q6_k": ("q6_K", 256, 210),
}

random = np.random.default_rng(20_26)
x = random.normal(0, 0.02, (12, 256)).astype(np.float32)
x[1] = random.standard_t(2, 256)
x[2] = random.uniform(0, 1, 256)
x[3] = -x[3] ** 2
x[4] = 0
x[5] = 0.25
x[6, 64:128] = 0
x[7] *= np.exp(random.normal(0, 3, 256))
x[8] = np.round(x[8] * 100)
x[9, 16:] = 0

# 512 blocks like normally distributed weights and 512 with longer tails, from the halves of splitmix64's words.
words = np.arange(1024 * 256, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
    words = (words ^ words >> np.uint64(shift)) * np.uint64(factor)
shorts = words.view("<u2").reshape(-1, 4).astype(np.int64)
bell = shorts.sum(axis=1) - 2 * 65535
many = (np.where(np.arange(bell.size) < bell.size // 2, bell << 16, bell * shorts[:, 0]) * 2.0**-38).astype(np.float32)

with tempfile.TemporaryDirectory() as folder:
    library = pathlib.Path(folder) / "ggml.so"
    options = ["-O1", "-ffp-contract=off", "-shared", "-fPIC", "-Wl,--unresolved-symbols=ignore-all", "-lm"]
    includes = [f"-I{GGML / 'include'}", f"-I{GGML / 'src'}"]
    subprocess.run(["cc", *options, *includes, GGML / "src/ggml-quants.c", "-o", library], check=True)
    ggml = ctypes.CDLL(library, mode=os.RTLD_LAZY)
    tensors = {"x": x}
    for ours, (theirs, weights, size) in KINDS.items():
        blocks = np.zeros(x.size // weights * size, np.uint8)
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, blocks)]
        getattr(ggml, f"quantize_row_{theirs}_ref")(*pointers, ctypes.c_int64(x.size))
        tensors[ours] = blocks

        blocks, stored = np.zeros(many.size // weights * size, np.uint8), np.zeros_like(many)
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (many, blocks, stored)]
        getattr(ggml, f"quantize_row_{theirs}_ref")(*pointers[:2], ctypes.c_int64(many.size))
        getattr(ggml, f"dequantize_row_{theirs}")(*pointers[1:], ctypes.c_int64(many.size))
        tensors[f"errors.{ours}"] = np.square(stored.astype(np.float64) - many).sum(keepdims=True)
save_file(tensors, HERE / "quantizers.safetensors")
