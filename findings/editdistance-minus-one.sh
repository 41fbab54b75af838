#!/usr/bin/env bash
# editdistance 0.8.1 and rapidfuzz 3.14.6 compare items by their hash, never by themselves. Python gives -1 and -2 one hash, so these two
# differ nowhere: in editdistance as numbers, in rapidfuzz (which knows of the integer -1) as floats and inside tuples.
# Touches: error rates over label ids, offsets or (frame, label) pairs; negative ids are usual for "ignored" and "none".
# Expected: one substitution between [-1] and [-2], as between [-3] and [-4].
# Seen: editdistance 0 for -1 and -2; rapidfuzz 1 for the integers, 0 for -1.0 and -2.0 and for (7, -1) and (7, -2).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet editdistance==0.8.1 rapidfuzz==3.14.6
"$folder/venv/bin/python" - <<'PYTHON'
import editdistance
from rapidfuzz.distance import Levenshtein

pairs = [(-1, -2), (-3, -4), (-1.0, -2.0), ((7, -1), (7, -2)), ((7, -3), (7, -4))]
seen = [(editdistance.eval([one], [other]), Levenshtein.distance([one], [other])) for one, other in pairs]
print(list(zip(pairs, seen)))
assert seen == [(0, 1), (1, 1), (0, 0), (0, 0), (1, 1)]
PYTHON
