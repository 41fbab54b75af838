"""llama.cpp's own samplers for `make_processors.py`: its `llama-sampler.cpp`, compiled by g++ without the rest.

`fetch_llama_cpp.py` fetches the source. Functions that the samplers never call are stubs.
"""

import ctypes
import math
import re
import subprocess
import tempfile
from ctypes import POINTER, Structure, byref, c_bool, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from pathlib import Path

import fetch_llama_cpp

# The public function for breakers wants a vocabulary, and the limit of Mirostat is nobody's business.
WRAPPER = """
#include "llama-sampler.cpp"

extern "C" void dry_breaker(llama_sampler * sampler, const llama_token * ids, int count) {
    auto * dry = (llama_sampler_dry *) sampler->ctx;
    dry->dry_processed_breakers.emplace(ids[0], std::vector<llama_token>(ids + 1, ids + count));
}

extern "C" float mirostat_mu(llama_sampler * sampler) {
    return ((llama_sampler_mirostat_v2 *) sampler->ctx)->mu;
}
"""


class Datum(Structure):
    _fields_ = [("id", c_int32), ("logit", c_float), ("p", c_float)]


class Data(Structure):
    _fields_ = [("data", POINTER(Datum)), ("size", c_size_t), ("selected", c_int64), ("sorted", c_bool)]


def compiled():
    tree = fetch_llama_cpp.tree()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        (scratch / "wrapper.cpp").write_text(WRAPPER)
        includes = [f"-I{tree / folder}" for folder in ("src", "include", "ggml/include")]
        build = ["g++", "-std=c++17", "-O1", "-fPIC", "-shared"]
        samplers, stubs = scratch / "libsamplers.so", scratch / "libstubs.so"
        subprocess.run([*build, *includes, scratch / "wrapper.cpp", "-o", samplers], check=True)
        listed = subprocess.run(["nm", "-D", "--undefined-only", samplers], check=True, capture_output=True, text=True)
        missing = [name for name in re.findall(r"U (\S+)", listed.stdout) if "@" not in name]
        (scratch / "stubs.s").write_text("".join(f".globl {name}\n{name}: ud2\n" for name in missing))
        subprocess.run(["gcc", "-shared", "-z", "noexecstack", scratch / "stubs.s", "-o", stubs], check=True)
        ctypes.CDLL(stubs, mode=ctypes.RTLD_GLOBAL)
        return ctypes.CDLL(samplers)


library = compiled()


def sampler(name, *arguments):
    make = getattr(library, f"llama_sampler_init_{name}")
    kinds = {
        "dry": [c_void_p, c_float, c_float, c_int32, c_int32, c_void_p, c_size_t],
        "mirostat_v2": [c_uint32, c_float, c_float],
        "penalties": [c_int32, c_int32, c_float, c_float, c_float],
        "temp_ext": [c_float, c_float, c_float],
        "top_n_sigma": [c_float],
        "xtc": [c_float, c_float, c_size_t, c_uint32],
    }
    make.argtypes, make.restype = kinds[name], c_void_p
    return make(*arguments)


def accept(sampler, tokens):
    library.llama_sampler_accept.argtypes = [c_void_p, c_int32]
    for token in tokens:
        library.llama_sampler_accept(sampler, token)


def add_breaker(sampler, ids):
    library.dry_breaker.argtypes = [c_void_p, POINTER(c_int32), c_int]
    library.dry_breaker(sampler, (c_int32 * len(ids))(*ids), len(ids))


def mu(sampler):
    library.mirostat_mu.argtypes, library.mirostat_mu.restype = [c_void_p], c_float
    return library.mirostat_mu(sampler)


def apply(sampler, logits):
    """The logits after a sampler, and the id that it has selected, if it does so."""
    library.llama_sampler_apply.argtypes = [c_void_p, c_void_p]
    data = (Datum * len(logits))(*[Datum(index, logit, 0.0) for index, logit in enumerate(logits)])
    data = Data(data, len(logits), -1, False)
    library.llama_sampler_apply(sampler, byref(data))
    left = [-math.inf] * len(logits)
    for datum in data.data[: data.size]:
        left[datum.id] = datum.logit
    return left, data.data[data.selected].id if data.selected >= 0 else None
