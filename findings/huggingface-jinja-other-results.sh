#!/usr/bin/env bash
# @huggingface/jinja 0.5.11 (npm), which renders chat templates in transformers.js, gives other text than Jinja2 3.1.6 for
# valid expressions, without an error: `strip` and `rstrip` ignore the characters they are given, `capitalize` leaves
# the rest of the word as it is, `%` of a negative number has the sign of the number, '1' equals 1, a float loses its ".0",
# and integers beyond 2^53 are rounded.
# Expected: the text of Jinja2, or an error.
# Seen: the second column of the table below; the first is Jinja2's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jinja2==3.1.6
cd "$folder"
npm install --silent --no-audit --no-fund @huggingface/jinja@0.5.11
cat > table.json <<'JSON'
[["{{ 'abc'.strip('ac') }}", "b", "abc"],
 ["{{ 'abab'.rstrip('b') }}", "aba", "abab"],
 ["{{ 'heLLo' | capitalize }}", "Hello", "HeLLo"],
 ["{{ -7 % 3 }}", "2", "-1"],
 ["{{ 'same' if '1' == 1 else 'other' }}", "other", "same"],
 ["{{ 'v' ~ 1.0 }}", "v1.0", "v1"],
 ["{{ 9007199254740993 }}", "9007199254740993", "9007199254740992"]]
JSON
venv/bin/python - <<'PYTHON'
import json

from jinja2.sandbox import ImmutableSandboxedEnvironment

for template, expected, _ in json.load(open("table.json")):
    assert ImmutableSandboxedEnvironment().from_string(template).render() == expected, template
PYTHON
cat > check.mjs <<'JS'
import { Template } from "@huggingface/jinja";
import { readFileSync } from "fs";

for (const [template, python, expected] of JSON.parse(readFileSync("table.json"))) {
  const found = new Template(template).render({});
  console.log(template, JSON.stringify(python), JSON.stringify(found));
  if (found !== expected) throw new Error(`${template}: ${found} is new`);
}
JS
node check.mjs
