#!/usr/bin/env bash
# @huggingface/tokenizers 0.2.0 (npm), the tokenizers of transformers.js, gives other tokens than tokenizers 0.22.2 for one and the same
# tokenizer.json, without an error: `single_word` of an added token has no effect, a split whose matches are to be removed keeps
# them (a plain text pattern, and punctuation), and a capital sigma at the end of a word is lowercased by the word, not by itself.
# Touches: a tokenizer that is to give equal ids from the same file; test against the core, not the port.
# Expected: equal tokens.
# Seen: the two columns printed for each of the four files; a pattern that is a regex and `isolated` are equal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet tokenizers==0.22.2
npm install --silent --no-audit --no-fund @huggingface/tokenizers@0.2.0
venv/bin/python - <<'PYTHON'
import json

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Punctuation, Split


def row(text, tokens, ported, normalizer=None, pre_tokenizer=None, added=()):
    letters = sorted(set("abwords_. οδσς"))
    tokenizer = Tokenizer(BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.add_tokens(list(added))
    assert tokenizer.encode(text).tokens == tokens, tokenizer.encode(text).tokens
    return {"file": json.loads(tokenizer.to_str()), "text": text, "core": tokens, "ported": ported}


word = AddedToken("wor", single_word=True, normalized=False)
rows = [
    row("sword wor", [*"sword ", "wor"], ["s", "wor", "d", " ", "wor"], added=[word]),
    row("a.b", ["a", "b"], ["a", ".", "b"], pre_tokenizer=Split(".", "removed")),
    row("a.b", ["a", "b"], ["a", ".", "b"], pre_tokenizer=Punctuation("removed")),
    row("ΟΔΟΣ", [*"οδοσ"], [*"οδος"], normalizer=Lowercase()),
    row("a.b", ["a", "b"], ["a", "b"], pre_tokenizer=Split(Regex("[.]"), "removed")),
    row("a.b", ["a", ".", "b"], ["a", ".", "b"], pre_tokenizer=Split(".", "isolated")),
]
json.dump(rows, open("rows.json", "w"))
PYTHON
cat > check.mjs <<'JS'
import { Tokenizer } from "@huggingface/tokenizers";
import { readFileSync } from "fs";

for (const { file, text, core, ported } of JSON.parse(readFileSync("rows.json"))) {
  const { tokens } = new Tokenizer(file, {}).encode(text, { add_special_tokens: false });
  console.log(text, JSON.stringify(core), JSON.stringify(tokens));
  if (JSON.stringify(tokens) !== JSON.stringify(ported)) throw new Error(`${text}: ${tokens} is new`);
}
JS
node check.mjs
