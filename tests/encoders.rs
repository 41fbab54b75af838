//! Every tiny encoder in `tests/goldens/encoders`, with each of its heads, against the numbers the
//! Python reference computed with the same weights, and against itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use candle_core::{Device, Tensor};
use libtest_mimic::{Arguments, Trial};
use serde::Deserialize;

use sconce::batch::{PaddingSide, TokenBatch};
use sconce::models::AutoModel;
use sconce::models::heads::{
    self, MaskedLm, QuestionAnswerer, SequenceClassifier, TokenClassifier,
};
use sconce::{Error, LoadOptions, Precision, QuantLevel};

#[path = "support/golden.rs"]
mod golden;

use golden::{Outcome, expect_close, relative_error};

const TOLERANCE: f32 = 1e-4;

/// One folder.
struct Encoder {
    folder: PathBuf,
    expected: Expected,
    arrays: HashMap<String, Tensor>,
}

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    heads: Vec<String>,
    padding_id: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    rows: Vec<Vec<u32>>,
    types: Vec<Vec<u32>>,
}

/// One thing that is to hold of every folder.
type Check = fn(&Encoder) -> Outcome;

fn main() {
    let mut trials = Vec::new();
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/encoders");
    let mut folders: Vec<_> =
        fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "tests/goldens/encoders is empty");
    let checks: [(&str, Check); 6] = [
        ("reference", reference),
        ("biases_of_decoders", biases_of_decoders),
        ("padded_row_is_row_alone", padded_row_is_row_alone),
        ("threads", threads),
        ("quantized", quantized),
        ("refusals", refusals),
    ];
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let encoder = Arc::new(Encoder::open(folder));
        for (check, run) in checks {
            let encoder = encoder.clone();
            trials.push(Trial::test(format!("{name}/{check}"), move || run(&encoder)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

impl Encoder {
    fn open(folder: PathBuf) -> Self {
        let text = fs::read_to_string(folder.join("expected.json")).unwrap();
        let arrays = folder.join("expected.safetensors");
        Self {
            expected: serde_json::from_str(&text).unwrap(),
            arrays: candle_core::safetensors::load(arrays, &Device::Cpu).unwrap(),
            folder,
        }
    }

    fn case(&self, name: &str) -> &Case {
        self.expected.cases.iter().find(|case| case.name == name).unwrap()
    }

    fn expect(&self, case: &Case, row: usize, what: &str, found: &Tensor) -> Outcome {
        let key = format!("{}.{row}.{what}", case.name);
        let expected: Vec<Vec<f32>> = self.arrays[&key].to_vec2()?;
        expect_close(&key, &found.to_vec2()?, &expected, TOLERANCE)
    }

    fn has(&self, head: &str) -> bool {
        self.expected.heads.iter().any(|known| known == head)
    }
}

impl Case {
    fn batch(&self, padding_id: u32, side: PaddingSide) -> sconce::Result<TokenBatch> {
        let types = TokenBatch::padded(&self.types, 0, side)?.ids().to_vec();
        TokenBatch::padded(&self.rows, padding_id, side)?.with_type_ids(types)
    }

    /// Where a row's tokens are in its batch.
    fn columns(&self, row: usize, side: PaddingSide) -> std::ops::Range<usize> {
        let width = golden::width(&self.rows);
        match side {
            PaddingSide::Left => width - self.rows[row].len()..width,
            PaddingSide::Right => 0..self.rows[row].len(),
        }
    }
}

fn f32_options() -> LoadOptions {
    LoadOptions::default().dtype(Precision::F32)
}

fn reference(golden: &Encoder) -> Outcome {
    let folder = golden.folder.as_path();
    let encoder = AutoModel::open::<dyn heads::Encoder>(folder, &f32_options())?;
    for case in &golden.expected.cases {
        for side in [PaddingSide::Left, PaddingSide::Right] {
            let batch = case.batch(golden.expected.padding_id, side)?;
            let hidden = encoder.encode(&batch)?;
            let places: Vec<_> = (0..case.rows.len())
                .flat_map(|row| {
                    let columns = case.columns(row, side);
                    [(row, columns.start), (row, columns.end - 1)]
                })
                .collect();
            let sequence = golden.has("sequence").then(|| {
                AutoModel::open::<dyn SequenceClassifier>(folder, &f32_options())?.classify(&batch)
            });
            let tokens = golden.has("token").then(|| {
                AutoModel::open::<dyn TokenClassifier>(folder, &f32_options())?
                    .classify_tokens(&batch)
            });
            let spans = golden.has("spans").then(|| {
                AutoModel::open::<dyn QuestionAnswerer>(folder, &f32_options())?.spans(&batch)
            });
            let masked = golden.has("masked").then(|| {
                AutoModel::open::<dyn MaskedLm>(folder, &f32_options())?.predict(&batch, &places)
            });
            let sequence = sequence.transpose()?;
            let tokens = tokens.transpose()?;
            let spans = spans.transpose()?;
            let masked = masked.transpose()?;
            for row in 0..case.rows.len() {
                let columns = case.columns(row, side);
                let of_row = |x: &Tensor| {
                    x.narrow(0, row, 1)?.squeeze(0)?.narrow(0, columns.start, columns.len())
                };
                golden.expect(case, row, "hidden", &of_row(&hidden)?)?;
                if let Some(logits) = &sequence {
                    golden.expect(case, row, "sequence", &logits.narrow(0, row, 1)?)?;
                }
                if let Some(logits) = &tokens {
                    golden.expect(case, row, "token", &of_row(logits)?)?;
                }
                if let Some((start, end)) = &spans {
                    golden.expect(case, row, "start", &of_row(start)?.unsqueeze(0)?)?;
                    golden.expect(case, row, "end", &of_row(end)?.unsqueeze(0)?)?;
                }
                if let Some(logits) = &masked {
                    golden.expect(case, row, "masked", &logits.narrow(0, 2 * row, 2)?)?;
                }
            }
        }
    }
    Ok(())
}

/// The masked language model's bias may be stored as its decoder's alone.
fn biases_of_decoders(golden: &Encoder) -> Outcome {
    let file = golden.folder.join("model.safetensors");
    let Ok(bytes) = fs::read(file) else { return Ok(()) };
    let tensors = safetensors::SafeTensors::deserialize(&bytes)?.tensors();
    let biases = ["cls.predictions.bias", "lm_head.bias", "predictions.bias"];
    if !tensors.iter().any(|(name, _)| biases.contains(&name.as_str())) {
        return Ok(());
    }
    let renamed = tensors.into_iter().map(|(name, tensor)| {
        let moved = biases.contains(&name.as_str());
        (if moved { name.replace("bias", "decoder.bias") } else { name }, tensor)
    });
    let folder = tempfile::tempdir()?;
    let stored = safetensors::serialize(renamed, None)?;
    fs::write(folder.path().join("model.safetensors"), stored)?;
    fs::copy(golden.folder.join("config.json"), folder.path().join("config.json"))?;
    let model = AutoModel::open::<dyn MaskedLm>(folder.path(), &f32_options())?;
    let case = golden.case("plain");
    let batch = case.batch(golden.expected.padding_id, PaddingSide::Right)?;
    let logits = model.predict(&batch, &[(0, 0), (0, case.rows[0].len() - 1)])?;
    golden.expect(case, 0, "masked", &logits)
}

/// Padding in front, behind and between, whatever ids it has.
fn padded_row_is_row_alone(golden: &Encoder) -> Outcome {
    let encoder = AutoModel::open::<dyn heads::Encoder>(golden.folder.as_path(), &f32_options())?;
    let case = golden.case("batch");
    let width = golden::width(&case.rows) + 3;
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for row in &case.rows {
        let (before, after) = row.split_at(row.len() / 2);
        let behind = vec![8; width - row.len() - 2];
        let parts = [(&[7][..], 0), (before, 1), (&[9], 0), (after, 1), (&behind, 0)];
        for (part, kept) in parts {
            ids.extend(part);
            mask.extend(vec![kept; part.len()]);
        }
    }
    let batch = TokenBatch::new(case.rows.len(), ids, mask.clone())?;
    let hidden = encoder.encode(&batch)?.to_vec3::<f32>()?;
    for (row, ids) in case.rows.iter().enumerate() {
        let kept = hidden[row].iter().zip(&mask[row * width..]).filter(|(_, mask)| **mask == 1);
        let kept: Vec<Vec<f32>> = kept.map(|(vector, _)| vector.clone()).collect();
        let alone = encoder.encode(&TokenBatch::single(ids)?)?.to_vec3::<f32>()?.remove(0);
        expect_close(&format!("row {row}"), &kept, &alone, 2e-5)?;
    }
    Ok(())
}

fn threads(golden: &Encoder) -> Outcome {
    let encoder = AutoModel::open::<dyn heads::Encoder>(golden.folder.as_path(), &f32_options())?;
    let ids = &golden.case("long").rows[0];
    let encode = |length: usize| -> sconce::Result<Vec<Vec<f32>>> {
        Ok(encoder.encode(&TokenBatch::single(&ids[..length])?)?.to_vec3()?.remove(0))
    };
    let together: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (1..9).map(|i| scope.spawn(move || encode(6 * i))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (i, found) in (1..9).zip(together) {
        expect_close(&format!("thread {i}"), &found?, &encode(6 * i)?, 0.0)?;
    }
    Ok(())
}

fn quantized(golden: &Encoder) -> Outcome {
    let batch = golden.case("plain").batch(0, PaddingSide::Right)?;
    let encode = |options: &LoadOptions| -> Outcome<Vec<Vec<f32>>> {
        let encoder = AutoModel::open::<dyn heads::Encoder>(golden.folder.as_path(), options)?;
        Ok(encoder.encode(&batch)?.to_vec3()?.remove(0))
    };
    let dense = encode(&f32_options())?;
    for (options, bound) in [
        (LoadOptions::default().quantize(QuantLevel::Q8_0), 0.15),
        (LoadOptions::default().dtype(Precision::F16), 0.02),
        (LoadOptions::default().dtype(Precision::BF16), 0.1),
    ] {
        let error = relative_error(&encode(&options)?, &dense);
        if error == 0.0 || error.is_nan() || error > bound {
            return Err(format!("relative error {error} of {options:?}; allowed: {bound}").into());
        }
    }
    Ok(())
}

fn refusals(golden: &Encoder) -> Outcome {
    let folder = golden.folder.as_path();
    let encoder = AutoModel::open::<dyn heads::Encoder>(folder, &f32_options())?;
    let limits = encoder.limits();
    let unknown = encoder.encode(&TokenBatch::single(&[5, limits.vocab as u32])?);
    assert!(matches!(unknown, Err(Error::InvalidInput { .. })), "{unknown:?}");
    let long = encoder.encode(&TokenBatch::single(&vec![5; limits.context + 1])?);
    assert!(matches!(long, Err(Error::ContextOverflow { .. })), "{long:?}");
    encoder.encode(&TokenBatch::single(&vec![5; limits.context])?)?;
    let types = TokenBatch::single(&[5, 6])?.with_type_ids(vec![0]);
    assert!(matches!(types, Err(Error::InvalidInput { .. })), "{types:?}");
    if !golden.has("masked") {
        let error =
            AutoModel::open::<dyn MaskedLm>(folder, &f32_options()).unwrap_err().to_string();
        let expected = ["no masked-language-model head", "not known as an encoder"];
        assert!(expected.iter().any(|expected| error.contains(expected)), "{error}");
        return Ok(());
    }
    let model = AutoModel::open::<dyn MaskedLm>(folder, &f32_options())?;
    let batch = TokenBatch::padded(&[vec![5], vec![5, 6]], 0, PaddingSide::Right)?;
    for place in [(0, 1), (2, 0), (0, 2)] {
        assert!(model.predict(&batch, &[place]).unwrap_err().is_caller_error(), "{place:?}");
    }
    assert_eq!(model.predict(&batch, &[])?.dims(), [0, limits.vocab]);
    Ok(())
}
