//! Texts as messages of the tokenizer's chat template: what sentence-transformers does with models
//! that have one, unless they were saved without the modality `message`.

use serde_json::{Value, json};

use crate::embeddings::transformer::MessageSettings;
use crate::error::Result;
use crate::tokenizer::chat::{ChatOptions, Message};
use crate::tokenizer::{EncodeOptions, Encoding, Tokenizer, Truncation};

/// Makes rows of messages.
#[derive(Debug, Clone)]
pub(crate) struct Messages {
    tokenizer: Tokenizer,
    options: ChatOptions,
    structured: bool,
    restores_suffix: bool,
}

impl Messages {
    /// `None` where the tokenizer has no template.
    pub(crate) fn new(tokenizer: &Tokenizer, settings: &MessageSettings) -> Option<Self> {
        let template = tokenizer.chat_template()?.source(None).unwrap_or_default();
        let structured = settings
            .structured
            .unwrap_or_else(|| PATTERNS.iter().any(|pattern| template.contains(pattern)));
        let mut options = ChatOptions::default();
        for (name, value) in &settings.variables {
            match (name.as_str(), value) {
                ("add_generation_prompt", Value::Bool(yes)) => options.add_generation_prompt = *yes,
                ("chat_template", Value::String(template)) => {
                    options.template = Some(template.clone());
                }
                _ => options = options.variable(name, value.clone()),
            }
        }
        let restores_suffix = settings.restores_suffix;
        Some(Self { tokenizer: tokenizer.clone(), options, structured, restores_suffix })
    }

    /// The row of texts by role, after a system message where that is not empty. What is longer than
    /// `limit` is cut, and the end of the template written over the end of what is left: a model
    /// that looks at the last token finds it there.
    pub(crate) fn row(
        &self,
        system: &str,
        texts: &[(&str, &str)],
        limit: usize,
    ) -> Result<Encoding> {
        let options =
            EncodeOptions::default().add_special_tokens(false).truncation(Truncation::to(limit));
        let text =
            self.tokenizer.apply_chat_template(&self.messages(system, texts), &self.options)?;
        let mut row = self.tokenizer.encode_with(text.as_str(), &options)?;
        if !row.overflowing.is_empty() && self.restores_suffix {
            let suffix = self.suffix(system, texts)?;
            let kept = suffix.len().min(row.len());
            let at = row.len() - kept;
            row.ids[at..].copy_from_slice(&suffix[suffix.len() - kept..]);
        }
        Ok(row)
    }

    /// The first of the roles whose text makes no difference: a template may leave roles out.
    pub(crate) fn unread<'a>(&self, roles: &[&'a str]) -> Result<Option<&'a str>> {
        let ids = |changed: usize| {
            let text = |at: usize| if at == changed { "foxtrot" } else { "alpha" };
            let texts = roles.iter().enumerate().map(|(at, &role)| (role, text(at)));
            self.ids("", &texts.collect::<Vec<_>>())
        };
        let base = ids(roles.len())?;
        for (at, role) in roles.iter().enumerate() {
            if ids(at)? == base {
                return Ok(Some(role));
            }
        }
        Ok(None)
    }

    fn messages(&self, system: &str, texts: &[(&str, &str)]) -> Vec<Message> {
        let system = Some(("system", system)).filter(|(_, text)| !text.is_empty());
        let message = |(role, text): (&str, &str)| match self.structured {
            true => Message::new(role, json!([{"type": "text", "text": text}])),
            false => Message::new(role, text),
        };
        system.into_iter().chain(texts.iter().copied()).map(message).collect()
    }

    fn ids(&self, system: &str, texts: &[(&str, &str)]) -> Result<Vec<u32>> {
        let messages = self.messages(system, texts);
        Ok(self.tokenizer.encode_chat(&messages, &self.options)?.encoding.ids)
    }

    /// The tokens that every conversation of these roles ends in: what two have in common whose texts
    /// are unlike.
    fn suffix(&self, system: &str, texts: &[(&str, &str)]) -> Result<Vec<u32>> {
        let filled = |filler| {
            let texts: Vec<_> = texts.iter().map(|&(role, _)| (role, filler)).collect();
            self.ids(system, &texts)
        };
        let (first, second) = (filled("0")?, filled("1 2 3 4")?);
        let pairs = first.iter().rev().zip(second.iter().rev());
        let common = pairs.take_while(|(left, right)| left == right).count();
        // Where nothing differs, the template leaves the texts out.
        let common = if common < first.len().min(second.len()) { common } else { 0 };
        Ok(first[first.len() - common..].to_vec())
    }
}

/// What a template has in it that wants a list of parts for content.
const PATTERNS: &[&str] =
    &["content[0]", ".type", "'type'", "\"type\"", "item.type", "message.content["];
