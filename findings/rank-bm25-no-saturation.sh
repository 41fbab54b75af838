#!/usr/bin/env bash
# rank-bm25 0.2.2: `BM25L` multiplies its score by the number of times that the word stands in the document, once more than the formula. What
# makes BM25 what it is, that the tenth occurrence counts next to nothing, is gone: the score grows with every repetition.
# Touches: comparing retrieval with BM25; a text that repeats a word wins over one that has all words of the query.
# Expected: at most (k1 + 1) times the inverse document frequency for a word, as in bm25s 0.3.16 (method "bm25l") and the paper.
# Seen: with delta 0, for 1, 3 and 30 times the word in documents of equal length 1.0, 5.0 and 71.4 times the inverse document
# frequency; bm25s gives 1.0, 1.67 and 2.38.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet rank-bm25==0.2.2 bm25s==0.3.16 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math

import bm25s
import numpy as np
from rank_bm25 import BM25L

LENGTH = 40
counts = [1, 3, 30, 0, 0, 0, 0, 0]
documents = [["cat"] * count + ["dog"] * (LENGTH - count) for count in counts]
frequency = math.log(len(counts) + 1) - math.log(3 + 0.5)
rank = BM25L(documents, delta=0).get_scores(["cat"]) / frequency
other = bm25s.BM25(method="bm25l", delta=0)
other.index(documents, show_progress=False)
saturated = other.get_scores(["cat"]) / frequency
print(rank.round(2), saturated.round(2))
assert np.allclose(rank[:3], [1, 5, 71.43], atol=0.01)
assert np.allclose(saturated[:3], [1, 5 / 3, 2.381], atol=0.01)
PYTHON
