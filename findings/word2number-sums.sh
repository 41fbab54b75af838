#!/usr/bin/env bash
# word2number 1.1 adds up what is not one number, and leaves out a sign: of words that were spoken as a year or as two numbers it makes
# another number, without an error.
# Touches: word errors and answers that are compared after numbers in words are written in digits.
# Expected: an error for "nineteen eighty" and "twenty twenty", -3 for "minus three".
# Seen: 99, 40 and 3; "one thousand million" is the one that is refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet word2number==1.1
"$folder/venv/bin/python" - <<'PYTHON'
from word2number import w2n

found = {words: w2n.word_to_num(words) for words in ["nineteen eighty", "twenty twenty", "minus three"]}
print(found)
assert list(found.values()) == [99, 40, 3]
try:
    w2n.word_to_num("one thousand million")
    raise AssertionError("it is read")
except ValueError as error:
    print(error)
PYTHON
