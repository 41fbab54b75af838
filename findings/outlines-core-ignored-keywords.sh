#!/usr/bin/env bash
# outlines-core 0.2.14: `minimum`, `maximum`, `multipleOf` and `uniqueItems` of a JSON schema are left out without a word, while
# `not` and unknown formats are errors. What is generated then fails the very schema it was constrained by.
# Expected: an error, as for the other keywords that a regex cannot (or does not) say.
# Seen: the regex is that of the schema without them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet outlines-core==0.2.14
"$folder/venv/bin/python" - <<'PYTHON'
import json

from outlines_core.json_schema import build_regex_from_schema


def regex(**schema):
    return build_regex_from_schema(json.dumps(schema))


assert regex(type="integer", minimum=5, maximum=9) == regex(type="integer")
assert regex(type="number", multipleOf=2) == regex(type="number")
array = {"type": "array", "items": {"type": "null"}}
assert regex(**array, uniqueItems=True) == regex(**array)
try:
    regex(**{"not": {"type": "null"}})
    raise AssertionError("`not` is accepted now")
except ValueError as error:
    print(str(error)[:40])
PYTHON
