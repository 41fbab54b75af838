"""Writes model.gguf beside tiny encoders, by llama.cpp's own converter: weights, pooling and tokenizer in one file; and makes
`encoders/reranker-tiny`, an XLM-RoBERTa with one label and a SentencePiece tokenizer, as bge-reranker-v2-m3 has them.

    venv/bin/python tests/goldens/make_encoder_gguf.py           # after make_encoders.py; fetch_llama_cpp.py fetches the converter
    venv/bin/python tests/goldens/make_encoder_gguf.py bert-tiny # only these
"""

import io
import json
import shutil
import sys
import tempfile
from base64 import b64encode
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from sentencepiece import sentencepiece_model_pb2
from transformers import XLMRobertaConfig

import encoder_tokenizers
import gguf_files
import make_encoders

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
    "gemma3-embedding-tiny": ({"architectures": ["Gemma3TextModel"]}, "mean"),
}


def main(names):
    for name, (fields, pooling) in GOLDENS.items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / name
            shutil.copytree(HERE / "encoders" / name, folder)
            shutil.copytree(HERE / "embeddings" / pooling, folder, dirs_exist_ok=True)
            config = json.loads((folder / "config.json").read_text())
            for label in ["id2label", "label2id"]:
                config.pop(label, None)
            weights = load_file(folder / "model.safetensors")
            heads = ("classifier", "cls.", "lm_head", "qa_outputs", "score")
            save_file({key: weight for key, weight in weights.items() if not key.startswith(heads)}, folder / "model.safetensors")
            (folder / "config.json").write_text(json.dumps(config | fields))
            gguf_files.run_converter(folder, "model.gguf", "--outtype", "f32")
            shutil.copy(folder / "model.gguf", HERE / "encoders" / name)
            print(name, (folder / "model.gguf").stat().st_size // 1000, "kB")
    if not names or "reranker-tiny" in names:
        reranker(HERE / "encoders/reranker-tiny")


def reranker(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    torch.manual_seed(5)
    config = XLMRobertaConfig(**make_encoders.ROBERTA, num_labels=1, architectures=["XLMRobertaForSequenceClassification"])
    make_encoders.HEADS = {"sequence": make_encoders.HEADS["sequence"]}
    models = make_encoders.with_shared_weights(config)
    for model in models.values():
        model.eval()
    weights = {name: weight.contiguous() for name, weight in models["sequence"].state_dict().items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(config.to_json_string())
    encoder_tokenizers.save("unigram", folder, 62)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    # XLM-RoBERTa's own, but for the table, which is small here.
    tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": b64encode(charsmap()).decode()}
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "XLMRobertaTokenizerFast", "clean_up_tokenization_spaces": True, "add_prefix_space": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    make_encoders.write_expected(folder, models, types=1, padding=1)
    gguf_files.run_converter(folder, "model.gguf", "--outtype", "f32")


def charsmap():
    """A table of replacements as SentencePiece compiles it: spaces and a few letters."""
    with tempfile.TemporaryDirectory() as scratch:
        rules = Path(scratch) / "rules.tsv"
        rules.write_text("FF21\t41\nA\t20\n9\t20\nFB01\t66 69\n3000\t20\n")
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(encoder_tokenizers.TEXT), model_writer=model, vocab_size=60, hard_vocab_limit=False,
            normalization_rule_tsv=str(rules),
        )
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(model.getvalue())
        return proto.normalizer_spec.precompiled_charsmap


if __name__ == "__main__":
    main(sys.argv[1:])
