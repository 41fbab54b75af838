#!/usr/bin/env bash
# Jinja2 3.1.6 folds filters of constants while it compiles, and writes a folded infinity or NaN into the Python it makes as a
# bare name. A template that sets a variable to 'inf'|float fails when it runs; the same filter on a variable works.
# Expected: inf.
# Seen: NameError, "name 'inf' is not defined"; printed at once, or from a variable, it is inf.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jinja2==3.1.6
"$folder/venv/bin/python" - <<'PYTHON'
from jinja2.sandbox import ImmutableSandboxedEnvironment


def render(template):
    return ImmutableSandboxedEnvironment().from_string(template).render(text="inf")


assert render("{{ 'inf'|float }}") == "inf"
assert render("{% set limit = text|float %}{{ limit }}") == "inf"
try:
    render("{% set limit = 'inf'|float %}{{ limit }}")
    raise AssertionError("works now")
except NameError as error:
    print(error)
PYTHON
