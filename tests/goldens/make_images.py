"""Writes the pictures in `images/files/`, what transformers' `load_image` makes of them, how Pillow resizes, and what image
processors make of pictures.

    venv/bin/python tests/goldens/make_images.py   # transformers==4.57.6 pillow==13.0.0 numpy

`cjpeg` of libjpeg-turbo 2.1.5 (Debian's package libjpeg-turbo-progs), on the path, writes the JPEG files of forms that Pillow does not write.

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
import subprocess
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


def png(width, height, depth, color, rows, extra=b"", woven=0):
    """A PNG of forms that Pillow does not write."""
    lines = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, woven)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed(row, depth):
    bits = "".join(format(int(sample), f"0{depth}b") for sample in row.reshape(-1))
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def woven(samples, depth):
    """The rows of the seven passes of Adam7."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    return [packed(row, depth) for x, y, dx, dy in passes for row in samples[y::dy, x::dx] if row.size]


def exif(kind=3, value=6, order=">", before=(), count=1):
    """EXIF data with one orientation, of a kind of numbers."""
    number = {3: lambda: struct.pack(order + "HH", value, 0), 4: lambda: struct.pack(order + "I", value), 1: lambda: bytes([value, 0, 0, 0])}[kind]()
    entries = [*before, (0x0112, kind, count, number)]
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries) + bytes(4)


def write_odd_pngs(pixels):
    """Forms that Pillow reads but does not write."""
    write = lambda name, data: (FILES / name).write_bytes(data)
    random = np.random.default_rng(0)
    palette = chunk(b"PLTE", bytes(random.integers(0, 256, 48).tolist()))
    for color, channels, depths in [(0, 1, (1, 2, 4, 8, 16)), (2, 3, (8, 16)), (3, 1, (1, 2, 4, 8)), (4, 2, (8, 16)), (6, 4, (8, 16))]:
        for depth in depths:
            most = min(16, 1 << depth) if color == 3 else 1 << depth
            samples = random.integers(0, most, (9, 13, channels))
            write(f"woven-{color}-{depth}.png", png(13, 9, depth, color, woven(samples, depth), palette if color == 3 else b"", 1))
    rows = [row.tobytes() for row in pixels]
    plain = lambda before=b"", after=b"": png(13, 9, 8, 2, rows, before)[:-12] + after + chunk(b"IEND", b"")
    shades = random.integers(0, 600, (9, 13)).astype(">u2")
    write("grey-16-transparent.png", png(13, 9, 16, 0, [row.tobytes() for row in shades], chunk(b"tRNS", struct.pack(">H", shades[0, 0]))))
    indices = [row.tobytes() for row in random.integers(0, 40, (9, 13)).astype(np.uint8)]
    write("palette-beyond.png", png(13, 9, 8, 3, indices, palette))
    write("palette-none.png", png(13, 9, 8, 3, indices))
    write("palette-ragged.png", png(13, 9, 8, 3, indices, chunk(b"PLTE", bytes(range(100, 113)))))
    write("default-apart.png", plain(chunk(b"acTL", struct.pack(">II", 1, 0)), chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 13, 9, 0, 0, 1, 10, 0, 0))
        + chunk(b"fdAT", struct.pack(">I", 1) + zlib.compress(b"".join(b"\0" + bytes(39) for _ in rows)))))
    write("check-sum.png", plain().replace(zlib.compress(b"".join(b"\0" + row for row in rows))[-4:], b"\1\2\3\4"))
    title = (0x010F, 2, 4, b"abc\0")
    for name, data in {"long": exif(4), "byte": exif(1), "little": exif(order="<"), "second": exif(before=[title]), "two": exif(count=2), "none": exif(count=0), "many": exif(value=300),
                       "again": exif(before=[(0x0112, 3, 1, b"\0\3\0\0")]), "cut": exif()[:-8], "prefix": b"Exif\0\0" + exif()}.items():
        write(f"exif-{name}.png", plain(chunk(b"eXIf", data)))
    write("exif-late.png", plain(after=chunk(b"eXIf", exif())))
    xmp = b'<rdf:Description tiff:Orientation="8"/>'
    write("xmp-late.png", plain(after=chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)))
    write("xmp-packed.png", plain(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp))))
    profile = b"\nexif\n%8d\n" % len(exif()) + exif().hex().encode() + b"\n"
    write("exif-as-text.png", plain(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile))))


def write_odd_jpegs(smooth):
    """Sampling factors, scans and colors of all kinds, and forms that Pillow reads but does not write."""
    save = lambda name, image, **options: image.save(FILES / name, **options)
    write = lambda name, data: (FILES / name).write_bytes(data)
    segment = lambda marker, data: b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data
    random = np.random.default_rng(1)
    save("noise.jpg", Image.fromarray(random.integers(0, 256, (24, 34, 3)).astype(np.uint8)), quality=60, subsampling=2)
    save("best.jpg", smooth, quality=100, subsampling=1)
    save("worst.jpg", smooth, quality=1, progressive=True)
    save("restarts.jpg", smooth, restart_marker_blocks=2, subsampling=2)
    save("restarts-progressive.jpg", smooth, restart_marker_rows=1, progressive=True)
    save("as-rgb.jpg", smooth, keep_rgb=True)
    save("grey-progressive.jpg", smooth.convert("L"), progressive=True)
    for width, height in [(1, 1), (1, 33), (33, 1), (2, 3), (5, 4), (17, 9)]:
        save(f"small-{width}x{height}.jpg", smooth.resize((width, height)), subsampling=2)
    with tempfile.TemporaryDirectory() as folder:
        source, scans = Path(folder) / "a.ppm", Path(folder) / "scans"
        save(source, smooth)
        cjpeg = lambda name, *options: subprocess.run(["cjpeg", *options, "-outfile", FILES / name, source], check=True)
        for sampling in ["4x1", "1x2", "4x2", "1x4", "2x4", "3x1", "3x2", "2x2,1x2", "2x2,2x1", "1x1,2x2,2x2", "1x2,2x1", "1x1,2x1,1x2"]:
            cjpeg(f"sampled-{sampling}.jpg", "-sample", sampling)
        cjpeg("sampled-progressive.jpg", "-sample", "1x1,2x1,1x2", "-progressive")
        cjpeg("sampled-grey.jpg", "-sample", "2x2", "-grayscale")
        cjpeg("arithmetic.jpg", "-arithmetic")
        scans.write_text("0;\n1;\n2;\n")
        cjpeg("apart.jpg", "-scans", scans, "-sample", "2x2")
        scans.write_text("0 1 2: 0-0, 0, 1;\n2: 1-63, 0, 0;\n0: 1-9, 0, 2;\n0: 10-63, 0, 2;\n1: 1-63, 0, 0;\n0 1 2: 0-0, 1, 0;\n0: 1-63, 2, 1;\n0: 1-63, 1, 0;\n")
        cjpeg("bit-by-bit.jpg", "-scans", scans)
    save("plain.jpg", smooth, quality=85, subsampling=0)
    plain = (FILES / "plain.jpg").read_bytes()
    bare = plain[:2] + plain[20:]
    for transform in (0, 1, 2, 3):
        adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
        write(f"adobe-{transform}.jpg", bare[:2] + adobe + bare[2:])
        write(f"adobe-and-jfif-{transform}.jpg", plain[:20] + adobe + plain[20:])

    def named(data, ids):
        data, frame, scan = bytearray(data), data.index(b"\xff\xc0"), data.index(b"\xff\xda")
        for number, name in enumerate(ids):
            data[frame + 10 + 3 * number] = data[scan + 5 + 2 * number] = name
        return bytes(data)

    for name, ids in {"rgb": b"RGB", "small": b"rgb", "same": b"\1\1\1", "zero": b"\0\1\2"}.items():
        write(f"ids-{name}.jpg", named(bare, ids))
    write("ids-rgb-jfif.jpg", named(plain, b"RGB"))
    inks = Image.fromarray(random.integers(0, 256, (10, 15, 4)).astype(np.uint8), "CMYK").resize((30, 20), Image.Resampling.BICUBIC)
    save("inks.jpg", inks, quality=95)
    data = (FILES / "inks.jpg").read_bytes()
    at = data.index(b"Adobe")
    for transform in (1, 2):
        write(f"inks-{transform}.jpg", data[: at + 11] + bytes([transform]) + data[at + 12 :])
    write("inks-bare.jpg", data[: at - 4] + data[at + 12 :])
    head, xmp = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
    turned = xmp + b'<rdf:Description tiff:Orientation="8"/>'
    for name, segments in {"long": [head + exif(4)], "split": [head + exif()[:20], head + exif()[20:]], "twice": [head + exif(), head + exif(value=3)],
                           "and-xmp": [head + exif(value=0), turned], "preview": [head + exif() + plain]}.items():
        data = bare[:2] + b"".join(segment(0xE1, data) for data in segments) + bare[2:]
        write(f"exif-{name}.jpg", data)
    write("exif-preview-cut.jpg", data[: len(data) - 200])
    write("exif-behind.jpg", plain[:-2] + segment(0xE1, head + exif()) + plain[-2:])
    write("more-behind.jpg", plain + b"more" * 9)
    write("filled.jpg", plain[:2] + b"\xff\xff\xff" + plain[2:])
    frame = plain.index(b"\xff\xc0")
    for name, place, value in [("no-height", 5, b"\0\0"), ("no-columns", 7, b"\0\0"), ("bits-12", 4, b"\x0c"), ("lossless", 1, b"\xc3"), ("as-progressive", 1, b"\xc2"), ("large", 5, b"\xff\xdc\xff\xdc")]:
        write(f"{name}.jpg", plain[: frame + place] + value + plain[frame + place + len(value) :])
    write("no-quantization.jpg", plain.replace(b"\xff\xdb", b"\xff\xef"))


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
    write_odd_pngs(pixels)
    write_odd_jpegs(smooth.resize((29, 19), Image.Resampling.BICUBIC))
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
    ({"image_processor_type": "CLIPImageProcessor", "size": 9, "crop_size": 8, "use_square_size": True}, None),
    ({"image_processor_type": "BitImageProcessor", "size": 9, "crop_size": 8, "use_square_size": True}, None),
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
