#!/usr/bin/env bash
# hnswlib 0.8.0: an index of the space "cosine" gives back other vectors than were put in: they are stored divided by their lengths, and
# the lengths are lost. In the spaces "l2" and "ip" `get_items` gives back what was put in.
# Touches: moving stored embeddings from an index to another space, or cutting them to fewer dimensions and weighing them by length.
# Expected: the vector of four numbers that was added.
# Seen: [0.6, 0.8, 0, 0] for [3, 4, 0, 0].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet hnswlib==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import hnswlib
import numpy as np

vector = np.array([[3, 4, 0, 0]], dtype=np.float32)
found = {}
for space in ["l2", "ip", "cosine"]:
    index = hnswlib.Index(space, 4)
    index.init_index(1)
    index.add_items(vector)
    found[space] = np.round(index.get_items([0])[0], 6).tolist()
print(found)
assert found["l2"] == found["ip"] == [3, 4, 0, 0]
assert np.allclose(found["cosine"], [0.6, 0.8, 0, 0], atol=1e-6)
PYTHON
