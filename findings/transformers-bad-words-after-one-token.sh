#!/usr/bin/env bash
# transformers 4.57.6: a sequence of n tokens in `bad_words_ids` or `sequence_bias` is only looked for when there are n tokens, though n - 1
# are enough to complete it. A decoder that starts from one token (an encoder-decoder's start token, a bare bos) may so write a
# forbidden pair at once.
# Touches: the processors of generation; sconce does as transformers does.
# Expected: with the pair (5, 6) forbidden, 6 is ruled out after [5], as after [1, 5].
# Seen: 6 is as likely as before after [5], and -inf after [1, 5]; a bias is added or not alike.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 transformers==4.57.6 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import NoBadWordsLogitsProcessor, SequenceBiasLogitsProcessor

scores = torch.zeros(1, 8)
forbidden, biased = NoBadWordsLogitsProcessor([[5, 6]]), SequenceBiasLogitsProcessor([[[5, 6], 2.0]])
seen = [
    processor(torch.tensor([prefix]), scores)[0, 6].item() for processor in (forbidden, biased) for prefix in ([5], [1, 5])
]
print(seen)
assert seen == [0.0, float("-inf"), 0.0, 2.0]
PYTHON
