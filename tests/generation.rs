//! Logits processors against transformers, and what plans refuse, through the public API.
#![expect(clippy::unwrap_used, reason = "in tests it is as good as an assertion")]

use std::path::PathBuf;

use sconce::Error;
use sconce::generation::{GenerationConfig, LogitsProcessor};
use sconce::models::ModelLimits;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    options: Value,
    prompt: Vec<u32>,
    new: Vec<u32>,
    user: bool,
    logits: Vec<Value>,
    expected: Vec<Value>,
}

/// A caller's own processor, the same as in `make_logits.py`.
#[derive(Debug)]
struct Users;

impl LogitsProcessor for Users {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) {
        logits.iter_mut().step_by(2).for_each(|logit| *logit += 1.5);
    }
}

#[test]
fn processors_as_transformers() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/logits");
    let text = std::fs::read(path.join("processors.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&text).unwrap();
    assert!(cases.len() > 200);
    for (number, case) in cases.iter().enumerate() {
        let mut logits: Vec<f32> = case.logits.iter().map(logit).collect();
        let limits = ModelLimits::new(logits.len(), 1000);
        let config = GenerationConfig::from_json(&case.options).unwrap();
        let mut plan = config.plan(&case.prompt, limits, None).unwrap();
        if case.user {
            plan = plan.with_processor(Box::new(Users));
        }
        plan.process(&[case.prompt.as_slice(), &case.new].concat(), &mut logits);
        for (index, (&found, expected)) in logits.iter().zip(&case.expected).enumerate() {
            let expected = logit(expected);
            assert!(
                found == expected || (found - expected).abs() <= 1e-5 * expected.abs().max(1.0),
                "case {number}, {}, logit {index}: {found}, not {expected}",
                case.options
            );
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let sampling = [
        ("temperature", json!(0.0)),
        ("temperature", json!(-1)),
        ("temperature", json!(1e-300)),
        ("top_p", json!(-0.1)),
        ("top_p", json!(1.1)),
        ("min_p", json!(-0.1)),
        ("min_p", json!(1.5)),
        ("typical_p", json!(0)),
        ("typical_p", json!(1.5)),
        ("epsilon_cutoff", json!(1)),
        ("eta_cutoff", json!(-0.5)),
    ];
    for (option, value) in &sampling {
        refused(option, json!({"do_sample": true, *option: value}));
        // As in transformers, nobody looks at them otherwise.
        plan(&json!({*option: value})).unwrap();
    }
    for (option, value) in [
        ("max_new_tokens", json!(0)),
        ("max_length", json!(0)),
        ("max_length", json!(3)),
        ("repetition_penalty", json!(0)),
        ("repetition_penalty", json!(-2)),
        ("encoder_repetition_penalty", json!(0)),
        ("num_return_sequences", json!(2)),
        ("num_return_sequences", json!(0)),
        ("max_time", json!(-1)),
        ("stop_strings", json!("end")),
        ("stop_strings", json!([""])),
        ("sequence_bias", json!([[[], 1.0]])),
        ("sequence_bias", json!([[[10], 1.0]])),
        ("bad_words_ids", json!([[]])),
        ("bad_words_ids", json!([[1, 10]])),
        ("forced_bos_token_id", json!(10)),
        ("forced_eos_token_id", json!([1, 10])),
        ("exponential_decay_length_penalty", json!([1, 1.5])),
        ("num_beams", json!(4)),
        ("penalty_alpha", json!(0.6)),
        ("prompt_lookup_num_tokens", json!(3)),
        ("guidance_scale", json!(1.5)),
        ("dola_layers", json!("low")),
        ("constraints", json!([])),
        ("watermarking_config", json!({})),
    ] {
        refused(option, json!({option: value}));
    }
    let nan = GenerationConfig::default().do_sample(true).temperature(f64::NAN);
    assert!(nan.plan(&[1], LIMITS, None).is_err());
    let nan = GenerationConfig::default().repetition_penalty(f64::NAN);
    assert!(nan.plan(&[1], LIMITS, None).is_err());
}

#[test]
fn what_asks_for_nothing_is_accepted() {
    plan(&json!({
        "num_beams": 1, "num_beam_groups": 1, "penalty_alpha": null, "guidance_scale": 1.0,
        "diversity_penalty": 0.0, "token_healing": false, "watermarking_config": null,
        "length_penalty": 2.0, "early_stopping": true, "use_cache": true, "bad_words_ids": [],
        "max_time": 1e9, "max_new_tokens": 18446744073709551615u64, "top_k": 1u64 << 60,
        "do_sample": true, "min_new_tokens": 1u64 << 63, "no_repeat_ngram_size": 1u64 << 60,
        "stop_strings": null, "exponential_decay_length_penalty": null,
    }))
    .unwrap();
}

#[test]
fn prompts_that_cannot_be_continued() {
    let config = GenerationConfig::default();
    assert!(matches!(config.plan(&[], LIMITS, None), Err(Error::InvalidInput { .. })));
    assert!(matches!(config.plan(&[1, 10], LIMITS, None), Err(Error::InvalidInput { .. })));
    assert!(matches!(
        config.plan(&[1; 101], LIMITS, None),
        Err(Error::ContextOverflow { tokens: 101, limit: 100 })
    ));
    config.plan(&[1; 100], LIMITS, None).unwrap();
}

fn plan(options: &Value) -> sconce::Result<sconce::generation::Plan> {
    GenerationConfig::from_json(options)?.plan(&[1, 2, 3], LIMITS, None)
}

fn refused(name: &str, options: Value) {
    let error = plan(&options).unwrap_err();
    assert!(
        matches!(&error, Error::InvalidOption { option, .. } if option == name),
        "{options}: {error}"
    );
}

fn logit(value: &Value) -> f32 {
    match value {
        Value::Null => f32::NEG_INFINITY,
        Value::String(name) => name.parse().unwrap(),
        number => number.as_f64().unwrap() as f32,
    }
}

const LIMITS: ModelLimits = ModelLimits::new(10, 100);
