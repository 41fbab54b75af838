#!/usr/bin/env bash
# sacremoses 0.2.0: `MosesPunctNormalizer` puts a point (or a comma, by language) into the space that separates thousands. With the
# no-break space that printed texts have there, "10 000 people" is "10.000 people" in English, where that is ten.
# Touches: text before translation: the tokenizers of XLM, FlauBERT and FSMT in transformers run this over every text.
# Expected: only quotes, dashes and spaces change; a number keeps its value.
# Seen: "10.000" in English and most other languages, "10,000" in French, German, Spanish and Czech, where that is ten.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sacremoses==0.2.0
"$folder/venv/bin/python" - <<'PYTHON'
from sacremoses import MosesPunctNormalizer

text = "10\u00a0000 people"
seen = {language: MosesPunctNormalizer(lang=language).normalize(text) for language in ("en", "it", "fr", "de", "es", "cs")}
print(seen, MosesPunctNormalizer(lang="en", norm_numbers=False).normalize(text))
assert [seen[language] for language in ("en", "it")] == ["10.000 people"] * 2
assert [seen[language] for language in ("fr", "de", "es", "cs")] == ["10,000 people"] * 4
PYTHON
