//! `tokenizer_config.json` and its companions: special tokens by transformers' rules.
//!
//! Source: `PreTrainedTokenizerBase._from_pretrained` and `PreTrainedTokenizerFast.__init__`.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::path::Path;

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
use crate::tokenizer::backend::add_tokens;
use crate::tokenizer::backend::guarded;
use crate::tokenizer::bounded::Engine;
use crate::tokenizer::class::Class;
use crate::tokenizer::fields;
use crate::tokenizer::json;
use crate::tokenizer::json::Parts;
use crate::tokenizer::named;
use crate::tokenizer::named::ADDITIONAL;
use crate::tokenizer::named::GivenToken;
use crate::tokenizer::named::NAMES;
use crate::tokenizer::named::Named;
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
    added: BTreeMap<u32, GivenToken>,
    /// Whether there is no `added_tokens_decoder`: the properties of tokens are then those in
    /// `tokenizer.json`.
    is_legacy: bool,
    special: Vec<Named>,
}

/// Reads a folder or repository.
pub(super) fn load(files: &ModelFiles) -> Result<Loaded> {
    let mut config = Config::read(files)?;
    let json = files.optional(&config.tokenizer_json())?;
    // Given `add_prefix_space`, these classes convert the SentencePiece file afresh.
    let model = match config.class {
        Class::Llama => Some("tokenizer.model"),
        Class::T5 => Some("spiece.model"),
        _ => None,
    };
    let from_slow = match model.filter(|_| config.boolean("add_prefix_space").is_some()) {
        Some(model) => json.is_none() || files.optional(model)?.is_some(),
        None => false,
    };
    let parts = match json {
        Some(path) if !from_slow => json::load(&path, &config)?,
        _ => {
            let class = config.class;
            config.class = class.converts_as();
            let parts = slow::load(files, &config)?;
            config.class = class;
            parts
        }
    };
    config.finish(parts).map_err(|reason| {
        Error::malformed(files.origin(), format!("the tokenizer's files disagree: {reason}"))
    })
}

impl Config {
    fn read(files: &ModelFiles) -> Result<Self> {
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
    fn tokenizer_json(&self) -> String {
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

    /// The token that the files put at an id, whatever the vocabulary says.
    pub(super) fn added_at(&self, id: u32) -> Option<&str> {
        self.added.get(&id).map(GivenToken::content)
    }

    /// Adds the special and added tokens and settles everything else.
    fn finish(mut self, parts: Parts) -> std::result::Result<Loaded, String> {
        let Parts { mut tokenizer, mut template, file, is_converted } = parts;
        // A constructor that has the argument gives it a value, be it none.
        let names_padding = self.class == Class::GptNeoX || self.special("pad_token").is_some();
        if let Some(token) = file.pad_token
            && !names_padding
            && !self.fields.contains_key("pad_token")
        {
            self.special.push(Named::by_default("pad_token", token));
        }
        let tokens = self.tokens_to_add(&tokenizer, is_converted);
        guarded(|| add_tokens(&mut tokenizer, tokens))?;
        let split_special_tokens = self.boolean("split_special_tokens").unwrap_or(false);
        tokenizer.set_encode_special_tokens(split_special_tokens);
        let backend = Backend::new(tokenizer);
        let special = SpecialTokens::new(self.special.iter().filter_map(|token| {
            let id = backend.token_to_id(&token.content)?;
            Some((token.name.as_str(), SpecialToken { content: token.content.clone(), id }))
        }));
        if let Some(own) = self.class_template(&backend, &special)? {
            template = own;
        }
        let side = |key: &str| match self.raw(key).and_then(Value::as_str) {
            Some("left") => Some(PaddingSide::Left),
            Some("right") => Some(PaddingSide::Right),
            _ => None,
        };
        let max_length = ["model_max_length", "max_len"].into_iter().find_map(|key| self.raw(key));
        let is_type_ids = |name: &Value| name == "token_type_ids";
        let inputs = self.raw("model_input_names").and_then(Value::as_array);
        let settings = Settings {
            special,
            // "Very large" stands for unknown.
            model_max_length: max_length
                .and_then(Value::as_f64)
                .filter(|length| (1.0..1e15).contains(length))
                .map(|length| length as usize),
            padding_side: side("padding_side")
                .or(file.padding_side)
                .unwrap_or_else(|| self.class.padding_side()),
            truncation_side: side("truncation_side")
                .or(file.truncation_side)
                .unwrap_or(PaddingSide::Right),
            pad_type_id: self.class.pad_type_id(),
            omits_type_ids: match inputs {
                Some(names) => !names.iter().any(is_type_ids),
                None => !self.class.has_type_ids(),
            },
            refuses_words: self.class.needs_prefix_space_for_words()
                && self.prefix_space() != Some(true),
            clean_up_spaces: self.boolean("clean_up_tokenization_spaces").unwrap_or(
                is_converted
                    && matches!(self.class, Class::Bert | Class::DistilBert | Class::MpNet),
            ),
            marks_word_ends: self.class == Class::Clip,
            ..Settings::default()
        };
        Ok(Loaded { backend, template, settings })
    }

    /// The added tokens of the files, then the special tokens that are in neither or that are given
    /// with properties.
    fn tokens_to_add(&self, tokenizer: &Engine, is_converted: bool) -> Vec<AddedToken> {
        let there = tokenizer.get_added_vocabulary();
        let named: HashSet<_> = self.special.iter().map(|token| token.content.as_str()).collect();
        let is_named = |content: &str| named.contains(content);
        let added = self.added.iter();
        let mut added: BTreeMap<u32, AddedToken> = added
            .map(|(&id, token)| (id, token.token(token.special || is_named(token.content()))))
            .collect();
        if self.is_legacy && !is_converted {
            // The same tokens once more: those that are named are special now.
            let same = there.get_added_tokens_decoder().iter();
            added.extend(same.map(|(&id, token)| {
                let special = token.special || is_named(&token.content);
                (id, token.clone().special(special))
            }));
        }
        let mut tokens: Vec<_> = added.into_values().collect();
        let mut seen = HashSet::new();
        for token in self.special.iter().filter(|token| seen.insert(token.content.as_str())) {
            let content = token.content.as_str();
            let known = tokens.iter().find(|token| token.content == content);
            let is_classic = NAMES.contains(&token.name.as_str());
            if known.is_some() && is_classic && !token.is_default {
                continue;
            }
            let swallows = token.name == "mask_token" && self.class.mask_swallows_spaces();
            let given = token.given.as_ref().map(|given| given.token(true));
            match given.or_else(|| swallows.then(|| AddedToken::from(content, true).lstrip(true))) {
                Some(token) if !tokens.contains(&token) => tokens.push(token),
                None if known.is_none() && !there.get_vocab().contains_key(content) => {
                    tokens.push(AddedToken::from(content, true));
                }
                _ => {}
            }
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

const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Of transformers, whose files are read.
const VERSION: [u32; 3] = [4, 57, 6];
