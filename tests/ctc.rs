//! Every tiny model of letters per frame in `tests/goldens/ctc` against the numbers the Python reference
//! computed with the same weights, and against itself.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use candle_core::{Device, Tensor};
use serde::Deserialize;

use sconce::audio::AudioFeatures;
use sconce::models::speech::ctc::open_language;
use sconce::models::speech::{AudioClassifier, Ctc};
use sconce::models::{AutoModel, save};
use sconce::{LoadOptions, ModelSource, QuantLevel, Result};

/// Of the largest number.
const TOLERANCE: f32 = 1e-4;

struct Golden {
    folder: PathBuf,
    expected: Expected,
    arrays: HashMap<String, Tensor>,
}

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    classifies: bool,
    width: usize,
    ratio: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    inputs: usize,
    padded: usize,
    seed: usize,
    masked: bool,
}

impl Row {
    /// What the script calls `inputs`, and zeros of padding.
    fn features(&self, width: usize) -> AudioFeatures {
        let number = |at: usize| {
            let noise = ((at * 7919 + self.seed * 104_729) % 1009) as f64 / 1009.0 - 0.5;
            let (at, seed) = (at as f64, self.seed as f64);
            let wave = (0.031 * (seed + 1.0) * at).sin() + 0.5 * (0.0017 * at + seed).sin();
            (wave + 0.4 * noise) as f32
        };
        let mut values: Vec<f32> = (0..self.inputs * width).map(number).collect();
        values.resize(self.padded * width, 0.0);
        let length = if self.masked { self.inputs } else { self.padded };
        AudioFeatures::new(values, width, length).unwrap()
    }
}

impl Golden {
    fn all(classifies: bool) -> Vec<Self> {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/ctc");
        let mut folders: Vec<_> =
            fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        let goldens = folders.into_iter().map(|folder| {
            let text = fs::read_to_string(folder.join("expected.json")).unwrap();
            let expected: Expected = serde_json::from_str(&text).unwrap();
            let file = folder.join("expected.safetensors");
            let arrays = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
            Self { folder, expected, arrays }
        });
        let goldens: Vec<_> =
            goldens.filter(|golden| golden.expected.classifies == classifies).collect();
        assert!(!goldens.is_empty());
        goldens
    }

    fn name(&self) -> &str {
        self.folder.file_name().unwrap().to_str().unwrap()
    }

    fn open(&self, options: &LoadOptions) -> Arc<dyn Ctc> {
        AutoModel::open::<dyn Ctc>(self.folder.as_path(), options)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name()))
    }

    fn rows(&self, case: &Case) -> Vec<AudioFeatures> {
        case.rows.iter().map(|row| row.features(self.expected.width)).collect()
    }

    fn close(&self, name: &str, found: &Tensor) {
        let expected = &self.arrays[name];
        assert_eq!(found.dims(), expected.dims(), "{}: {name}", self.name());
        let apart = relative(found, expected);
        assert!(
            apart < TOLERANCE,
            "{}: {name} is {apart} of the largest number apart",
            self.name()
        );
    }
}

fn relative(found: &Tensor, expected: &Tensor) -> f32 {
    let most = |x: &Tensor| x.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    let apart = most(&(found - expected).unwrap());
    // NaN is far away.
    if apart.is_nan() { f32::INFINITY } else { apart / most(expected).max(1.0) }
}

fn cpu() -> LoadOptions {
    LoadOptions::default().device(Device::Cpu)
}

fn references(rows: &[AudioFeatures]) -> Vec<&AudioFeatures> {
    rows.iter().collect()
}

#[test]
fn hidden_states_and_logits_are_those_of_the_reference_alone_and_together() -> Result<()> {
    for golden in Golden::all(false) {
        let model = golden.open(&cpu());
        assert_eq!(model.inputs_to_logits_ratio(), golden.expected.ratio, "{}", golden.name());
        for case in &golden.expected.cases {
            let rows = golden.rows(case);
            let (hidden, together) =
                (model.hidden_states(&references(&rows))?, model.logits(&references(&rows))?);
            for (number, row) in rows.iter().enumerate() {
                let name = |part: &str| format!("{}.{number}.{part}", case.name);
                golden.close(&name("hidden"), &hidden[number]);
                golden.close(&name("logits"), &together[number]);
                golden.close(&name("logits"), &model.logits(&[row])?[0]);
                assert_eq!(together[number].dim(1)?, model.vocab());
            }
        }
    }
    Ok(())
}

#[test]
fn labels_are_those_of_the_reference() -> Result<()> {
    for golden in Golden::all(true) {
        let model = AutoModel::open::<dyn AudioClassifier>(golden.folder.as_path(), &cpu())?;
        for case in &golden.expected.cases {
            let rows = golden.rows(case);
            let found = model.classify(&references(&rows))?;
            assert_eq!(found.dim(1)?, model.labels().names.len());
            for number in 0..rows.len() {
                golden.close(&format!("{}.{number}.logits", case.name), &found.get(number)?);
            }
        }
    }
    Ok(())
}

#[test]
fn languages_have_adapters_and_letters_of_their_own() -> Result<()> {
    let with_languages = |golden: &Golden| golden.arrays.contains_key("language.logits");
    let golden = Golden::all(false).into_iter().find(with_languages).unwrap();
    let files = ModelSource::directory(&golden.folder).open()?;
    let model = open_language(&files, "fra", &cpu())?;
    let row = golden.expected.cases[0].rows[0].features(golden.expected.width);
    golden.close("language.logits", &model.logits(&[&row])?[0]);
    for wrong in ["deu", "", "../fra"] {
        assert!(open_language(&files, wrong, &cpu()).is_err(), "{wrong}");
    }
    let other = Golden::all(false).into_iter().find(|golden| !with_languages(golden)).unwrap();
    let files = ModelSource::directory(&other.folder).open()?;
    let error = open_language(&files, "fra", &cpu()).unwrap_err().to_string();
    assert!(error.contains("no adapters of languages"), "{error}");
    Ok(())
}

/// Quantized while loading, and saved: the same numbers, near those of the dense model.
#[test]
fn models_are_quantized_and_saved() -> Result<()> {
    let temporary = tempfile::tempdir().unwrap();
    for golden in Golden::all(false) {
        let row = golden.expected.cases[0].rows[0].features(golden.expected.width);
        let dense = golden.open(&cpu()).logits(&[&row])?.swap_remove(0);
        for (form, options, allowed) in
            [("dense", cpu(), 0.0), ("q8_0", cpu().quantize(QuantLevel::Q8_0), 0.1)]
        {
            let model = golden.open(&options);
            let found = model.logits(&[&row])?.swap_remove(0);
            let apart = relative(&found, &dense);
            assert!(apart <= allowed, "{}, {form}: {apart}", golden.name());
            let to = temporary.path().join(format!("{}-{form}", golden.name()));
            let files = ModelSource::directory(&golden.folder).open()?;
            save(&files, model.inventory(), &to)?;
            let again = AutoModel::open::<dyn Ctc>(to.as_path(), &cpu())?;
            let apart = relative(&again.logits(&[&row])?[0], &found);
            assert!(apart <= 1e-6, "{}, {form}, saved: {apart}", golden.name());
        }
        let inventory = golden.open(&cpu().quantize(QuantLevel::Q8_0));
        let is_packed = |item: &sconce::weights::Item| item.precision == "q8_0";
        assert!(inventory.inventory().items().iter().any(is_packed), "{}", golden.name());
    }
    Ok(())
}

#[test]
fn one_model_serves_many_threads() -> Result<()> {
    let golden = Golden::all(false).swap_remove(0);
    let model = golden.open(&cpu().threads(2));
    let rows = golden.rows(&golden.expected.cases[0]);
    let expected = model.logits(&references(&rows))?;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let found = model.logits(&references(&rows)).unwrap();
                for (found, expected) in found.iter().zip(&expected) {
                    assert!(relative(found, expected) < 1e-6);
                }
            });
        }
    });
    Ok(())
}

#[test]
fn wrong_input_is_refused() -> Result<()> {
    for golden in Golden::all(false) {
        let (model, width) = (golden.open(&cpu()), golden.expected.width);
        let features = |values: Vec<f32>, width| AudioFeatures::new(values, width, 0).unwrap();
        let whole = |values: Vec<f32>, width: usize| {
            let length = values.len() / width;
            AudioFeatures::new(values, width, length).unwrap()
        };
        let mut broken = vec![0.1; 800 * width];
        broken[790 * width] = f32::NAN;
        for (row, said) in [
            (features(vec![0.0; width], width), "too few"),
            (whole(vec![0.0; 3 * (width + 1)], width + 1), "feature extractor"),
            (whole(broken, width), "NaN"),
        ] {
            let error = model.logits(&[&row]).unwrap_err();
            assert!(error.is_caller_error() && error.to_string().contains(said), "{error}");
        }
        if width == 1 {
            assert!(model.logits(&[&whole(vec![0.1; 399], 1)]).is_err());
            assert_eq!(model.logits(&[&whole(vec![0.1; 400], 1)])?[0].dim(0)?, 1);
        }
        assert!(model.logits(&[]).is_err());
        let classifier = AutoModel::open::<dyn AudioClassifier>(golden.folder.as_path(), &cpu());
        let error = classifier.unwrap_err().to_string();
        assert!(error.contains("no audio-classification head"), "{error}");
    }
    Ok(())
}
