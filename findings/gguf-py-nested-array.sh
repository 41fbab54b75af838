#!/usr/bin/env bash
# gguf 0.19.0: an array of arrays is written as such, but `ReaderField.contents()` gives it back as one flat list, so
# the borders between the inner arrays are lost on reading.
# Expected: [[1, 2], [3, 4]], or an error.
# Seen: [1, 2, 3, 4], while `types` says array, array, int32.
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
writer.add_array("pairs", [[1, 2], [3, 4]])
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
field = GGUFReader(path).fields["pairs"]
print([kind.name for kind in field.types], field.contents())
assert [kind.name for kind in field.types] == ["ARRAY", "ARRAY", "INT32"]
assert field.contents() == [1, 2, 3, 4]
PYTHON
