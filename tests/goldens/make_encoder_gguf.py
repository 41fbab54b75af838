"""Writes model.gguf beside tiny encoders, by llama.cpp's own converter: weights, pooling and tokenizer in one file.

    venv/bin/python tests/goldens/make_encoder_gguf.py   # after make_encoders.py; gguf_files.py says where the converter is
"""

import json
import shutil
import tempfile
from pathlib import Path

from safetensors.torch import load_file, save_file

import gguf_files

HERE = Path(__file__).parent
# What the converter wants to read in config.json, and the pooling that goes into the file.
GOLDENS = {
    "bert-tiny": ({"architectures": ["BertModel"]}, "cls"),
    "roberta-tiny": ({"architectures": ["RobertaModel"]}, "mean"),
    "nomic-tiny": (
        {
            "architectures": ["NomicBertModel"], "n_positions": 8192, "max_trained_positions": 2048, "rotary_emb_scale_base": None,
        },
        "mean",
    ),
}


def main():
    for name, (fields, pooling) in GOLDENS.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / name
            shutil.copytree(HERE / "encoders" / name, folder)
            shutil.copytree(HERE / "embeddings" / pooling, folder, dirs_exist_ok=True)
            config = json.loads((folder / "config.json").read_text())
            for label in ["id2label", "label2id"]:
                config.pop(label, None)
            weights = load_file(folder / "model.safetensors")
            heads = ("classifier", "cls.", "lm_head", "qa_outputs")
            save_file({key: weight for key, weight in weights.items() if not key.startswith(heads)}, folder / "model.safetensors")
            (folder / "config.json").write_text(json.dumps(config | fields))
            gguf_files.run_converter(folder, "model.gguf", "--outtype", "f32")
            shutil.copy(folder / "model.gguf", HERE / "encoders" / name)
            print(name, (folder / "model.gguf").stat().st_size // 1000, "kB")


if __name__ == "__main__":
    main()
