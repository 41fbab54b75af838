#!/usr/bin/env bash
# rank-bm25 0.2.2 and bm25s 0.3.16: the `delta` of BM25+ has no effect on any ranking. It is what a document gets for having the word at
# all, so that long documents do not fall behind those without it; both packages add it to every document, so all scores rise alike.
# In bm25s the `delta` of BM25L goes to documents without the word, too, and does the opposite of its purpose there.
# Touches: comparing retrieval with BM25; "BM25+" of both is plain BM25.
# Expected: with a large delta, a long document that has both words of the query comes before a short one that repeats one of them.
# Seen: differences between scores are the same for delta 0, 1 and 100; documents without any of the words score 2 delta idf.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet rank-bm25==0.2.2 bm25s==0.3.16 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import bm25s
import numpy as np
from rank_bm25 import BM25Plus

query = ["cat", "mouse"]
long, repeats, none = ["cat", "mouse"] + ["rain"] * 60, ["cat"] * 4, ["sun"] * 5
documents = [long, repeats, none, none, none, none, none, none]


def rank_bm25(delta):
    return BM25Plus(documents, delta=delta).get_scores(query)


def bm25s_scores(method):
    def scores(delta):
        retriever = bm25s.BM25(method=method, delta=delta)
        retriever.index(documents, show_progress=False)
        return retriever.get_scores(query)

    return scores


for name, scores in [("rank-bm25", rank_bm25), ("bm25s", bm25s_scores("bm25+"))]:
    seen = {delta: scores(delta) for delta in (0, 1, 100)}
    print(name, {delta: values[:3].round(2).tolist() for delta, values in seen.items()})
    for values in seen.values():
        assert np.allclose(values - values[2], seen[0], atol=1e-3)
        assert values[1] > values[0]
    assert seen[0][2] == 0 and seen[100][2] > 100
low, high = bm25s_scores("bm25l")(0), bm25s_scores("bm25l")(1)
print("bm25l", low[:3], high[:3])
assert low[2] == 0 and high[2] > 1 and high[1] - high[2] < low[1] - low[2]
PYTHON
