//! Texts that a model wants before its own: `config_sentence_transformers.json`.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A model's own prompts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prompts {
    /// Names and texts.
    pub(crate) named: Vec<(String, String)>,
    /// Which one is used where none is asked for.
    default: Option<String>,
}

impl Prompts {
    /// From the fields `prompts` and `default_prompt_name`; a prompt of null is an empty one.
    pub(crate) fn new(prompts: Map<String, Value>, default: Option<String>) -> Self {
        let text = |text: Value| text.as_str().unwrap_or_default().to_owned();
        let named = prompts.into_iter().map(|(name, prompt)| (name, text(prompt))).collect();
        Self { named, default }
    }

    /// What is put before texts: the given prompt, else the one of that name, else the model's
    /// default, else nothing.
    pub(crate) fn choose<'a>(
        &'a self,
        prompt: Option<&'a str>,
        name: Option<&'a str>,
    ) -> Result<&'a str> {
        let name = name.or(self.default.as_deref());
        match (prompt, name) {
            (Some(prompt), _) => Ok(prompt),
            (None, None) => Ok(""),
            (None, Some(name)) => {
                let found = self.named.iter().find(|(known, _)| known == name);
                found.map(|(_, text)| text.as_str()).ok_or_else(|| self.unknown(name))
            }
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<_> = self.named.iter().map(|(name, _)| name.as_str()).collect();
        let known = match known.is_empty() {
            true => "the model has no prompts of its own; give the text as `prompt`".to_owned(),
            false => format!("the model has {}", known.join(", ")),
        };
        Error::option("prompt_name", format!("{name:?} is not a prompt: {known}"))
    }
}
