#!/usr/bin/env bash
# @huggingface/transformers 4.3.2 (npm, in Node): pictures are made smaller by picking pixels. `RawImage.resize` with bilinear or bicubic, and so
# the processors of ViT, CLIP and kin, looks at the nearest few pixels of the large picture, however many fall on one of the small
# one; Pillow 13.0.0, which the models' own processors use, takes the mean of all of them. Lanczos does so here, too.
# Touches: comparing vision models with transformers.js: other pixels, above all of photographs, which are many times larger than 224.
# Expected: lines of one pixel, black and white in turn, become gray when they are halved: 128 by Pillow, within a few levels.
# Seen: black, with bilinear and bicubic, as with "nearest"; 128 with Lanczos.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==13.0.0
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts @huggingface/transformers@4.3.2
venv/bin/python - <<'PYTHON'
from PIL import Image

lines = Image.new("L", (16, 16))
lines.putdata([255 * (column % 2) for _ in range(16) for column in range(16)])
for way in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
    middle = lines.resize((8, 8), way).getpixel((4, 4))
    print("Pillow", way.name, middle)
    assert 120 < middle < 135
PYTHON
cat > check.mjs <<'JS'
import { RawImage } from "@huggingface/transformers";

const lines = new Uint8ClampedArray(16 * 16).map((_, index) => 255 * (index % 2));
const seen = {};
for (const resample of ["nearest", "bilinear", "bicubic", "lanczos"]) {
  const small = await new RawImage(lines.slice(), 16, 16, 1).resize(8, 8, { resample });
  seen[resample] = small.data[(4 * 8 + 4) * small.channels];
}
console.log(seen);
if (seen.nearest !== 0 || seen.bilinear !== 0 || seen.bicubic !== 0) throw new Error("another filter");
if (seen.lanczos < 120 || seen.lanczos > 135) throw new Error("Lanczos changed");
JS
node check.mjs
