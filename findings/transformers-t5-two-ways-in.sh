#!/usr/bin/env bash
# transformers 4.57.6: one SentencePiece file gives two tokenizers. `T5TokenizerFast.from_pretrained` of a folder with spiece.model puts
# a space before the text, as SentencePiece does; `T5TokenizerFast("spiece.model")`, the class's first argument, does not: its
# `add_prefix_space=None`, which means "not said", arrives at the slow class as false.
# Touches: expected values for tokenizers of T5's kind: make them with `from_pretrained` alone.
# Expected: the same pieces both ways, and those of sentencepiece 0.2.1.
# Seen: "▁th", "e" from the folder and from sentencepiece; "t", "he" from the file, without a prefix.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet transformers==4.57.6 sentencepiece==0.2.1 protobuf==7.36.2
venv/bin/python - <<'PYTHON' 2>/dev/null
import os

import sentencepiece
from transformers import T5TokenizerFast

os.mkdir("model")
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["the cat sat on the mat and the dog ran", "hello world this is a test", "one two three"] * 30),
    model_prefix="model/spiece",
    vocab_size=45,
    hard_vocab_limit=False,
    pad_id=0,
    eos_id=1,
    unk_id=2,
    bos_id=-1,
    minloglevel=2,
)
reference = sentencepiece.SentencePieceProcessor(model_file="model/spiece.model").encode("the cat", out_type=str)
folder, file = T5TokenizerFast.from_pretrained("model"), T5TokenizerFast("model/spiece.model")
print(reference, folder.tokenize("the cat"), file.tokenize("the cat"))
assert folder.tokenize("the cat") == reference and reference[0].startswith("▁")
assert not file.tokenize("the cat")[0].startswith("▁")
assert file.tokenize("the cat")[-3:] == reference[-3:]
PYTHON
