//! Contrastive search and DoLa, against transformers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sconce::batch::PaddingSide;
use sconce::generation::{
    CancelHandle, FinishReason, Generated, GenerationConfig, generate, generate_batch,
    generate_batch_until,
};
use sconce::models::{AutoModel, CausalLm, LogitsAt, TraceRequest};
use sconce::{Error, LoadOptions, Result, TokenBatch};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::table::Table;

#[derive(Deserialize)]
struct Case {
    model: String,
    prompt: Vec<u32>,
    options: Value,
    generated: Vec<u32>,
}

fn tiny(name: &str) -> Arc<dyn CausalLm> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    AutoModel::open::<dyn CausalLm>(folder, &LoadOptions::default()).unwrap()
}

fn config(options: &Value) -> GenerationConfig {
    GenerationConfig::from_json(options).unwrap().eos_token_id(vec![7])
}

fn cases() -> Vec<Case> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/drafts/contrasts.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Alone, and all prompts of the same options together.
#[test]
fn answers_as_transformers() {
    let mut groups: BTreeMap<(String, String), Vec<Case>> = BTreeMap::new();
    for case in cases().into_iter().filter(|case| case.model.ends_with("-tiny")) {
        let key = (case.model.clone(), case.options.to_string());
        groups.entry(key).or_default().push(case);
    }
    assert!(groups.len() > 25);
    for ((name, options), cases) in groups {
        let (model, config) = (tiny(&name), config(&cases[0].options));
        let prompts: Vec<_> = cases.iter().map(|case| case.prompt.clone()).collect();
        let together = generate_batch(&model, None, &prompts, &config).unwrap();
        for (case, answer) in cases.iter().zip(&together) {
            let alone =
                generate_batch(&model, None, std::slice::from_ref(&case.prompt), &config).unwrap();
            for answer in [answer, &alone[0]] {
                assert_eq!(answer.ids(), case.generated, "{name} {options}");
                let ended = match case.generated.last() {
                    Some(7) => FinishReason::EndOfSequence,
                    _ => FinishReason::Length,
                };
                assert_eq!(answer.finish_reason, ended);
                assert!(answer.tokens.iter().all(|token| token.logprob <= 0.0));
            }
            if config.dola_layers.is_some() {
                let stream = generate(&model, &case.prompt, &config).unwrap();
                let ids: Vec<_> = stream.map(|token| token.unwrap().id).collect();
                assert_eq!(ids, case.generated, "streamed: {name} {options}");
                // Drafts are confirmed by contrasted logits, too.
                let looking = config.clone().prompt_lookup_num_tokens(4);
                let looked_up =
                    generate_batch(&model, None, std::slice::from_ref(&case.prompt), &looking);
                assert_eq!(looked_up.unwrap()[0].ids(), case.generated, "{name} {options}");
            }
        }
    }
}

#[test]
fn what_goes_together() {
    let model = tiny("llama-gqa-tiny");
    let contrastive = config(&json!({"penalty_alpha": 0.6, "top_k": 4}));
    let error = generate(&model, &[5, 6], &contrastive).unwrap_err().to_string();
    assert!(error.contains("generate_batch"), "{error}");
    for (options, option) in [
        (json!({"penalty_alpha": 0.6, "do_sample": true}), "penalty_alpha"),
        (json!({"penalty_alpha": 0.6, "dola_layers": "low"}), "penalty_alpha"),
        (json!({"penalty_alpha": 0.6, "prompt_lookup_num_tokens": 2}), "penalty_alpha"),
        (json!({"penalty_alpha": -0.1}), "penalty_alpha"),
        (json!({"penalty_alpha": 0.6, "top_k": 300}), "top_k"),
        (json!({"dola_layers": [9]}), "dola_layers"),
    ] {
        let refused = generate_batch(&model, None, &[vec![5, 6]], &config(&options)).unwrap_err();
        let named = matches!(&refused, Error::InvalidOption { option: it, .. } if it == option);
        assert!(named, "{options}: {refused}");
    }
    // A token alone is no choice: as in transformers, this is greedy search.
    let greedy = generate_batch(&model, None, &[vec![5, 6]], &config(&json!({}))).unwrap();
    let alone = config(&json!({"penalty_alpha": 0.6, "top_k": 1}));
    let alone = generate_batch(&model, None, &[vec![5, 6]], &alone).unwrap();
    assert_eq!(greedy[0].ids(), alone[0].ids());
    // A model of which nothing but logits is known.
    let table = Table::saying(&[1, 2, 3], 6).shared();
    for options in [json!({"penalty_alpha": 0.6}), json!({"dola_layers": "high"})] {
        let refused = generate_batch(&table, None, &[vec![1]], &config(&options)).unwrap_err();
        assert!(refused.to_string().contains("hidden states"), "{refused}");
    }
    let cancel = CancelHandle::default();
    cancel.cancel();
    let prompts = [vec![5, 6], vec![9]];
    let cancelled: Vec<Generated> =
        generate_batch_until(&model, None, &prompts, &contrastive, &cancel).unwrap();
    assert!(cancelled.iter().all(|it| it.finish_reason == FinishReason::Cancelled));
}

/// What is requested, in chunks as well as whole, is what a trace of everything says.
#[test]
fn hidden_states_as_requested() -> Result<()> {
    let model = tiny("gemma2-tiny");
    let rows = [vec![9, 8, 7, 6, 5], vec![11, 12], vec![30; 4]];
    let batch = TokenBatch::padded(&rows, 0, PaddingSide::Left)?;
    let whole = model.trace(&batch, &mut model.new_cache())?;
    let layers = model.depth().unwrap().layers;
    assert_eq!(whole.hidden_states.len(), layers + 1);
    for (hidden_at, logits) in [
        (LogitsAt::LastToken, LogitsAt::LastToken),
        (LogitsAt::EveryToken, LogitsAt::LastToken),
        (LogitsAt::LastToken, LogitsAt::EveryToken),
    ] {
        let numbers = vec![layers, 0, 1];
        let request = TraceRequest {
            logits,
            hidden_states: numbers.clone(),
            hidden_at,
            attentions: false,
            source_heads: Vec::new(),
        };
        let mut cache = model.new_cache();
        let trace = model.trace_with(&batch, &mut cache, &request, &|| Ok(()))?;
        assert!(trace.attentions.is_empty());
        let plain = model.forward(&batch, &mut model.new_cache(), logits)?;
        assert_eq!(trace.logits.dims(), plain.dims());
        let difference = (trace.logits - plain)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(difference < 1e-5, "{difference}");
        for (number, found) in numbers.into_iter().zip(&trace.hidden_states) {
            let expected = &whole.hidden_states[number];
            for row in 0..rows.len() {
                let (found, expected) = (found.get(row)?, expected.get(row)?);
                let last = expected.get(batch.tokens() - 1)?;
                let found = match hidden_at {
                    LogitsAt::LastToken => found,
                    LogitsAt::EveryToken => found.get(batch.tokens() - 1)?,
                };
                let difference = (found - last)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(difference < 1e-4, "{number} of row {row}: {difference}");
            }
        }
    }
    let request = TraceRequest {
        logits: LogitsAt::LastToken,
        hidden_states: vec![layers + 1],
        hidden_at: LogitsAt::LastToken,
        attentions: false,
        source_heads: Vec::new(),
    };
    let mut cache = model.new_cache();
    let refused = model.trace_with(&batch, &mut cache, &request, &|| Ok(())).unwrap_err();
    assert!(refused.to_string().contains("no hidden state"), "{refused}");
    assert_eq!(cache.tokens(), 0);
    assert!(model.early_exit(&whole.hidden_states[0].narrow(2, 0, 3)?).is_err());
    Ok(())
}
