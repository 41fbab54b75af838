#!/usr/bin/env bash
# pysubs2 1.8.1: names of cues, notes and style sheets of a WebVTT file become part of the text of the cue before them. The format is read as
# SubRip with other times, where a number is all that can stand between two cues. webvtt-py 0.6.0 leaves them out.
# Touches: reading subtitles as transcripts for training, or to score speech recognition: words that nobody says.
# Expected: the words of the cue.
# Seen: "Hello there\n\nNOTE a remark\n\nsecond" for "Hello there"; a number before a cue is left out, any other name is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pysubs2==1.8.1 webvtt-py==0.6.0
"$folder/venv/bin/python" - <<'PYTHON'
import io

import pysubs2
import webvtt

text = """WEBVTT

first
00:00:01.000 --> 00:00:02.000
Hello there

NOTE a remark

second
00:00:03.000 --> 00:00:04.000
General Kenobi

3
00:00:05.000 --> 00:00:06.000
You are a bold one
"""
by_pysubs2 = [event.plaintext for event in pysubs2.SSAFile.from_string(text, format_="vtt")]
by_webvtt = [cue.text for cue in webvtt.from_buffer(io.StringIO(text))]
print(by_pysubs2, by_webvtt)
assert by_webvtt == ["Hello there", "General Kenobi", "You are a bold one"]
assert by_pysubs2 == ["Hello there\n\nNOTE a remark\n\nsecond", "General Kenobi", "You are a bold one"]
PYTHON
