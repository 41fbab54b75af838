//! Every tiny checkpoint of `tests/goldens` saved as GGUF: what llama.cpp's own converter makes of it,
//! tensor for tensor and key for key, and a model that still says what the reference says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

use sconce::batch::TokenBatch;
use sconce::models::heads::Encoder;
use sconce::models::{AutoModel, CausalLm, LogitsAt, Seq2SeqLm, save};
use sconce::source::gguf::{GgufFile, GgufValue};
use sconce::tokenizer::Tokenizer;
use sconce::{CachePrecision, LoadOptions, ModelSource, Precision, QuantLevel};

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
    for name in ["text2text-t5", "text2text-umt5"] {
        trials.push(Trial::test(name, move || check_t5(name)));
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

/// A whole encoder-decoder, and its encoder alone.
fn check_t5(name: &str) -> Outcome {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let golden = goldens.join("text_to_text").join(name);
    let about: Value = serde_json::from_str(&fs::read_to_string(golden.join("golden.json"))?)?;
    let folder = tempfile::tempdir()?;
    for file in ["config.json", "generation_config.json", "model.safetensors"] {
        fs::copy(golden.join(file), folder.path().join(file))?;
    }
    for (file, model) in about["models"].as_object().unwrap() {
        let model = goldens.join("tokenizers/models").join(model.as_str().unwrap());
        fs::copy(model, folder.path().join(file))?;
    }
    for (file, content) in about["files"].as_object().unwrap() {
        fs::write(folder.path().join(file), content.to_string())?;
    }
    let files = ModelSource::directory(folder.path()).open()?;
    let there = tempfile::tempdir()?;
    let whole = there.path().join("whole.gguf");
    let options = exact().dtype(Precision::F32);
    let model = AutoModel::from_files::<dyn Seq2SeqLm>(&files, &options)?;
    save(&files, model.inventory(), &whole)?;
    let saved = AutoModel::open::<dyn Seq2SeqLm>(ModelSource::gguf(&whole), &exact())?;
    assert_eq!(saved.inventory().bytes_by_precision(), model.inventory().bytes_by_precision());
    assert_eq!(saved.start_id(), model.start_id());
    let (before, after) =
        (Tokenizer::from_files(&files)?, Tokenizer::open(ModelSource::gguf(&whole))?);
    let text = "The house  is wonderful, and ｆｕｌｌ 12345 of l'été 😀 ! ";
    let ids = before.encode(text)?.ids;
    assert_eq!(after.encode(text)?.ids, ids);
    assert_eq!(after.decode(&ids, true)?, before.decode(&ids, true)?);
    let source = TokenBatch::single(&ids)?;
    let logits = |model: &dyn Seq2SeqLm| -> Outcome<Vec<Vec<Vec<f32>>>> {
        let (batch, mut cache) = (TokenBatch::single(&[0, 9, 7])?, model.encode(&source)?);
        Ok(model.forward(&batch, &mut cache, LogitsAt::EveryToken)?.to_vec3()?)
    };
    assert_eq!(logits(&*saved)?, logits(&*model)?);
    let converted = golden.join("model.gguf");
    if converted.exists() {
        compare(&GgufFile::open(&[whole])?, &GgufFile::open(&[converted])?)?;
    }

    let alone = there.path().join("alone.gguf");
    let encoder = AutoModel::from_files::<dyn Encoder>(&files, &options)?;
    save(&files, encoder.inventory(), &alone)?;
    let saved = AutoModel::open::<dyn Encoder>(ModelSource::gguf(&alone), &exact())?;
    let states =
        |model: &dyn Encoder| -> Outcome<_> { Ok(model.encode(&source)?.to_vec3::<f32>()?) };
    assert_eq!(states(&*saved)?, states(&*encoder)?);
    let error = AutoModel::open::<dyn Seq2SeqLm>(ModelSource::gguf(&alone), &exact()).unwrap_err();
    assert!(error.to_string().contains("open it as `dyn Encoder`"), "{error}");
    Ok(())
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
            // transformers strips T5's texts whatever the SentencePiece file says, and so do we.
            || key == "tokenizer.ggml.remove_extra_whitespaces"
            // What the scaling stretches the context to is longer than the config says.
            || key == "llama.context_length" && saved.tensors().contains_key("rope_freqs.weight");
        if unread {
            continue;
        }
        let found = saved.metadata().get(key).ok_or_else(|| format!("no key {key}"))?;
        let is_t5 = converted.metadata()["general.architecture"] == "t5".into();
        let is_of_tokens = ["tokens", "scores", "token_type"]
            .iter()
            .any(|name| key.strip_prefix("tokenizer.ggml.") == Some(*name));
        if is_t5 && is_of_tokens {
            // The converter forgets T5's sentinels.
            same_pieces(saved, converted)?;
            continue;
        }
        assert_eq!(same_numbers(found), same_numbers(value), "{key}");
    }
    Ok(())
}

/// Of the tokens that the converter's file knows.
fn same_pieces(saved: &GgufFile, converted: &GgufFile) -> Outcome {
    let list = |file: &GgufFile, name: &str| match same_numbers(&file.metadata()[name]) {
        GgufValue::Array(values) => values,
        other => vec![other],
    };
    let lists = |file: &GgufFile| {
        ["tokens", "scores", "token_type"].map(|name| list(file, &format!("tokenizer.ggml.{name}")))
    };
    let (found, expected) = (lists(saved), lists(converted));
    let unused = GgufValue::UInt(5);
    let known = expected[2].iter().position(|kind| *kind == unused).unwrap_or(expected[2].len());
    assert!(known > 100);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.len(), expected.len());
        assert_eq!(found[..known], expected[..known]);
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
