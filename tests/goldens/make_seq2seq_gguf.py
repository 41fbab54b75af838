"""Writes model.gguf beside tiny T5s, by llama.cpp's own converter: weights and sizes, and the tokenizer of folders that have one.

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
# In `text_to_text/`, by make_text_to_text.py.
WITH_TOKENIZERS = ["text2text-t5"]
# What the converter wants to read, and folders leave to the class.
DEFAULTS = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}



def main(names):
    for name in WITH_TOKENIZERS:
        if not names or name in names:
            with_tokenizer(name)
    for model in [t5.T5Model, t5.T5EncoderModel]:
        model.set_vocab = lambda self: None
    for name in names or GOLDENS:
        if name in WITH_TOKENIZERS:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / name
            shutil.copytree(HERE / name, folder)
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(DEFAULTS | config))
            gguf_files.run_converter(folder, "model.gguf", "--outtype", "f32")
            shutil.copy(folder / "model.gguf", HERE / name)
        print(name, (HERE / name / "model.gguf").stat().st_size // 1000, "kB")


def with_tokenizer(name):
    source = HERE.parent / "text_to_text" / name
    golden = json.loads((source / "golden.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        shutil.copytree(source, folder)
        for file, model in golden["models"].items():
            shutil.copy(HERE.parent / "tokenizers/models" / model, folder / file)
        for file, content in golden["files"].items():
            (folder / file).write_text(json.dumps(content))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(DEFAULTS | config))
        gguf_files.run_converter(folder, "model.gguf", "--outtype", "f32")
        shutil.copy(folder / "model.gguf", source)
    print(name, (source / "model.gguf").stat().st_size // 1000, "kB")


if __name__ == "__main__":
    main(sys.argv[1:])
