#!/usr/bin/env bash
# syntok 1.4.4: the offsets that `segmenter.process` gives count from the beginning of the paragraph, and not of the text, and "n't" is
# the token "not", which is not in the text. `segmenter.analyze` gives offsets into the text, and "n't".
# Touches: places of entities and of sentences in a text that is cut by it.
# Expected: the text from a token's offset on begins with the token.
# Seen: in "One two.\n\nThree don't." the token "Three" has offset 0, and "not" 8; by `analyze` 10, and "n't" 18.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet syntok==1.4.4
"$folder/venv/bin/python" - <<'PYTHON'
import syntok.segmenter

text = "One two.\n\nThree don't."


def tokens(function):
    return [(token.offset, token.value) for paragraph in function(text) for sentence in paragraph for token in sentence]


processed, analyzed = tokens(syntok.segmenter.process), tokens(syntok.segmenter.analyze)
print(processed, analyzed)
assert processed == [(0, "One"), (4, "two"), (7, "."), (0, "Three"), (6, "do"), (8, "not"), (11, ".")]
assert all(text[offset:].startswith(value) for offset, value in analyzed)
PYTHON
