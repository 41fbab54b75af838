#!/usr/bin/env bash
# lm-format-enforcer 0.11.3: the `pattern` of a JSON schema has to match all of a string, as if it stood between ^ and $. In JSON Schema it has to
# occur somewhere: "[0-9]" means "with a digit", and allows nothing but a single digit here. An anchor on one side is no help: "^a" is "a".
# Touches: guided generation, and comparing engines that guide it: the same schema lets a model say other things.
# Expected: "room 12" is allowed for "[0-9]", and "ab" for "^a", as by jsonschema 4.26.0 and llguidance 1.9.1; or an error.
# Seen: both are refused, the first at its first letter; "7" and "a" pass.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet lm-format-enforcer==0.11.3 jsonschema==4.26.0 llguidance==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import json

import jsonschema
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from lmformatenforcer import JsonSchemaParser


class Letters:
    tokens = [bytes([byte]) for byte in range(256)] + [b"<end>"]
    eos_token_id, bos_token_id, special_token_ids = 256, None, [256]

    def __call__(self, text):
        return list(text.encode() if isinstance(text, str) else text)


def by_enforcer(schema, text):
    parser = JsonSchemaParser(schema)
    for letter in text:
        if letter not in parser.get_allowed_characters():
            return False
        parser = parser.add_character(letter)
    return parser.can_end()


def by_llguidance(schema, text):
    matcher = LLMatcher(LLTokenizer(TokenizerWrapper(Letters())), LLMatcher.grammar_from_json_schema(json.dumps(schema)), log_level=0)
    return all(matcher.consume_token(byte) for byte in text.encode()) and matcher.is_accepting()


seen = {}
for pattern, value in [("[0-9]", "room 12"), ("[0-9]", "7"), ("^a", "ab"), ("^a", "a"), ("^a.*$", "ab")]:
    schema, text = {"type": "string", "pattern": pattern}, json.dumps(value)
    valid = jsonschema.Draft202012Validator(schema).is_valid(value)
    seen[pattern, value] = valid, by_llguidance(schema, text), by_enforcer(schema, text)
print(seen)
assert all(valid and guided for valid, guided, _ in seen.values())
assert [enforced for *_, enforced in seen.values()] == [False, True, False, True, True]
PYTHON
