//! From the files of a source to its tokenizer, special tokens by transformers' rules.
//!
//! Source: `PreTrainedTokenizerBase._from_pretrained` and `PreTrainedTokenizerFast.__init__`.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use tokenizers::AddedToken;

use crate::batch::PaddingSide;
use crate::error::{Error, Result};
use crate::source::{ModelFiles, ModelSource};
use crate::tokenizer::backend::{Backend, Template, add_tokens, guarded};
use crate::tokenizer::bounded::Engine;
use crate::tokenizer::chat::ChatTemplate;
use crate::tokenizer::class::Class;
use crate::tokenizer::config::{Config, TOKENIZER_JSON};
use crate::tokenizer::languages::Languages;
use crate::tokenizer::named::{NAMES, Named};
use crate::tokenizer::shared::{Loaded, Settings, Tokenizer};
use crate::tokenizer::special::{SpecialToken, SpecialTokens};
use crate::tokenizer::tokenizer_json::{self, FileDefaults, Parts};
use crate::tokenizer::truncation::Truncation;
use crate::tokenizer::{gguf, slow, unconverted};

impl Tokenizer {
    /// Opens a source and reads its tokenizer.
    ///
    /// # Errors
    ///
    /// When the source cannot be opened, and as [`from_files`](Self::from_files).
    pub fn open(source: impl Into<ModelSource>) -> Result<Self> {
        Self::from_files(&source.into().open()?)
    }

    /// Reads the tokenizer of an opened source: the metadata of a GGUF file, or else
    /// `tokenizer.json`, or else the older format of the class that `tokenizer_config.json` names
    /// or `config.json` implies.
    ///
    /// Files of every age are read as in transformers. The guide
    /// [tokenizers](crate::guide::tokenizers) lists what its classes change in a `tokenizer.json`,
    /// and every field of `tokenizer_config.json`.
    ///
    /// # Errors
    ///
    /// When there is no tokenizer, a file is broken, or its kind is not supported.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let Loaded { backend, template, settings } = match files.gguf() {
            Some(file) => gguf::load(file)?,
            None => load(files)?,
        };
        let chat = ChatTemplate::from_files(files)?;
        Ok(Self::of(backend, settings, chat, template))
    }

    /// Reads `tokenizer.json` as the tokenizers library alone does, whatever is beside it, and how it
    /// says that texts are cut.
    pub(crate) fn plain(files: &ModelFiles) -> Result<(Self, Option<Truncation>)> {
        Self::plain_named(files, TOKENIZER_JSON)
    }

    /// As [`plain`](Self::plain), from a file of another name.
    pub(crate) fn plain_named(
        files: &ModelFiles,
        name: &str,
    ) -> Result<(Self, Option<Truncation>)> {
        let path = files.required(name, "the tokenizer")?;
        let (tokenizer_json::Parts { tokenizer, template, .. }, truncation) =
            tokenizer_json::load_plain(&path)?;
        let backend = Backend::new(tokenizer);
        Ok((Self::of(backend, Settings::default(), None, template), truncation))
    }
}

/// Reads a folder or repository.
fn load(files: &ModelFiles) -> Result<Loaded> {
    let mut config = Config::read(files)?;
    let disagree = |reason| {
        Error::malformed(files.origin(), format!("the tokenizer's files disagree: {reason}"))
    };
    if let Some(tokenizer) = unconverted::load::load(files, &config)? {
        let (backend, file) = (Backend::unconverted(tokenizer), FileDefaults::default());
        return config.settle(backend, Template::new(None), &file, false).map_err(disagree);
    }
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
        Some(path) if !from_slow => tokenizer_json::load(&path, &config)?,
        _ => {
            let class = config.class;
            config.class = class.converts_as();
            let parts = slow::load(files, &config)?;
            config.class = class;
            parts
        }
    };
    config.finish(parts).map_err(disagree)
}

impl Config {
    /// Adds the special and added tokens and settles everything else.
    fn finish(mut self, parts: Parts) -> std::result::Result<Loaded, String> {
        let Parts { mut tokenizer, template, mut file, is_converted } = parts;
        // A constructor that has the argument gives it a value, be it none.
        let names_padding = self.class == Class::GptNeoX || self.special("pad_token").is_some();
        if let Some(token) = file.pad_token.take()
            && !names_padding
            && !self.fields.contains_key("pad_token")
        {
            self.special.push(Named::by_default("pad_token", token));
        }
        let tokens = self.tokens_to_add(&tokenizer, is_converted);
        guarded(|| add_tokens(&mut tokenizer, tokens))?;
        let split_special_tokens = self.boolean("split_special_tokens").unwrap_or(false);
        tokenizer.set_encode_special_tokens(split_special_tokens);
        self.settle(Backend::new(tokenizer), template, &file, is_converted)
    }

    /// Everything but the tokens.
    fn settle(
        self,
        backend: Backend,
        mut template: Template,
        file: &FileDefaults,
        is_converted: bool,
    ) -> std::result::Result<Loaded, String> {
        let special = SpecialTokens::new(self.special.iter().filter_map(|token| {
            let id = backend.token_to_id(&token.content)?;
            Some((token.name.as_str(), SpecialToken { content: token.content.clone(), id }))
        }));
        let languages = Languages::of(&self, &backend, special.eos.as_slice());
        let languages = languages.map_err(|error| error.to_string())?;
        if let Some(own) = self.class_template(&special, languages.as_ref())? {
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
                .map(|length| length as usize)
                .or_else(|| self.class.model_max_length().filter(|_| max_length.is_none())),
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
                match self.class {
                    Class::Bert | Class::DistilBert | Class::MpNet => is_converted,
                    class => class == Class::PlBart,
                },
            ),
            languages,
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
        special: &SpecialTokens,
        languages: Option<&Languages>,
    ) -> std::result::Result<Option<Template>, String> {
        let template = match (self.class, languages) {
            (_, Some(languages)) => languages.template(None, None),
            (Class::ByT5, _) => Template::around(&[], special.eos.as_slice()),
            (class, _) => {
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
