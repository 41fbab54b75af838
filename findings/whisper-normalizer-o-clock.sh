#!/usr/bin/env bash
# transformers 4.57.6: Whisper's normalizer for English text, which word error rates are measured with, puts numbers together that are none.
# "o" and "oh" are zeros wherever they stand, so "two o'clock" is "20 clock"; and a fraction or "one second" after "one" is taken for the
# end of an ordinal: "one third" is "13rd". Digits and words of the same thing so get apart, and different things come together.
# Touches: scoring transcripts; expected values of this normalizer are what it gives, not what they mean.
# Expected: "2 o clock", "one third", "wait 1 second" or the like; "two oclock" and "20 clock" remain two things.
# Seen: "20 clock", "13rd", "wait 12nd"; "ten o'clock" is "100 clock", "one tenth" "110th", "oh no" "0 no", O'Neill "0 neill".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==4.57.6
"$folder/venv/bin/python" - <<'PYTHON'
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

expected = {
    "two o'clock": "20 clock",
    "ten o'clock": "100 clock",
    "one third": "13rd",
    "wait one second": "wait 12nd",
    "one tenth": "110th",
    "oh no": "0 no",
    "O'Neill": "0 neill",
    "nineteen eighty four": "1984",
    "two thirds": "2 thirds",
}
normalize = EnglishTextNormalizer({})
seen = {text: normalize(text) for text in expected}
print(seen)
assert seen == expected
PYTHON
