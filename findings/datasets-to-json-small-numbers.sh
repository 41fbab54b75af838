#!/usr/bin/env bash
# datasets 5.2.0: `Dataset.to_json` writes numbers with ten decimals. What is smaller is 0.0, and what is near it keeps a digit or two; infinity is
# null. `to_parquet` and `json.dumps` keep every bit.
# Touches: scores, probabilities, log-probabilities and learning rates of a run that are stored as JSON lines and read again.
# Expected: the number that is read back is the one that was stored, as JSON's writers give it (17 digits at most).
# Seen: 1e-11 and 4e-11 are 0.0, 1.23456789e-8 is 1.23e-8, 1/3 loses seven digits, inf is null.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0 pandas==3.1.1 numpy==2.4.6
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/cache" venv/bin/python - <<'PYTHON'
import io
import json

import datasets

datasets.disable_progress_bars()
numbers = [1e-11, 4e-11, 1.23456789e-8, 1 / 3, float("inf"), 0.5]
stored = datasets.Dataset.from_dict({"x": numbers})
file = io.BytesIO()
stored.to_json(file)
read = [json.loads(line)["x"] for line in file.getvalue().splitlines()]
print(read)
assert read == [0.0, 0.0, 1.23e-8, 0.3333333333, None, 0.5]
stored.to_parquet("numbers.parquet")
assert datasets.Dataset.from_parquet("numbers.parquet")["x"][:] == numbers
assert json.loads(json.dumps(numbers)) == numbers
PYTHON
