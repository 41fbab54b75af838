#!/usr/bin/env python3
"""Writes `tokenizers/ranks-*.json`: what Python makes of vocabularies by rank, tiktoken's files and Mistral's tekken.json, whose tiny ones it makes of `models/gpt2-*`.

    venv/bin/pip install tiktoken==0.14.0 mistral-common==1.12.0   # and the packages of make_tokenizers.py
    venv/bin/python tests/goldens/make_rank_tokenizers.py
"""

import base64
import json
import pathlib
import tempfile

import tiktoken
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from transformers import AutoTokenizer
from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

HERE = pathlib.Path(__file__).parent / "tokenizers"
MODELS = HERE / "models"
TEXTS = json.loads((HERE / "texts.json").read_text())
PATTERN = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def tokens():
    """The 256 bytes, and what GPT-2's merges make of them, in order."""
    letters = {letter: byte for byte, letter in bytes_to_unicode().items()}
    found = {bytes([byte]): byte for byte in range(256)}
    for line in (MODELS / "gpt2-merges.txt").read_text().splitlines():
        if not line.startswith("#version") and line.strip():
            found.setdefault(bytes(letters[letter] for letter in line.replace(" ", "")), len(found))
    return list(found)


def tiktoken_file(tokens):
    return "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))


# name: tokenizer_config.json.
TIKTOKEN = {
    "tiktoken-llama": {"tokenizer_class": "LlamaTokenizer", "bos_token": "<|begin|>", "eos_token": "<|end|>", "additional_special_tokens": ["<|begin|>", "<|end|>", "<|turn|>"]},
    "tiktoken-plain": {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin|>", "additional_special_tokens": ["<|turn|>"], "model_max_length": 77},
}
SPECIAL = ["<|begin|>one <|turn|> two<|end|>", "[INST]one [/INST] two</s>"]


def main():
    vocabulary = tokens()
    (MODELS / "ranks.tiktoken").write_text(tiktoken_file(vocabulary))
    for name, config in TIKTOKEN.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "tokenizer.model").write_text(tiktoken_file(vocabulary))
            (folder / "tokenizer_config.json").write_text(json.dumps(config))
            (folder / "config.json").write_text('{"model_type": "llama"}')
            tokenizer = AutoTokenizer.from_pretrained(folder)
            assert tokenizer.is_fast
            named = {key: [getattr(tokenizer, key), getattr(tokenizer, key + "_id")] for key in ["bos_token", "eos_token", "unk_token"] if getattr(tokenizer, key)}
            cases = []
            for text in TEXTS + SPECIAL:
                call = tokenizer(text, return_offsets_mapping=True)
                cases.append({"ids": call["input_ids"], "offsets": call["offset_mapping"], "decoded": tokenizer.decode(call["input_ids"], skip_special_tokens=True)})
            write(name, "tokenizer.model", config, len(tokenizer), named, cases)
            # The merges are those of tiktoken itself.
            own = tiktoken.Encoding("own", pat_str=LLAMA3, mergeable_ranks={token: rank for rank, token in enumerate(vocabulary)}, special_tokens={})
            for text in TEXTS:
                assert own.encode_ordinary(text) == tokenizer(text, add_special_tokens=False)["input_ids"] or any(token in text for token, _ in named.values()), text
    kept = len(vocabulary) - 20
    file = {
        "config": {"pattern": PATTERN, "num_vocab_tokens": len(vocabulary), "default_vocab_size": kept + 30, "default_num_special_tokens": 30, "version": "v3"},
        "vocab": [{"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None} for rank, token in enumerate(vocabulary)],
    }
    named = [{"rank": rank, "token_str": token, "is_control": True} for rank, token in enumerate(["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<pad>"])]
    for name, special, version in [("tekken-old", None, "v3"), ("tekken", named, "v11")]:
        written = file | {"config": file["config"] | {"version": version}} | ({"special_tokens": special} if special else {})
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "tekken.json"
            path.write_text(json.dumps(written))
            tokenizer = Tekkenizer.from_file(path)
        cases = []
        # What it does not look for in a text is left out: control tokens.
        for text in TEXTS:
            if not any(token in text for token in ["<s>", "</s>", "<unk>", "<pad>"]):
                ids = tokenizer.encode(text, bos=True, eos=False)
                cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids)})
        ids = {key: [text, getattr(tokenizer, key + "_id".replace("token_", ""))] for key, text in [("bos", "<s>"), ("eos", "</s>"), ("unk", "<unk>"), ("pad", "<pad>")]}
        write(name, "tekken.json", None, tokenizer.n_words, {f"{key}_token": value for key, value in ids.items()}, cases, special)


LLAMA3 = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""


def write(name, file, config, size, named, cases, special=None):
    content = {"file": file, "config": config, "pattern": PATTERN, "vocab": size, "named": named, "special": special, "special_texts": SPECIAL, "cases": cases}
    (HERE / f"ranks-{name}.json").write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(name, size, len(cases))


if __name__ == "__main__":
    main()
