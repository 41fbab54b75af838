//! Token healing: a prompt that ends within what would be one token.

use std::borrow::Cow;
use std::sync::Arc;

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::generation::config::GenerationConfig;
use crate::generation::distribution::Distribution;
use crate::models::{CausalLm, LogitsAt};
use crate::tokenizer::Tokenizer;

/// Replaces the last token of a prompt by a longer one that begins like it, if the model finds that much
/// likelier: `http:` may become `http://`, which is one token in many vocabularies and would never follow
/// `:` (`heal_tokens`).
///
/// The prompt is decoded, trimmed of spaces at both ends and encoded again. Of the tokens that begin like the
/// last one and of the last one itself, the likeliest takes its place; another token only where it leads
/// all these by 10 logits. The token that begins a text does not count for the choice.
///
/// ```
/// use sconce::LoadOptions;
/// use sconce::generation::heal_tokens;
/// use sconce::models::{AutoModel, CausalLm};
/// use sconce::tokenizer::Tokenizer;
///
/// let model = AutoModel::open::<dyn CausalLm>("./tests/goldens/llama-tiny", &LoadOptions::default())?;
/// let tokenizer = Tokenizer::open("./tests/goldens/llama-tiny")?;
/// let prompt = tokenizer.encode("the t")?.ids;
/// let healed = heal_tokens(&model, &tokenizer, &prompt)?;
/// assert!(tokenizer.decode(&healed, true)?.starts_with("the t"));
/// # Ok::<(), sconce::Error>(())
/// ```
///
/// # Errors
///
/// When the tokenizer cannot decode or encode the prompt, and what the model refuses.
pub fn heal_tokens(
    model: &Arc<dyn CausalLm>,
    tokenizer: &Tokenizer,
    prompt: &[u32],
) -> Result<Vec<u32>> {
    let text = tokenizer.decode(prompt, true)?;
    let mut ids = tokenizer.encode(text.trim())?.ids;
    let Some((tail, before)) = ids.split_last_mut() else { return Ok(ids) };
    let beginning = tokenizer.bos_token().map(|token| token.id);
    let before: Vec<_> = before.iter().copied().filter(|&id| Some(id) != beginning).collect();
    let Some(word) = tokenizer.id_to_token(*tail).filter(|_| !before.is_empty()) else {
        return Ok(ids);
    };
    let known = (0..model.limits().vocab as u32).filter(|&id| {
        tokenizer.id_to_token(id).is_some_and(|token| token.starts_with(word.as_str()))
    });
    let extensions: Vec<_> = known.collect();
    if extensions.len() < 2 {
        return Ok(ids);
    }
    let batch = TokenBatch::single(&before)?;
    let logits = model.forward(&batch, &mut model.new_cache(), LogitsAt::LastToken)?;
    let mut logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
    for id in extensions {
        // A little more for what was written: `http` does not always want to be `https`.
        logits[id as usize] += if id == *tail { FAVOUR + 1.0 } else { FAVOUR };
    }
    *tail = Distribution::of(&logits)?.likeliest() as u32;
    Ok(ids)
}

/// A prompt as the options want it, with what makes it up again: healed or as it is.
pub(super) fn healed<'a>(
    model: &Arc<dyn CausalLm>,
    tokenizer: Option<&Tokenizer>,
    prompt: &'a [u32],
    config: &GenerationConfig,
) -> Result<Cow<'a, [u32]>> {
    if config.token_healing != Some(true) {
        return Ok(Cow::Borrowed(prompt));
    }
    let tokenizer = tokenizer.ok_or_else(|| {
        Error::option(
            "token_healing",
            "it changes the text of the prompt, which needs the tokenizer",
        )
    })?;
    Ok(Cow::Owned(heal_tokens(model, tokenizer, prompt)?))
}

/// The text that healing has added at the end of a prompt, which was trimmed for it: what the healed prompt
/// has beyond the beginning that both texts share. A character that is not complete belongs to the
/// answer, whose stream has seen its first bytes.
pub(crate) fn healed_text(tokenizer: &Tokenizer, prompt: &[u32], healed: &[u32]) -> Result<String> {
    let before = tokenizer.decode(prompt, true)?;
    let mut stream = tokenizer.decode_stream(true);
    let mut after = String::new();
    for &id in healed {
        after += &stream.push(id)?.unwrap_or_default();
    }
    let after = after.trim_start();
    let shared = before.trim().chars().zip(after.chars()).take_while(|(a, b)| a == b).count();
    Ok(after.chars().skip(shared).collect())
}

/// Why a decoder that attends to a source has nothing to heal.
pub(crate) const NO_TEXT_TO_HEAL: &str =
    "is for decoders alone: that of an encoder-decoder does not go on with a text";

/// What is added to the logits of tokens that begin like the last one.
const FAVOUR: f32 = 10.0;
