#!/usr/bin/env bash
# transformers 4.57.6: `Gemma3TextConfig` with `use_bidirectional_attention` halves `sliding_window` each time it is constructed, and
# saves the halved value. A model that is loaded and saved (fine-tuned, quantized, converted) has half the window then, and a quarter
# after the next time.
# Expected: a config that is saved and loaded again is the same.
# Seen: a window of 512 is 257, 129, 65 after being constructed, loaded once, and loaded twice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet transformers==4.57.6
venv/bin/python - <<'PYTHON' 2>/dev/null
from transformers import Gemma3TextConfig

config = Gemma3TextConfig(use_bidirectional_attention=True, sliding_window=512)
windows = [config.sliding_window]
for _ in range(2):
    config.save_pretrained("model")
    config = Gemma3TextConfig.from_pretrained("model")
    windows.append(config.sliding_window)
print(windows)
assert windows == [257, 129, 65]
PYTHON
