//! What a Whisper checkpoint says about generation.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::generation::GenerationConfig;
use crate::read::{Wrong, read_fields};
use crate::source::{ModelFiles, json};
use crate::speech::whisper_tokenizer::{LANGUAGES, WhisperTask};
use crate::tokenizer::Tokenizer;

/// What a Whisper checkpoint says about generation: its generation_config.json, and what config.json says
/// beside it. Fields have the names of these files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WhisperConfig {
    /// Options of every `generate`.
    #[serde(skip)]
    pub generation: GenerationConfig,
    /// The token that all begins with, `<|startoftranscript|>`. `None`: the model's.
    pub decoder_start_token_id: Option<u32>,
    /// `<|notimestamps|>`. Timestamps are the ids behind it. `None`: the model writes none.
    pub no_timestamps_token_id: Option<u32>,
    /// `<|startofprev|>`. `None`: the last but one of `suppress_tokens`, as in older files.
    pub prev_sot_token_id: Option<u32>,
    /// The ids of languages by their tokens, `<|en|>`.
    pub lang_to_id: Option<BTreeMap<String, u32>>,
    /// The ids of tasks.
    pub task_to_id: Option<BTreeMap<String, u32>>,
    /// The ids that older files put behind the first by their places; null means the language.
    pub forced_decoder_ids: Option<Vec<(usize, Option<u32>)>>,
    /// Whether the model takes languages and tasks.
    pub is_multilingual: Option<bool>,
    /// The language where no call says otherwise.
    pub language: Option<String>,
    /// The task where no call says otherwise.
    pub task: Option<WhisperTask>,
    /// Whether timestamps are written where no call says otherwise.
    pub return_timestamps: Option<bool>,
    /// The latest first timestamp, in steps of 0.02 seconds. `None`: no limit.
    pub max_initial_timestamp_index: Option<usize>,
    /// Layers and heads of the decoder whose attention follows the recording: for the times of tokens.
    pub alignment_heads: Option<Vec<(usize, usize)>>,
    /// As [`WhisperOptions`](super::WhisperOptions) has it.
    pub compression_ratio_threshold: Option<f64>,
    /// As [`WhisperOptions`](super::WhisperOptions) has it.
    pub logprob_threshold: Option<f64>,
    /// As [`WhisperOptions`](super::WhisperOptions) has it.
    pub no_speech_threshold: Option<f64>,
    /// As [`WhisperOptions`](super::WhisperOptions) has it.
    pub condition_on_prev_tokens: Option<bool>,
    /// Of config.json: half of the frames of a window. Default: 1500.
    pub max_source_positions: usize,
    /// Of config.json: how many frames of attention are smoothed together, an odd number. Default: 7.
    pub median_filter_width: usize,
}

impl Default for WhisperConfig {
    fn default() -> Self {
        Self {
            generation: GenerationConfig::default(),
            decoder_start_token_id: None,
            no_timestamps_token_id: None,
            prev_sot_token_id: None,
            lang_to_id: None,
            task_to_id: None,
            forced_decoder_ids: None,
            is_multilingual: None,
            language: None,
            task: None,
            return_timestamps: None,
            max_initial_timestamp_index: None,
            alignment_heads: None,
            compression_ratio_threshold: None,
            logprob_threshold: None,
            no_speech_threshold: None,
            condition_on_prev_tokens: None,
            max_source_positions: 1500,
            median_filter_width: 7,
        }
    }
}

impl WhisperConfig {
    /// That of an opened source: its generation_config.json and config.json. What a source without
    /// generation_config.json leaves open is what [`from_tokenizer`](Self::from_tokenizer) says.
    ///
    /// # Errors
    ///
    /// When a file cannot be fetched or read, or is malformed.
    pub fn from_files(files: &ModelFiles, tokenizer: &Tokenizer) -> Result<Self> {
        let read = |name| -> Result<Option<_>> {
            let Some(path) = files.optional(name)? else { return Ok(None) };
            let fields: Map<String, Value> = json::read(&path)?;
            Ok(Some((path, fields)))
        };
        let of_model = read("config.json")?;
        let of_generation = read("generation_config.json")?;
        let mut config = match &of_generation {
            None => Self::from_tokenizer(tokenizer),
            Some((path, fields)) => {
                let mut fields = fields.clone();
                // Nulls leave the default.
                fields.retain(|_, value| !value.is_null());
                let wrong = |wrong: Wrong| Error::malformed(path, wrong);
                read_fields(&fields).map_err(wrong)?
            }
        };
        if let Some((path, fields)) = &of_model {
            let wanted = [
                "forced_decoder_ids",
                "max_source_positions",
                "median_filter_width",
                "decoder_start_token_id",
            ];
            let mut fields = fields.clone();
            fields.retain(|name, value| wanted.contains(&name.as_str()) && !value.is_null());
            let of_model: Self =
                read_fields(&fields).map_err(|wrong| Error::malformed(path, wrong))?;
            config.max_source_positions = of_model.max_source_positions;
            config.median_filter_width = of_model.median_filter_width;
            config.forced_decoder_ids = config.forced_decoder_ids.or(of_model.forced_decoder_ids);
            config.decoder_start_token_id =
                config.decoder_start_token_id.or(of_model.decoder_start_token_id);
        }
        if of_generation.is_some() || of_model.is_some() {
            config.generation = GenerationConfig::from_files(files, tokenizer)?;
        }
        Ok(config)
    }

    /// What follows from the names of a tokenizer's tokens: all but `alignment_heads` and which tokens are
    /// suppressed.
    #[must_use]
    pub fn from_tokenizer(tokenizer: &Tokenizer) -> Self {
        let id = |token: &str| tokenizer.token_to_id(token);
        let ids = |names: &mut dyn Iterator<Item = (String, String)>| {
            names.filter_map(|(name, token)| Some((name, id(&token)?))).collect::<BTreeMap<_, _>>()
        };
        let mut languages = LANGUAGES.iter().map(|(code, _)| {
            let token = format!("<|{code}|>");
            (token.clone(), token)
        });
        let mut tasks =
            WhisperTask::NAMES.iter().map(|&task| (task.to_owned(), format!("<|{task}|>")));
        let (languages, tasks) = (ids(&mut languages), ids(&mut tasks));
        let start = id("<|startoftranscript|>");
        // English-only models have the tokens of languages, too, but the vocabulary of GPT-2.
        let is_multilingual = id("<|endoftext|>") != Some(GPT2_END);
        Self {
            generation: GenerationConfig::from_tokenizer(tokenizer),
            decoder_start_token_id: start,
            no_timestamps_token_id: id("<|notimestamps|>"),
            prev_sot_token_id: id("<|startofprev|>"),
            is_multilingual: Some(is_multilingual),
            lang_to_id: Some(languages).filter(|it| is_multilingual && !it.is_empty()),
            task_to_id: Some(tasks).filter(|it| is_multilingual && !it.is_empty()),
            ..Self::default()
        }
    }

    /// The frames of a window.
    #[must_use]
    pub fn window(&self) -> usize {
        self.max_source_positions.saturating_mul(STRIDE)
    }

    /// The first timestamp, `<|0.00|>`.
    #[must_use]
    pub fn timestamp_begin(&self) -> Option<u32> {
        self.no_timestamps_token_id.map(|id| id + 1)
    }

    /// The code of a language by its id.
    #[must_use]
    pub fn language_of(&self, id: u32) -> Option<&str> {
        let (token, _) = self.lang_to_id.as_ref()?.iter().find(|(_, known)| **known == id)?;
        Some(token.trim_start_matches("<|").trim_end_matches("|>"))
    }

    /// Whether a prompt asks for a translation.
    pub(super) fn translates(&self, prompt: &[u32]) -> bool {
        let task = WhisperTask::Translate.name();
        let id = self.task_to_id.as_ref().and_then(|tasks| tasks.get(task));
        id.is_some_and(|id| prompt.contains(id))
    }

    /// `<|startofprev|>`, as older files have it, too.
    pub(super) fn prev_sot(&self, generation: &GenerationConfig) -> Option<u32> {
        let suppressed = generation.suppress_tokens.as_deref().unwrap_or_default();
        let by_place = suppressed.len().checked_sub(2).map(|place| suppressed[place]);
        self.prev_sot_token_id.or(by_place)
    }
}

/// Frames of features for one of the encoder.
pub(super) const STRIDE: usize = 2;

/// `<|endoftext|>` of GPT-2.
const GPT2_END: u32 = 50_256;
