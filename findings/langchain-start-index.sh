#!/usr/bin/env bash
# langchain-text-splitters 1.1.3: `add_start_index` gives -1 where chunks are measured in tokens (or words) and overlap. The place to look from
# is computed from the length of the last chunk in letters and the overlap in tokens, so it lies behind where the chunk begins.
# Touches: splitting texts for retrieval; citations and highlights point to nowhere (in Python, text[-1:] is the last letter).
# Expected: `text[start:start + len(chunk)]` is the chunk.
# Seen: 0, -1, 19, -1, 40 for chunks of 4 words with an overlap of 2; with lengths in letters all are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet langchain-text-splitters==1.1.3 langchain-core==1.8.3
"$folder/venv/bin/python" - <<'PYTHON'
from langchain_text_splitters import RecursiveCharacterTextSplitter

text = "one two three four five six seven eight nine ten eleven twelve"


def starts(**options):
    splitter = RecursiveCharacterTextSplitter(add_start_index=True, separators=[" "], **options)
    documents = splitter.create_documents([text])
    pieces = [document.page_content for document in documents]
    places = [document.metadata["start_index"] for document in documents]
    return places, [text[place : place + len(piece)] == piece for place, piece in zip(places, pieces)]


words = starts(chunk_size=4, chunk_overlap=2, length_function=lambda piece: len(piece.split()))
letters = starts(chunk_size=20, chunk_overlap=10)
print(words, letters)
assert words == ([0, -1, 19, -1, 40], [True, False, True, False, True])
assert all(letters[1])
PYTHON
