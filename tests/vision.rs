//! Models that see, and their pipelines, against the Python reference: `tests/goldens/vision`, made by
//! `tests/goldens/make_vision.py`.
#![cfg(feature = "image")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::{Map, Value, json};

use sconce::image::{ImageFormat, ImageProcessor, PixelValues, encode};
use sconce::models::AutoModel;
use sconce::models::vision::{ImageClassifier, ImageEncoder, ImageTextModel, TextPooling};
use sconce::pipeline::{
    ImageClassificationOptions, ImageFeatureExtractionOptions, ImageFeatures, Input, Pipeline,
    TaskName, ZeroShotImageClassificationOptions,
};
use sconce::tokenizer::Tokenizer;
use sconce::{LoadOptions, ModelSource, QuantLevel};

#[path = "support/picture.rs"]
mod picture;

use picture::picture;

#[test]
fn states_and_logits_are_those_of_the_reference() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for name in names() {
        let (files, arrays) = (open(&name), arrays(&name));
        let encoder = AutoModel::from_files::<dyn ImageEncoder>(&files, &options());
        let classifier = AutoModel::from_files::<dyn ImageClassifier>(&files, &options());
        let pair = AutoModel::from_files::<dyn ImageTextModel>(&files, &options());
        for (key, wanted) in &arrays {
            if key == "texts" {
                let found = texts(&files, &**pair.as_ref().unwrap());
                wrong
                    .extend(difference(&found, wanted).map(|what| format!("{name} {key}: {what}")));
                compared += 1;
                continue;
            }
            let (size, what) = key.split_once('.').unwrap();
            let (width, height) = size.split_once('x').unwrap();
            let values = pixels(&files, width.parse().unwrap(), height.parse().unwrap());
            let found = match what {
                "states" => encoder.as_ref().unwrap().encode(&[&values]).unwrap().remove(0),
                "pooled" => encoder.as_ref().unwrap().pool(&[&values]).unwrap(),
                "embeds" => pair.as_ref().unwrap().embed_images(&[&values]).unwrap(),
                "logits" => match &pair {
                    Ok(pair) => {
                        let pictures = pair.embed_images(&[&values]).unwrap();
                        pair.similarity(&pictures, &texts(&files, &**pair)).unwrap()
                    }
                    Err(_) => classifier.as_ref().unwrap().classify(&[&values]).unwrap(),
                },
                other => panic!("{other}"),
            };
            let wanted = wanted.reshape(found.shape()).unwrap_or_else(|_| {
                panic!("{name} {key}: {:?}, not {:?}", found.dims(), wanted.dims())
            });
            wrong.extend(difference(&found, &wanted).map(|what| format!("{name} {key}: {what}")));
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 90, "{compared}");
}

#[test]
fn pictures_together_give_what_each_gives_alone() {
    for name in ["vit", "dinov2-gated", "dinov2-registers", "siglip-vision"] {
        let files = open(name);
        let model = AutoModel::from_files::<dyn ImageEncoder>(&files, &options()).unwrap();
        let rows = [(20, 13), (30, 31), (9, 40), (20, 13)].map(|(w, h)| pixels(&files, w, h));
        let rows: Vec<&PixelValues> = rows.iter().collect();
        let together = model.encode(&rows).unwrap();
        for (row, found) in rows.iter().zip(&together) {
            let alone = model.encode(&[row]).unwrap().remove(0);
            assert_eq!(difference(found, &alone), None, "{name}");
        }
        assert!(model.encode(&[]).is_err());
    }
}

#[test]
fn models_are_quantized_while_loading() {
    for (name, skipped) in [("vit", false), ("dinov2-gated", false), ("siglip-vision", true)] {
        let files = open(name);
        let dense = AutoModel::from_files::<dyn ImageEncoder>(&files, &options()).unwrap();
        let eight = options().quantize(QuantLevel::Q8_0);
        let eight = AutoModel::from_files::<dyn ImageEncoder>(&files, &eight).unwrap();
        let values = pixels(&files, 20, 13);
        let (a, b) = (&dense.encode(&[&values]).unwrap()[0], &eight.encode(&[&values]).unwrap()[0]);
        let error = |x: &Tensor| x.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
        let relative = (error(&(a - b).unwrap()) / error(a)).sqrt();
        assert!(relative > 0.0 && relative < 0.05, "{name}: {relative}");
        let quantized = eight.memory().by_precision.contains_key("q8_0");
        assert!(quantized, "{name}: {:?}", eight.memory().by_precision);
        // A patch of 8 by 8 has 192 values, which divide into blocks.
        let patches = eight
            .inventory()
            .items()
            .iter()
            .any(|item| item.name.ends_with("embed.patches") && item.precision == "q8_0");
        assert!(patches || name == "dinov2-gated", "{name} {skipped}");
    }
}

#[test]
fn outputs_of_pipelines_are_pythons() {
    let mut wrong = Vec::new();
    let mut calls = 0;
    for name in names() {
        for call in golden(&name)["calls"].as_array().unwrap() {
            calls += 1;
            let problem = compare(&name, call);
            wrong.extend(problem.map(|what| {
                format!("{name} {} {} {}: {what}", call["task"], call["pictures"], call["options"])
            }));
        }
    }
    assert!(wrong.is_empty(), "{} of {calls} calls differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(calls > 150, "{calls}");
}

fn compare(name: &str, call: &Value) -> Option<String> {
    let task: TaskName = call["task"].as_str().unwrap().parse().unwrap();
    let pipeline = Pipeline::open(task, ModelSource::directory(folder(name)), options()).unwrap();
    let mut inputs: Vec<Input> = call["pictures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|size| {
            let side = |at: usize| size[at].as_u64().unwrap() as usize;
            Input::from(picture(side(0), side(1)))
        })
        .collect();
    let input = if inputs.len() == 1 { inputs.remove(0) } else { Input::List(inputs) };
    let found = pipeline.call(input, call["options"].as_object().unwrap().clone());
    match (call.get("output"), found) {
        (Some(wanted), Ok(found)) => json_difference(wanted, &found.json),
        (Some(_), Err(error)) => Some(error.to_string()),
        (None, Err(error)) if error.is_caller_error() => None,
        (None, Err(error)) => Some(format!("{error:?}")),
        // Python cannot put pictures of different sizes into one batch.
        (None, Ok(_)) if call["error"].as_str().unwrap().contains("Sizes of tensors") => None,
        (None, Ok(found)) => Some(format!("no error but {}", found.json)),
    }
}

#[test]
fn a_picture_is_the_same_in_every_form() {
    let pipeline = Pipeline::image_classification(ModelSource::directory(folder("vit")));
    let pipeline = pipeline.build().unwrap();
    let image = picture(20, 13);
    let wanted = pipeline.run(image.clone()).unwrap();
    assert_eq!(wanted.len(), 5);
    let bytes = encode(&image, ImageFormat::Png, &[]).unwrap();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a picture");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(pipeline.run(bytes.clone()).unwrap(), wanted);
    assert_eq!(pipeline.run(path.as_path()).unwrap(), wanted);
    assert_eq!(pipeline.run(path.to_str().unwrap()).unwrap(), wanted);
    let json =
        |input: Input| Pipeline::from(pipeline.clone()).call(input, Map::new()).unwrap().json;
    let one = json(bytes.into());
    assert_eq!(json(json!(path).into()), one);
    assert_eq!(json(json!([path, path]).into()), json!([one, one]));
    let list = Input::List(vec![image.into(), json!(path).into()]);
    assert_eq!(json(list), json!([one, one]));
}

#[test]
fn streams_give_an_error_in_the_place_of_a_bad_picture() {
    let pipeline = Pipeline::image_classification(ModelSource::directory(folder("vit")));
    let pipeline = pipeline.build().unwrap();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/images/files");
    let names = [
        "rgb.png",
        "cut-rgb.png",
        "frames.webp",
        "bomb.png",
        "nothing.png",
        "a-png.jpg",
        "grey-16.png",
    ];
    let options = ImageClassificationOptions::default().batch_size(2);
    let paths = names.map(|name| files.join(name));
    let outputs: Vec<_> = pipeline.stream(paths.clone(), &options).unwrap().collect();
    let good: Vec<bool> = outputs.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true, false, false, true, true]);
    assert_eq!(outputs[0].as_ref().unwrap(), outputs[5].as_ref().unwrap());
    for at in [1, 3, 4] {
        let error = outputs[at].as_ref().unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains(names[at]), "{error}");
    }
    assert!(pipeline.run_batch(paths, &options).is_err());
    let many = std::iter::repeat_with(|| picture(7, 7)).take(150);
    let outputs = pipeline.run_batch(many, &ImageClassificationOptions::default()).unwrap();
    assert!(outputs.iter().all(|labels| *labels == outputs[0]) && outputs.len() == 150);
}

#[test]
fn typed_pipelines_do_what_json_does() {
    let source = || ModelSource::directory(folder("clip"));
    let pipeline = Pipeline::zero_shot_image_classification(source()).build().unwrap();
    let found = pipeline.classify(picture(20, 13), ["cat", "two parrots"]).unwrap();
    assert_eq!(found.len(), 2);
    assert!((found.iter().map(|label| label.score).sum::<f32>() - 1.0).abs() < 1e-5);
    assert_eq!(pipeline.model().text_pooling(), TextPooling::End);
    assert!(pipeline.run(picture(20, 13)).is_err(), "labels have no default");
    let options = ZeroShotImageClassificationOptions::default().candidate_labels(["cat"]);
    assert_eq!(pipeline.run_with(picture(20, 13), &options).unwrap()[0].score, 1.0);

    let source = ModelSource::directory(folder("dinov2"));
    let pipeline = Pipeline::image_feature_extraction(source).build().unwrap();
    let options = ImageFeatureExtractionOptions::default().pool(true);
    let ImageFeatures::Pooled([vector]) = pipeline.run_with(picture(20, 13), &options).unwrap()
    else {
        panic!("not pooled")
    };
    let ImageFeatures::Tokens(tokens) = pipeline.run(picture(20, 13)).unwrap() else {
        panic!("pooled")
    };
    assert_eq!(tokens[0], vector);
    assert_eq!(tokens.len(), 1 + 3 * 5);
    // ViT's classifiers are stored without their pooler.
    let source = ModelSource::directory(folder("vit"));
    let pipeline = Pipeline::image_feature_extraction(source).build().unwrap();
    let error = pipeline.run_with(picture(20, 13), &options).unwrap_err();
    assert!(error.to_string().contains("no pooler"), "{error}");
}

#[test]
fn broken_checkpoints_are_refused() {
    let change = |name: &str, file: &str, from: &str, to: &str| {
        let place = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(folder(name)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, place.path().join(path.file_name().unwrap())).unwrap();
        }
        let path = place.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name}: {file} lacks {from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        place
    };
    let config = "config.json";
    for (name, file, from, to, expected) in [
        ("vit", config, "\"4\": \"none\"", "\"4\": \"none\", \"5\": \"more\"", "classifier.weight"),
        ("vit", config, "\"patch_size\": 8", "\"patch_size\": 7", "shape"),
        ("vit", config, "\"patch_size\": 8", "\"patch_size\": 25", "`patch_size`"),
        ("vit", config, "\"patch_size\": 8", "\"patch_size\": 0", "`patch_size`"),
        ("vit", config, "\"image_size\": 24", "\"image_size\": 32", "position_embeddings"),
        ("vit", config, "\"image_size\": 24", "\"image_size\": 2400000", "`patch_size`"),
        ("vit", config, "\"num_channels\": 3", "\"num_channels\": 4", "`num_channels`"),
        (
            "vit",
            config,
            "\"num_attention_heads\": 4",
            "\"num_attention_heads\": 5",
            "`num_attention_heads`",
        ),
        ("vit", config, "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"smooth\"", "smooth"),
        (
            "vit",
            config,
            "\"model_type\": \"vit\"",
            "\"model_type\": \"bert\"",
            "supported are clip, clip_vision_model, convnext, convnextv2, deit",
        ),
        ("vit-base", config, "ViTModel", "ViTModel", "no image-classification head"),
        ("dinov2", config, "\"mlp_ratio\": 2", "\"mlp_ratio\": -1", "`mlp_ratio`"),
        ("dinov2", config, "\"image_size\": 28", "\"image_size\": 35", "position_embeddings"),
        ("vit", "preprocessor_config.json", "\"height\": 24", "\"height\": 0", "`size`"),
    ] {
        let place = change(name, file, from, to);
        let source = ModelSource::directory(place.path());
        let error = Pipeline::image_classification(source).build().unwrap_err().to_string();
        assert!(error.contains(expected), "{name} {to}: {error}");
    }
    // What the processor makes of a picture is not what the model sees.
    let place = change("vit", "preprocessor_config.json", "\"height\": 24", "\"height\": 16");
    let pipeline = Pipeline::image_classification(ModelSource::directory(place.path())).build();
    let error = pipeline.unwrap().run(picture(9, 9)).unwrap_err().to_string();
    assert!(error.contains("16 rows of 24 values for a model of 24 by 24"), "{error}");
    let place = change("siglip", "tokenizer_config.json", "\"input_ids\"", "\"attention_mask\"");
    let source = ModelSource::directory(place.path());
    let error = Pipeline::zero_shot_image_classification(source).build().unwrap_err().to_string();
    assert!(error.contains("model_input_names"), "{error}");
    let source = ModelSource::directory(folder("clip-vision"));
    let error = Pipeline::zero_shot_image_classification(source).build().unwrap_err().to_string();
    assert!(error.contains("no a model") || error.contains("does not read"), "{error}");
    let source = ModelSource::directory(folder("vit"));
    let error = Pipeline::zero_shot_image_classification(source).build().unwrap_err().to_string();
    assert!(error.contains("a model of pictures and texts; supported are clip"), "{error}");
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(folder("")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() > 15);
    names
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/vision").join(name)
}

fn open(name: &str) -> sconce::source::ModelFiles {
    ModelSource::directory(folder(name)).open().unwrap()
}

fn options() -> LoadOptions {
    LoadOptions::default().device(Device::Cpu)
}

fn golden(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder(name).join("golden.json")).unwrap()).unwrap()
}

fn arrays(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(folder(name).join("expected.safetensors"), &Device::Cpu).unwrap()
}

fn pixels(files: &sconce::source::ModelFiles, width: usize, height: usize) -> PixelValues {
    ImageProcessor::from_files(files).unwrap().process(&picture(width, height)).unwrap()
}

/// The vectors of the texts of `make_vision.py`.
fn texts(files: &sconce::source::ModelFiles, model: &dyn ImageTextModel) -> Tensor {
    let tokenizer = Tokenizer::from_files(files).unwrap();
    let row = |text: &&str| {
        let mut ids = tokenizer.encode(text).unwrap().ids;
        if model.text_pooling() == TextPooling::Padded {
            ids.resize(64, tokenizer.pad_token().unwrap().id);
        }
        ids
    };
    let rows: Vec<_> = ["This is a photo of a cat.", "two parrots", "a"].iter().map(row).collect();
    model.embed_texts(&rows).unwrap()
}

/// The largest difference, where it is more than rounding.
fn difference(found: &Tensor, wanted: &Tensor) -> Option<String> {
    assert_eq!(found.dims(), wanted.dims());
    let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (found, wanted) = (flat(found), flat(wanted));
    let largest = wanted.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
    let pairs = found.iter().zip(&wanted);
    let worst = pairs
        .map(|(a, b)| (a - b).abs())
        .fold(0.0_f32, |most, d| if d > most || d.is_nan() { d } else { most });
    (worst.is_nan() || worst > 1e-4 * largest).then(|| format!("{worst} of {largest}"))
}

/// Where two results differ; numbers may by a little.
fn json_difference(wanted: &Value, found: &Value) -> Option<String> {
    let differs = || Some(format!("{found}, not {wanted}"));
    match (wanted, found) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            if (a - b).abs() <= 1e-4 * a.abs().max(1.0) { None } else { differs() }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).find_map(|(a, b)| json_difference(a, b))
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().find_map(|(name, a)| match b.get(name) {
                Some(b) => json_difference(a, b).map(|what| format!("{name}: {what}")),
                None => differs(),
            })
        }
        (a, b) if a == b => None,
        _ => differs(),
    }
}
