#!/usr/bin/env bash
# gguf 0.19.0: `GGUFWriter.add_array` with an empty list writes nothing, without a word: the key is absent from the
# file, though the format has arrays of length 0 and a reader tells "empty" from "not said".
# Expected: the key with an empty array, or an error.
# Seen: the reader has no such field.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet gguf==0.19.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
from gguf import GGUFReader, GGUFWriter

path = "model.gguf"
writer = GGUFWriter(path, "llama")
writer.add_array("tokenizer.ggml.merges", [])
writer.add_array("tokenizer.ggml.tokens", ["a"])
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
fields = GGUFReader(path).fields
print([name for name in fields if name.startswith("tokenizer")])
assert "tokenizer.ggml.merges" not in fields and "tokenizer.ggml.tokens" in fields
PYTHON
