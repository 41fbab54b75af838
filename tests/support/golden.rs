//! The tiny checkpoints of `tests/goldens`, what the reference computed with them, and the few
//! lines every test needs to run and compare models. `docs/goldens.md` describes the folders.
#![allow(dead_code, unreachable_pub, reason = "no user of this module uses all of it")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::Deserialize;

use sconce::batch::{PaddingSide, TokenBatch};
use sconce::models::{CausalLm, LogitsAt};
use sconce::nn::cache::KvCache;
use sconce::source::ModelSource;

/// What a test comes to; anything that can be shown becomes a failure.
pub type Outcome<T = ()> = Result<T, libtest_mimic::Failed>;

/// One row's logits, `tokens` times `vocab`.
pub type Logits = Vec<Vec<f32>>;

/// One folder.
pub struct Golden {
    pub name: String,
    pub folder: PathBuf,
    pub expected: Expected,
    logits: HashMap<String, Tensor>,
}

/// `expected.json`.
#[derive(Deserialize)]
pub struct Expected {
    pub cases: Vec<Case>,
    /// Tokens up to which the reference computes the same with and without a cache.
    pub cache_exact_up_to: Option<usize>,
    /// What `generate` gives with the folder's own generation config.
    pub stops: Option<Stops>,
    /// What of the model GGUF files cannot say, as the error names it.
    pub refused: Option<String>,
}

#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub rows: Vec<Vec<u32>>,
    /// What each row goes on with, by the largest logit.
    pub greedy: Option<Vec<Vec<u32>>>,
}

#[derive(Deserialize)]
pub struct Stops {
    pub ids: Vec<u32>,
    /// The end-of-sequence id included.
    pub generated: Vec<u32>,
}

/// One way a checkpoint is stored.
pub struct Form {
    pub name: String,
    pub source: ModelSource,
    /// Weights are ggml blocks.
    pub blocks: bool,
}

impl Golden {
    /// Every folder whose name ends in `-tiny`, by name.
    pub fn all() -> Vec<Self> {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
        let mut folders: Vec<_> =
            fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.retain(|folder| folder.to_string_lossy().ends_with("-tiny"));
        folders.sort();
        assert!(!folders.is_empty(), "tests/goldens holds no folder that ends in -tiny");
        folders.into_iter().map(Self::open).collect()
    }

    fn open(folder: PathBuf) -> Self {
        let text = fs::read_to_string(folder.join("expected.json")).unwrap();
        let logits = folder.join("expected.safetensors");
        Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            expected: serde_json::from_str(&text).unwrap(),
            logits: candle_core::safetensors::load(logits, &Device::Cpu).unwrap(),
            folder,
        }
    }

    /// The folder itself, where it holds weights, and each of its GGUF files.
    pub fn forms(&self) -> Vec<Form> {
        let mut files: Vec<_> = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let weights = files.iter().find(|file| {
            file.starts_with("model") && file.contains(".safetensors")
                || *file == "pytorch_model.bin"
        });
        let folder = weights.map(|file| Form {
            name: file.clone(),
            source: ModelSource::directory(&self.folder),
            blocks: false,
        });
        let later_part = |file: &str| file.contains("-of-") && !file.contains("-00001-of-");
        let gguf = files.iter().filter(|file| file.ends_with(".gguf") && !later_part(file));
        let gguf = gguf.map(|file| Form {
            name: file.clone(),
            source: ModelSource::gguf(self.folder.join(file)),
            blocks: weights.is_none(),
        });
        folder.into_iter().chain(gguf).collect()
    }

    pub fn case(&self, name: &str) -> &Case {
        self.expected.cases.iter().find(|case| case.name == name).unwrap()
    }

    /// The reference's logits for a row of a case.
    pub fn logits(&self, case: &Case, row: usize) -> Logits {
        self.logits[&format!("{}.{row}", case.name)].to_vec2().unwrap()
    }
}

/// The longest row's number of tokens.
pub fn width(rows: &[Vec<u32>]) -> usize {
    rows.iter().map(Vec::len).max().unwrap()
}

/// Appends the batch and returns the logits of each row's own tokens, padding left out.
pub fn advance(
    model: &dyn CausalLm,
    cache: &mut KvCache,
    batch: &TokenBatch,
) -> Outcome<Vec<Logits>> {
    let logits = model.forward(batch, cache, LogitsAt::EveryToken)?;
    let vocab = model.limits().vocab;
    let shape = [batch.rows(), batch.tokens(), vocab];
    if logits.dims() != shape {
        return Err(format!("logits have shape {:?} instead of {shape:?}", logits.dims()).into());
    }
    let masks = batch.attention_mask().chunks(batch.tokens());
    let rows = logits.to_vec3::<f32>()?.into_iter().zip(masks);
    Ok(rows
        .map(|(row, mask)| {
            row.into_iter().zip(mask).filter(|(_, mask)| **mask == 1).map(|(row, _)| row).collect()
        })
        .collect())
}

/// The logits of one unpadded row, computed at once.
pub fn alone(model: &dyn CausalLm, ids: &[u32]) -> Outcome<Logits> {
    let logits = advance(model, &mut model.new_cache(), &TokenBatch::single(ids)?)?;
    Ok(logits.into_iter().next().unwrap())
}

/// Continues each row of a padded batch with the largest logit, step by step.
pub fn greedy(
    model: &dyn CausalLm,
    rows: &[Vec<u32>],
    side: PaddingSide,
    new_tokens: usize,
) -> Outcome<Vec<Vec<u32>>> {
    let mut cache = model.new_cache();
    let mut batch = TokenBatch::padded(rows, 0, side)?;
    let mut continued = vec![Vec::new(); rows.len()];
    for _ in 0..new_tokens {
        let logits = model.forward(&batch, &mut cache, LogitsAt::LastToken)?;
        let next: Vec<u32> = logits.to_vec2::<f32>()?.iter().map(|row| largest(row)).collect();
        for (row, &id) in continued.iter_mut().zip(&next) {
            row.push(id);
        }
        batch = TokenBatch::new(rows.len(), next, vec![1; rows.len()])?;
    }
    Ok(continued)
}

/// The index of the largest logit.
pub fn largest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.unwrap().0 as u32
}

/// Fails where any logit is further than `tolerance` from what it should be, saying where the
/// difference is largest.
pub fn expect_close(
    what: &str,
    found: &[Vec<f32>],
    expected: &[Vec<f32>],
    tolerance: f32,
) -> Outcome {
    if found.len() != expected.len() {
        return Err(format!("{what}: {} rows instead of {}", found.len(), expected.len()).into());
    }
    let mut worst = (0.0, 0, 0);
    for (position, (found, expected)) in found.iter().zip(expected).enumerate() {
        if found.len() != expected.len() {
            let lengths = (found.len(), expected.len());
            return Err(format!("{what}: {} logits instead of {}", lengths.0, lengths.1).into());
        }
        for (id, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (found - expected).abs();
            // A NaN is as far away as can be.
            let difference = if difference.is_nan() { f32::INFINITY } else { difference };
            if difference > worst.0 {
                worst = (difference, position, id);
            }
        }
    }
    let (difference, position, id) = worst;
    if difference <= tolerance {
        return Ok(());
    }
    let (found, expected) = (found[position][id], expected[position][id]);
    Err(format!(
        "{what}: largest difference {difference:e} (allowed: {tolerance:e}) at position {position}, \
         id {id}: {found} instead of {expected}"
    )
    .into())
}

/// Root mean square of the differences, relative to what is expected.
pub fn relative_error(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    let pairs = || found.iter().flatten().zip(expected.iter().flatten());
    let difference: f32 = pairs().map(|(found, expected)| (found - expected).powi(2)).sum();
    let size: f32 = pairs().map(|(_, expected)| expected.powi(2)).sum();
    (difference / size).sqrt()
}
