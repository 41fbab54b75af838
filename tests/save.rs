//! Every tiny checkpoint of `tests/goldens` saved as GGUF: what llama.cpp's own converter makes of it,
//! tensor for tensor and key for key, and a model that still says what the reference says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use sconce::models::{AutoModel, CausalLm, save};
use sconce::source::gguf::{GgufFile, GgufValue};
use sconce::tokenizer::Tokenizer;
use sconce::{CachePrecision, LoadOptions, ModelSource, QuantLevel};

#[path = "support/golden.rs"]
mod golden;

use golden::{Golden, Outcome, alone, expect_close};

/// In f32, with logits up to about 20.
const TOLERANCE: f32 = 1e-4;

fn main() {
    let mut trials = Vec::new();
    for golden in Golden::all() {
        if golden.forms().iter().all(|form| form.name.ends_with(".gguf")) {
            continue;
        }
        let golden = Arc::new(golden);
        trials.push(Trial::test(golden.name.clone(), move || check(&golden)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// With keys and values in f32: rounding them would hide what saving changes.
fn exact() -> LoadOptions {
    LoadOptions::default().cache(CachePrecision::F32)
}

fn check(golden: &Golden) -> Outcome {
    let there = tempfile::tempdir()?;
    let files = ModelSource::directory(&golden.folder).open()?;
    let to = there.path().join("saved.gguf");
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &exact())?;
    let outcome = save(&files, model.inventory(), &to);
    if let Some(reason) = &golden.expected.refused {
        let error = outcome.err().ok_or("was saved")?.to_string();
        assert!(error.contains(reason), "{error}");
        assert!(std::fs::read_dir(there.path())?.next().is_none(), "something is left");
        return Ok(());
    }
    outcome?;
    let saved = AutoModel::open::<dyn CausalLm>(ModelSource::gguf(&to), &exact())?;
    assert_eq!(saved.inventory().parameters(), model.inventory().parameters());
    assert_eq!(saved.inventory().bytes_by_precision(), model.inventory().bytes_by_precision());
    for case in &golden.expected.cases {
        for (row, ids) in case.rows.iter().enumerate() {
            let what = format!("logits of {}, row {row}", case.name);
            expect_close(&what, &alone(&*saved, ids)?, &golden.logits(case, row), TOLERANCE)?;
        }
    }
    let (before, after) =
        (Tokenizer::from_files(&files)?, Tokenizer::open(ModelSource::gguf(&to))?);
    let text = "The quick brown fox, 12345 <s>jumps</s> over\n\n the lazy dog's été 😀.";
    assert_eq!(after.encode(text)?.ids, before.encode(text)?.ids);
    let converted = golden.folder.join("model.gguf");
    if converted.exists() {
        compare(&GgufFile::open(&[to])?, &GgufFile::open(&[converted])?)?;
    }
    quantized(golden, there.path())
}

/// Against the converter's file of the same folder.
fn compare(saved: &GgufFile, converted: &GgufFile) -> Outcome {
    let shapes = |file: &GgufFile| -> BTreeMap<String, (Vec<usize>, u32)> {
        let tensors = file.tensors().iter();
        tensors.map(|(name, t)| (name.clone(), (t.shape.clone(), t.ggml_type))).collect()
    };
    assert_eq!(shapes(saved), shapes(converted));
    for name in converted.tensors().keys() {
        assert!(saved.bytes(name) == converted.bytes(name), "{name} differs");
    }
    for (key, value) in converted.metadata() {
        // Names and sizes in words; what the converter writes and nobody reads.
        let unread = key.starts_with("general.")
            || key == "starcoder2.attention.layer_norm_rms_epsilon"
            || key.ends_with("moe.feed_forward_length")
            // What the scaling stretches the context to is longer than the config says.
            || key == "llama.context_length" && saved.tensors().contains_key("rope_freqs.weight");
        if unread {
            continue;
        }
        let found = saved.metadata().get(key).ok_or_else(|| format!("no key {key}"))?;
        assert_eq!(same_numbers(found), same_numbers(value), "{key}");
    }
    Ok(())
}

/// Without the types of integers.
fn same_numbers(value: &GgufValue) -> GgufValue {
    match value {
        GgufValue::Int(value) => {
            u64::try_from(*value).map_or(GgufValue::Int(*value), GgufValue::UInt)
        }
        GgufValue::Numbers(values) => {
            GgufValue::Array(values.iter().map(|value| same_numbers(&value)).collect())
        }
        value => value.clone(),
    }
}

/// Quantized while it was loaded, saved and loaded again it is the same model.
fn quantized(golden: &Golden, there: &Path) -> Outcome {
    let files = ModelSource::directory(&golden.folder).open()?;
    let options = exact().quantize(QuantLevel::Q4_1);
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &options)?;
    let to = there.join("quantized.gguf");
    save(&files, model.inventory(), &to)?;
    let saved = AutoModel::open::<dyn CausalLm>(ModelSource::gguf(&to), &exact())?;
    assert_eq!(saved.inventory().bytes_by_precision(), model.inventory().bytes_by_precision());
    let ids = &golden.expected.cases[0].rows[0];
    let (found, expected) = (alone(&*saved, ids)?, alone(&*model, ids)?);
    // GGUF files turn the channels of heads about, so sums are rounded otherwise, and an activation
    // on the border of two steps of 8 bits may go the other way: not at most positions, though.
    let alike = found.iter().zip(&expected).filter(|(found, expected)| {
        found.iter().zip(*expected).all(|(found, expected)| (found - expected).abs() <= 1e-5)
    });
    assert!(2 * alike.count() > expected.len());
    expect_close("quantized", &found, &expected, 0.25)
}
