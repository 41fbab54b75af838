#!/usr/bin/env bash
# transformers 4.57.6: `sequence_bias` keyed by tuples, as its documentation has it, does not survive `save_pretrained`. JSON has no such
# keys: each is written as the text that Python prints for it, and stays that text when it is read, which `generate` refuses.
# Touches: reading of `generation_config.json`; `sequence_bias` there is a list of sequences and biases, which survives.
# Expected: `from_pretrained` reads what `save_pretrained` has written, or `save_pretrained` refuses it.
# Seen: {(5, 6): -2.5} is read as {'(5, 6)': -2.5} without a word. [[[5, 6], -2.5]] is read as it was.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet transformers==4.57.6
venv/bin/python - <<'PYTHON'
import transformers
from transformers import GenerationConfig

print("transformers", transformers.__version__)
for bias, expected in [({(5, 6): -2.5}, {"(5, 6)": -2.5}), ([[[5, 6], -2.5]], [[[5, 6], -2.5]])]:
    GenerationConfig(sequence_bias=bias).save_pretrained("saved")
    with open("saved/generation_config.json") as file:
        print(file.read())
    found = GenerationConfig.from_pretrained("saved").sequence_bias
    print("saved", bias, "read", found)
    assert found == expected
PYTHON
