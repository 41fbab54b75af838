#!/usr/bin/env bash
# minijinja 3.1.0 (Python): `is sequence` is false for text and mappings, where Jinja2 3.1.6 says true for both. Large and small floats are
# written out, and `tojson` keeps the order of keys that Jinja2 sorts. No error tells of it.
# Touches: chat templates, which ask `content is sequence` to tell text and lists of parts apart. In sconce the test is Jinja2's.
# Expected: the same text from the same template.
# Seen: False for True, "10000000000000000.0" for "1e+16", "0.00001" for "1e-05", {"b": 1, "a": 2} for {"a": 2, "b": 1}.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet minijinja==3.1.0 jinja2==3.1.6
"$folder/venv/bin/python" - <<'PYTHON'
import jinja2
import minijinja

expected = {
    "{{ 'text' is sequence }}": ("True", "False"),
    "{{ {} is sequence }}": ("True", "False"),
    "{{ [] is sequence }}": ("True", "True"),
    "{{ 1e16 }}": ("1e+16", "10000000000000000.0"),
    "{{ 0.00001 }}": ("1e-05", "0.00001"),
    "{{ {'b': 1, 'a': 2}|tojson }}": ('{"a": 2, "b": 1}', '{"b": 1, "a": 2}'),
}
seen = {
    text: (jinja2.Environment().from_string(text).render(), minijinja.Environment().render_str(text)) for text in expected
}
print(seen)
assert seen == expected
PYTHON
