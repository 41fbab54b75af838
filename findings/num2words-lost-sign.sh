#!/usr/bin/env bash
# num2words 0.5.14: numbers between -1 and 0 lose their sign, in English and in most other languages: the whole part, -0, has none.
# Touches: text for speech made from numbers (temperatures, changes in percent) says the opposite, without an error.
# Expected: "minus zero point five" for -0.5, as "minus one point five" for -1.5.
# Seen: "zero point five" for 0.5 and for -0.5; so in de, fr, es, pt, nl, ru and more. Italian keeps the sign.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet num2words==0.5.14
"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

from num2words import num2words

print([num2words(number) for number in (0.5, -0.5, -1.5)], num2words(-0.5, lang="it"))
assert num2words(-0.5) == num2words(0.5) == num2words(Decimal("-0.5")) == "zero point five"
assert num2words(-1.5) == "minus one point five"
for lang in ("de", "fr", "es", "pt", "nl", "ru"):
    assert num2words(-0.5, lang=lang) == num2words(0.5, lang=lang), lang
assert num2words(-0.5, lang="it") != num2words(0.5, lang="it")
PYTHON
