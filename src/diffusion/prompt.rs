//! Texts as the models read them.

use candle_core::Tensor;

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::models::clip_text::{ClipText, ClipTextStates};
use crate::models::heads::Encoder;
use crate::models::{AutoModel, TextModel};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::tokenizer::Tokenizer;

/// A CLIP with its tokenizer.
#[derive(Debug)]
pub(super) struct ClipPrompt {
    tokenizer: Tokenizer,
    pub(super) model: ClipText,
}

/// The ids of a text, and how many of its tokens have been cut.
pub(super) struct Ids {
    pub(super) ids: Vec<u32>,
    pub(super) cut: usize,
}

impl ClipPrompt {
    pub(super) fn load(
        files: &ModelFiles,
        [tokenizer, encoder]: [&str; 2],
        options: &LoadOptions,
    ) -> Result<Self> {
        let encoder = files.folder(encoder)?;
        let has = |name: &str| Ok::<_, Error>(encoder.optional(name)?.is_some());
        let is_variant = !has("model.safetensors")?
            && !has("model.safetensors.index.json")?
            && has("model.fp16.safetensors")?;
        let model = match is_variant {
            true => ClipText::from_stem(&encoder, "model.fp16", options)?,
            false => ClipText::from_files(&encoder, options)?,
        };
        Ok(Self { tokenizer: Tokenizer::from_files(&files.folder(tokenizer)?)?, model })
    }

    /// As many ids as the model has positions.
    pub(super) fn ids(&self, text: &str) -> Result<Ids> {
        ids(&self.tokenizer, text, self.model.limits().context)
    }

    /// What the model makes of a text; `before_last` layers are left out of its hidden states.
    pub(super) fn encode(&self, text: &str, before_last: usize) -> Result<(ClipTextStates, usize)> {
        let Ids { ids, cut } = self.ids(text)?;
        Ok((self.model.encode(&[ids], before_last)?, cut))
    }
}

/// A T5 with its tokenizer.
#[derive(Debug)]
pub(super) struct T5Prompt {
    tokenizer: Tokenizer,
    model: std::sync::Arc<dyn Encoder>,
}

impl T5Prompt {
    pub(super) fn load(
        files: &ModelFiles,
        [tokenizer, encoder]: [&str; 2],
        options: &LoadOptions,
    ) -> Result<Self> {
        let model = AutoModel::from_files::<dyn Encoder>(&files.folder(encoder)?, options)?;
        Ok(Self { model, tokenizer: Tokenizer::from_files(&files.folder(tokenizer)?)? })
    }

    /// How many tokens of a text are cut at a length.
    pub(super) fn cut(&self, text: &str, tokens: usize) -> Result<usize> {
        Ok(ids(&self.tokenizer, text, tokens)?.cut)
    }

    /// The hidden states of a text, `(tokens, features)`. Padding is not hidden from the model, as in diffusers.
    pub(super) fn encode(&self, text: &str, tokens: usize) -> Result<(Tensor, usize)> {
        let Ids { ids, cut } = ids(&self.tokenizer, text, tokens)?;
        let batch = TokenBatch::padded(&[ids], 0, PaddingSide::Right)?;
        Ok((self.model.encode(&batch)?.squeeze(0)?, cut))
    }
}

/// The ids of a text, cut or padded to a length; the special token at the end is kept.
fn ids(tokenizer: &Tokenizer, text: &str, length: usize) -> Result<Ids> {
    let mut ids = tokenizer.encode(text)?.ids;
    let cut = ids.len().saturating_sub(length);
    if let (true, Some(&last)) = (cut > 0, ids.last()) {
        ids.truncate(length);
        if let Some(end) = ids.last_mut() {
            *end = last;
        }
    }
    let padding = tokenizer.pad_token().or_else(|| tokenizer.eos_token()).map(|token| token.id);
    let padding =
        padding.ok_or_else(|| Error::input("the tokenizer has no token to pad texts with"))?;
    ids.resize(length, padding);
    Ok(Ids { ids, cut })
}
