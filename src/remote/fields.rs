//! Options of generation as fields of a request.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::generation::GenerationConfig;

/// The fields of a request that say what `config` says. `max_tokens` is the name of the field for
/// `max_new_tokens`.
///
/// | option | field |
/// |---|---|
/// | `max_new_tokens` | `max_completion_tokens` or `max_tokens` |
/// | `temperature`, `top_p`, `seed`, `frequency_penalty`, `presence_penalty` | the same |
/// | `do_sample` off | `temperature` 0 |
/// | `stop_strings` | `stop` |
/// | `num_return_sequences` | `n` |
/// | `top_logprobs` | `logprobs` and the same |
///
/// `max_time` is kept on this side. What is not set is up to the service.
///
/// # Errors
///
/// When another option asks for something: a service cannot follow it.
pub fn generation_fields(
    config: &GenerationConfig,
    max_tokens: &str,
) -> Result<Map<String, Value>> {
    let set = serde_json::to_value(config).map_err(|error| Error::option("generation", error))?;
    let Value::Object(set) = set else { return Ok(Map::new()) };
    let is_greedy = config.do_sample == Some(false);
    let mut fields = Map::new();
    for (name, value) in set {
        match name.as_str() {
            "max_new_tokens" => drop(fields.insert(max_tokens.to_owned(), value)),
            "num_return_sequences" if value == 1 => {}
            "num_return_sequences" => drop(fields.insert("n".to_owned(), value)),
            "stop_strings" if value.as_array().is_some_and(Vec::is_empty) => {}
            "stop_strings" => drop(fields.insert("stop".to_owned(), value)),
            // As here, they have no effect where nothing is sampled.
            "temperature" | "top_p" if is_greedy => {}
            "temperature" | "top_p" | "seed" | "frequency_penalty" | "presence_penalty" => {
                fields.insert(name, value);
            }
            "max_time" => {}
            "do_sample" if !is_greedy => {}
            "do_sample" => drop(fields.insert("temperature".to_owned(), json!(0))),
            // They have no effect here either.
            "pad_token_id" | "bos_token_id" => {}
            "top_logprobs" if value != 0 => {
                fields.insert("logprobs".to_owned(), json!(true));
                fields.insert(name, value);
            }
            _ if is_off(&name, &value)? => {}
            _ => return Err(refused(&name)),
        }
    }
    Ok(fields)
}

/// The error for an option that a service cannot follow.
pub(crate) fn refused(name: &str) -> Error {
    let reason = "a service cannot follow it; leave it unset, or send what the service has for it by \
                  `RemoteModel::extra_field`";
    Error::option(name, reason)
}

/// Whether the value is the one that turns the option off, which JSON's `null` means.
fn is_off(name: &str, value: &Value) -> Result<bool> {
    let mut off = GenerationConfig::default();
    off.set(name, &Value::Null)?;
    let off = serde_json::to_value(&off).map_err(|error| Error::option(name, error))?;
    Ok(off.get(name).is_some_and(|off| off == value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_fields() {
        let config = json!({
            "max_new_tokens": 7, "temperature": 0.5, "top_p": 0.9, "seed": 3, "stop_strings": ["a", "b"],
            "num_return_sequences": 2, "frequency_penalty": 0.1, "presence_penalty": -0.2, "do_sample": true,
            "max_time": 9.0, "top_logprobs": 2, "num_beams": 1, "repetition_penalty": 1.0, "top_k": 0, "pad_token_id": 1,
        });
        let config = GenerationConfig::from_json(&config).unwrap();
        let fields = generation_fields(&config, "max_tokens").unwrap();
        let expected = json!({
            "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ["a", "b"], "n": 2,
            "frequency_penalty": 0.1, "presence_penalty": -0.2, "logprobs": true, "top_logprobs": 2,
        });
        assert_eq!(Value::Object(fields), expected);
        let greedy = GenerationConfig::default().do_sample(false).temperature(0.7).top_p(0.5);
        let fields = generation_fields(&greedy, "max_tokens").unwrap();
        assert_eq!(Value::Object(fields), json!({"temperature": 0}));
    }

    #[test]
    fn what_a_service_cannot_follow_is_named() {
        for (name, value) in [
            ("top_k", json!(50)),
            ("max_length", json!(50)),
            ("min_new_tokens", json!(1)),
            ("repetition_penalty", json!(1.1)),
            ("num_beams", json!(4)),
            ("eos_token_id", json!([2])),
            ("prompt_lookup_num_tokens", json!(3)),
            ("use_cache", json!(false)),
        ] {
            let mut config = GenerationConfig::default();
            config.set(name, &value).unwrap();
            let found = generation_fields(&config, "max_tokens");
            if name == "use_cache" {
                assert!(found.is_ok(), "{found:?}");
                continue;
            }
            let error = found.unwrap_err();
            assert!(error.is_caller_error() && error.to_string().contains(name), "{error}");
        }
    }
}
