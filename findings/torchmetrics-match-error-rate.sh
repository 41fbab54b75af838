#!/usr/bin/env bash
# torchmetrics 1.9.0: `MatchErrorRate`, `WordInfoLost` and `WordInfoPreserved` take the length of the longer text for the number of aligned
# places. That is right only where a sentence has no insertion, or no deletion; with both, fewer words count as hit and there are
# fewer places than there are, so the rates are too high. The word error rate is right.
# Touches: scoring transcripts: numbers of the two libraries do not compare.
# Expected: "b c d" for "a b c" has 1 deletion, 2 hits, 1 insertion: a match error rate of 2/4 and 1 - 2/3 * 2/3 of the information lost,
# as in jiwer 4.0.0.
# Seen: 2/3 and 8/9 (as if there was one hit).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torchmetrics==1.9.0 torch==2.9.1 jiwer==4.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import jiwer
from torchmetrics.functional.text import match_error_rate, word_error_rate, word_information_lost

reference, hypothesis = ["a b c"], ["b c d"]
words = jiwer.process_words(reference, hypothesis)
right = [words.wer, words.mer, words.wil]
seen = [float(rate(hypothesis, reference)) for rate in (word_error_rate, match_error_rate, word_information_lost)]
print(right, seen)
assert (words.hits, words.substitutions, words.deletions, words.insertions) == (2, 0, 1, 1)
assert [round(rate, 6) for rate in right] == [0.666667, 0.5, 0.555556]
assert [round(rate, 6) for rate in seen] == [0.666667, 0.666667, 0.888889]
PYTHON
