#!/usr/bin/env bash
# sacrebleu 2.6.0: a corpus whose sentences all have fewer than four words scores 0 BLEU against itself, because there are
# no n-grams of four; `sentence_bleu` of the same sentence gives 100 (it takes only the orders there are).
# Expected: 100 for a translation that equals its reference, in both.
# Seen: corpus_bleu 0.0, sentence_bleu 100; four words: 100 in both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sacrebleu==2.6.0
"$folder/venv/bin/python" - <<'PYTHON'
import sacrebleu

short, longer = "Good morning", "Good morning everyone here"
print(sacrebleu.corpus_bleu([short], [[short]]).score, sacrebleu.sentence_bleu(short, [short]).score)
assert sacrebleu.corpus_bleu([short] * 3, [[short] * 3]).score == 0
assert round(sacrebleu.sentence_bleu(short, [short]).score, 6) == 100
assert round(sacrebleu.corpus_bleu([longer], [[longer]]).score, 6) == 100
PYTHON
