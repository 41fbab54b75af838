"""Writes model.gguf beside tiny T5s, by llama.cpp's own converter: weights and sizes, without a tokenizer, which the folders have not.

    venv/bin/python tests/goldens/make_seq2seq_gguf.py         # after make_seq2seq.py; fetch_llama_cpp.py fetches the converter
    venv/bin/python tests/goldens/make_seq2seq_gguf.py t5-tiny # only these
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import gguf_files
from conversion import t5

HERE = Path(__file__).parent / "seq2seq"
GOLDENS = ["t5-tiny", "t5-gated-tiny", "t5-encoder-tiny", "umt5-tiny"]
# What the converter wants to read, and folders leave to the class.
DEFAULTS = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}

for model in [t5.T5Model, t5.T5EncoderModel]:
    model.set_vocab = lambda self: None


def main(names):
    for name in names or GOLDENS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / name
            shutil.copytree(HERE / name, folder)
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(DEFAULTS | config))
            gguf_files.run_converter(folder, "model.gguf", "--outtype", "f32")
            shutil.copy(folder / "model.gguf", HERE / name)
        print(name, (HERE / name / "model.gguf").stat().st_size // 1000, "kB")


if __name__ == "__main__":
    main(sys.argv[1:])
