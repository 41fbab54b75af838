//! What holds for every model, however it is stored and whatever its weights are made of: the
//! same tokens give the same logits, alone or in a batch, at once or piece by piece.
//!
//! Each contract below runs on every tiny checkpoint in `tests/goldens`, in every form it is stored
//! in, dense and quantized.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::sync::{Arc, OnceLock};
use std::thread;

use libtest_mimic::{Arguments, Trial};

use sconce::batch::{PaddingSide, TokenBatch};
use sconce::models::{AutoModel, CausalLm, LogitsAt};
use sconce::source::ModelSource;
use sconce::{CachePrecision, Error, LoadOptions, Precision, QuantLevel};

#[path = "support/golden.rs"]
mod golden;

use golden::{Golden, Outcome, advance, alone, expect_close, relative_error};

fn main() {
    let mut trials = Vec::new();
    for golden in Golden::all() {
        for subject in subjects(&golden) {
            let subject = Arc::new(subject);
            let caches = if subject.caches { CACHES } else { &[] };
            for &(name, contract) in WEIGHTS.iter().chain(caches) {
                let subject = subject.clone();
                let trial = format!("{}: {name}", subject.name);
                trials.push(Trial::test(trial, move || contract(&subject)));
            }
            if let Some(bound) = subject.closeness {
                let trial = format!("{}: is close to dense", subject.name);
                trials.push(Trial::test(trial, move || is_close_to_dense(&subject, bound)));
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

type Contract = fn(&Subject) -> Outcome;

/// Tried with every kind of weights.
const WEIGHTS: &[(&str, Contract)] = &[
    ("cached is uncached", cached_is_uncached),
    ("last logits are the last of all", last_is_last_of_all),
    ("a row in a padded batch is the row alone", padded_row_is_row_alone),
];

/// What a cache can be put through; tried where weights are dense, and where they are blocks.
const CACHES: &[(&str, Contract)] = &[
    ("a split prefill is a whole one", split_prefill_is_whole),
    ("padded batches can follow each other", padded_batches_follow),
    ("truncating and replaying changes nothing", truncate_and_replay),
    ("a cleared cache is a new one", cleared_is_new),
    ("forks go their own ways", forks_are_independent),
    ("selected rows go on", selected_rows_go_on),
    ("reserving changes nothing", reserving_changes_nothing),
    ("many caches take turns", caches_take_turns),
    ("eight threads at once", eight_threads),
    ("refused input leaves the cache as it was", refusals),
];

/// A model under test, loaded when the first of its contracts runs.
struct Subject {
    name: String,
    source: ModelSource,
    options: LoadOptions,
    /// Whether [`CACHES`] are tried too.
    caches: bool,
    /// How far two ways to the same logits may be apart.
    tolerance: f32,
    /// How far logits may be from the dense model's, as [`relative_error`].
    closeness: Option<f32>,
    rows_allow_blocks: bool,
    /// Ids of one conversation, as many as a cache is exact for.
    prompt: Vec<u32>,
    /// Rows of different lengths.
    rows: Vec<Vec<u32>>,
    model: OnceLock<Result<Arc<dyn CausalLm>, String>>,
}

impl Subject {
    fn model(&self) -> Outcome<&Arc<dyn CausalLm>> {
        let load = || {
            AutoModel::open::<dyn CausalLm>(&self.source, &self.options)
                .map_err(|error| error.to_string())
        };
        Ok(self.model.get_or_init(load).as_ref()?)
    }

    fn expect_close(&self, what: &str, found: &[Vec<f32>], expected: &[Vec<f32>]) -> Outcome {
        // Rounding is relative: tolerances are for logits up to 10.
        let largest = expected.iter().flatten().fold(0.0_f32, |most, logit| most.max(logit.abs()));
        expect_close(what, found, expected, self.tolerance * (largest / 10.0).max(1.0))
    }
}

/// Every form of a checkpoint, times every kind of weights it can be loaded as.
fn subjects(golden: &Golden) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for form in golden.forms() {
        let of = |dtype| LoadOptions::default().dtype(dtype);
        let quantized = |level| LoadOptions::default().quantize(level);
        let eight_bits = of(Precision::F32).cache(CachePrecision::Q8);
        let mut variants = vec![("f32", of(Precision::F32), true, DENSE, None)];
        if form.blocks {
            variants.push(("blocks", LoadOptions::default(), true, QUANTIZED, Some(0.1)));
        } else {
            variants.extend([
                // With AVX2 alone, activations are rounded to 7.5 bits: 0.113 of a mixture of experts.
                ("q8_0", quantized(QuantLevel::Q8_0), true, QUANTIZED, Some(0.15)),
                ("q4_0", quantized(QuantLevel::Q4_0), false, QUANTIZED, Some(0.9)),
                ("q4_k", quantized(QuantLevel::Q4K), false, QUANTIZED, Some(0.9)),
                ("f16", of(Precision::F16), false, HALF, Some(0.02)),
                ("bf16", of(Precision::BF16), false, COARSE_HALF, Some(0.15)),
                ("f32 with an 8-bit cache", eight_bits, true, EIGHT_BITS, Some(0.1)),
            ]);
        }
        for (weights, options, caches, tolerance, closeness) in variants {
            let mut prompt = golden.case("long").rows[0].clone();
            prompt.truncate(golden.expected.cache_exact_up_to.unwrap_or(prompt.len()));
            subjects.push(Subject {
                name: format!("{}/{} as {weights}", golden.name, form.name),
                source: form.source.clone(),
                options,
                caches,
                tolerance,
                closeness,
                rows_allow_blocks: rows_allow_blocks(golden),
                prompt,
                rows: golden.case("batch").rows.clone(),
                model: OnceLock::new(),
            });
        }
    }
    subjects
}

/// Sums in another order.
const DENSE: f32 = 1e-4;
/// Besides, a value on the border of two quantization steps may go either way: activations have steps
/// of 8 bits, keys and values of 11.
const QUANTIZED: f32 = 0.25;
/// Steps of 8 bits for keys and values alone.
const EIGHT_BITS: f32 = 0.05;
/// Besides, every activation is rounded to 11 bits.
const HALF: f32 = 0.1;
/// To 8 bits.
const COARSE_HALF: f32 = 0.8;

fn cached_is_uncached(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    let whole = alone(model, &subject.prompt)?;
    let mut cache = model.new_cache();
    let mut stepwise = Vec::new();
    for (step, &id) in subject.prompt.iter().enumerate() {
        stepwise.extend(advance(model, &mut cache, &TokenBatch::single(&[id])?)?.remove(0));
        if cache.tokens() != step + 1 {
            return Err(format!("{} tokens cached after {} steps", cache.tokens(), step + 1).into());
        }
    }
    subject.expect_close("token by token", &stepwise, &whole)
}

fn split_prefill_is_whole(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    let whole = alone(model, &subject.prompt)?;
    // Every point where that is cheap to tell from rounding, some elsewhere.
    let step = if subject.tolerance == DENSE { 1 } else { 7 };
    for split in (1..subject.prompt.len()).step_by(step) {
        let (first, second) = subject.prompt.split_at(split);
        let mut cache = model.new_cache();
        let mut logits = advance(model, &mut cache, &TokenBatch::single(first)?)?.remove(0);
        logits.extend(advance(model, &mut cache, &TokenBatch::single(second)?)?.remove(0));
        subject.expect_close(&format!("split after {split} tokens"), &logits, &whole)?;
    }
    Ok(())
}

fn last_is_last_of_all(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    for side in [PaddingSide::Left, PaddingSide::Right] {
        let batch = TokenBatch::padded(&subject.rows, 0, side)?;
        let all = advance(model, &mut model.new_cache(), &batch)?;
        let expected: Vec<_> = all.iter().map(|row| row.last().unwrap().clone()).collect();
        let last = model.forward(&batch, &mut model.new_cache(), LogitsAt::LastToken)?;
        subject.expect_close(&format!("padded {side:?}"), &last.to_vec2()?, &expected)?;
    }
    Ok(())
}

fn padded_row_is_row_alone(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    let mut batches = Vec::new();
    for side in [PaddingSide::Left, PaddingSide::Right] {
        batches.push((format!("{side:?}"), TokenBatch::padded(&subject.rows, 0, side)?));
    }
    batches.push(("with holes".to_owned(), with_holes(&subject.rows)?));
    for (padding, batch) in batches {
        let logits = advance(model, &mut model.new_cache(), &batch)?;
        for (row, (logits, ids)) in logits.iter().zip(&subject.rows).enumerate() {
            let what = format!("row {row}, padded {padding}");
            subject.expect_close(&what, logits, &alone(model, ids)?)?;
        }
    }
    Ok(())
}

fn padded_batches_follow(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    let more: Vec<Vec<u32>> = subject.rows.iter().rev().cloned().collect();
    for sides in [
        [PaddingSide::Left, PaddingSide::Left],
        [PaddingSide::Left, PaddingSide::Right],
        [PaddingSide::Right, PaddingSide::Left],
        [PaddingSide::Right, PaddingSide::Right],
    ] {
        let mut cache = model.new_cache();
        let first = advance(model, &mut cache, &TokenBatch::padded(&subject.rows, 0, sides[0])?)?;
        let second = advance(model, &mut cache, &TokenBatch::padded(&more, 0, sides[1])?)?;
        for (row, (first, second)) in first.into_iter().zip(second).enumerate() {
            let ids = [&subject.rows[row][..], &more[row]].concat();
            let what = format!("row {row}, padded {sides:?}");
            subject.expect_close(&what, &[first, second].concat(), &alone(model, &ids)?)?;
        }
    }
    Ok(())
}

fn truncate_and_replay(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    let whole = alone(model, &subject.prompt)?;
    let mut cache = model.new_cache();
    advance(model, &mut cache, &TokenBatch::single(&subject.prompt)?)?;
    for kept in (0..subject.prompt.len()).rev().step_by(4) {
        cache.truncate(kept)?;
        let batch = TokenBatch::single(&subject.prompt[kept..])?;
        let logits = advance(model, &mut cache, &batch)?.remove(0);
        subject.expect_close(&format!("from {kept} tokens on"), &logits, &whole[kept..])?;
    }
    if cache.truncate(subject.prompt.len() + 1).is_ok() {
        return Err("a cache can be truncated to more than it holds".into());
    }
    Ok(())
}

fn cleared_is_new(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    let mut cache = model.new_cache();
    advance(model, &mut cache, &TokenBatch::padded(&subject.rows, 0, PaddingSide::Left)?)?;
    cache.clear();
    if cache.tokens() != 0 {
        return Err(format!("a cleared cache has {} tokens", cache.tokens()).into());
    }
    // Another number of rows, too.
    let logits = advance(model, &mut cache, &TokenBatch::single(&subject.prompt)?)?.remove(0);
    subject.expect_close("after clearing", &logits, &alone(model, &subject.prompt)?)
}

fn forks_are_independent(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    let [a, b] = [&subject.rows[0], &subject.rows[2]];
    let shared = &subject.prompt[..5];
    let mut one = model.new_cache();
    advance(model, &mut one, &TokenBatch::single(shared)?)?;
    let mut other = one.fork()?;
    for i in 0..a.len().min(b.len()) {
        for (name, cache, ids) in [("first", &mut one, a), ("second", &mut other, b)] {
            let logits = advance(model, cache, &TokenBatch::single(&ids[i..=i])?)?.remove(0);
            let expected = alone(model, &[shared, &ids[..=i]].concat())?;
            let what = format!("{name} fork, step {i}");
            subject.expect_close(&what, &logits, &expected[expected.len() - 1..])?;
        }
    }
    Ok(())
}

fn selected_rows_go_on(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    for side in [PaddingSide::Left, PaddingSide::Right] {
        let mut cache = model.new_cache();
        advance(model, &mut cache, &TokenBatch::padded(&subject.rows, 0, side)?)?;
        if cache.select_rows(&[0, 3]).is_ok() {
            return Err("row 3 of 3 can be selected".into());
        }
        let selected = [2, 0, 0, 1];
        cache.select_rows(&selected)?;
        let next = &subject.prompt[..selected.len()];
        let batch = TokenBatch::new(next.len(), next.to_vec(), vec![1; next.len()])?;
        let logits = advance(model, &mut cache, &batch)?;
        for ((logits, &row), &id) in logits.iter().zip(&selected).zip(next) {
            let expected = alone(model, &[&subject.rows[row][..], &[id]].concat())?;
            let what = format!("row {row}, padded {side:?}");
            subject.expect_close(&what, logits, &expected[expected.len() - 1..])?;
        }
    }
    Ok(())
}

fn reserving_changes_nothing(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    let mut cache = model.new_cache();
    cache.reserve(100);
    let (first, second) = subject.prompt.split_at(3);
    let mut logits = advance(model, &mut cache, &TokenBatch::single(first)?)?.remove(0);
    cache.reserve(1);
    logits.extend(advance(model, &mut cache, &TokenBatch::single(second)?)?.remove(0));
    subject.expect_close("reserved", &logits, &alone(model, &subject.prompt)?)
}

fn caches_take_turns(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    let mut caches: Vec<_> = subject.rows.iter().map(|_| model.new_cache()).collect();
    let mut logits = vec![Vec::new(); caches.len()];
    for step in 0..golden::width(&subject.rows) {
        for (row, ids) in subject.rows.iter().enumerate() {
            let Some(&id) = ids.get(step) else { continue };
            let batch = TokenBatch::single(&[id])?;
            logits[row].extend(advance(model, &mut caches[row], &batch)?.remove(0));
        }
    }
    for (row, (logits, ids)) in logits.iter().zip(&subject.rows).enumerate() {
        subject.expect_close(&format!("conversation {row}"), logits, &alone(model, ids)?)?;
    }
    Ok(())
}

fn eight_threads(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    let conversations: Vec<Vec<u32>> =
        (0..8).map(|i| subject.prompt[i..i + subject.prompt.len() / 2].to_vec()).collect();
    let converse = |ids: &[u32]| -> Result<Vec<Vec<f32>>, String> {
        let mut cache = model.new_cache();
        let mut logits = Vec::new();
        for id in ids {
            let batch = TokenBatch::single(&[*id]).map_err(|error| error.to_string())?;
            let step = advance(model, &mut cache, &batch);
            logits.extend(step.map_err(|failed| format!("{:?}", failed.message()))?.remove(0));
        }
        Ok(logits)
    };
    let together: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            conversations.iter().map(|ids| scope.spawn(|| converse(ids))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (i, (found, ids)) in together.into_iter().zip(&conversations).enumerate() {
        // The very same operations in the same order: not a bit may differ.
        expect_close(&format!("thread {i}"), &found?, &converse(ids)?, 0.0)?;
    }
    Ok(())
}

fn refusals(subject: &Subject) -> Outcome {
    let model = &**subject.model()?;
    let limits = model.limits();
    if TokenBatch::single(&[]).is_ok() {
        return Err("an empty prompt is accepted".into());
    }
    let (before, after) = subject.prompt.split_at(subject.prompt.len() / 2);
    let mut cache = model.new_cache();
    advance(model, &mut cache, &TokenBatch::single(before)?)?;

    let unknown = TokenBatch::single(&[1, limits.vocab as u32])?;
    let two_rows = TokenBatch::new(2, vec![1, 2], vec![1, 1])?;
    let too_long = TokenBatch::single(&vec![1; limits.context - before.len() + 1])?;
    for (what, batch) in [("an unknown id", unknown), ("another row", two_rows)] {
        match model.forward(&batch, &mut cache, LogitsAt::LastToken) {
            Err(Error::InvalidInput { .. }) => {}
            other => return Err(format!("{what}: {other:?} instead of an input error").into()),
        }
    }
    match model.forward(&too_long, &mut cache, LogitsAt::LastToken) {
        Err(Error::ContextOverflow { tokens, limit })
            if tokens == limits.context + 1 && limit == limits.context => {}
        other => return Err(format!("too long: {other:?} instead of an overflow").into()),
    }

    if cache.tokens() != before.len() {
        return Err(format!("{} tokens cached instead of {}", cache.tokens(), before.len()).into());
    }
    let logits = advance(model, &mut cache, &TokenBatch::single(after)?)?.remove(0);
    let whole = alone(model, &subject.prompt)?;
    subject.expect_close("after refusals", &logits, &whole[before.len()..])
}

fn is_close_to_dense(subject: &Subject, bound: f32) -> Outcome {
    let options = LoadOptions::default().dtype(Precision::F32);
    let dense =
        alone(&*AutoModel::open::<dyn CausalLm>(&subject.source, &options)?, &subject.prompt)?;
    let found = alone(&**subject.model()?, &subject.prompt)?;
    let error = relative_error(&found, &dense);
    let quantized = subject.options.quantize.is_some() && subject.rows_allow_blocks;
    if quantized && error == 0.0 {
        return Err("the very logits of the dense model: nothing was quantized".into());
    }
    if error <= bound {
        return Ok(());
    }
    Err(format!("relative error {error} (allowed: {bound})").into())
}

/// Whether some rows can be cut into blocks of 32; weights that can not be stay dense.
fn rows_allow_blocks(golden: &Golden) -> bool {
    let Ok(config) = fs::read_to_string(golden.folder.join("config.json")) else { return true };
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    ["hidden_size", "intermediate_size"]
        .iter()
        .any(|size| config[size].as_u64().is_some_and(|size| size.is_multiple_of(32)))
}

/// Padding in front, behind and between: row `i` has a hole after its token `i`.
fn with_holes(rows: &[Vec<u32>]) -> sconce::Result<TokenBatch> {
    let tokens = golden::width(rows) + 4;
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let (before, after) = row.split_at(i + 1);
        let padding = [1, 2, tokens - row.len() - 3];
        for (part, padding) in [(&[][..], padding[0]), (before, padding[1]), (after, padding[2])] {
            ids.extend(part);
            mask.extend(vec![1; part.len()]);
            ids.extend(vec![0; padding]);
            mask.extend(vec![0; padding]);
        }
    }
    TokenBatch::new(rows.len(), ids, mask)
}
