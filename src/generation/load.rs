//! What a checkpoint says about generation.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::generation::config::GenerationConfig;
use crate::source::{ModelFiles, json};
use crate::tokenizer::Tokenizer;

/// Options that a config.json without a generation_config.json beside it may hold.
const IN_CONFIG: &[&str] = &["bos_token_id", "eos_token_id", "pad_token_id"];

impl GenerationConfig {
    /// The options of an opened source: its `generation_config.json`; without one, the special ids
    /// in its `config.json`; of a GGUF file, those of its tokenizer.
    ///
    /// # Errors
    ///
    /// When a file cannot be fetched or read, or is malformed.
    pub fn from_files(files: &ModelFiles, tokenizer: &Tokenizer) -> Result<Self> {
        if files.gguf().is_some() {
            let ends = tokenizer.stop_ids();
            return Ok(Self {
                bos_token_id: tokenizer.bos_token().map(|token| token.id),
                pad_token_id: tokenizer.pad_token().map(|token| token.id),
                eos_token_id: Some(ends).filter(|ends| !ends.is_empty()),
                ..Self::default()
            });
        }
        if let Some(path) = files.optional("generation_config.json")? {
            return Self::from_file(path);
        }
        let Some(path) = files.optional("config.json")? else { return Ok(Self::default()) };
        let fields: Map<String, Value> = json::read(&path)?;
        let mut config = Self::default();
        for (name, value) in fields.iter().filter(|(name, _)| IN_CONFIG.contains(&name.as_str())) {
            config.set(name, value).map_err(|error| Error::malformed(&path, error))?;
        }
        Ok(config)
    }
}
