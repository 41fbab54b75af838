//! Every field of transformers' `GenerationConfig`, and what is wrong in a field.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use sconce::generation::{
    CancelHandle, DraftModel, Drafting, Generated, GenerationConfig, LogitsProcessor, PromptLookup,
    Sequence, complete, generate, generate_batch, generate_from, generate_seq2seq,
};
use sconce::models::{AutoModel, Autoregressive, CausalLm, ModelLimits, Seq2SeqLm};
use sconce::pipeline::on_warning;
use sconce::{Error, LoadOptions, Result};
use serde_json::{Value, json};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn tiny(name: &str) -> Arc<dyn CausalLm> {
    AutoModel::open::<dyn CausalLm>(golden(name), &LoadOptions::default()).unwrap()
}

/// Fields that are read and change nothing here.
const WITHOUT_EFFECT: [&str; 8] = [
    "cache_config",
    "cache_implementation",
    "disable_compile",
    "is_assistant",
    "low_memory",
    "prefill_chunk_size",
    "return_legacy_cache",
    "use_cache",
];

/// As JSON and in a file, alone and over others: an option has its value, and is written as it was read.
#[test]
fn every_field_is_read_as_transformers_writes_it() {
    let text = fs::read(golden("generation_fields.json")).unwrap();
    let fields: BTreeMap<String, Vec<Value>> = serde_json::from_slice(&text).unwrap();
    assert!(fields.len() > 60);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("generation_config.json");
    for (name, values) in &fields {
        for value in values {
            let options = json!({name: value});
            let config = GenerationConfig::from_json(&options).unwrap();
            fs::write(&path, options.to_string()).unwrap();
            let stored = GenerationConfig::from_file(&path).unwrap();
            let over = GenerationConfig::default().overlaid(&config);
            for config in [&config, &stored, &over] {
                let written = serde_json::to_value(config).unwrap();
                if WITHOUT_EFFECT.contains(&name.as_str()) {
                    assert_eq!(written, json!({}), "{name}");
                    continue;
                }
                let found = &written[name];
                let listed = json!([value]);
                let mut full = found.clone();
                if let (Some(full), Some(value)) = (full.as_object_mut(), value.as_object()) {
                    // An object has its other fields, too.
                    full.retain(|key, _| value.contains_key(key));
                }
                assert!(found == value || *found == listed || full == *value, "{name}: {found}");
            }
            // What is null is not set, or off.
            let mut off = config.clone();
            assert!(off.set(name, &Value::Null).unwrap(), "{name}");
            let is_same =
                serde_json::to_value(&off).unwrap() == serde_json::to_value(&config).unwrap();
            let is_off = *value == json!(0);
            assert!(!is_same || is_off || WITHOUT_EFFECT.contains(&name.as_str()), "{name}");
        }
    }
}

/// As in transformers, an answer ends at its most tokens all the same.
#[test]
fn lengths_that_contradict_are_a_warning() -> Result<()> {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    assert!(on_warning(|said| SAID.lock().unwrap().push(said.to_owned())));
    let model = tiny("llama-tiny");
    for (options, warns) in [
        (json!({"min_new_tokens": 9, "max_new_tokens": 3}), true),
        (json!({"min_length": 9, "max_length": 5}), true),
        (json!({"min_new_tokens": 3, "max_new_tokens": 3, "min_length": 9}), false),
    ] {
        SAID.lock().unwrap().clear();
        let config = GenerationConfig::from_json(&options)?;
        assert_eq!(generate(&model, &[5, 17], &config)?.count(), 3);
        let said = SAID.lock().unwrap();
        assert_eq!(said.iter().any(|it| it.contains("where answers end")), warns, "{options}");
    }
    Ok(())
}

const LIMITS: ModelLimits = ModelLimits::new(10, 100);

/// An id that no token has is an error where it asks for something that cannot be. In lists of what is not to come
/// or ends an answer it changes nothing, as in transformers.
#[test]
fn ids_outside_the_vocabulary() {
    let plan = |options: Value| GenerationConfig::from_json(&options)?.plan(&[1, 2], LIMITS, None);
    for (name, options) in [
        ("bad_words_ids", json!({"bad_words_ids": [[1], [3, 10]]})),
        ("sequence_bias", json!({"sequence_bias": [[[10, 1], 2.0]]})),
        ("forced_bos_token_id", json!({"forced_bos_token_id": 10})),
        ("forced_eos_token_id", json!({"forced_eos_token_id": [1, 4294967295u32]})),
        ("force_words_ids", json!({"force_words_ids": [[[1], [2, 10]]], "num_beams": 2})),
        ("negative_prompt_ids", json!({"negative_prompt_ids": [10], "guidance_scale": 2.0})),
    ] {
        let error = plan(options).unwrap_err();
        assert!(matches!(&error, Error::InvalidOption { option, .. } if option == name), "{error}");
        assert!(error.to_string().contains("outside the vocabulary of 10"), "{error}");
    }
    let logits: Vec<f32> = (0..10).map(|id| id as f32).collect();
    for options in [
        json!({"suppress_tokens": [10, 4294967295u32]}),
        json!({"begin_suppress_tokens": [10]}),
        json!({"eos_token_id": [10, 99], "min_new_tokens": 3}),
        json!({"eos_token_id": 10, "exponential_decay_length_penalty": [0, 2.0]}),
        json!({"eos_token_id": 10, "bad_words_ids": [[10], [3]]}),
        json!({"pad_token_id": 10, "bos_token_id": 10, "decoder_start_token_id": 10}),
    ] {
        let Ok(mut plan) = plan(options.clone()) else {
            // A word of the end alone is no word that is bad, but it is an id.
            assert!(options.get("bad_words_ids").is_some(), "{options}");
            continue;
        };
        assert_eq!(plan.next(&[1, 2], &mut logits.clone()).unwrap().id, 9, "{options}");
        assert_eq!(plan.next(&[1, 2, 9], &mut logits.clone()).unwrap().id, 9, "{options}");
    }
    // What a decoder begins with is its prompt.
    let path = golden("seq2seq/t5-tiny");
    let model = AutoModel::open::<dyn Seq2SeqLm>(path, &LoadOptions::default()).unwrap();
    let config = GenerationConfig::default();
    for (sources, start) in [(vec![5, 6], u32::MAX), (vec![u32::MAX], 0)] {
        let cancel = CancelHandle::default();
        let error = generate_seq2seq(&model, None, &[sources], &[start], &config, &cancel);
        let error = error.unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains("4294967295"), "{error}");
    }
}

/// Rules everything out once there are so many tokens.
#[derive(Debug, Clone)]
struct Nothing(usize);

impl LogitsProcessor for Nothing {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if tokens.len() >= self.0 {
            logits.fill(f32::NEG_INFINITY);
        }
        Ok(())
    }
}

/// In every mode it is one clear error of that answer alone: those beside it are what they are alone, and the
/// model answers as before.
#[test]
fn a_processor_that_rules_everything_out_is_an_error_in_every_mode() -> Result<()> {
    let model = tiny("llama-gqa-tiny");
    let decoder: Arc<dyn Autoregressive> = model.clone();
    let prompts = [vec![5, 17, 42], vec![7, 30]];
    let drafters = |config: &GenerationConfig| -> Result<Vec<Option<Drafting>>> {
        Ok(vec![
            None,
            Some(Drafting::from(PromptLookup::new(3, 1)?).whole()),
            Some(Drafting::from(DraftModel::early_exit(&*model, 1, config)?).whole()),
            Some(Drafting::from(DraftModel::new(&model, &*model, config)?).whole()),
        ])
    };
    for options in [
        json!({}),
        json!({"do_sample": true, "top_p": 0.9, "min_p": 0.01, "typical_p": 0.9, "seed": 3}),
        json!({"do_sample": true, "top_h": 0.5, "top_n_sigma": 1.0, "xtc_probability": 0.5, "seed": 3}),
        json!({"do_sample": true, "mirostat": 2, "dynatemp_range": 0.3, "seed": 3}),
        json!({"num_beams": 3}),
        json!({"num_beams": 2, "do_sample": true, "seed": 3}),
        json!({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0}),
        json!({"num_beams": 2, "force_words_ids": [[30]]}),
        json!({"penalty_alpha": 0.6, "top_k": 4}),
        json!({"dola_layers": [0]}),
        json!({"guidance_scale": 2.0}),
        json!({"watermarking_config": {"bias": 2.0}, "renormalize_logits": true}),
        json!({"exponential_decay_length_penalty": [0, 1.5], "eos_token_id": [7], "min_new_tokens": 2}),
    ] {
        let config = GenerationConfig::from_json(&options)?.max_new_tokens(6);
        let alone = generate_batch(&model, None, &prompts[1..], &config.clone().seed(3))?;
        let has_rows = !options["num_beams"].is_null() || !options["penalty_alpha"].is_null();
        let drafters = if has_rows { vec![None] } else { drafters(&config)? };
        for drafter in drafters {
            for left in [0, 2] {
                let sequence = |number: usize| -> Result<Sequence> {
                    let prompt = &prompts[number];
                    let mut plan = config.plan(prompt, model.limits(), None)?.with_seed(3);
                    if number == 0 {
                        plan = plan.with_processor(Box::new(Nothing(prompt.len() + left)));
                    }
                    let sequence = Sequence::new(prompt, plan)?;
                    Ok(match &drafter {
                        Some(drafter) => sequence.with_drafter(drafter.clone()),
                        None => sequence,
                    })
                };
                let answers = complete(&decoder, &model.new_cache(), [sequence(0), sequence(1)])?;
                let error = answers[0].as_ref().unwrap_err().to_string();
                // Where several rows are one answer, no single processor is to blame.
                let is_named = has_rows || error.contains("Nothing");
                let is_clear = error.contains("no token to choose") && is_named;
                assert!(is_clear, "{options}, after {left}: {error}");
                let ids = |answers: &[sconce::generation::Generated]| -> Vec<Vec<u32>> {
                    answers.iter().map(Generated::ids).collect()
                };
                assert_eq!(ids(answers[1].as_ref().unwrap()), ids(&alone), "{options}");
            }
        }
    }
    Ok(())
}

/// What is refused leaves a conversation as it was: its cache goes on.
#[test]
fn what_is_refused_leaves_the_cache_as_it_was() -> Result<()> {
    let model = tiny("gemma2-tiny");
    let config = GenerationConfig::default().max_new_tokens(4);
    let mut stream = generate(&model, &[5, 17, 42], &config)?;
    assert_eq!(stream.by_ref().count(), 4);
    let (cache, tokens) = stream.into_parts();
    let prompt = [tokens.as_slice(), &[20, 21]].concat();
    let go_on = |config: &GenerationConfig, prompt: &[u32]| -> Result<Vec<u32>> {
        let stream = generate_from(&model, cache.fork()?, &tokens, prompt, config)?;
        assert_eq!(stream.timings().usage().cached_tokens, tokens.len() - 1);
        stream.map(|token| Ok(token?.id)).collect()
    };
    let expected = go_on(&config, &prompt)?;
    assert!(go_on(&config, &[prompt.as_slice(), &[u32::MAX]].concat()).is_err());
    assert!(go_on(&config.clone().repetition_penalty(-1.0), &prompt).is_err());
    assert!(go_on(&config.clone().suppress_tokens((0..272).collect()), &prompt).is_err());
    // An error within the answer ends the stream, which gives back what was computed before.
    let stream = generate_from(&model, cache.fork()?, &tokens, &prompt, &config)?;
    let mut stream = stream.with_processor(Box::new(Nothing(prompt.len() + 2)));
    assert_eq!(stream.by_ref().filter(Result::is_ok).count(), 2);
    let (after, said) = stream.into_parts();
    assert_eq!(said, [prompt.as_slice(), &expected[..2]].concat());
    let rest = generate_from(&model, after, &said, &said, &config.clone().max_new_tokens(2))?;
    let rest: Vec<_> = rest.map(|token| token.map(|it| it.id)).collect::<Result<_>>()?;
    assert_eq!(rest, expected[2..]);
    assert_eq!(go_on(&config, &prompt)?, expected);
    Ok(())
}
