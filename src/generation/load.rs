//! What a checkpoint says about generation.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::generation::config::GenerationConfig;
use crate::models;
use crate::source::{ModelFiles, json};
use crate::tokenizer::Tokenizer;

impl GenerationConfig {
    /// The special ids of a tokenizer, which say what ends an answer: all that is known of a model without
    /// files that tell more.
    #[must_use]
    pub fn from_tokenizer(tokenizer: &Tokenizer) -> Self {
        let ends = tokenizer.stop_ids();
        Self {
            bos_token_id: tokenizer.bos_token().map(|token| token.id),
            pad_token_id: tokenizer.pad_token().map(|token| token.id),
            eos_token_id: Some(ends).filter(|ends| !ends.is_empty()),
            ..Self::default()
        }
    }

    /// The options of an opened source: its `generation_config.json`; without one, those in its
    /// `config.json` and the special ids of its class; of a GGUF file, those of its tokenizer.
    ///
    /// # Errors
    ///
    /// When a file cannot be fetched or read, or is malformed.
    pub fn from_files(files: &ModelFiles, tokenizer: &Tokenizer) -> Result<Self> {
        if files.gguf().is_some() {
            return Ok(Self::from_tokenizer(tokenizer));
        }
        if let Some(path) = files.optional("generation_config.json")? {
            return Self::from_file(path);
        }
        let Some(path) = files.optional("config.json")? else { return Ok(Self::default()) };
        let mut fields = models::config_fields(files)?;
        // A null leaves the default, and the seed is ours alone.
        fields.retain(|name, value| name != "seed" && !value.is_null());
        Self::read(&path, &fields)
    }
}

/// What a config.json says for one task, on top of what the model says for all tasks:
/// `task_specific_params` and `prefix`.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskParams {
    /// Options of generation.
    pub(crate) generation: GenerationConfig,
    /// Goes before every text.
    pub(crate) prefix: Option<String>,
}

/// The config.json that says it for every task.
#[derive(Debug, Clone, Default)]
pub(crate) struct TasksParams {
    path: PathBuf,
    fields: Map<String, Value>,
}

impl TaskParams {
    /// Of an opened source, for the task of that name.
    pub(crate) fn read(files: &ModelFiles, task: &str) -> Result<Self> {
        TasksParams::open(files)?.of(task)
    }
}

impl TasksParams {
    /// Of an opened source; nothing of a GGUF file.
    pub(crate) fn open(files: &ModelFiles) -> Result<Self> {
        if files.gguf().is_some() {
            return Ok(Self::default());
        }
        let Some(path) = files.optional("config.json")? else { return Ok(Self::default()) };
        Ok(Self { fields: json::read(&path)?, path })
    }

    /// The first task whose name begins so.
    pub(crate) fn named(&self, beginning: &str) -> Option<&str> {
        let tasks = self.fields.get("task_specific_params")?.as_object()?;
        tasks.keys().map(String::as_str).find(|task| task.starts_with(beginning))
    }

    /// For the task of that name.
    pub(crate) fn of(&self, task: &str) -> Result<TaskParams> {
        let Self { path, fields } = self;
        let none = Map::new();
        let of_task = fields.get("task_specific_params").and_then(|tasks| tasks.get(task));
        let of_task = of_task.and_then(Value::as_object).unwrap_or(&none);
        let prefix =
            of_task.get("prefix").or_else(|| fields.get("prefix")).filter(|text| !text.is_null());
        let prefix = prefix.map(|prefix| match prefix {
            Value::String(prefix) => Ok(prefix.clone()),
            other => {
                Err(Error::malformed(path, format!("field `prefix` is {other}; it should be text")))
            }
        });
        Ok(TaskParams {
            generation: GenerationConfig::read(path, of_task)?,
            prefix: prefix.transpose()?,
        })
    }
}
