//! `tokenizer_config.json` and its companions: special tokens by transformers' rules.
//!
//! Source: `PreTrainedTokenizerBase._from_pretrained` and `PreTrainedTokenizerFast.__init__`.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;
use tokenizers::AddedToken;

use crate::batch::PaddingSide;
use crate::error::Error;
use crate::error::Result;
use crate::source;
use crate::source::ModelFiles;
use crate::tokenizer::Loaded;
use crate::tokenizer::Settings;
use crate::tokenizer::backend::Backend;
use crate::tokenizer::backend::Template;
use crate::tokenizer::backend::guarded;
use crate::tokenizer::bounded::Engine;
use crate::tokenizer::class::Class;
use crate::tokenizer::json;
use crate::tokenizer::json::Parts;
use crate::tokenizer::slow;
use crate::tokenizer::special::SpecialToken;
use crate::tokenizer::special::SpecialTokens;

/// What the files beside the vocabulary say.
pub(super) struct Config {
    pub(super) class: Class,
    /// The class as the files name it, for messages.
    pub(super) class_name: String,
    fields: Map<String, Value>,
    /// `added_tokens_decoder`, or `added_tokens.json` of older repositories.
    added: BTreeMap<u32, AddedToken>,
    special: Vec<Special>,
}

/// A special token as the files give it.
pub(super) struct Special {
    name: &'static str,
    content: String,
    /// Its properties, where it is given with any.
    token: Option<AddedToken>,
}

/// Reads a folder or repository.
pub(super) fn load(files: &ModelFiles) -> Result<Loaded> {
    let config = Config::read(files)?;
    let json = files.optional(TOKENIZER_JSON)?;
    // Given `add_prefix_space`, the Llama class converts the SentencePiece file afresh.
    let from_slow = config.class == Class::Llama
        && config.boolean("add_prefix_space").is_some()
        && (json.is_none() || files.optional("tokenizer.model")?.is_some());
    let parts = match json {
        Some(path) if !from_slow => json::load(&path, &config)?,
        _ => slow::load(files, &config)?,
    };
    config.finish(parts).map_err(|reason| {
        Error::malformed(files.origin(), format!("the tokenizer's files disagree: {reason}"))
    })
}

impl Config {
    fn read(files: &ModelFiles) -> Result<Self> {
        let mut fields = object(files, "tokenizer_config.json")?;
        let (class, class_name) = class(files, &fields)?;
        let mut added = BTreeMap::new();
        if let Some(tokens) = fields.get("added_tokens_decoder").and_then(Value::as_object) {
            for (id, token) in tokens {
                let read = id.parse().ok().zip(added_token(token, false));
                let (id, token) = read.ok_or_else(|| {
                    let file = Path::new(&files.origin()).join("tokenizer_config.json");
                    Error::malformed(file, format!("added_tokens_decoder has {id:?}: {token}"))
                })?;
                added.insert(id, token);
            }
        } else {
            for (name, value) in object(files, "special_tokens_map.json")? {
                fields.insert(name, value);
            }
        }
        let special = special_tokens(class, &fields);
        if !fields.contains_key("added_tokens_decoder") {
            let named: HashSet<_> = special.iter().map(|token| token.content.as_str()).collect();
            for (content, id) in object(files, "added_tokens.json")? {
                if let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) {
                    let special = named.contains(content.as_str());
                    added.insert(id, AddedToken::from(content, special));
                }
            }
        }
        Ok(Self { class, class_name, fields, added, special })
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

    /// A special token's text.
    pub(super) fn special(&self, name: &str) -> Option<&str> {
        let token = self.special.iter().find(|token| token.name == name);
        token.map(|token| token.content.as_str())
    }

    /// The token that the files put at an id, whatever the vocabulary says.
    pub(super) fn added_at(&self, id: u32) -> Option<&str> {
        self.added.get(&id).map(|token| token.content.as_str())
    }

    /// Adds the special and added tokens and settles everything else.
    fn finish(mut self, parts: Parts) -> std::result::Result<Loaded, String> {
        let Parts { mut tokenizer, mut template, padding, is_converted } = parts;
        if let Some(padding) = &padding
            && self.special("pad_token").is_none()
            && !self.fields.contains_key("pad_token")
        {
            let content = padding.token.clone();
            self.special.push(Special { name: "pad_token", content, token: None });
        }
        let tokens = self.tokens_to_add(&tokenizer, is_converted);
        guarded(|| tokenizer.add_tokens(tokens))?;
        let split_special_tokens = self.boolean("split_special_tokens").unwrap_or(false);
        tokenizer.set_encode_special_tokens(split_special_tokens);
        let backend = Backend::new(tokenizer);
        let special = SpecialTokens::new(self.special.iter().filter_map(|token| {
            let id = backend.token_to_id(&token.content)?;
            Some((token.name, SpecialToken { content: token.content.clone(), id }))
        }));
        if let Some(own) = self.class_template(&backend, &special)? {
            template = own;
        }
        let side = |key: &str| match self.raw(key).and_then(Value::as_str) {
            Some("left") => Some(PaddingSide::Left),
            Some("right") => Some(PaddingSide::Right),
            _ => None,
        };
        let pad_type_id = self.integer("pad_token_type_id").and_then(|id| u32::try_from(id).ok());
        let settings = Settings {
            special,
            // "Very large" stands for unknown.
            model_max_length: self
                .raw("model_max_length")
                .and_then(Value::as_f64)
                .filter(|length| (1.0..1e15).contains(length))
                .map(|length| length as usize),
            padding_side: side("padding_side")
                .or_else(|| padding.as_ref().map(|padding| padding.side))
                .unwrap_or_else(|| self.class.padding_side()),
            truncation_side: side("truncation_side").unwrap_or(PaddingSide::Right),
            pad_type_id: pad_type_id
                .or_else(|| padding.map(|padding| padding.type_id))
                .unwrap_or(0),
            clean_up_spaces: self
                .boolean("clean_up_tokenization_spaces")
                .unwrap_or(is_converted && matches!(self.class, Class::Bert | Class::MpNet)),
            marks_word_ends: self.class == Class::Clip,
            ..Settings::default()
        };
        Ok(Loaded { backend, template, settings })
    }

    /// The tokens of the files, then the special tokens that are in neither.
    fn tokens_to_add(&self, tokenizer: &Engine, is_converted: bool) -> Vec<AddedToken> {
        let special: HashSet<_> = self.special.iter().map(|token| token.content.as_str()).collect();
        let mut tokens: Vec<_> = self
            .added
            .values()
            .cloned()
            .map(|token| {
                let is_special = token.special || special.contains(token.content.as_str());
                token.special(is_special)
            })
            .collect();
        let mut known: HashSet<_> =
            self.added.values().map(|token| token.content.clone()).collect();
        for token in &self.special {
            let there = tokenizer.get_added_vocabulary().get_vocab().contains_key(&token.content);
            // `tokenizer.json` knows better than the class, a SentencePiece file does not.
            let swallows = token.name == "mask_token" && self.class.mask_swallows_spaces();
            let stays = there && token.token.is_none() && !(is_converted && swallows);
            if stays || !known.insert(token.content.clone()) {
                continue;
            }
            let plain = || AddedToken::from(token.content.clone(), true).lstrip(swallows);
            tokens.push(token.token.clone().unwrap_or_else(plain).special(true));
        }
        tokens
    }

    /// The template of the classes that set their own, whatever `tokenizer.json` says.
    fn class_template(
        &self,
        backend: &Backend,
        special: &SpecialTokens,
    ) -> std::result::Result<Option<Template>, String> {
        let language = |default: &str| {
            let name = self.raw("src_lang").and_then(Value::as_str).unwrap_or(default);
            let id = backend.token_to_id(name).ok_or_else(|| format!("no language {name:?}"))?;
            Ok::<_, String>(SpecialToken { content: name.to_owned(), id })
        };
        let eos = special.eos.as_slice();
        let template = match self.class {
            Class::Nllb if self.boolean("legacy_behaviour") != Some(true) => {
                one_template(&[language("eng_Latn")?], eos)
            }
            Class::Nllb => one_template(&[], &[eos, &[language("eng_Latn")?]].concat()),
            Class::MBart => one_template(&[], &[eos, &[language("en_XX")?]].concat()),
            Class::MBart50 => one_template(&[language("en_XX")?], eos),
            class => {
                let Some(default) = class.adds_bos_by_default() else { return Ok(None) };
                let flag = |key: &str, default| match self.raw(key) {
                    None => default,
                    Some(value) => value.as_bool().unwrap_or(false),
                };
                let wanted = |key: &str, default, token: &Option<SpecialToken>| {
                    if !flag(key, default) {
                        return Ok(Vec::new());
                    }
                    let token =
                        token.clone().ok_or_else(|| format!("{key} without such a token"))?;
                    Ok::<_, String>(vec![token])
                };
                let prefix = wanted("add_bos_token", default, &special.bos)?;
                let suffix = wanted("add_eos_token", false, &special.eos)?;
                Template::around(&prefix, &suffix)
            }
        };
        template.map(Some).map_err(|error| error.to_string())
    }
}

/// Both texts of a pair inside one frame, as translation models have it.
fn one_template(prefix: &[SpecialToken], suffix: &[SpecialToken]) -> Result<Template> {
    let names = |tokens: &[SpecialToken]| {
        tokens.iter().map(|token| token.content.clone()).collect::<Vec<_>>()
    };
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let framed = |middle| [names(prefix), middle, names(suffix)].concat();
    let all = prefix.iter().chain(suffix);
    Template::from_pieces(framed(texts(&["$A"])), framed(texts(&["$A", "$B"])), all)
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
    Ok((Class::of_model(model_type), format!("of model type {model_type:?}")))
}

fn special_tokens(class: Class, fields: &Map<String, Value>) -> Vec<Special> {
    let mut tokens = Vec::new();
    for name in NAMES {
        let default = class.special_tokens().iter().find(|(key, _)| *key == name);
        let given = fields.get(name);
        let content = match given {
            None => default.map(|&(_, content)| content.to_owned()),
            Some(value) => content(value),
        };
        let Some(content) = content else { continue };
        let token = given.and_then(|value| added_token(value, true));
        tokens.push(Special { name, content, token });
    }
    let mut additional: Vec<_> = fields
        .get("additional_special_tokens")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|value| {
            let token = added_token(value, true);
            Some(Special { name: "additional", content: content(value)?, token })
        })
        .collect();
    if class == Class::T5 && !additional.iter().any(|token| token.content.contains("<extra_id_")) {
        let count = fields.get("extra_ids").and_then(Value::as_u64).unwrap_or(100);
        additional.extend((0..count.min(MAX_EXTRA_IDS)).map(|index| Special {
            name: "additional",
            content: format!("<extra_id_{index}>"),
            token: None,
        }));
    }
    if class == Class::Camembert && !fields.contains_key("additional_special_tokens") {
        additional.extend(["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"].map(|content| Special {
            name: "additional",
            content: content.to_owned(),
            token: None,
        }));
    }
    tokens.append(&mut additional);
    tokens
}

/// A token is given as its text or as an object of its properties.
fn content(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// A token with its properties; none where the value is mere text.
fn added_token(value: &Value, special: bool) -> Option<AddedToken> {
    #[derive(Deserialize)]
    struct Properties {
        content: String,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        normalized: Option<bool>,
        special: Option<bool>,
    }
    let token: Properties = value.is_object().then(|| Properties::deserialize(value).ok())??;
    let special = token.special.unwrap_or(special);
    Some(
        AddedToken::from(token.content, special)
            .single_word(token.single_word)
            .lstrip(token.lstrip)
            .rstrip(token.rstrip)
            .normalized(token.normalized.unwrap_or(!special)),
    )
}

/// A JSON object in a file; empty where there is no such file.
fn object(files: &ModelFiles, name: &str) -> Result<Map<String, Value>> {
    let Some(path) = files.optional(name)? else { return Ok(Map::new()) };
    source::json::read(&path)
}

pub(super) const TOKENIZER_JSON: &str = "tokenizer.json";

const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// More would be a lie.
const MAX_EXTRA_IDS: u64 = 10_000;
