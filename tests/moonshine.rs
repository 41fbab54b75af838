//! Every tiny Moonshine in `tests/goldens/moonshine` against the numbers the Python reference computed with
//! the same weights: `make_moonshine.py`.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::Deserialize;

use sconce::audio::AudioFeatures;
use sconce::batch::TokenBatch;
use sconce::models::speech::SpeechSeq2Seq;
use sconce::models::{AutoModel, LogitsAt, save};
use sconce::{LoadOptions, ModelSource, Result};

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    rows: Vec<Row>,
    ids: Vec<u32>,
    greedy: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
struct Row {
    samples: usize,
    padded: usize,
    seed: usize,
    masked: bool,
}

impl Row {
    /// What the script calls `samples`, and zeros of padding.
    fn features(&self) -> AudioFeatures {
        let number = |at: usize| {
            let noise = ((at * 7919 + self.seed * 104_729) % 1009) as f64 / 1009.0 - 0.5;
            let (at, seed) = (at as f64, self.seed as f64);
            let wave = (0.031 * (seed + 1.0) * at).sin() + 0.5 * (0.0017 * at + seed).sin();
            (wave + 0.4 * noise) as f32
        };
        let mut values: Vec<f32> = (0..self.samples).map(number).collect();
        values.resize(self.padded, 0.0);
        let length = if self.masked { self.samples } else { self.padded };
        AudioFeatures::new(values, 1, length).unwrap()
    }
}

fn close(name: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims(), "{name}");
    let most = |x: &Tensor| x.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    let apart = most(&(found - expected).unwrap()) / most(expected).max(1.0);
    assert!(apart < 1e-4, "{name} is {apart} of the largest number apart");
}

#[test]
fn states_logits_and_greedy_ids_are_those_of_the_reference() -> Result<()> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/moonshine");
    let folders: Vec<_> =
        fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(folders.len() >= 2);
    let options = LoadOptions::default().device(Device::Cpu);
    let temporary = tempfile::tempdir().unwrap();
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(folder.join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_str(&text).unwrap();
        let file = folder.join("expected.safetensors");
        let arrays = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
        let model = AutoModel::open::<dyn SpeechSeq2Seq>(folder.as_path(), &options)?;
        assert_eq!(model.start_id(), Some(1));
        let to = temporary.path().join(&name);
        save(&ModelSource::directory(&folder).open()?, model.inventory(), &to)?;
        let saved = AutoModel::open::<dyn SpeechSeq2Seq>(to.as_path(), &options)?;
        let rows: Vec<AudioFeatures> = expected.rows.iter().map(Row::features).collect();
        let rows: Vec<&AudioFeatures> = rows.iter().collect();
        for model in [&model, &saved] {
            for (number, found) in model.hidden_states(&rows)?.iter().enumerate() {
                let array = format!("{number}.encoder");
                close(&format!("{name}: {array}"), found, &arrays[&array]);
            }
            // All rows together, then each alone.
            let mut cache = model.encode(&rows)?;
            let ids = vec![expected.ids.clone(); rows.len()];
            let batch = TokenBatch::padded(&ids, 0, sconce::batch::PaddingSide::Right)?;
            let found = model.forward(&batch, &mut cache, LogitsAt::EveryToken)?;
            for number in 0..rows.len() {
                let array = format!("{number}.logits");
                close(&format!("{name}: {array}"), &found.get(number)?, &arrays[&array]);
            }
            for (row, greedy) in rows.iter().zip(&expected.greedy) {
                let mut cache = model.encode(&[row])?;
                let mut id = 1;
                for expected in greedy {
                    let batch = TokenBatch::single(&[id])?;
                    let logits = model.forward(&batch, &mut cache, LogitsAt::LastToken)?;
                    id = logits.get(0)?.argmax(0)?.to_scalar::<u32>()?;
                    assert_eq!(id, *expected, "{name}");
                }
            }
        }
        for wrong in
            [AudioFeatures::new(vec![0.0; 700], 1, 700)?, AudioFeatures::new(vec![0.0; 9], 3, 3)?]
        {
            assert!(model.encode(&[&wrong]).is_err());
        }
    }
    Ok(())
}
