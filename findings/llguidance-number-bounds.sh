#!/usr/bin/env bash
# llguidance 1.9.1: the bounds of a JSON schema's "number" are turned into a pattern that is wrong at the bound itself. Under a maximum with
# several decimals, the bound's own beginning is refused: 1.2 for a maximum of 1.25 (1.1, 1.20, 1.24 and 1.25 pass), 2.3 and 2.37 for
# 2.375, so a model that means 1.2 has to write another number; and 0 is let through where it is the excluded minimum below 0.1.
# Touches: a guide from a JSON schema: number bounds have to be tried at every shorter form of the bound.
# Expected: the numbers that the schema admits, of those written without an exponent.
# Seen: as said; between 0 and 1, both excluded, 0 is refused as it should be.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet llguidance==1.9.1
"$folder/venv/bin/python" - <<'PYTHON'
import json

from llguidance import LLMatcher, LLTokenizer

tokenizer = LLTokenizer("byte")


def passes(text, **bounds):
    matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_json_schema(json.dumps({"type": "number", **bounds})))
    assert not matcher.get_error()
    return matcher.try_consume_tokens(list(text.encode())) == len(text) and matcher.is_accepting()


below = {text: passes(text, maximum=1.25) for text in ["1.1", "1.2", "1.20", "1.24", "1.25", "1.26"]}
longer = {text: passes(text, maximum=2.375) for text in ["2.3", "2.36", "2.37", "2.370", "2.375"]}
above = [passes("0", exclusiveMinimum=0, exclusiveMaximum=most) for most in (0.1, 1)]
print(below, longer, above)
assert below == {"1.1": True, "1.2": False, "1.20": True, "1.24": True, "1.25": True, "1.26": False}
assert longer == {"2.3": False, "2.36": True, "2.37": False, "2.370": True, "2.375": True}
assert above == [True, False]
PYTHON
