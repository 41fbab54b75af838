#!/usr/bin/env bash
# Pillow 13.0.0: a PNG with 16 bits a sample is scaled to 8 when it is color or has alpha, but clipped when it is plain gray: all but the
# darkest 256 of 65,536 levels become white. A depth map, an X-ray or a scan is a white page to any model that asks for RGB.
# Touches: reading images for vision models; image libraries elsewhere scale all kinds alike.
# Expected: the half of 65,535 is 127 or 128 in each of gray, gray with alpha, and RGB.
# Seen: 128 for RGB and for gray with alpha, 255 for gray (`convert("RGB")` and `convert("L")` of mode I;16).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import zlib

from PIL import Image


def png(kind, samples):
    """One row of pixels of 16 bits a sample."""
    data = b"\0" + b"".join(struct.pack(">H", sample) for pixel in samples for sample in pixel)
    header = struct.pack(">IIBBBBB", len(samples), 1, 16, kind, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")):
        file += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return Image.open(io.BytesIO(file))


levels = [0, 255, 256, 0x8000, 0xFFFF]
gray = png(0, [(level,) for level in levels])
alpha = png(4, [(level, 0xFFFF) for level in levels])
color = png(2, [(level,) * 3 for level in levels])
first = lambda image: list(image.convert("RGB").tobytes()[::3])
print(gray.mode, first(gray), first(alpha), first(color))
assert first(gray) == list(gray.convert("L").tobytes()) == [0, 255, 255, 255, 255]
assert first(alpha) == first(color) == [0, 0, 1, 128, 255]
PYTHON
