//! `tokenizer_config.json` and its companions: special tokens by transformers' rules.
//!
//! Source: `PreTrainedTokenizerBase._from_pretrained` and `PreTrainedTokenizerFast.__init__`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::source::{self, ModelFiles};
use crate::tokenizer::class::Class;
use crate::tokenizer::fields;
use crate::tokenizer::named::{self, ADDITIONAL, GivenToken, Named};

/// What the files beside the vocabulary say.
pub(super) struct Config {
    pub(super) class: Class,
    /// The class as the files name it, for messages.
    pub(super) class_name: String,
    pub(super) fields: Map<String, Value>,
    /// `added_tokens_decoder`, or `added_tokens.json` of older repositories.
    pub(super) added: BTreeMap<u32, GivenToken>,
    /// Whether there is no `added_tokens_decoder`: the properties of tokens are then those in
    /// `tokenizer.json`.
    pub(super) is_legacy: bool,
    pub(super) special: Vec<Named>,
}

impl Config {
    pub(super) fn read(files: &ModelFiles) -> Result<Self> {
        let mut fields = object(files, TOKENIZER_CONFIG)?;
        let (class, class_name) = class(files, &fields)?;
        let mut added = BTreeMap::new();
        let decoder = fields.get("added_tokens_decoder").and_then(Value::as_object);
        let is_legacy = decoder.is_none();
        for (id, token) in decoder.into_iter().flatten() {
            let read = id.parse().ok().zip(GivenToken::read(token));
            let (id, token) = read.ok_or_else(|| {
                let file = Path::new(&files.origin()).join(TOKENIZER_CONFIG);
                Error::malformed(file, format!("added_tokens_decoder has {id:?}: {token}"))
            })?;
            added.insert(id, token);
        }
        if is_legacy {
            for (name, value) in object(files, "special_tokens_map.json")? {
                merge(&mut fields, name, value);
            }
        }
        let special = named::special_tokens(class, &fields);
        if is_legacy {
            for (content, id) in object(files, "added_tokens.json")? {
                if let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) {
                    added.insert(id, GivenToken::text(content));
                }
            }
        }
        Ok(Self { class, class_name, fields, added, is_legacy, special })
    }

    /// The file for this version of transformers, where there are several: `fast_tokenizer_files`.
    pub(super) fn tokenizer_json(&self) -> String {
        let files = self.raw("fast_tokenizer_files").and_then(Value::as_array);
        let versions = files.into_iter().flatten().filter_map(|name| {
            let name = name.as_str()?;
            let version = name.strip_prefix("tokenizer.")?.strip_suffix(".json")?;
            let numbers = version.split('.').map(|part| part.parse::<u32>().ok());
            Some((numbers.collect::<Option<Vec<_>>>()?, name))
        });
        let known = versions.filter(|(version, _)| version.as_slice() <= VERSION.as_slice());
        known.max().map_or(TOKENIZER_JSON, |(_, name)| name).to_owned()
    }

    pub(super) fn raw(&self, key: &str) -> Option<&Value> {
        self.fields.get(key)
    }

    /// A flag, where it is there and not null.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        self.raw(key).and_then(Value::as_bool)
    }

    pub(super) fn integer(&self, key: &str) -> Option<usize> {
        self.raw(key).and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok())
    }

    /// `add_prefix_space`; none leaves the file as it is, as `null` does.
    pub(super) fn prefix_space(&self) -> Option<bool> {
        match self.raw("add_prefix_space") {
            None => self.class.prefix_space(),
            Some(value) => value.as_bool(),
        }
    }

    /// A special token's text.
    pub(super) fn special(&self, name: &str) -> Option<&str> {
        let token = self.special.iter().find(|token| token.name == name);
        token.map(|token| token.content.as_str())
    }

    /// The special tokens without a name.
    pub(super) fn additional(&self) -> impl Iterator<Item = &str> {
        let tokens = self.special.iter().filter(|token| token.name == ADDITIONAL);
        tokens.map(|token| token.content.as_str())
    }

    /// The token that the files put at an id, whatever the vocabulary says.
    pub(super) fn added_at(&self, id: u32) -> Option<&str> {
        self.added.get(&id).map(GivenToken::content)
    }
}

fn class(files: &ModelFiles, fields: &Map<String, Value>) -> Result<(Class, String)> {
    let name = |fields: &Map<String, Value>| {
        fields.get("tokenizer_class").and_then(Value::as_str).map(str::to_owned)
    };
    if let Some(name) = name(fields) {
        return Ok((Class::named(&name), name));
    }
    let model = object(files, "config.json")?;
    if let Some(name) = name(&model) {
        return Ok((Class::named(&name), name));
    }
    let model_type = model.get("model_type").and_then(Value::as_str).unwrap_or_default();
    // mistral-common puts the tokens around a text that this class does.
    if files.optional(TOKENIZER_JSON)?.is_none() && files.optional(TEKKEN)?.is_some() {
        return Ok((Class::Llama, format!("of {TEKKEN}")));
    }
    Ok((Class::of_model(model_type), format!("of model type {model_type:?}")))
}

/// A field of `special_tokens_map.json` takes the place of the same field in
/// `tokenizer_config.json`; additional tokens come behind those that are there.
fn merge(fields: &mut Map<String, Value>, name: String, mut value: Value) {
    if name == ADDITIONAL
        && let (Some(there), Some(more)) =
            (fields.get_mut(ADDITIONAL).and_then(Value::as_array_mut), value.as_array_mut())
    {
        more.retain(|token| !there.contains(token));
        there.append(more);
        return;
    }
    fields.insert(name, value);
}

/// A JSON object in a file; empty where there is no such file.
fn object(files: &ModelFiles, name: &str) -> Result<Map<String, Value>> {
    let Some(path) = files.optional(name)? else { return Ok(Map::new()) };
    let fields = source::json::read(&path)?;
    match name {
        "config.json" => Ok(()),
        _ => fields::check(&fields),
    }
    .map_err(|reason| Error::malformed(&path, reason))?;
    Ok(fields)
}

pub(super) const TOKENIZER_JSON: &str = "tokenizer.json";
/// Mistral's own.
pub(super) const TEKKEN: &str = "tekken.json";

const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Of transformers, whose files are read.
const VERSION: [u32; 3] = [4, 57, 6];
