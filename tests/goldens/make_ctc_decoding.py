"""Writes `ctc_decoding.json`: what the Python reference makes of the letters of CTC models.

    PYTHONPATH=<pyctcdecode> venv/bin/python tests/goldens/make_ctc_decoding.py

Made with transformers 4.57.6 (`Wav2Vec2CTCTokenizer`) and pyctcdecode 0.5.0 with pygtrie 2.5.0 (`--no-deps`; no language model); the
versions in use stand in the file.

Each folder holds its small files as text, then ids and what is decoded of them, texts and their ids, and logits
with what a search over prefixes finds. Logits follow from a seed by `logits` below. A search is kept only if the scores of its texts are
not closer than 1e-3 to each other, and if logits that are disturbed a little give the same.
"""

import json
import random
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pyctcdecode import build_ctcdecoder
from transformers import Wav2Vec2CTCTokenizer

LETTERS = ["|", "E", "T", "A", "O", "N", "I", "H", "S", "R", "D", "L", "U", "M", "W", "C", "F", "G", "Y", "P", "B", "V", "K", "'"]
BASE = {token: id for id, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *LETTERS])}
OWN = {token: id for id, token in enumerate(["a", "b", "ß", "é", "я", "न", "ि", " ", "|", "[UNK]", "[PAD]", "ch", "10"])}
FOLDERS = {
    "base": {
        "vocab.json": BASE,
        "tokenizer_config.json": {
            "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "do_lower_case": False,
            "return_attention_mask": False, "do_normalize": True, "tokenizer_class": "Wav2Vec2CTCTokenizer",
        },
    },
    "lower": {
        "vocab.json": BASE,
        "tokenizer_config.json": {"do_lower_case": True, "clean_up_tokenization_spaces": True, "tokenizer_class": "Wav2Vec2CTCTokenizer"},
    },
    "own": {
        "vocab.json": OWN,
        "added_tokens.json": {"<s>": 13, "</s>": 14},
        "special_tokens_map.json": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "[UNK]", "pad_token": "[PAD]"},
        "tokenizer_config.json": {
            "unk_token": "[UNK]", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "[PAD]", "word_delimiter_token": "|",
            "replace_word_delimiter_char": "_", "tokenizer_class": "Wav2Vec2CTCTokenizer",
        },
    },
    "languages": {
        "vocab.json": {"eng": {"<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "b": 4, "c": 5}, "fra": {"<pad>": 0, "<unk>": 1, "|": 2, "é": 3, "à": 4}},
        "tokenizer_config.json": {"target_lang": "fra", "tokenizer_class": "Wav2Vec2CTCTokenizer"},
    },
}
TEXTS = [
    "", "HELLO WORLD", "Hello world", "  A  B ", "IT'S A DAY", "été à", "straße ch 10 a", "ab<s>ab</s>", "a ch b", "न ि", "A|B", "[UNK] a [PAD]",
    "a\tb\nc", "<pad> A", "AbC dE",
]
FACT = ["<pad>", "H", "H", "E", "<pad>", "L", "<pad>", "L", "O", "<pad>", "|", "|", "<pad>", "O", "<pad>"]


def logits(frames, vocab, seed):
    """Numbers that both languages compute alike."""
    rows = []
    for frame in range(frames):
        rows.append([((frame * vocab + id) * 7919 + seed * 104729) % 1009 / 1009 * 9 - 4 for id in range(vocab)])
    return np.array(rows, dtype=np.float32)


def offsets(items, what):
    return [[item[what], int(item["start_offset"]), int(item["end_offset"])] for item in items]


def searches(tokenizer, folder):
    """Only where all letters are single and none but the blank is special, as pyctcdecode takes them."""
    labels = ["" if token == "<pad>" else " " if token == "|" else token for token in folder]
    decoder = build_ctcdecoder(labels)
    found = []
    for seed in range(40):
        frames, width = 4 + seed % 9, [100, 3, 8][seed % 3]
        options = dict(beam_width=width, beam_prune_logp=-10.0 if seed % 2 else -4.0, token_min_logp=-5.0 if seed % 4 else -3.0)
        given = logits(frames, len(labels), seed)
        beams = decoder.decode_beams(given, **options)
        # No rounding may decide which prefixes are kept.
        noise = np.random.default_rng(seed)
        told = [(beam[0], beam[2], float(beam[3])) for beam in beams[:5]]
        disturbed = [decoder.decode_beams(given + noise.normal(0, 1e-5, given.shape).astype(np.float32), **options)[:5] for _ in range(6)]
        if any([(beam[0], beam[2]) for beam in others] != [(text, words) for text, words, _ in told] for others in disturbed):
            continue
        if any(abs(beam[3] - score) > 2e-4 for others in disturbed for beam, (_, _, score) in zip(others, told)):
            continue
        scores = [float(beam[3]) for beam in beams[:6]]
        if any(a - b < 1e-3 for a, b in zip(scores, scores[1:])):
            continue
        found.append({
            "frames": frames, "seed": seed, **options,
            "beams": [
                {"text": beam[0], "score": float(beam[3]), "words": [[word, int(a), int(b)] for word, (a, b) in beam[2]]} for beam in beams[:5]
            ],
        })
    assert len(found) > 12, len(found)
    return found


def make(name, files, folder):
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content, ensure_ascii=False))
    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(folder)
    numbers = random.Random(5)
    size = max(tokenizer.get_vocab().values()) + 2
    rows = [[], [0], list(range(size))]
    if name in ("base", "lower"):
        rows.append([BASE[token] for token in FACT])
    for _ in range(25):
        row = []
        for _ in range(numbers.randrange(1, 14)):
            likely = numbers.choice([tokenizer.pad_token_id, tokenizer.word_delimiter_token_id, numbers.randrange(size)])
            row += [likely] * numbers.randrange(1, 4)
        rows.append(row)
    decoded = []
    for ids in rows:
        for skip in [False, True]:
            out = tokenizer.decode(ids, skip_special_tokens=skip, output_char_offsets=True, output_word_offsets=True)
            decoded.append({
                "ids": ids, "skip_special_tokens": skip, "text": out.text, "chars": offsets(out.char_offsets, "char"),
                "words": offsets(out.word_offsets, "word"),
            })
    return {
        "name": name,
        "files": {file: json.dumps(content, ensure_ascii=False) for file, content in files.items()},
        "blank": tokenizer.pad_token_id,
        "delimiter": tokenizer.word_delimiter_token_id,
        "decoded": decoded,
        # Without an `unk_token` in vocab.json the reference fails where it is needed.
        "encoded": [{"text": text, "ids": tokenizer(text).input_ids} for text in TEXTS] if name != "letters" else [],
        "searches": searches(tokenizer, ["<pad>", "|", "A", "B", "C", "D"]) if name == "letters" else [],
    }


FOLDERS["letters"] = {
    "vocab.json": {token: id for id, token in enumerate(["<pad>", "|", "A", "B", "C", "D"])},
    "tokenizer_config.json": {"tokenizer_class": "Wav2Vec2CTCTokenizer"},
}

if __name__ == "__main__":
    made = []
    for name, files in FOLDERS.items():
        with tempfile.TemporaryDirectory() as folder:
            made.append(make(name, files, Path(folder)))
    versions = {package: version(package) for package in ["transformers", "pyctcdecode", "numpy"]}
    path = Path(__file__).parent / "ctc_decoding.json"
    path.write_text(json.dumps({"versions": versions, "folders": made}, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(path.stat().st_size, [len(folder["searches"]) for folder in made])
