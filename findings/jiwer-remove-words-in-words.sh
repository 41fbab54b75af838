#!/usr/bin/env bash
# jiwer 4.0.0: `RemoveSpecificWords` removes parts of words. It looks for the word between two borders of letters, and an apostrophe or a
# hyphen is one: without "can", "can't" is "'t", which then counts as a word. And a word that begins or ends with another sign than a
# letter or digit is never found.
# Touches: word error rates after fillers and short words are removed; references and transcripts lose different words.
# Expected: words are what stands between spaces, as everywhere else in the package: "can't" and "a-ha" stay, "C++" and "hm-" go.
# Seen: "i 't swim", "-ha wow" and "i like C++ hm- a lot", spaces reduced.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jiwer==4.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import jiwer


def without(words, text):
    return jiwer.Compose([jiwer.RemoveSpecificWords(words), jiwer.RemoveMultipleSpaces(), jiwer.Strip()])(text)


seen = [
    without(["can"], "i can't swim"),
    without(["a"], "a a-ha wow"),
    without(["C++", "hm-"], "i like C++ hm- a lot"),
    without(["can"], "i can swim"),
]
print(seen)
assert seen == ["i 't swim", "-ha wow", "i like C++ hm- a lot", "i swim"]
PYTHON
