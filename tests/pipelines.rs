//! Pipelines against what the Python ones return for the same calls on the same tiny checkpoints:
//! `tests/goldens/pipelines`, made by `tests/goldens/make_pipelines.py`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use sconce::pipeline::{Pipeline, Task, TextGenerationOptions, TextGenerationPipeline};
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

/// Every task's golden: outputs equal, and an error wherever Python has one.
#[test]
fn outputs_are_pythons() {
    for task in Task::ALL {
        let Checkpoint { folder, golden } = checkpoint(task.name());
        let source = ModelSource::directory(folder.path());
        let pipeline = Pipeline::load(*task, source, LoadOptions::default()).unwrap();
        for call in golden["calls"].as_array().unwrap() {
            let outcome = pipeline.call(&call["input"], options(&call["options"]));
            match call.get("output") {
                Some(output) => assert_eq!(outcome.unwrap(), *output, "{task}: {call}"),
                None => {
                    let error = outcome.expect_err(&format!("{task}: {call}"));
                    assert!(error.is_caller_error(), "{task}: {call}: {error}");
                }
            }
        }
    }
}

fn text_generation() -> (tempfile::TempDir, TextGenerationPipeline) {
    let Checkpoint { folder, .. } = checkpoint("text-generation");
    let pipeline = Pipeline::text_generation(folder.path()).build().unwrap();
    (folder, pipeline)
}

fn greedy() -> TextGenerationOptions {
    let Value::Object(options) = json!({"do_sample": false, "max_new_tokens": 12}) else {
        panic!()
    };
    TextGenerationOptions::from_json(options).unwrap()
}

#[test]
fn a_batch_gives_what_each_gives_alone() {
    let (_folder, pipeline) = text_generation();
    let prompts = ["The cat sat", "A dog and a bird ran over the hill", "It"];
    let mut options = greedy();
    options.batch_size = Some(3);
    let together = pipeline.run_batch(prompts, &options).unwrap();
    for (prompt, together) in prompts.iter().zip(together) {
        assert_eq!(pipeline.run_with(*prompt, &greedy()).unwrap(), together);
    }
}

#[test]
fn a_stream_is_the_new_text_in_pieces() {
    let (_folder, pipeline) = text_generation();
    let mut options = greedy();
    options.return_full_text = Some(false);
    options.clean_up_tokenization_spaces = Some(false);
    for prompt in ["The cat sat", "Two words , here ."] {
        let whole = pipeline.run_with(prompt, &options).unwrap();
        let pieces = pipeline.stream_with(prompt, &options).unwrap().into_text().unwrap();
        assert_eq!(whole[0].text().unwrap(), pieces);
    }
}

#[test]
fn several_sequences_are_several_records() {
    let (_folder, pipeline) = text_generation();
    let mut options = greedy();
    options.generation = options.generation.do_sample(true).seed(1).num_return_sequences(3);
    assert_eq!(pipeline.run_with("The cat sat", &options).unwrap().len(), 3);
}

/// Two prompts of two records each, not four records for the first prompt.
#[test]
fn the_model_may_ask_for_several_sequences() {
    let Checkpoint { folder, .. } = checkpoint("text-generation");
    let file = folder.path().join("generation_config.json");
    fs::write(file, r#"{"num_return_sequences": 2, "max_new_tokens": 4}"#).unwrap();
    let pipeline = Pipeline::text_generation(folder.path()).build().unwrap();
    let options = TextGenerationOptions::default();
    let records = pipeline.run_batch(["The cat sat", "It"], &options).unwrap();
    assert_eq!(records.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
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
}

/// Cargo builds examples beside the tests' own folder.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let example = profile.join("examples").join(name);
    assert!(example.exists(), "{} is missing: cargo test builds it", example.display());
    example
}
