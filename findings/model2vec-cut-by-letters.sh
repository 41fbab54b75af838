#!/usr/bin/env bash
# model2vec 0.10.0: `encode(max_length=n)` does not take the first n tokens. It first cuts the text to n times the median length of the
# vocabulary's tokens, in letters, and tokenizes what is left: a text of longer words loses tokens, and a word that is cut in two becomes
# other tokens. A vocabulary has many short pieces, so its median is below the length of the words in most texts.
# Touches: static embeddings; texts near the limit (512 unless another is said) have other vectors than the limit promises.
# Expected: with a limit of 4, all of a text of four tokens counts.
# Seen: of "international a b c" nothing is left but "inte", an unknown word: the vector is 0. Without a limit it is the mean of four.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet model2vec==0.10.0 tokenizers==0.23.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer, models, pre_tokenizers

words = ["[UNK]", "[PAD]", *"abcdefghijklmnopqrst", "international"]
tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
model = StaticModel(np.eye(len(words), dtype=np.float32), tokenizer, normalize=False)


def parts(text, limit):
    vector = model.encode([text], max_length=limit)[0]
    return {word: float(part) for word, part in zip(words, vector) if part}


seen = [parts("international a b c", 4), parts("international a b c", None), parts("a b c d", 4)]
print(seen)
assert seen == [{}, {word: 0.25 for word in ["a", "b", "c", "international"]}, {"a": 0.5, "b": 0.5}]
PYTHON
