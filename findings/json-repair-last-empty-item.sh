#!/usr/bin/env bash
# json_repair 0.64.4: the last item of an array is lost where it is empty ("", [] or {}) and a line break comes after it, so in any JSON
# that is written with indents. Nothing has to be wrong with the array: text that is cut off elsewhere is enough, and
# `skip_json_loads=True` does so to valid JSON. Without the line break the item stays.
# Touches: arguments of tool calls, which models write with indents and cut off: a call gets an argument less.
# Expected: ["-m", ""].
# Seen: ["-m"]; [[1], []] becomes [[1]].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet json-repair==0.64.4
"$folder/venv/bin/python" - <<'PYTHON'
import json

import json_repair

seen = []
for items in (["-m", ""], [[1], []], [{"a": 1}, {}], ["", "-m"]):
    call = {"name": "commit", "arguments": items}
    indented, plain = json.dumps(call, indent=2), json.dumps(call)
    cut = json_repair.loads(indented[:-1])["arguments"]  # without the last brace
    assert cut == json_repair.loads(indented, skip_json_loads=True)["arguments"]
    assert json_repair.loads(plain[:-1])["arguments"] == json_repair.loads(indented)["arguments"] == items
    seen.append(cut)
print(seen)
assert seen == [["-m"], [[1]], [{"a": 1}], ["", "-m"]]
PYTHON
