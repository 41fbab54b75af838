#!/usr/bin/env python3
"""Translates 200 sentences of varied length by Marian's tokenizer and the tiny model of make_text_to_text.py, 4 beams, 32 at once.

    pip install transformers==4.57.6 torch==2.9.1 sentencepiece==0.2.3
    python tests/goldens/make_translations.py
    cargo test --test pipelines many_sentences

Writes tests/goldens/translations.json: sentences and the ids that `generate` gives for each. A sentence whose ids are others
in f64 is left out, so that rounding decides nothing.
"""

import json
import random
import shutil
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

HERE = Path(__file__).parent
FOLDER = HERE / "text_to_text" / "translation-marian"
BATCH, COUNT = 32, 200
WORDS = """the a house is wonderful and children are here of light candle year days world in on with Bonjour le monde Ça va
été naïve Straße 2024 366 3.14 don't isn't it's — “quoted” (both) e-mail 50% €5 Hello This These quickly unbelievable""".split()
ENDS = [".", "!", " ?", "…", ";", ""]


def sentences():
    draw = random.Random(18)
    while True:
        # From a word to as many tokens as the tokenizer allows.
        words = [draw.choice(WORDS) for _ in range(draw.choice([1, 2, 3, 4, 6, 9]))]
        words = [word + ("," if draw.random() < 0.1 else "") for word in words]
        yield " ".join(words) + draw.choice(ENDS)


def translate(folder, texts, dtype):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=dtype).eval()
    found = []
    for start in range(0, len(texts), BATCH):
        batch = tokenizer(texts[start : start + BATCH], padding=True, return_tensors="pt")
        out = model.generate(**batch, num_beams=4, max_new_tokens=24, no_repeat_ngram_size=2)
        pad = model.config.pad_token_id
        for row in out.tolist():
            while row[-1] == pad:
                row.pop()
            found.append(row)
    return found


def main():
    torch.set_num_threads(1)
    golden = json.loads((FOLDER / "golden.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for file in ["config.json", "generation_config.json", "model.safetensors"]:
            shutil.copy(FOLDER / file, folder / file)
        for name, source in golden["models"].items():
            shutil.copy(HERE / "tokenizers" / "models" / source, folder / name)
        for name, content in golden["files"].items():
            (folder / name).write_text(json.dumps(content))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        source, texts = sentences(), []
        while len(texts) < 2 * COUNT:
            text = next(source)
            if text not in texts and len(tokenizer(text).input_ids) <= 40:
                texts.append(text)
        one, exact = (translate(folder, texts, dtype) for dtype in (torch.float32, torch.float64))
    same = [(text, ids) for text, ids, others in zip(texts, one, exact) if ids == others][:COUNT]
    assert len(same) == COUNT, len(same)
    lines = ",\n ".join(json.dumps({"text": text, "ids": ids}, ensure_ascii=False) for text, ids in same)
    (HERE / "translations.json").write_text(f"[\n {lines}\n]\n")
    print(len({json.dumps(ids) for _, ids in same}), "answers,", sorted({len(ids) for _, ids in same}), "tokens")


if __name__ == "__main__":
    main()
