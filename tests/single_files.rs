//! Checkpoints in one file, in the layout of their makers, against diffusers:
//! `tests/goldens/make_single_files.py`.
#![cfg(feature = "image")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use sconce::diffusion::{PaintOptions, Painted, Painter};
use sconce::pipeline::Image;
use sconce::{Adapter, LoadOptions, ModelSource, Precision};
use serde_json::Value;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn file(name: &str) -> ModelSource {
    ModelSource::from(goldens().join("single_files").join(name))
}

fn folder(name: &str) -> PathBuf {
    goldens().join("diffusion").join(name)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn cpu() -> LoadOptions {
    LoadOptions::default().device(Device::Cpu).dtype(Precision::F32)
}

fn pixels(painted: &Painted) -> Vec<f32> {
    painted
        .images
        .iter()
        .flat_map(|image| image.rgb.iter())
        .step_by(17)
        .map(|&x| f32::from(x))
        .collect()
}

fn most_apart(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

/// The first pictures of the folder that the file was made of.
fn check(source: &ModelSource, of: &str, cases: usize) {
    let golden = read(&folder(of).join("expected.json"));
    let painter = Painter::open(source, &cpu()).unwrap();
    for case in &golden["cases"].as_array().unwrap()[..cases] {
        let options: PaintOptions = serde_json::from_value(case["options"].clone()).unwrap();
        let painted = painter.paint(golden["prompt"].as_str().unwrap(), &options).unwrap();
        let apart = most_apart(&pixels(&painted), &numbers(&case["pixels"]));
        assert!(apart <= 1.0, "{source:?}: {apart}");
    }
}

#[test]
fn files_paint_what_their_folders_paint() {
    check(&file("sd1.safetensors").config(folder("sd1")), "sd1", 2);
    check(&file("sd1.ckpt").config(folder("sd1")), "sd1", 1);
    check(&file("sd2.safetensors").config(folder("sd2")), "sd2", 2);
    check(&file("sdxl.safetensors").config(folder("sdxl")), "sdxl", 2);
    check(&file("flux-dev.safetensors").config(folder("flux-dev")), "flux-dev", 1);
    let parts = ModelSource::from(folder("flux-dev"))
        .part("transformer", file("flux-dev.safetensors"))
        .part("vae", file("ae.safetensors"));
    check(&parts, "flux-dev", 2);
    // Also a part with the names of diffusers.
    let unet = folder("sd1").join("unet/diffusion_pytorch_model.safetensors");
    check(&ModelSource::from(folder("sd1")).part("unet", unet), "sd1", 1);
}

/// Models that go on with pictures: as their folders, which are compared with diffusers.
#[test]
fn files_go_on_with_pictures_as_their_folders_do() {
    let rgb = (0..64 * 64 * 3).map(|at| (at * 7 % 251) as u8).collect();
    let picture = Image::new(64, 64, rgb).unwrap();
    let rgb = (0..64 * 64 * 3).map(|at| if at % 192 < 90 { 255 } else { 0 }).collect();
    let mask = Image::new(64, 64, rgb).unwrap();
    let steps = PaintOptions::default().num_inference_steps(4).strength(0.6).image(picture);
    let steps = steps.height(64).width(64);
    for (name, options) in [("refiner", steps.clone()), ("inpaint", steps.mask_image(mask))] {
        let source = file(&format!("{name}.safetensors")).config(folder(name));
        let found = Painter::open(&source, &cpu()).unwrap().paint("a cat", &options).unwrap();
        let whole = Painter::open(folder(name), &cpu()).unwrap();
        assert_eq!(found.images, whole.paint("a cat", &options).unwrap().images, "{name}");
    }
}

#[test]
fn a_flux_in_gguf_paints_as_its_blocks_say() {
    let golden = &read(&goldens().join("single_files/expected.json"))["gguf"];
    let options: PaintOptions = serde_json::from_value(golden["options"].clone()).unwrap();
    let source = ModelSource::from(folder("flux-dev")).part("transformer", file("flux-dev.gguf"));
    let painted =
        Painter::open(&source, &cpu()).unwrap().paint("a cat and a dog", &options).unwrap();
    assert!(most_apart(&pixels(&painted), &numbers(&golden["pixels"])) <= 1.0);
    // In its blocks, and with an adapter beside them.
    let blocks = LoadOptions::default().device(Device::Cpu);
    let painted =
        Painter::open(&source, &blocks).unwrap().paint("a cat and a dog", &options).unwrap();
    let apart = most_apart(&pixels(&painted), &numbers(&golden["pixels"]));
    assert!(apart <= 12.0, "{apart}");
    let adapter = Adapter::new(goldens().join("adapters/flux.safetensors"));
    let with = Painter::open(&source, &blocks.with_adapter(adapter)).unwrap();
    let painted = with.paint("a cat and a dog", &options).unwrap();
    assert!(most_apart(&pixels(&painted), &numbers(&golden["pixels"])) > 12.0);
}

#[test]
fn mistakes_with_files_are_named() {
    let error = |source: &ModelSource| Painter::open(source, &cpu()).unwrap_err().to_string();
    // Its tokenizer is nowhere.
    let text = error(&file("flux-dev.safetensors"));
    assert!(text.contains(".part(\"transformer\""), "{text}");
    let text = error(&file("flux-dev.gguf"));
    assert!(text.contains(".part(\"transformer\""), "{text}");
    let text = error(&file("ae.safetensors"));
    assert!(text.contains("no model that is known"), "{text}");
    // A file for another model.
    let text = error(&file("sd1.safetensors").config(folder("sdxl")));
    assert!(text.contains("sd1.safetensors"), "{text}");
    let text = error(&ModelSource::from(folder("sd1")).part("unet", file("flux-dev.safetensors")));
    assert!(text.contains("flux-dev.safetensors"), "{text}");
}
