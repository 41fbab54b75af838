"""llama.cpp's source tree, with the converter that writes GGUF files, out of the source package of llama-cpp-python.

    python3 tests/goldens/fetch_llama_cpp.py          # fetches it into the cache of the tests, once, and says where it is
    python3 tests/goldens/fetch_llama_cpp.py FOLDER   # unpacks it there

`tests/support/packages.rs` and `gguf_files.py` fetch by this script. $LLAMA_CPP names a tree to use instead of the fetched one.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "0.3.36"

# pip asks a source package for its metadata by running its build backend, which would configure the C++ build. This one only
# answers the question.
BACKEND = f"""
import os

def prepare_metadata_for_build_wheel(directory, config_settings=None):
    info = "llama_cpp_python-{VERSION}.dist-info"
    os.makedirs(os.path.join(directory, info))
    with open(os.path.join(directory, info, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: llama_cpp_python\\nVersion: {VERSION}\\n")
    return info

def build_wheel(*args, **kwargs):
    raise RuntimeError("this backend only tells metadata")
"""


def unpack(folder):
    """Downloads the source package and unpacks it into the folder."""
    with tempfile.TemporaryDirectory() as scratch:
        backend = Path(scratch) / "scikit_build_core"
        backend.mkdir()
        (backend / "__init__.py").touch()
        (backend / "build.py").write_text(BACKEND)
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
        pip = [sys.executable, "-m", "pip", "download", *options, "--dest", scratch, f"llama-cpp-python=={VERSION}"]
        subprocess.run(pip, check=True, env=os.environ | {"PYTHONPATH": scratch})
        [archive] = Path(scratch).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")


def tree():
    """Where the source tree is; fetched first where it is not there yet."""
    if folder := os.environ.get("LLAMA_CPP"):
        return Path(folder)
    cache = os.environ.get("SCONCE_TEST_CACHE")
    cache = Path(cache) if cache else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sconce-tests"
    folder = cache / f"llama-cpp-python-{VERSION}"
    if not folder.is_dir():
        partial = cache / f".llama-cpp-python-{os.getpid()}"
        unpack(partial)
        partial.rename(folder)
    return folder / f"llama_cpp_python-{VERSION}/vendor/llama.cpp"


if __name__ == "__main__":
    print(tree() if len(sys.argv) == 1 else unpack(Path(sys.argv[1])) or sys.argv[1])
