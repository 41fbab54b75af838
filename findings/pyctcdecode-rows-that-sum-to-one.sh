#!/usr/bin/env bash
# pyctcdecode 0.5.0 takes logits for probabilities where the rows add up to 1 on average: it then clips them to [0, 1] and takes their
# logarithm. A softmax is the same whatever is added to all of a row, so logits and logits plus a constant have to decode equally;
# a model whose head is centered (rows that add up to about 0) is one constant away from another text.
# Touches: CTC decoding of Wav2Vec2's kind; give such a decoder logarithms of probabilities, never what a head happens to put out.
# Expected: one text for the same logits plus 0.25, 1 or 5.
# Seen: "aa" for the rows that add up to 1, "ab" for all others, and for their log-probabilities.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyctcdecode==0.5.0 numpy==1.26.4
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null
import numpy as np
from pyctcdecode import build_ctcdecoder

decoder = build_ctcdecoder(["", "a", "b", " "])
logits = np.array([[0, 4, 3.9, -6.9], [0, 4, 0, -3], [4, 0, 0, -3], [-2, 4, 4.5, -5.5]])
log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
assert np.allclose(logits.sum(axis=1), 1)
texts = {shift: decoder.decode(logits + shift) for shift in (0, 0.25, -1, 1, 5)}
print(texts, decoder.decode(log_probabilities))
assert decoder.decode(log_probabilities) == "ab"
assert texts == {0: "aa", 0.25: "ab", -1: "ab", 1: "ab", 5: "ab"}
PYTHON
