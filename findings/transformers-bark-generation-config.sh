#!/usr/bin/env bash
# transformers 4.57.6: `BarkGenerationConfig` can be neither saved nor loaded. It is made of three configs and has none of the options of a
# plain one, but inherits `save_pretrained` and `from_pretrained`, which check them.
# Touches: test checkpoints of Bark: `generation_config.json` is to be written from `to_dict()`, and to be read by `GenerationConfig`.
# Expected: `save_pretrained` writes a file that `from_pretrained` reads.
# Seen: AttributeError, no attribute 'early_stopping', from both, and no file; a file made of `to_dict()` is read by `GenerationConfig`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet transformers==4.57.6
venv/bin/python - <<'PYTHON' 2>/dev/null
import json
from pathlib import Path

from transformers import GenerationConfig
from transformers.models.bark.generation_configuration_bark import BarkGenerationConfig


def refused(call):
    try:
        call("bark")
    except AttributeError as error:
        print(error)
        return "early_stopping" in str(error)


config, file = BarkGenerationConfig(), Path("bark/generation_config.json")
assert refused(config.save_pretrained) and not file.exists()
file.parent.mkdir(exist_ok=True)
file.write_text(json.dumps(config.to_dict()))
assert refused(BarkGenerationConfig.from_pretrained)
plain = GenerationConfig.from_pretrained("bark")
assert plain.semantic_config == json.loads(file.read_text())["semantic_config"]
PYTHON
