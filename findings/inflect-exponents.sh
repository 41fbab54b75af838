#!/usr/bin/env bash
# inflect 7.6.0: `number_to_words` reads a number in scientific notation, given as a string, as if its letter were not there. As a float the
# same number is read rightly.
# Touches: texts whose numbers are written out before they are spoken.
# Expected: one thousand; two thousand five hundred; or an error.
# Seen: "thirteen" for "1e3", "two point five three" for "2.5e3"; "ten quadrillion" for the float 1e16.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet inflect==7.6.0
"$folder/venv/bin/python" - <<'PYTHON'
import inflect

engine = inflect.engine()
found = [engine.number_to_words(number) for number in ["1e3", "2.5e3", 1e16]]
print(found)
assert found == ["thirteen", "two point five three", "ten quadrillion"]
PYTHON
