#!/usr/bin/env bash
# rouge 1.0.1 (the package that `pip install rouge` brings) counts each n-gram once, however often it occurs, where ROUGE counts it as
# often as the reference has it. Repetition, the usual fault of a summary made by a model, costs nothing in precision. ROUGE-L, too,
# divides by the number of different words. `Rouge(exclusive=False)` counts as defined.
# Touches: comparing summaries with published numbers; take rouge-score.
# Expected: for "the the the the" against "the cat sat here" a precision of 1/4, as in rouge-score 0.1.2.
# Seen: 1.0, for ROUGE-1 and ROUGE-L; rouge-score gives 0.25 for both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet rouge==1.0.1
"$folder/venv/bin/python" - <<'PYTHON'
from rouge import Rouge

summary, reference = "the the the the", "the cat sat here"
scores = Rouge().get_scores(summary, reference)[0]
counted = Rouge(exclusive=False).get_scores(summary, reference)[0]
print(scores, counted)
assert scores["rouge-1"]["p"] == 1.0 and scores["rouge-1"]["r"] == 0.25
assert scores["rouge-l"]["p"] == 1.0
assert counted["rouge-1"]["p"] == counted["rouge-l"]["p"] == 0.25
PYTHON
