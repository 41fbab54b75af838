//! Pipelines against what the Python ones return for the same calls on the same tiny checkpoints:
//! `tests/goldens/pipelines`, made by `tests/goldens/make_pipelines.py`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::field_reassign_with_default,
    reason = "a test fails by panicking"
)]

mod generation;
mod parts;
mod requests;
mod responses;
mod text_to_text;
mod texts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use sconce::pipeline::{
    FeatureExtractionOptions, Features, FillMaskOptions, Pipeline, Pooling,
    SentenceSimilarityOptions, Task, TextClassificationOptions, TokenizerOptions, TruncationReport,
};
use sconce::tokenizer::TruncationStrategy;
use sconce::{LoadOptions, ModelSource};

/// A copy of a tiny checkpoint with the golden's own files in it.
struct Checkpoint {
    folder: tempfile::TempDir,
    golden: Value,
}

fn checkpoint(task: &str) -> Checkpoint {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let text = fs::read_to_string(goldens.join(format!("pipelines/{task}.json"))).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(goldens.join(golden["checkpoint"].as_str().unwrap())).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    for (name, text) in golden["files"].as_object().unwrap() {
        fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
    }
    Checkpoint { folder, golden }
}

fn options(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Every call of `tests/goldens/text_pipelines`, made by `tests/goldens/make_text_pipelines.py`:
/// outputs equal, scores to 1e-5 and vectors to 1e-4, and an error wherever Python has one.
#[test]
fn outputs_of_text_pipelines_are_pythons() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut wrong = Vec::new();
    for entry in fs::read_dir(goldens.join("text_pipelines")).unwrap() {
        let golden = entry.unwrap().path();
        let name = golden.file_name().unwrap().to_string_lossy().into_owned();
        let (_folder, pipeline, calls) = text_pipeline(&name);
        for call in calls {
            let outcome = pipeline.call(&call["input"], options(&call["options"])).map(Value::from);
            let problem = match (call.get("output"), outcome) {
                (Some(expected), Ok(found)) => difference(&ranked(expected), &ranked(&found)),
                (Some(_), Err(error)) => Some(error.to_string()),
                (None, Ok(found)) => Some(format!("no error but {found}")),
                (None, Err(error)) if !error.is_caller_error() => Some(format!("{error:?}")),
                (None, Err(_)) => None,
            };
            if let Some(problem) = problem {
                let (input, options) = (call["input"].to_string(), &call["options"]);
                let input: String = input.chars().take(60).collect();
                wrong.push(format!("{name}: {input} {options}: {problem}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} calls differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The pipeline of a golden, and its calls.
fn text_pipeline(name: &str) -> (tempfile::TempDir, Pipeline, Vec<Value>) {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let golden = goldens.join("text_pipelines").join(name);
    let text = fs::read_to_string(golden.join("golden.json")).unwrap();
    let read: Value = serde_json::from_str(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = goldens.join("encoders").join(read["tokenizer"].as_str().unwrap());
    for (from, file) in [
        (&golden, "config.json"),
        (&golden, "model.safetensors"),
        (&tokenizer, "tokenizer.json"),
        (&tokenizer, "tokenizer_config.json"),
    ] {
        fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    for (file, text) in read["files"].as_object().into_iter().flatten() {
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text.as_str().unwrap()).unwrap();
    }
    let task: Task = read["task"].as_str().unwrap().parse().unwrap();
    let source = ModelSource::directory(folder.path());
    let pipeline = Pipeline::open(task, source, LoadOptions::default()).unwrap();
    (folder, pipeline, read["calls"].as_array().unwrap().clone())
}

/// Documents of equal score by number: Python's order of them is noise of its padded batches.
fn ranked(result: &Value) -> Value {
    let mut result = result.clone();
    if let Some(documents) = result.as_array_mut()
        && documents.iter().all(|document| document.get("corpus_id").is_some())
    {
        documents.sort_by_key(|document| {
            let score = (document["score"].as_f64().unwrap() * 1e5).round() as i64;
            (-score, document["corpus_id"].as_u64())
        });
    }
    result
}

/// Where two results differ, if they do.
fn difference(expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            expected.iter().zip(found).find_map(|(expected, found)| difference(expected, found))
        }
        (Value::Object(expected), Value::Object(found)) if expected.len() == found.len() => {
            expected.iter().find_map(|(key, expected)| {
                difference(expected, found.get(key).unwrap_or(&Value::Null))
                    .map(|problem| format!("{key}: {problem}"))
            })
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            let tolerance = if one.abs() > 1.0 { 1e-4 } else { 2e-5 };
            ((one - other).abs() > tolerance).then(|| format!("{other} instead of {one}"))
        }
        _ => (expected != found).then(|| format!("{found} instead of {expected}")),
    }
}

/// Every task that generates: outputs equal, and an error wherever Python has one.
#[test]
fn outputs_are_pythons() {
    for name in ["task-params", "text-generation"] {
        let Checkpoint { folder, golden } = checkpoint(name);
        let task: Task = golden["task"].as_str().unwrap().parse().unwrap();
        let source = ModelSource::directory(folder.path());
        let pipeline = Pipeline::open(task, source, LoadOptions::default()).unwrap();
        for call in golden["calls"].as_array().unwrap() {
            let outcome = pipeline.call(&call["input"], options(&call["options"])).map(Value::from);
            match call.get("output") {
                Some(output) => assert_eq!(outcome.unwrap(), *output, "{name}: {call}"),
                None => {
                    let error = outcome.expect_err(&format!("{name}: {call}"));
                    assert!(error.is_caller_error(), "{name}: {call}: {error}");
                }
            }
        }
    }
}

/// Long inputs are tokenized ahead on a thread of their own, in chunks; every thread and every size
/// of batch gives what an item gives alone.
#[test]
fn streams_and_threads_give_what_each_gives_alone() {
    let (_folder, pipeline, _) = text_pipeline("classify-wordpiece");
    let Pipeline::TextClassification(pipeline) = pipeline else { panic!() };
    let texts: Vec<String> = (0..2500)
        .map(|i| format!("It was {} ", ["good", "bad, was it not?"][i % 2]).repeat(1 + i % 7))
        .collect();
    let alone: Vec<_> =
        texts[..14].iter().map(|text| pipeline.run(text.as_str()).unwrap()).collect();
    std::thread::scope(|scope| {
        for batch_size in [None, Some(3)] {
            let (pipeline, texts, alone) = (&pipeline, &texts, &alone);
            scope.spawn(move || {
                let mut options = TextClassificationOptions::default();
                options.batch_size = batch_size;
                let found = pipeline.stream(texts.iter().map(String::as_str), &options).unwrap();
                let found: Vec<_> = found.map(Result::unwrap).collect();
                assert_eq!(found.len(), texts.len());
                for (number, found) in found.iter().enumerate() {
                    let expected = &alone[number % 14][0];
                    assert_eq!(found[0].label, expected.label);
                    assert!((found[0].score - expected.score).abs() < 1e-5);
                }
            });
        }
    });
}

/// Which texts were cut is told beside the outputs, also where the first ones are tokenized at once
/// and the later ones on a thread.
#[test]
fn cut_inputs_are_reported_by_number() {
    let (_folder, pipeline, _) = text_pipeline("classify-wordpiece");
    let Pipeline::TextClassification(pipeline) = pipeline else { panic!() };
    let long = "It was good and bad. ".repeat(40);
    let report = TruncationReport::default();
    let options = TextClassificationOptions::default()
        .truncation_report(report.clone())
        .tokenizer(TokenizerOptions::default().truncation(TruncationStrategy::LongestFirst));
    let texts = ["good", long.as_str()].repeat(1500);
    let outputs = pipeline.run_batch(texts, &options).unwrap();
    assert_eq!(outputs.len(), 3000);
    assert_eq!(report.inputs(), (0..3000).filter(|number| number % 2 == 1).collect::<Vec<_>>());

    let (_folder, pipeline, _) = text_pipeline("similarity");
    let Pipeline::SentenceSimilarity(pipeline) = pipeline else { panic!() };
    let report = TruncationReport::default();
    let options = SentenceSimilarityOptions::default().truncation_report(report.clone());
    pipeline.similarities("good", ["bad", long.as_str()], &options).unwrap();
    assert_eq!(report.inputs(), [2]);
}

/// A caller of the JSON face is told what was cut, whatever the task.
#[test]
fn json_calls_report_what_was_cut() {
    let long = "It was good and bad. ".repeat(40);
    let masked = format!("The [MASK] of it. {long}");
    let ranking = json!({"query": "good", "documents": ["bad", &long]});
    let compared = json!({"source_sentence": &long, "sentences": ["bad", &long]});
    for (golden, input, options, expected) in [
        ("classify-wordpiece", json!(["good", &long]), json!({"truncation": true}), &[1][..]),
        ("features-wordpiece", json!([&long, "good"]), json!({"truncation": true}), &[0]),
        (
            "masks-wordpiece",
            json!([&masked, "A [MASK]."]),
            json!({"tokenizer_kwargs": {"truncation": true}}),
            &[0],
        ),
        ("rank-wordpiece", ranking, json!({}), &[1]),
        ("similarity", compared, json!({}), &[0, 2]),
        ("similarity", json!(["good", "bad"]), json!({}), &[]),
    ] {
        let (_folder, pipeline, _) = text_pipeline(golden);
        let output = pipeline.call(input, self::options(&options)).unwrap();
        assert_eq!(output.truncated, expected, "{golden}");
    }
    let Checkpoint { folder, .. } = checkpoint("text-generation");
    let source = ModelSource::directory(folder.path());
    let pipeline = Pipeline::open(Task::TextGeneration, source, LoadOptions::default()).unwrap();
    let options = json!({"truncation": true, "max_length": 9, "max_new_tokens": 2});
    let output = pipeline.call(json!(["a", &long]), self::options(&options)).unwrap();
    assert_eq!(output.truncated, [1]);
}

/// An item that cannot be used gives an error in its place; the others are answered.
#[test]
fn a_stream_goes_on_after_a_bad_item() {
    let (_folder, pipeline, _) = text_pipeline("masks-wordpiece");
    let Pipeline::FillMask(pipeline) = pipeline else { panic!() };
    let texts = ["The [MASK] of the candle.", "no mask", "A [MASK]."];
    let found: Vec<_> = pipeline.stream(texts, &FillMaskOptions::default()).unwrap().collect();
    assert_eq!(found.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn pooled_features_follow_from_the_raw_ones() {
    let (_folder, pipeline, _) = text_pipeline("features-wordpiece");
    let Pipeline::FeatureExtraction(pipeline) = pipeline else { panic!() };
    let text = "Angela Merkel lives in Berlin.";
    let Features::Tokens(tokens) = pipeline.run(text).unwrap() else { panic!() };
    let column = |place: usize| tokens.iter().map(move |token| token[place]);
    for (pooling, expected) in [
        (Pooling::Cls, tokens[0][5]),
        (Pooling::Last, tokens[tokens.len() - 1][5]),
        (Pooling::Max, column(5).fold(f32::NEG_INFINITY, f32::max)),
        (Pooling::Mean, column(5).sum::<f32>() / tokens.len() as f32),
    ] {
        let mut options = FeatureExtractionOptions::default().pooling(pooling);
        let Features::Pooled(vector) = pipeline.run_with(text, &options).unwrap() else { panic!() };
        assert!((vector[5] - expected).abs() < 1e-5, "{pooling:?}");
        options.normalize = Some(true);
        let Features::Pooled(unit) = pipeline.run_with(text, &options).unwrap() else { panic!() };
        let length: f32 = unit.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{pooling:?}");
        assert!(
            (unit[5] * vector.iter().map(|v| v * v).sum::<f32>().sqrt() - vector[5]).abs() < 1e-5
        );
    }
}

/// The command-line face: JSON on stdout, one clear line and exit code 2 for a wrong request, 1 for
/// a failed run.
#[test]
fn the_pipeline_example() {
    let Checkpoint { folder, golden } = checkpoint("text-generation");
    let call = &golden["calls"][0];
    let model = format!("{}/", folder.path().display());
    let input = call["input"].as_str().unwrap();
    let options = call["options"].to_string();
    let run =
        |arguments: &[&str]| Command::new(example("pipeline")).args(arguments).output().unwrap();

    let good = run(&["text-generation", "--model", &model, "--options", &options, input]);
    let printed: Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!((printed, good.status.code()), (call["output"].clone(), Some(0)));

    let file = folder.path().join("prompt.txt");
    fs::write(&file, input).unwrap();
    let at = format!("@{}", file.display());
    let from_file = run(&["text-generation", "--model", &model, "--options", &options, &at]);
    assert_eq!(from_file.stdout, good.stdout);

    for (wrong, code) in [
        (&["text-guessing", "--model", &model, input][..], 2),
        (&["text-generation", "--model", &model, "--options", "{\"speed\": 3}", input], 2),
        (&["text-generation", "--model", &model, "--options", "[1]", input], 2),
        (&["text-generation", "--model", &model, "--dtype", "f12", input], 2),
        (&["text-generation", "--model", &model, "[1, 2]"], 2),
        (&["text-generation", "--model", &model, "@/no/such/file"], 2),
        (&["text-generation", "--model", "./no-such-model", input], 1),
    ] {
        let outcome = run(wrong);
        let stderr = String::from_utf8_lossy(&outcome.stderr);
        assert_eq!(outcome.status.code(), Some(code), "{wrong:?}: {stderr}");
        assert!(outcome.stdout.is_empty() && !stderr.contains("panicked"), "{wrong:?}: {stderr}");
    }

    // A bad value in a file is not the caller's.
    fs::write(folder.path().join("generation_config.json"), r#"{"top_p": 7}"#).unwrap();
    let outcome = run(&["text-generation", "--model", &model, input]);
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("generation_config.json") && stderr.contains("`top_p`"), "{stderr}");
}

/// Pictures become files beside the JSON.
#[cfg(feature = "image")]
#[test]
fn the_pipeline_example_writes_pictures() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/diffusion/sd1");
    let (model, to) = (format!("{}/", goldens.display()), tempfile::tempdir().unwrap());
    let options =
        r#"{"num_inference_steps": 1, "height": 16, "width": 24, "num_images_per_prompt": 2}"#;
    let outcome = Command::new(example("pipeline"))
        .args([
            "text-to-image",
            "--model",
            &model,
            "--device",
            "cpu",
            "--options",
            options,
            "--output",
        ])
        .args([to.path().to_str().unwrap(), "a cat"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status.code(), Some(0), "{stderr}");
    for number in 0..2 {
        let path = to.path().join(format!("text-to-image-{number}.png"));
        assert!(stderr.contains(&path.display().to_string()), "{stderr}");
        let image = sconce::image::read(path).unwrap();
        assert_eq!((image.width, image.height), (24, 16));
    }
}

/// Cargo builds examples beside the tests' own folder.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let example = profile.join("examples").join(name);
    assert!(example.exists(), "{} is missing: cargo test builds it", example.display());
    example
}
