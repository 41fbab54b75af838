#!/usr/bin/env bash
# srt 3.5.3 reads the digits after a time's comma as a number of milliseconds, pysubs2 1.8.1 as a fraction of a second.
# They meet in files whose writer leaves trailing zeros out: the same line begins half a second apart.
# Expected: 00:00:01,5 is 1.5 seconds in both.
# Seen: srt 1.005 s, pysubs2 1.5 s; with three digits both agree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet srt==3.5.3 pysubs2==1.8.1
"$folder/venv/bin/python" - <<'PYTHON'
import pysubs2
import srt

text = "1\n00:00:01,5 --> 00:00:02,75\nhello\n\n"
ours = next(srt.parse(text))
theirs = pysubs2.SSAFile.from_string(text)[0]
print(ours.start, ours.end, theirs.start, theirs.end)
assert (ours.start.total_seconds(), ours.end.total_seconds()) == (1.005, 2.075)
assert (theirs.start, theirs.end) == (1500, 2750)
PYTHON
