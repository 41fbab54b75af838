#!/usr/bin/env bash
# piper-tts 1.8.0: an ellipsis inside a text joins the words around it. espeak-ng ends a clause there without a mark, and the package puts the
# clauses together as they come, with neither a space nor the dots: "Wait... what" is spoken as one word.
# Touches: text for speech; phonemes made with this package for Piper's voices.
# Expected: a pause, as for a comma, or at least a space between the words.
# Seen: "wˈeɪtwˌʌt" for "Wait... what" and "Wait… what"; "wˈeɪt, wˌʌt" with a comma; "sˈoʊjˈɛs." for "So... Yes."
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet piper-tts==1.8.0
"$folder/venv/bin/python" - <<'PYTHON'
from piper.phonemize_espeak import EspeakPhonemizer

phonemizer = EspeakPhonemizer()
texts = ["Wait... what", "Wait… what", "So... Yes.", "Wait, what", "Wait. What"]
seen = [["".join(sentence) for sentence in phonemizer.phonemize("en-us", text)] for text in texts]
print(dict(zip(texts, seen)))
assert seen == [["wˈeɪtwˌʌt"], ["wˈeɪtwˌʌt"], ["sˈoʊjˈɛs."], ["wˈeɪt, wˌʌt"], ["wˈeɪt.", "wˌʌt"]]
PYTHON
