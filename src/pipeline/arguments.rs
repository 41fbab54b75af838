//! Options and items out of JSON, by their Hugging Face names.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result, did_you_mean};
use crate::generation::GenerationConfig;
use crate::read::{self, Wrong, described};
use crate::warning::warn;

/// A text, or a list of them.
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Takes the option out of the map; `None` where it is missing or null.
pub(super) fn take<T: DeserializeOwned>(
    options: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<T>> {
    match options.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read::read_field(name, &value).map(Some).map_err(wrong_option),
    }
}

/// Sets the options of generation, which are all that is left. An error about another name suggests one of
/// generation or `of_pipeline`.
pub(super) fn generation<'a>(
    generation: &mut GenerationConfig,
    options: Map<String, Value>,
    of_pipeline: impl IntoIterator<Item = &'a &'static str>,
) -> Result<()> {
    for (name, value) in options {
        if !generation.set(&name, &value)? {
            let known = of_pipeline.into_iter().chain(GenerationConfig::NAMES);
            let reason = format!("there is no such name here{}", did_you_mean(&name, known));
            return Err(Error::option(name, reason));
        }
    }
    Ok(())
}

/// The defaults of the pipelines that write, which go over what the model says: so many beams, and 256 new
/// tokens unless the model states a length.
pub(super) fn generation_defaults(stored: &GenerationConfig, num_beams: usize) -> GenerationConfig {
    let defaults = GenerationConfig::default().num_beams(num_beams);
    match stored.max_length {
        Some(length) if length != GLOBAL_MAX_LENGTH => defaults,
        _ => defaults.max_new_tokens(256),
    }
}

/// The length that transformers generates to where nobody says one.
pub(super) const GLOBAL_MAX_LENGTH: usize = 20;

/// Reads options whose fields all have defaults.
pub(super) fn options<T: DeserializeOwned>(options: Map<String, Value>) -> Result<T> {
    read::read_fields(&options).map_err(wrong_option)
}

fn wrong_option(wrong: Wrong) -> Error {
    Error::option(wrong.place, wrong.reason)
}

/// Gives an option that has been renamed its new name, with a warning; the
/// new one wins where both are there.
pub(super) fn rename(options: &mut Map<String, Value>, old: &str, new: &str) {
    if let Some(value) = options.remove(old).filter(|value| !value.is_null()) {
        warn(&format!("the option `{old}` is deprecated: use `{new}`"));
        let slot = options.entry(new).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value;
        }
    }
}

/// Takes the named options out, for options that Python passes on.
pub(super) fn split(options: &mut Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    names.iter().filter_map(|&name| Some((name.to_owned(), options.remove(name)?))).collect()
}

/// An item, or all of a list.
pub(super) fn item<T: DeserializeOwned>(value: &Value) -> Result<T> {
    read::read(value).map_err(Error::input)
}

/// An input of none of the shapes that there are.
pub(super) fn misshapen(value: &Value, wanted: &str) -> Error {
    Error::input(format!("{} where {wanted} is wanted", described(value)))
}

/// A result as JSON.
pub(super) fn output<T: Serialize>(output: T) -> Result<Value> {
    serde_json::to_value(output).map_err(Error::input)
}

/// One result by itself, several as a list.
pub(super) fn one_or_more<T: Serialize>(mut results: Vec<T>) -> Result<Value> {
    match results.len() {
        1 => output(results.pop()),
        _ => output(results),
    }
}

impl OneOrMore {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, texts: A) -> Result<OneOrMore, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(texts)).map(OneOrMore::More)
            }
        }

        from.deserialize_any(Texts)
    }
}
