//! From prompts to ids.

use std::mem;
use std::ops::Range;

use crate::batch::PaddingSide;
use crate::error::{Error, Result};
use crate::generation::{heal_tokens, healed_text};
use crate::pipeline::text_generation::prompt::check_contents;
use crate::pipeline::text_generation::roll::{self, Room};
use crate::pipeline::text_generation::{
    GLOBAL_MAX_LENGTH, Local, LongGeneration, Prompt, TextGenerationOptions,
};
use crate::tokenizer::chat::ChatOptions;
use crate::tokenizer::{EncodeOptions, Truncation};

/// A prompt, ready for the model.
pub(super) struct Prepared {
    pub(super) prompt: Prompt,
    pub(super) ids: Vec<u32>,
    /// What the ids were before token healing.
    pub(super) unhealed: Option<Vec<u32>>,
    /// What token healing has added to the text.
    pub(super) healed: String,
    /// The ids that there were before the prompt was cut.
    pub(super) whole: usize,
    /// Whether the last message of a chat is continued.
    pub(super) continues: bool,
    /// The messages of the chat that are not among the ids.
    pub(super) dropped: Range<usize>,
}

impl Local {
    pub(super) fn prepare(
        &self,
        prompt: Prompt,
        options: &TextGenerationOptions,
    ) -> Result<Prepared> {
        self.prepare_after(prompt, options, 0)
    }

    /// As [`prepare`](Self::prepare), of a chat whose messages up to `dropped` are left out already.
    pub(super) fn prepare_after(
        &self,
        prompt: Prompt,
        options: &TextGenerationOptions,
        dropped: usize,
    ) -> Result<Prepared> {
        options.check_here()?;
        let mut left_out = 0..0;
        let longest = self.longest_prompt(options);
        let (mut ids, whole, continues) = match &prompt {
            Prompt::Text(text) => {
                let prefix = options.prefix.as_deref().unwrap_or(&self.prefix);
                let text = format!("{prefix}{text}");
                let special = options.add_special_tokens.unwrap_or(true);
                let mut encode = EncodeOptions::default().add_special_tokens(special);
                let mut ids = self.tokenizer.encode_with(text.as_str(), &encode)?.ids;
                let whole = ids.len();
                if whole > longest {
                    // Special tokens stay.
                    encode.truncation = Some(Truncation::to(longest));
                    ids = self.tokenizer.encode_with(text.as_str(), &encode)?.ids;
                }
                (ids, whole, false)
            }
            Prompt::Chat(messages) => {
                let Some(last) = messages.last() else {
                    return Err(Error::input("the chat has no messages"));
                };
                check_contents(messages)?;
                let continues =
                    options.continue_final_message.unwrap_or_else(|| last.role() == "assistant");
                let mut chat = ChatOptions::default()
                    .add_generation_prompt(!continues)
                    .continue_final_message(continues)
                    .tools(options.tools.iter().flatten().cloned())
                    .documents(options.documents.iter().flatten().cloned());
                if options.truncation != Some(true) && options.handle_long_generation.is_none() {
                    chat = chat.max_bytes(self.tokenizer.most_bytes(self.model.limits().context));
                }
                for (name, value) in &options.template_variables {
                    chat = chat.variable(name, value.clone());
                }
                let (mut ids, whole) = match options.handle_long_generation {
                    Some(LongGeneration::Roll) => {
                        let room = self.room(options);
                        let rolled = roll::rolled(&self.tokenizer, messages, &chat, room, dropped)?;
                        left_out = rolled.dropped;
                        (rolled.ids, rolled.whole)
                    }
                    _ => {
                        let ids = self.tokenizer.encode_chat(messages, &chat)?.encoding.ids;
                        let whole = ids.len();
                        (ids, whole)
                    }
                };
                match self.tokenizer.truncation_side() {
                    PaddingSide::Left => drop(ids.drain(..ids.len().saturating_sub(longest))),
                    PaddingSide::Right => ids.truncate(longest),
                }
                (ids, whole, continues)
            }
        };
        self.tokenizer.check_known(&ids, self.model.limits().vocab)?;
        if options.handle_long_generation == Some(LongGeneration::Hole) {
            self.make_room(&mut ids, options)?;
        }
        let (mut unhealed, mut healed) = (None, String::new());
        if options.generation.token_healing.or(self.defaults.token_healing) == Some(true) {
            let better = heal_tokens(&self.model, &self.tokenizer, &ids)?;
            healed = healed_text(&self.tokenizer, &ids, &better)?;
            unhealed = Some(mem::replace(&mut ids, better));
        }
        Ok(Prepared { prompt, ids, unhealed, healed, whole, continues, dropped: left_out })
    }

    /// The most tokens of a prompt that leave room for the answer.
    fn room(&self, options: &TextGenerationOptions) -> Room {
        let new = options.generation.max_new_tokens.or(self.defaults.max_new_tokens).unwrap_or(1);
        let context = self.model.limits().context;
        let room = |context: usize| context.saturating_sub(new);
        Room { most: room(context), wanted: room(context / 4 * 3) }
    }

    /// The most tokens of a prompt that is not to be refused but cut.
    fn longest_prompt(&self, options: &TextGenerationOptions) -> usize {
        let context = self.model.limits().context;
        let longest = match (options.truncation, options.prompt_max_length) {
            (Some(false), _) | (None, None) => return usize::MAX,
            (_, Some(longest)) => Some(longest),
            (Some(true), None) => {
                options.generation.max_length.or_else(|| self.tokenizer.model_max_length())
            }
        };
        longest.unwrap_or(context).min(context)
    }

    /// The `hole` of `handle_long_generation`: the prompt loses its beginning.
    fn make_room(&self, ids: &mut Vec<u32>, options: &TextGenerationOptions) -> Result<()> {
        let refuse = |reason: &str| Error::option("handle_long_generation", reason);
        let config = &options.generation;
        let new = match (config.max_new_tokens, config.max_length.or(self.defaults.max_length)) {
            (Some(new), _) => new,
            (None, length) => {
                length.unwrap_or(GLOBAL_MAX_LENGTH).checked_sub(ids.len()).ok_or_else(|| {
                    refuse("the prompt is longer than `max_length`; set `max_new_tokens`")
                })?
            }
        };
        let context = self.model.limits().context;
        let limit = self.tokenizer.model_max_length().unwrap_or(context).min(context);
        let keep = limit.checked_sub(new).filter(|&keep| keep > 0).ok_or_else(|| {
            refuse(&format!("{new} new tokens alone do not fit the model's {limit}"))
        })?;
        ids.drain(..ids.len().saturating_sub(keep));
        Ok(())
    }
}
