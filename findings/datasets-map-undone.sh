#!/usr/bin/env bash
# datasets 5.2.0: `map` undoes a change of type that can be undone. A column of numbers for which the function returns text is tried as numbers
# first; where all texts are digits that works, and numbers are what the new dataset holds: "007" is 7 again. One text with a letter in it, and
# the whole column is text. A function that returns 2.0 for 2 gives integers in the same way.
# Touches: preparing labels, ids and prompts; a template or tokenizer that gets a number instead of text later on.
# Expected: the values that the function returned; a new name for the column, or `features`, has this effect.
# Seen: [7, 8] for f"{id:03d}" of 7 and 8; ["007", "x"] where one is "x"; ["007", "008"] under another name.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0 pandas==3.1.1 numpy==2.4.6
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/cache" venv/bin/python - <<'PYTHON'
import datasets

datasets.disable_progress_bars()
numbers = datasets.Dataset.from_dict({"id": [7, 8]})
seen = [
    numbers.map(lambda row: {"id": f"{row['id']:03d}"})["id"][:],
    numbers.map(lambda row: {"id": "007" if row["id"] == 7 else "x"})["id"][:],
    numbers.map(lambda row: {"name": f"{row['id']:03d}"})["name"][:],
    numbers.map(lambda row: {"id": row["id"] * 1.0})["id"][:],
]
print(seen)
assert seen == [[7, 8], ["007", "x"], ["007", "008"], [7, 8]]
assert all(type(value) is int for value in seen[0] + seen[3])
PYTHON
