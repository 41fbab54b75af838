#!/usr/bin/env bash
# phonemizer 3.4.0: punctuation is taken out of a text before espeak-ng sees it (with `preserve_punctuation` it is put back afterwards), so
# what needs it is read otherwise than espeak-ng reads it: "e.g." becomes two letters, "3:1" loses its colon. Without
# `preserve_punctuation` what stood on both sides of a mark is read as if nothing were between: "the (ice)" as "the ice".
# Touches: text for speech: the VITS tokenizer of transformers and kokoro-onnx make phonemes with this package, Piper asks espeak-ng itself.
# Expected: the phonemes of espeak-ng, as the package's own wrapper gives them for the whole text.
# Seen: "iː dʒiː ðɪs" for "e.g. this", where espeak-ng says "fɔːɹɛɡzæmpəl ðɪs"; "a.m." begins as "a dog" does ("ɐ" for "eɪ").
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet phonemizer==3.4.0 espeakng-loader==0.2.4
"$folder/venv/bin/python" - <<'PYTHON'
import logging

import espeakng_loader
from phonemizer import phonemize
from phonemizer.backend.espeak.wrapper import EspeakWrapper

logging.disable()
EspeakWrapper.set_library(espeakng_loader.get_library_path())
EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
espeak = EspeakWrapper()
espeak.set_voice("en-us")


def plain(phonemes):
    """Without the marks for stress and between phonemes."""
    return phonemes.translate(str.maketrans("", "", "ˈˌ_")).strip()


texts = ["e.g. this", "a.m.", "3:1", "the (ice)", "a dog"]
seen = {}
for text in texts:
    kept, dropped = (phonemize([text], "en-us", preserve_punctuation=keep, strip=True)[0] for keep in (True, False))
    seen[text] = kept, dropped, plain(espeak.text_to_phonemes(text))
print(seen)
assert seen == {
    "e.g. this": ("iː.dʒiː. ðɪs", "iː dʒiː ðɪs", "fɔːɹɛɡzæmpəl ðɪs"),
    "a.m.": ("eɪ.ɛm.", "ɐ ɛm", "eɪɛm"),
    "3:1": ("θɹiː:wʌn", "θɹiː wʌn", "θɹiː koʊlən wʌn"),
    "the (ice)": ("ðə (aɪs)", "ðɪ aɪs", "ðə aɪs"),
    "a dog": ("ɐ dɑːɡ", "ɐ dɑːɡ", "ɐ dɑːɡ"),
}
PYTHON
