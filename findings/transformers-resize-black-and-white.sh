#!/usr/bin/env bash
# transformers 4.57.6: `image_transforms.resize` (under the slow image processors) goes through Pillow's 8 bits and guesses the range of
# a float image from its values. Where all of them are whole they are taken for 0 to 255, even if there are but 0.0 and 1.0: a mask
# or a page of text in [0, 1] that is made smaller comes back in two levels, fine white lines not at all. One gray pixel anywhere
# gives all the levels between.
# Touches: image processors for segmentation and documents, and golden values made from floats.
# Expected: two images that differ in one corner's pixel differ near that corner only.
# Seen: white lines on black are 0 everywhere without the gray pixel, and 0.25 to 0.43 with it, in the far corner, too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==4.57.6 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null
import numpy as np
from transformers.image_transforms import resize
from transformers.image_utils import PILImageResampling

stripes = np.zeros((32, 32, 3))
stripes[:, ::3] = 1
touched = stripes.copy()
touched[0, 0] = 0.5
small = [resize(image, (16, 16), resample=PILImageResampling.BILINEAR) for image in (stripes, touched)]
print(np.unique(small[0]), np.unique(small[1]).round(3))
assert not small[0].any()
assert 0.2 < small[1].min() and small[1].max() < 0.5
PYTHON
