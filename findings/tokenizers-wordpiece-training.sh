#!/usr/bin/env bash
# tokenizers 0.22.2: training a WordPiece vocabulary twice on the same text gives two vocabularies: other ids, and other pieces where counts
# are equal. So does BPE with a `continuing_subword_prefix`. Plain BPE gives the same file each time; its trainer sorts the alphabet, but
# the letters with a prefix come in the order of a hash table, and ties between merges go by those ids.
# Touches: test data trained on the spot, and a model whose tokenizer is trained anew: ids mean other pieces. Keep the trained file.
# Expected: one vocabulary, as of plain BPE.
# Seen: in six trainings of either, six (at times five) different numberings and about four sets of pieces; in six of plain BPE, one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tokenizers==0.22.2
"$folder/venv/bin/python" - <<'PYTHON'
import json

from tokenizers import Tokenizer
from tokenizers.models import BPE, WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import BpeTrainer, WordPieceTrainer

text = ["the cat sat on a mat while dogs ran away from their master's house and slept under trees"] * 9


def vocabularies(model, trainer, **options):
    numberings, pieces = set(), set()
    for _ in range(6):
        tokenizer = Tokenizer(model())
        tokenizer.pre_tokenizer = Whitespace()
        tokenizer.train_from_iterator(text, trainer(vocab_size=80, show_progress=False, **options))
        vocabulary = tokenizer.get_vocab()
        numberings.add(json.dumps(vocabulary, sort_keys=True))
        pieces.add(json.dumps(sorted(vocabulary)))
    return len(numberings), len(pieces)


plain, prefixed = vocabularies(BPE, BpeTrainer), vocabularies(BPE, BpeTrainer, continuing_subword_prefix="##")
word_pieces = vocabularies(WordPiece, WordPieceTrainer)
print(plain, prefixed, word_pieces)
assert plain == (1, 1)
assert prefixed[0] > 1 and word_pieces[0] > 1
PYTHON
