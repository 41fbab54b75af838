#!/usr/bin/env bash
# webdataset 1.0.2: what `TarWriter` writes is not what comes back where a key has a dot. The reader takes all behind the first dot for the kind
# of file, so samples whose keys begin alike become one, under names such as "5.txt", and their own keys are gone. The writer, which
# knows the key, says nothing.
# Touches: shards of pictures and sounds named by version, second or score ("clip_1.5", "v2.0_7"); fewer samples, without an error.
# Expected: as many samples as were written, with their keys, or an error from the writer.
# Seen: of "clip_1.5", "clip_1.75" and "clip_2" two samples are left, "clip_1" and "clip_2"; the first has "5.txt" and "75.txt".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet webdataset==1.0.2 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import webdataset

with webdataset.TarWriter("shard.tar") as writer:
    for key in ("clip_1.5", "clip_1.75", "clip_2"):
        writer.write({"__key__": key, "txt": key})
samples = list(webdataset.WebDataset("shard.tar", shardshuffle=False).decode())
seen = [{name: value for name, value in sample.items() if name == "__key__" or name[0] != "_"} for sample in samples]
print(seen)
assert seen == [
    {"__key__": "clip_1", "5.txt": "clip_1.5", "75.txt": "clip_1.75"},
    {"__key__": "clip_2", "txt": "clip_2"},
]
PYTHON
