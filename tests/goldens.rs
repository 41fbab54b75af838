//! Every tiny checkpoint in `tests/goldens`, in every form it is stored in, against the numbers
//! the Python reference computed with the same weights.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use sconce::batch::{PaddingSide, TokenBatch};
use sconce::generation::{GenerationConfig, generate};
use sconce::models::{AutoModel, CausalLm};
use sconce::{LoadOptions, Precision};

#[path = "support/golden.rs"]
mod golden;

use golden::{Form, Golden, Outcome, advance, expect_close, greedy};

/// In f32, with logits up to about 20.
const TOLERANCE: f32 = 1e-4;

fn main() {
    let mut trials = Vec::new();
    for golden in Golden::all() {
        let golden = Arc::new(golden);
        for form in golden.forms() {
            let golden = golden.clone();
            let name = format!("{}/{}", golden.name, form.name);
            trials.push(Trial::test(name, move || check(&golden, &form)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn check(golden: &Golden, form: &Form) -> Outcome {
    let options = LoadOptions::default().dtype(Precision::F32);
    let model = AutoModel::open::<dyn CausalLm>(&form.source, &options)?;
    for case in &golden.expected.cases {
        for side in [PaddingSide::Left, PaddingSide::Right] {
            let batch = TokenBatch::padded(&case.rows, 0, side)?;
            let logits = advance(&*model, &mut model.new_cache(), &batch)?;
            for (row, logits) in logits.iter().enumerate() {
                let what = format!("logits of {}, row {row}, padded {side:?}", case.name);
                expect_close(&what, logits, &golden.logits(case, row), TOLERANCE)?;
            }
            let Some(expected) = &case.greedy else { continue };
            let continued = greedy(&*model, &case.rows, side, expected[0].len())?;
            for (row, (found, expected)) in continued.iter().zip(expected).enumerate() {
                let what = format!("greedy ids of {}, row {row}, padded {side:?}", case.name);
                expect_ids(&what, found, expected)?;
            }
        }
    }
    if let Some(stops) = &golden.expected.stops {
        let config = GenerationConfig::from_file(golden.folder.join("generation_config.json"))?;
        let config = config.max_new_tokens(2 * stops.generated.len());
        let tokens = generate(&model, &stops.ids, &config)?;
        let found = tokens.map(|token| Ok(token?.id)).collect::<sconce::Result<Vec<_>>>()?;
        expect_ids("generation up to an end-of-sequence id", &found, &stops.generated)?;
    }
    Ok(())
}

fn expect_ids(what: &str, found: &[u32], expected: &[u32]) -> Outcome {
    if found == expected {
        return Ok(());
    }
    let step = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    Err(format!("{what}: other ids from step {step} on: {found:?} instead of {expected:?}").into())
}
