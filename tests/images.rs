//! Pictures in `tests/goldens/images` against Pillow, and image processors against those of transformers.
#![cfg(feature = "image")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::{Map, Value};

use sconce::ModelSource;
use sconce::image::{
    Image, ImageFormat, ImageInput, ImageProcessor, PixelLayout, ResizeFilter, encode, from_pixels,
    read, read_bytes, read_texts, resize, write, write_with_texts,
};

#[path = "support/picture.rs"]
mod picture;

use picture::picture;

/// `golden.json`.
#[derive(Deserialize)]
struct Golden {
    /// The files that Python refuses, with what it says.
    refused: BTreeMap<String, String>,
    processors: Vec<Processor>,
    /// Width and height before and after, the filter, and the hash of the pixels.
    resizes: Vec<(usize, usize, usize, usize, String, String)>,
}

#[derive(Deserialize)]
struct Processor {
    fields: Map<String, Value>,
    model_type: Option<String>,
    /// Width and height of the picture, and the name of its values; none where Python refuses it.
    cases: Vec<(usize, usize, Option<String>)>,
}

#[test]
fn files_are_read_as_pillow_reads_them() {
    let (golden, arrays) = golden();
    let (mut read, mut refused) = (0, 0);
    let mut wrong = Vec::new();
    for (name, wanted) in arrays.iter().filter(|(name, _)| !name.starts_with("processor.")) {
        if name == "arithmetic.jpg" {
            let error = load(name).unwrap_err().to_string();
            assert!(error.contains("arithmetic codes, which is not read"), "{error}");
            continue;
        }
        let image = load(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (height, width, _) = wanted.dims3().unwrap();
        assert_eq!((image.width, image.height), (width, height), "{name}");
        let wanted = wanted.flatten_all().unwrap().to_vec1::<u8>().unwrap();
        let differences = image.rgb.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b));
        let worst = differences.max().unwrap();
        if worst > 0 {
            wrong.push(format!("{name}: {worst} levels"));
        }
        read += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join(", "));
    for (name, reason) in &golden.refused {
        let error = load(name).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("pictur") || error.contains("pixels"), "{name}: {error} ({reason})");
        refused += 1;
    }
    assert!(read > 125 && refused > 20, "{read} {refused}");
}

#[test]
fn resizing_is_pillows_to_the_bit() {
    let (golden, _) = golden();
    let mut wrong = Vec::new();
    for (width, height, to_width, to_height, filter, hash) in &golden.resizes {
        let picture = picture(*width, *height);
        let filter: ResizeFilter = filter.parse().unwrap();
        let found = resize(&picture, *to_width, *to_height, filter).unwrap();
        assert_eq!((found.width, found.height), (*to_width, *to_height));
        if fnv(&found.rgb) != *hash {
            wrong.push(format!("{width}x{height} to {to_width}x{to_height} by {filter}"));
        }
    }
    assert!(golden.resizes.len() > 500 && wrong.is_empty(), "{}: {wrong:?}", wrong.len());
}

#[test]
fn processors_are_those_of_the_reference() {
    let (golden, arrays) = golden();
    let folder = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for Processor { fields, model_type, cases } in &golden.processors {
        let files = open(folder.path(), fields, model_type.as_deref());
        for (width, height, name) in cases {
            let picture = picture(*width, *height);
            let values = ImageProcessor::from_files(&files.open().unwrap())
                .and_then(|processor| processor.process(&picture));
            let Some(name) = name else {
                assert!(values.is_err(), "{fields:?}: Python refuses it");
                continue;
            };
            let values = values.unwrap_or_else(|error| panic!("{fields:?}: {error}"));
            let wanted = &arrays[name];
            assert_eq!(wanted.dims(), [3, values.height, values.width], "{fields:?} {name}");
            let wanted = wanted.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let worst = values.values.iter().zip(&wanted).map(|(a, b)| (a - b).abs());
            let worst = worst.fold(0.0_f32, f32::max);
            assert!(worst <= 1e-6, "{fields:?} {name}: {worst}");
            compared += 1;
        }
    }
    assert!(compared > 80, "{compared}");
}

#[test]
fn wrong_processors_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for (fields, expected) in [
        (r#"{"image_processor_type": "NoImageProcessor"}"#, "known are BeitImageProcessor"),
        (r#"{"size": 7}"#, "`image_processor_type` is missing"),
        (r#"{"image_processor_type": 7}"#, "image_processor_type"),
        (r#"{"image_processor_type": "ViTImageProcessor", "size": -1}"#, "`size`"),
        (
            r#"{"image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 4}}"#,
            "`height` and `width`",
        ),
        (r#"{"image_processor_type": "ViTImageProcessor", "size": [100000, 100000]}"#, "178956970"),
        (r#"{"image_processor_type": "ViTImageProcessor", "resample": 9}"#, "no filter of Pillow"),
        (
            r#"{"image_processor_type": "ViTImageProcessor", "image_std": [1, 0, 1]}"#,
            "nothing to divide by",
        ),
        (r#"{"image_processor_type": "ViTImageProcessor", "image_mean": "a"}"#, "image_mean"),
        (
            r#"{"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0, "size": 9}"#,
            "`crop_pct`",
        ),
        (r#"{"image_processor": 7}"#, "`image_processor`: 7 is no object"),
    ] {
        let fields: Map<String, Value> = serde_json::from_str(fields).unwrap();
        let files = open(folder.path(), &fields, None).open().unwrap();
        let error = ImageProcessor::from_files(&files).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("preprocessor_config.json"), "{error}");
    }
    let fields =
        r#"{"image_processor_type": "CLIPImageProcessor", "size": 60000, "do_center_crop": false}"#;
    let files = open(folder.path(), &serde_json::from_str(fields).unwrap(), None);
    assert!(ImageProcessor::from_files(&files.open().unwrap()).is_err());
    let fields = fields.replace("60000", "300");
    let files = open(folder.path(), &serde_json::from_str(&fields).unwrap(), None);
    let processor = ImageProcessor::from_files(&files.open().unwrap()).unwrap();
    let error = processor.process(&picture(4000, 1)).unwrap_err();
    assert!(error.to_string().contains("178956970"), "{error}");
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let image = picture(31, 17);
    for (name, allowed) in [("a.png", 0), ("a.webp", 0), ("a.JPG", 255)] {
        let path = folder.path().join(name);
        write(&path, &image).unwrap();
        let found = read(&path).unwrap();
        assert_eq!((found.width, found.height), (31, 17));
        let worst = found.rgb.iter().zip(&image.rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= allowed, "{name}: {worst}");
    }
    let texts = [("parameters", "a café\nSteps: 20"), ("prompt", "東京")];
    let path = folder.path().join("texts.png");
    write_with_texts(&path, &image, &texts).unwrap();
    let found = read_texts(&path).unwrap();
    let found: Vec<_> = found.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
    assert_eq!(found, texts);
    assert_eq!(read(&path).unwrap(), image);
    // Pillow's own, of all three kinds.
    let found: BTreeMap<_, _> =
        read_texts(files().join("texts.png")).unwrap().into_iter().collect();
    assert_eq!(found["parameters"], "a café, Steps: 20, Seed: 7");
    assert_eq!(found["prompt"], "東京");
    assert_eq!(found["long"], "la ".repeat(300));

    for error in [
        write(folder.path().join("a.gif"), &image),
        write_with_texts(folder.path().join("a.webp"), &image, &texts),
        write_with_texts(folder.path().join("b.png"), &image, &[("", "no keyword")]),
        write_with_texts(folder.path().join("b.png"), &image, &[("東京", "no Latin")]),
        write(folder.path().join("nowhere/a.png"), &image),
        encode(&image, ImageFormat::Jpeg { quality: 0 }, &[]).map(|_| ()),
    ] {
        assert!(error.is_err());
    }
    assert!(read_texts(files().join("full.jpg")).is_err());
    assert!(read_texts(files().join("cut-rgb.png")).is_err());
}

#[test]
fn pixels_of_every_layout_are_taken() {
    for (layout, pixels) in [
        (PixelLayout::L, vec![7, 9]),
        (PixelLayout::La, vec![7, 0, 9, 255]),
        (PixelLayout::Rgb, vec![7, 7, 7, 9, 9, 9]),
        (PixelLayout::Rgba, vec![7, 7, 7, 0, 9, 9, 9, 1]),
    ] {
        let image = from_pixels(layout, 2, 1, &pixels).unwrap();
        assert_eq!(image.rgb, [7, 7, 7, 9, 9, 9]);
        assert_eq!(ImageInput::from(image.clone()).load().unwrap(), image);
        assert!(from_pixels(layout, 1, 1, &pixels).is_err());
        assert!(from_pixels(layout, usize::MAX, 2, &pixels).is_err());
        assert!(from_pixels(layout, 0, 0, &[]).is_err());
    }
    assert!(resize(&picture(2, 2), 0, 4, ResizeFilter::Bicubic).is_err());
    assert!(resize(&picture(2, 2), 1 << 20, 1 << 20, ResizeFilter::Bicubic).is_err());
}

#[test]
fn what_is_no_picture_is_named() {
    for (bytes, expected) in [
        (b"".as_slice(), "an empty file"),
        (b"GIF89a\x01\x00\x01\x00", "a GIF, not a picture that is read: PNG, JPEG and WebP are"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"\x89PNG\r\n\x1a\n", "broken or cut short"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "broken or cut short"),
        (b"\xFF\xD8\xFF\xD9", "broken or cut short"),
    ] {
        let error = read_bytes(bytes).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains(expected), "{error}");
    }
    let address = ImageInput::from("https://example.com/a.png").load().unwrap_err();
    assert!(address.to_string().contains("download it"), "{address}");
    let nothing = ImageInput::from("no-such-file.png").load().unwrap_err();
    assert!(nothing.to_string().contains("neither a file nor"), "{nothing}");
    assert!(ImageInput::from(PathBuf::from("no-such-file.png")).load().is_err());
}

/// What is in a file, as the maker reads it: a path, or a text that holds a picture.
fn load(name: &str) -> sconce::Result<Image> {
    let path = files().join(name);
    match name.ends_with(".txt") {
        true => ImageInput::from(fs::read_to_string(path).unwrap()).load(),
        false => ImageInput::from(path.to_str().unwrap()).load(),
    }
}

fn open(folder: &Path, fields: &Map<String, Value>, model_type: Option<&str>) -> ModelSource {
    let _ = fs::remove_file(folder.join("config.json"));
    let text = serde_json::to_string(fields).unwrap();
    fs::write(folder.join("preprocessor_config.json"), text).unwrap();
    if let Some(model_type) = model_type {
        let text = format!("{{\"model_type\": \"{model_type}\"}}");
        fs::write(folder.join("config.json"), text).unwrap();
    }
    ModelSource::directory(folder)
}

fn golden() -> (Golden, HashMap<String, Tensor>) {
    let folder = files().join("..");
    let text = fs::read_to_string(folder.join("golden.json")).unwrap();
    let arrays = folder.join("expected.safetensors");
    (
        serde_json::from_str(&text).unwrap(),
        candle_core::safetensors::load(arrays, &Device::Cpu).unwrap(),
    )
}

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/images/files")
}

fn fnv(bytes: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}
