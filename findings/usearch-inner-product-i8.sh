#!/usr/bin/env bash
# usearch 2.26.6: an index of metric `ip` and dtype `i8` ranks by the cosine, since vectors given as floats are normalized
# before they become integers; distances are on the scale of 127 x 127. All float dtypes rank by the inner product.
# Expected: for the query [1, 0, 0], [3, 4, 0] (product 3) comes before [1, 0, 0] (product 1), in i8 as in f32.
# Seen: f32 keys [0, 1], distances [-2, 0]; i8 keys [1, 0], distances [-16128, -9651].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet usearch==2.26.6 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from usearch.index import Index


def search(dtype):
    index = Index(ndim=3, metric="ip", dtype=dtype)
    for key, vector in enumerate([[3, 4, 0], [1, 0, 0]]):
        index.add(key, np.array(vector, np.float32))
    matches = index.search(np.array([1, 0, 0], np.float32), 2)
    return matches.keys.tolist(), matches.distances.tolist()


print(search("f32"), search("i8"))
assert search("f32") == ([0, 1], [-2.0, 0.0])
keys, distances = search("i8")
assert keys == [1, 0] and distances[0] < -16000
PYTHON
