#!/usr/bin/env bash
# rank-bm25 0.2.2: a word that stands in exactly half of the documents counts nothing in `BM25Okapi` (its inverse
# document frequency is log 1), so in a collection of two the only document that matches scores 0, like the other.
# A word in all of them scores below 0. BM25Plus of the same package puts the match first.
# Expected: the document that holds the word scores above the one that does not.
# Seen: [0, 0]; BM25Plus [2.197, 1.099]; the word in both documents: [-0.134, -0.134].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet rank-bm25==0.2.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from rank_bm25 import BM25Okapi, BM25Plus

documents = [["cat", "sat"], ["dog", "ran"]]
okapi = BM25Okapi(documents).get_scores(["cat"])
plus = BM25Plus(documents).get_scores(["cat"])
everywhere = BM25Okapi([["cat", "sat"], ["cat", "ran"]]).get_scores(["cat"])
print(okapi, plus, everywhere)
assert okapi.tolist() == [0, 0]
assert plus[0] > plus[1] > 0
assert np.all(everywhere < 0)
PYTHON
