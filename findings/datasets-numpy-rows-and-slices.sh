#!/usr/bin/env bash
# datasets 5.2.0: with the format "numpy" a number has 64 bits in a row and 32 in a slice. Columns that are stored as float64 (all of Python's
# floats are) come as they are where one row is asked for, and rounded to float32 where several are, so the same number differs.
# Touches: times, offsets, ids kept as floats, and expected values read from a dataset; ask for `with_format("numpy", dtype=...)` or "arrow".
# Expected: float64 in both, as with the formats "pandas" and "arrow", and as integers are treated here.
# Seen: the time 1700000001.25 is itself in a row and 1700000000.0 in a slice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0 pandas==3.1.1 numpy==2.4.6
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/cache" venv/bin/python - <<'PYTHON'
import datasets

times = datasets.Dataset.from_dict({"time": [1700000001.25, 0.0], "count": [2**40 + 1, 0]})
arrays = times.with_format("numpy")
row, rows, columns = arrays[0], arrays[:], arrays["time"][:]
print(times.features, row, rows)
assert row["time"] == 1700000001.25 and row["time"].dtype == "float64"
assert rows["time"].dtype == columns.dtype == "float32" and float(rows["time"][0]) == 1700000000.0
assert row["count"] == rows["count"][0] == 2**40 + 1
assert times.with_format("pandas")[:]["time"].dtype == "float64"
assert times.with_format("numpy", dtype="float64")[:]["time"][0] == 1700000001.25
PYTHON
