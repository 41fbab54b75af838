//! The values of generation options as JSON has them.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::read::read;

/// The options that `null` unsets in the layers below. Ignored when options are compared and written.
#[derive(Debug, Clone, Default)]
pub(in crate::generation) struct Unset(pub(super) Vec<&'static str>);

impl PartialEq for Unset {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What transformers accepts in more than one form, in ours.
pub(super) fn normalized(name: &str, value: &Value) -> Value {
    let absent = |id: &Value| id.as_i64().is_some_and(|id| id < 0);
    let mut value = value.clone();
    if matches!(name, "eos_token_id" | "forced_eos_token_id" | "stop_strings")
        && !value.is_array()
        && !value.is_null()
    {
        value = Value::Array(vec![value]);
    }
    match (name, &mut value) {
        ("bos_token_id" | "pad_token_id", id) if absent(id) => Value::Null,
        ("eos_token_id", Value::Array(ids)) => {
            ids.retain(|id| !absent(id));
            value
        }
        _ => value,
    }
}

pub(super) fn parsed<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T> {
    read(value).map_err(|wrong| Error::option(name, wrong))
}

/// Whether `name` is a field of transformers that is no option here, which is no error.
///
/// # Errors
///
/// For a value that asks for something.
pub(super) fn no_option(name: &str, value: &Value) -> Result<bool> {
    match NO_OPTIONS.iter().find(|(known, _)| *known == name) {
        None => Ok(false),
        Some((_, reason)) if name == "constraints" && !value.is_null() => {
            Err(Error::option(name, *reason))
        }
        Some(_) => Ok(true),
    }
}

/// Fields of transformers that are no options here, each with the reason. All are read and change nothing,
/// but for `constraints`.
const NO_OPTIONS: &[(&str, &str)] = &[
    ("_commit_hash", "says where the file comes from"),
    ("_from_model_config", "says where the file comes from"),
    ("cache_config", "is about the memory of PyTorch's caches"),
    ("cache_implementation", "is about the memory of PyTorch's caches"),
    ("compile_config", "is about PyTorch's compiler"),
    (
        "constraints",
        "are objects, which JSON cannot hold: `Plan::with_constraint` takes them, and \
         `force_words_ids` makes the usual ones",
    ),
    (
        "continuous_batching_config",
        "is about PyTorch's batches; sequences join a `Stepper` at any step",
    ),
    ("disable_compile", "is about PyTorch's compiler"),
    ("is_assistant", "is set by `generate` itself"),
    ("low_memory", "is about the memory of PyTorch"),
    ("max_cache_len", "is about the memory of PyTorch's caches"),
    ("prefill_chunk_size", "is about memory; prompts are always read in chunks, of 512 tokens"),
    ("return_legacy_cache", "is about the format of PyTorch's caches"),
    ("transformers_version", "says where the file comes from"),
    ("use_cache", "is about time; there is always a cache"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::generation::{EarlyStopping, ForcedWords, GenerationConfig};
    use crate::models::ModelLimits;

    #[test]
    fn json_in_all_its_forms() {
        let config = GenerationConfig::from_json(&json!({
            "_from_model_config": true,
            "transformers_version": "4.57.6",
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": -1,
            "stop_strings": "###",
            "temperature": 1,
            "top_k": null,
            "sequence_bias": [[[3, 4], -2.5], [[5], 1]],
            "exponential_decay_length_penalty": [4, 1.5],
            "num_beams": 1,
            "early_stopping": "never",
            "force_words_ids": [[3, 4], [[5], [6, 7]]],
            "token_healing": false,
            "constraints": null,
            "return_dict_in_generate": true,
            "assistant_early_exit": 2,
        }))
        .unwrap();
        let expected = GenerationConfig::default()
            .bos_token_id(1)
            .eos_token_id(vec![2])
            .stop_strings(vec!["###".into()])
            .temperature(1.0)
            .top_k(0)
            .sequence_bias(vec![(vec![3, 4], -2.5), (vec![5], 1.0)])
            .exponential_decay_length_penalty((4, 1.5))
            .num_beams(1)
            .token_healing(false)
            .return_dict_in_generate(true)
            .assistant_early_exit(2)
            .early_stopping(EarlyStopping::Never)
            .force_words_ids(vec![
                ForcedWords::Phrase(vec![3, 4]),
                ForcedWords::AnyOf(vec![vec![5], vec![6, 7]]),
            ]);
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!((&written["token_healing"], &written["top_k"]), (&json!(false), &json!(0)));
        assert_eq!(written["force_words_ids"], json!([[3, 4], [[5], [6, 7]]]));
        assert_eq!(serde_json::from_value::<GenerationConfig>(written).unwrap(), config);
        assert_eq!(config, expected);
    }

    #[test]
    fn null_unsets_what_layers_below_say() {
        let model = GenerationConfig::default().forced_bos_token_id(3).max_length(9).num_beams(2);
        let nulls = json!({"forced_bos_token_id": null, "num_beams": null, "max_time": null});
        let call = GenerationConfig::from_json(&nulls).unwrap().max_time(1.0);
        let config = model.clone().overlaid(&call);
        assert_eq!((config.forced_bos_token_id, config.max_length), (None, Some(9)));
        assert_eq!((config.num_beams, config.max_time), (Some(1), Some(1.0)));
        // Through a layer between them, too.
        let between = GenerationConfig::default().overlaid(&call);
        assert_eq!(model.overlaid(&between).forced_bos_token_id, None);
    }

    #[test]
    fn wrong_types_name_the_key() {
        for (name, value) in [
            ("top_k", json!("many")),
            ("top_k", json!(2.5)),
            ("do_sample", json!(1)),
            ("eos_token_id", json!("</s>")),
            ("eos_token_id", json!([1, null])),
            ("stop_strings", json!([1])),
            ("temperature", json!([])),
            ("bad_words_ids", json!([1])),
            ("sequence_bias", json!([[1, 2.0]])),
            ("max_new_tokens", json!(1e300)),
            ("early_stopping", json!("ever")),
            ("force_words_ids", json!([5])),
            ("force_words_ids", json!([[[5], 6]])),
        ] {
            let error = GenerationConfig::from_json(&json!({name: value})).unwrap_err();
            assert!(
                matches!(&error, Error::InvalidOption { option, .. } if option == name),
                "{error}"
            );
            assert!(error.to_string().contains(" is wanted"), "{error}");
        }
        assert!(GenerationConfig::from_json(&json!([])).is_err());
        let error = GenerationConfig::from_json(&json!({"constraints": [1]})).unwrap_err();
        assert!(error.to_string().contains("Plan::with_constraint"), "{error}");
        let error = GenerationConfig::from_json(&json!({"temprature": 1})).unwrap_err().to_string();
        assert!(error.contains("`temprature`") && error.contains("\"temperature\""), "{error}");
    }

    /// As in transformers, where only the processor looks at it: files say -1 for "off".
    #[test]
    fn a_negative_top_k_is_refused_where_it_samples() {
        let config = GenerationConfig::from_json(&json!({"top_k": -1})).unwrap();
        let limits = ModelLimits::new(10, 10);
        assert!(config.plan(&[1], limits, None).is_ok());
        let error = config.do_sample(true).plan(&[1], limits, None).unwrap_err();
        assert!(matches!(&error, Error::InvalidOption { option, .. } if option == "top_k"));
    }

    #[test]
    fn layers_stack() {
        let below =
            GenerationConfig::from_json(&json!({"token_healing": true, "top_k": 9})).unwrap();
        let over =
            GenerationConfig::from_json(&json!({"token_healing": false, "seed": 3})).unwrap();
        let both = below.overlaid(&over);
        assert_eq!((both.top_k, both.seed), (Some(9), Some(3)));
        assert_eq!(both.token_healing, Some(false));
    }

    #[test]
    fn files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generation_config.json");
        for (text, expected) in [
            (r#"{"max_length": 20, "top_k": 3}"#, Some(GenerationConfig::default().top_k(3))),
            (r#"{"max_length": 21}"#, Some(GenerationConfig::default().max_length(21))),
            (r#"{"top_k": "x"}"#, None),
            (r#"{"top_k": 3"#, None),
            ("[]", None),
        ] {
            std::fs::write(&path, text).unwrap();
            match (GenerationConfig::from_file(&path), expected) {
                (Ok(found), Some(expected)) => assert_eq!(found, expected),
                (Err(error), None) => assert!(error.to_string().contains("generation_config.json")),
                (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
            }
        }
        assert!(GenerationConfig::from_file(folder.path().join("none.json")).is_err());
    }
}
