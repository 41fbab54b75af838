//! Given texts are scored as transformers scores them, and choices as lm-evaluation-harness does:
//! `tests/goldens/make_scores.py`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sconce::generation::{
    ScoreOptions, ScoredToken, Token, compute_transition_scores, logprob, perplexity, score,
    score_choices, score_continuations,
};
use sconce::models::{AutoModel, CausalLm};
use sconce::tokenizer::Tokenizer;
use serde_json::{Value, json};

fn golden() -> Value {
    serde_json::from_slice(&fs::read(goldens().join("scores.json")).unwrap()).unwrap()
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn open(name: &str) -> Arc<dyn CausalLm> {
    AutoModel::open(goldens().join(name), &Default::default()).unwrap()
}

fn of<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 1e-4, "{what}: {found}, not {expected}");
}

#[test]
fn texts_as_transformers() {
    let golden = golden();
    for (name, cases) in golden["models"].as_object().unwrap() {
        let model = open(name);
        let cases = cases.as_array().unwrap();
        let texts: Vec<Vec<u32>> = cases.iter().map(|case| of(&case["ids"])).collect();
        let vocab = model.limits().vocab;
        // All together and each in one pass; in parts of 3 and of 1 tokens, row by row.
        for most_logits in [64 << 20, 3 * vocab, vocab / 2] {
            let options = ScoreOptions::default().top_logprobs(3).most_logits(most_logits);
            let scored = score(&*model, &texts, &options).unwrap();
            for (case, tokens) in cases.iter().zip(scored) {
                let expected: Vec<f64> = of(&case["logprobs"]);
                assert_eq!(tokens.len(), expected.len(), "{name}");
                let top: Vec<Vec<(u32, f64)>> = of(&case["top"]);
                let greedy: Vec<bool> = of(&case["greedy"]);
                for (at, token) in tokens.iter().enumerate() {
                    let what = format!("{name}, {most_logits}, token {at}");
                    assert_eq!(token.id, of::<Vec<u32>>(&case["ids"])[at + 1]);
                    assert_eq!(token.is_greedy, greedy[at], "{what}");
                    close(token.logprob.into(), expected[at], &what);
                    for (found, (id, logprob)) in token.top_logprobs.iter().zip(&top[at]) {
                        assert_eq!(found.id, *id, "{what}");
                        close(found.logprob.into(), *logprob, &what);
                    }
                }
                if !tokens.is_empty() {
                    let mean = expected.iter().sum::<f64>() / expected.len() as f64;
                    let ratio = perplexity(&tokens) / (-mean).exp();
                    close(ratio, 1.0, name);
                }
            }
        }
    }
}

#[test]
fn choices_as_lm_evaluation_harness() {
    let golden = &golden()["choices"];
    let name = golden["model"].as_str().unwrap();
    let model = open(name);
    let tokenizer = Tokenizer::open(goldens().join(name)).unwrap();
    for question in golden["questions"].as_array().unwrap() {
        let choices: Vec<String> = of(&question["choices"]);
        let context = question["context"].as_str().unwrap();
        let found = score_choices(&*model, &tokenizer, context, &choices, &Default::default());
        for (found, expected) in found.unwrap().iter().zip(question["results"].as_array().unwrap())
        {
            let ids: Vec<_> = found.tokens.iter().map(|token| token.id).collect();
            assert_eq!(ids, of::<Vec<u32>>(&expected["ids"]), "{context}");
            close(found.logprob, expected["logprob"].as_f64().unwrap(), context);
            close(found.logprob_per_char, expected["per_char"].as_f64().unwrap(), context);
            assert_eq!(found.is_greedy, expected["greedy"].as_bool().unwrap());
        }
    }
    assert!(score_choices(&*model, &tokenizer, "It", &[""], &Default::default()).is_err());
}

/// A context that is computed once gives what it gives with each continuation.
#[test]
fn continuations_share_their_context() {
    for name in ["llama-gqa-tiny", "gemma3-tiny", "llama-rope-dynamic-tiny", "phi3-longrope-tiny"] {
        let model = open(name);
        let context: Vec<u32> = (0..21).map(|at| 3 + at * 7 % 150).collect();
        let continuations = vec![vec![9, 8, 7], vec![5], vec![], (30..70).collect()];
        for context in [&context[..], &context[..1]] {
            for most_logits in [64 << 20, 4 * model.limits().vocab] {
                let options = ScoreOptions::default().most_logits(most_logits);
                let found = score_continuations(&*model, context, &continuations, &options);
                for (tokens, continuation) in found.unwrap().iter().zip(&continuations) {
                    let whole = [context, continuation].concat();
                    let alone = score(&*model, &[whole], &Default::default()).unwrap().remove(0);
                    let alone = &alone[context.len() - 1..];
                    assert_eq!(tokens.len(), alone.len());
                    for (found, expected) in tokens.iter().zip(alone) {
                        close(found.logprob.into(), expected.logprob.into(), name);
                    }
                    close(logprob(tokens), logprob(alone), name);
                }
            }
        }
        assert!(score_continuations(&*model, &[], &continuations, &Default::default()).is_err());
        assert!(score(&*model, &[vec![1, 1_000_000]], &Default::default()).is_err());
    }
}

#[test]
fn transition_scores_as_transformers() {
    for case in golden()["transitions"].as_array().unwrap() {
        let generated: Vec<Vec<u32>> = of(&case["generated"]);
        let scores: Vec<Vec<Vec<Option<f32>>>> = of(&case["scores"]);
        let number = |it: Option<f32>| it.unwrap_or(f32::NEG_INFINITY);
        let row = |row: Vec<Option<f32>>| row.into_iter().map(number).collect::<Vec<_>>();
        let scores: Vec<Vec<_>> =
            scores.into_iter().map(|step| step.into_iter().map(row).collect()).collect();
        let beams: Option<Vec<Vec<i64>>> = of(&case["beam_indices"]);
        for (name, normalize) in [("plain", false), ("normalized", true)] {
            let found = compute_transition_scores(&generated, &scores, beams.as_deref(), normalize);
            let expected: Vec<Vec<Option<f64>>> = of(&case[name]);
            for (found, expected) in found.unwrap().iter().zip(expected) {
                for (found, expected) in found.iter().zip(expected) {
                    close((*found).into(), expected.unwrap_or(f64::NEG_INFINITY), name);
                }
            }
        }
        assert!(compute_transition_scores(&[vec![500]], &scores, None, true).is_err());
        assert!(compute_transition_scores(&generated, &[], None, true).is_err());
    }
}

/// JSON has no number for what is impossible: null, and back.
#[test]
fn impossible_tokens_are_null_in_json() {
    let text = json!({"id": 3, "logprob": -0.5, "model_logprob": null, "top_logprobs": [{"id": 1, "logprob": null}]});
    let token: Token = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(
        (token.model_logprob, token.top_logprobs[0].logprob),
        (f32::NEG_INFINITY, f32::NEG_INFINITY)
    );
    assert_eq!(serde_json::to_value(&token).unwrap(), text);
    let text = json!({"id": 3, "logprob": null, "is_greedy": false});
    let token: ScoredToken = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&token).unwrap(), text);
}
