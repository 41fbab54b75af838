#!/usr/bin/env bash
# rouge-score 0.1.2: only the letters a to z and digits count. A summary in Russian, Greek, Arabic, Hindi, Chinese or Japanese scores 0 against
# itself, and where both have one English word the rest of the text may be anything. An accented letter is a space: "café" is "caf".
# Touches: scoring summaries and translations; this is the package behind most ROUGE numbers. Give it a `tokenizer` of your own.
# Expected: 1.0 for a text that equals its reference, in any script, or a warning.
# Seen: 0.0 for identical Russian and Japanese, 1.0 for two different Russian texts that share "GPT", 0.5 for "café noir" and "cafe noir".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet rouge-score==0.1.2
"$folder/venv/bin/python" - <<'PYTHON'
from rouge_score import rouge_scorer

scorer = rouge_scorer.RougeScorer(["rouge1", "rougeL"])
pairs = [
    ("Кошка сидит на окне", "Кошка сидит на окне"),
    ("東京は日本の首都です", "東京は日本の首都です"),
    ("Модель GPT ошиблась", "Книга про GPT хорошая"),
    ("café noir", "cafe noir"),
    ("the cat sat", "the cat sat"),
]
seen = [[round(score.fmeasure, 2) for score in scorer.score(*pair).values()] for pair in pairs]
print(list(zip(pairs, seen)))
assert seen == [[0, 0], [0, 0], [1, 1], [0.5, 0.5], [1, 1]]
PYTHON
