#!/usr/bin/env bash
# outlines-core 0.2.14: `allOf` of a JSON schema becomes one regex after the other instead of what satisfies all of them. Two
# times "integer" asks for two integers without anything between, so the value 5, valid by the schema, cannot be generated, and "5-3",
# which is no JSON value, can.
# Expected: the regex of an integer (what both branches ask for), or an error.
# Seen: (-)?(0|[1-9][0-9]*)(-)?(0|[1-9][0-9]*)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet outlines-core==0.2.14
"$folder/venv/bin/python" - <<'PYTHON'
import json
import re

from outlines_core.json_schema import build_regex_from_schema

integer = {"type": "integer"}
single = build_regex_from_schema(json.dumps(integer))
both = build_regex_from_schema(json.dumps({"allOf": [integer, integer]}))
print(single, both)
assert re.fullmatch(single, "5") and not re.fullmatch(both, "5")
assert re.fullmatch(both, "5-3") and not re.fullmatch(single, "5-3")
PYTHON
