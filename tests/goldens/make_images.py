"""Writes the pictures in `images/files/`, what transformers' `load_image` makes of them, how Pillow resizes, and what image
processors make of pictures.

    venv/bin/python tests/goldens/make_images.py   # transformers==4.57.6 pillow==13.0.0 numpy

`images/expected.safetensors` holds the pixels of each file, (height, width, 3) in u8, and the values of each case of a processor,
(3, height, width) in f32. `images/golden.json` holds the files that Python refuses, the sizes and filters of `Image.resize` with a hash
of all bytes of each result (FNV-1a, 64 bits), and the cases of the processors. Pictures to resize and to process are made by a formula
(`picture`), which the test knows, too.
"""

import base64
import io
import json
import shutil
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from safetensors.numpy import save_file
from transformers import AutoImageProcessor
from transformers.image_utils import load_image

FOLDER = Path(__file__).parent / "images"
FILES = FOLDER / "files"
FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}


def picture(width, height):
    """Smooth, with edges and some noise, so that weights of both signs show."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    values = x * 7 + y * 13 + c * 60 + ((x // 5 + y // 3) % 2) * 90 + (x * y * 31 + x * 17 + y * 29 + c * 11) % 23
    return (values % 256).astype(np.uint8)


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def png(width, height, depth, color, rows, extra=b""):
    """A PNG of forms that Pillow does not write."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    lines = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def write_files():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FILES.mkdir(parents=True)
    save = lambda name, image, **options: image.save(FILES / name, **options)
    pixels = picture(13, 9)
    rgb = Image.fromarray(pixels)
    alpha = Image.fromarray(255 - pixels[..., 1])
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    grey = Image.fromarray(pixels[..., 0])
    save("rgb.png", rgb)
    save("rgba.png", rgba)
    save("grey.png", grey)
    save("grey-alpha.png", Image.merge("LA", [grey, alpha]))
    save("grey-transparent.png", grey, transparency=60)
    save("rgb-transparent.png", rgb, transparency=(0, 60, 120))
    save("bits.png", grey.point(lambda v: 255 * (v > 120)).convert("1"))
    palette = rgb.quantize(11)
    save("palette.png", palette)
    save("palette-transparent.png", palette, transparency=bytes([0, 255, 100, 3]))
    save("palette-bits.png", rgb.quantize(3), bits=2)
    save("grey-16.png", Image.fromarray(np.array([[0, 1, 127, 128, 254, 255, 256, 257, 511, 1000, 32768, 65535]], dtype=np.uint16)))
    wide = np.concatenate([pixels, 255 - pixels], axis=-1)
    words = lambda channels: [wide[row, :, : 2 * channels].tobytes() for row in range(9)]
    (FILES / "grey-alpha-16.png").write_bytes(png(13, 9, 16, 4, words(2)))
    (FILES / "rgb-16.png").write_bytes(png(13, 9, 16, 2, words(3)))
    (FILES / "rgba-16.png").write_bytes(png(13, 9, 16, 6, [wide[row, :, [0, 1, 2, 3, 4, 5, 0, 2]].T.tobytes() for row in range(9)]))
    (FILES / "grey-2.png").write_bytes(png(8, 2, 2, 0, [bytes([0b00011011, 0b11100100]), bytes([0b01010101, 0b10101010])]))
    (FILES / "grey-4.png").write_bytes(png(4, 2, 4, 0, [bytes([0x01, 0x9F]), bytes([0x7A, 0xC3])]))
    for orientation in range(0, 10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(f"turned-{orientation}.png", rgb, exif=exif)
    save("frames.png", rgb, save_all=True, append_images=[Image.fromarray(255 - pixels)])
    shutil.copy(FILES / "rgb.png", FILES / "a-png.jpg")

    smooth = Image.fromarray(picture(40, 24)).resize((61, 37), Image.Resampling.BICUBIC)
    save("full.jpg", smooth, quality=90, subsampling=0)
    save("half.jpg", smooth, quality=75, subsampling=2)
    save("progressive.jpg", smooth, quality=75, progressive=True)
    save("grey.jpg", smooth.convert("L"), quality=75)
    save("cmyk.jpg", smooth.convert("CMYK"), quality=90)
    exif = Image.Exif()
    exif[0x0112] = 6
    save("turned.jpg", smooth, quality=90, subsampling=0, exif=exif)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    save("turned-by-xmp.jpg", smooth, quality=90, subsampling=0, xmp=xmp)
    save("lossless.webp", rgb, lossless=True)
    save("alpha.webp", rgba, lossless=True, exact=True)
    save("lossy.webp", smooth, quality=80)
    save("turned.webp", rgb, lossless=True, exif=exif)
    save("frames.webp", rgb, save_all=True, lossless=True, append_images=[Image.fromarray(255 - pixels)])
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "a café, Steps: 20, Seed: 7")
    texts.add_text("prompt", "東京", zip=True)
    texts.add_text("long", "la " * 300, zip=True)
    save("texts.png", rgb, pnginfo=texts)

    for name in ["rgb.png", "full.jpg", "lossless.webp", "lossy.webp"]:
        data = (FILES / name).read_bytes()
        stem, end = name.split(".")
        (FILES / f"cut-{stem}.{end}").write_bytes(data[: len(data) * 2 // 3])
        (FILES / f"head-{stem}.{end}").write_bytes(data[:20])
    data = (FILES / "full.jpg").read_bytes()
    (FILES / "no-end.jpg").write_bytes(data[:-2])
    for name in ["lossless.webp", "lossy.webp", "alpha.webp"]:
        (FILES / f"no-end-{name}").write_bytes((FILES / name).read_bytes()[:-1])
    (FILES / "empty.png").write_bytes(b"")
    (FILES / "text.png").write_bytes(b"not a picture at all, but a text")
    (FILES / "bomb.png").write_bytes(png(60000, 60000, 8, 2, [b""]))
    (FILES / "nothing.png").write_bytes(png(0, 0, 8, 2, [b""]))
    (FILES / "no-width.png").write_bytes(png(0, 5, 8, 2, [b""] * 5))
    (FILES / "address.txt").write_text("data:image/png;base64," + base64.b64encode((FILES / "rgb.png").read_bytes()).decode())
    (FILES / "base64.txt").write_text(base64.encodebytes((FILES / "turned-6.png").read_bytes()).decode())
    (FILES / "no-base64.txt").write_text("data:image/png;base64,@@@")


def resizes():
    sizes = [(1, 1), (2, 3), (5, 5), (7, 1), (13, 9), (17, 64), (33, 20), (64, 48), (100, 3), (1, 60)]
    found = []
    for width, height in sizes:
        image = Image.fromarray(picture(width, height))
        for to in sizes + [(224, 2), (2, 90), (width, 11), (11, height)]:
            for name, number in FILTERS.items():
                hashed = fnv(image.resize(to, resample=number).tobytes())
                found.append([width, height, *to, name, hashed])
    return found


# What stands in preprocessor_config.json, and the `model_type` beside it.
PROCESSORS = [
    ({"image_processor_type": "ViTImageProcessor", "size": 12}, None),
    ({"image_processor_type": "ViTImageProcessorFast", "size": {"height": 7, "width": 12}, "resample": 3}, None),
    ({"feature_extractor_type": "ViTFeatureExtractor", "size": [9, 11], "resample": 0, "image_mean": 0.4, "image_std": 0.3}, None),
    ({"size": 10, "do_normalize": False}, "vit"),
    ({"size": 10, "do_rescale": False}, "vit"),
    ({"size": 10, "do_rescale": False, "do_normalize": False, "do_resize": None}, "vit"),
    ({"do_resize": False, "rescale_factor": 0.5, "image_mean": [1, 2.5, 3], "image_std": [0.1, 10, 3]}, "vit"),
    ({"image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 10}}, None),
    ({"image_processor_type": "ViTImageProcessor", "size": {"edge": 10}}, None),
    ({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 11}, "crop_size": {"height": 9, "width": 9}}, None),
    ({"feature_extractor_type": "CLIPFeatureExtractor", "size": 11, "crop_size": 10}, None),
    ({"image_processor_type": "CLIPImageProcessor", "size": {"height": 11, "width": 14}, "crop_size": {"height": 13, "width": 8}}, None),
    ({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 5}, "crop_size": {"height": 8, "width": 9}}, None),
    ({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 9}, "do_center_crop": False, "resample": 1}, None),
    ({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 9, "longest_edge": 10}, "crop_size": 9}, None),
    ({"do_resize": False, "crop_size": 6}, "clip"),
    ({"size": {"shortest_edge": 12}, "crop_size": {"height": 11, "width": 11}}, "dinov2"),
    ({"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 12}, "crop_size": [7, 10]}, None),
    ({"image_processor_type": "SiglipImageProcessor", "size": {"height": 12, "width": 12}}, None),
    ({"size": {"height": 10, "width": 8}, "do_convert_rgb": True}, "siglip"),
    ({"image_processor_type": "DeiTImageProcessor", "size": {"height": 12, "width": 14}, "crop_size": {"height": 9, "width": 9}}, None),
    ({"size": 12, "crop_size": 8, "do_center_crop": False}, "deit"),
    ({"image_processor_type": "BeitImageProcessor", "size": 12, "crop_size": 8, "do_reduce_labels": True}, None),
    ({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 10}}, None),
    ({"image_processor_type": "ConvNextImageProcessor", "size": 12, "crop_pct": 0.95, "resample": 3}, None),
    ({"size": {"shortest_edge": 14}, "crop_pct": 1.0}, "convnext"),
    ({"size": {"height": 14, "width": 14}}, "convnext"),
    ({"image_processor_type": "BlipImageProcessor", "size": {"height": 10, "width": 10}}, None),
    ({"image_processor_type": "NoImageProcessor"}, None),
    ({"size": 9}, "bert"),
    ({"image_processor_type": "ViTImageProcessor", "size": 9, "image_mean": [0.5, 0.5]}, None),
    ({"image_processor_type": "ViTImageProcessor", "size": 0}, None),
]
PICTURES = [(20, 13), (9, 16), (30, 4), (10, 10)]


def processors(arrays):
    found = []
    for number, (fields, model_type) in enumerate(PROCESSORS):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "preprocessor_config.json").write_text(json.dumps(fields))
            if model_type:
                (Path(folder) / "config.json").write_text(json.dumps({"model_type": model_type}))
            cases = []
            for width, height in PICTURES:
                name = f"processor.{number}.{width}x{height}"
                try:
                    processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
                    values = processor(Image.fromarray(picture(width, height)), return_tensors="np")["pixel_values"][0]
                    arrays[name] = np.ascontiguousarray(values.astype(np.float32))
                    cases.append([width, height, name])
                except (ValueError, OSError, KeyError, TypeError) as error:
                    cases.append([width, height, None])
                    message = str(error).split("\n")[0][:200]
            entry = {"fields": fields, "model_type": model_type, "cases": cases}
            found.append(entry if cases[0][2] else entry | {"error": message})
    return found


def main():
    write_files()
    arrays, refused = {}, {}
    for path in sorted(FILES.iterdir()):
        source = path.read_text() if path.suffix == ".txt" else str(path)
        try:
            arrays[path.name] = np.array(load_image(source))
        except Exception as error:
            refused[path.name] = str(error).replace(str(path), path.name)[:200]
    golden = {"refused": refused, "resizes": resizes(), "processors": processors(arrays)}
    save_file(arrays, FOLDER / "expected.safetensors")
    lines = ",\n".join(json.dumps(row) for row in golden["resizes"])
    head = json.dumps({key: value for key, value in golden.items() if key != "resizes"}, indent=1, ensure_ascii=False)
    (FOLDER / "golden.json").write_text(head[:-2] + ',\n "resizes": [\n' + lines + "\n]}\n")
    print(json.dumps(refused, indent=1))
    for entry in golden["processors"]:
        if "error" in entry:
            print(entry["fields"], entry["error"])


main()
