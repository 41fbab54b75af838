//! One answer, piece by piece.

use crate::error::Result;
use crate::generation::{Sequence, TextStream, TokenStream};
use crate::nn::cache::KvCache;
use crate::pipeline::text_generation::prepare::Prepared;
use crate::pipeline::text_generation::{Prompt, TextGenerationOptions, TextGenerationPipeline};
use crate::warning::warn;

impl TextGenerationPipeline {
    /// Continues one prompt, piece by piece: the new text alone, as it is generated.
    ///
    /// # Errors
    ///
    /// When the prompt is empty or longer than the context, or a chat meets a model without a chat
    /// template.
    pub fn stream_text(&self, prompt: impl Into<Prompt>) -> Result<TextStream> {
        self.stream_text_with(prompt, &TextGenerationOptions::default())
    }

    /// As [`stream_text`](Self::stream_text), with options. Those that shape the output of
    /// [`run`](Self::run) (`return_full_text`, `num_return_sequences`, …) do not apply.
    ///
    /// # Errors
    ///
    /// As there, and when an option is invalid.
    pub fn stream_text_with(
        &self,
        prompt: impl Into<Prompt>,
        options: &TextGenerationOptions,
    ) -> Result<TextStream> {
        let prepared = self.prepare(prompt.into(), options)?;
        self.stream_from(&prepared, options, || (self.model.new_cache(), Vec::new()))
    }

    /// Continues a prompt; `cached` gives a cache and the tokens in it, once nothing can be refused.
    pub(super) fn stream_from(
        &self,
        prepared: &Prepared,
        options: &TextGenerationOptions,
        cached: impl FnOnce() -> (KvCache, Vec<u32>),
    ) -> Result<TextStream> {
        if prepared.whole > prepared.ids.len() {
            let (whole, kept) = (prepared.whole, prepared.ids.len());
            warn(&format!("a prompt of {whole} tokens is cut to {kept}"));
            if let Some(report) = &options.truncation_report {
                report.add(0);
            }
        }
        let plan = self.plan(&prepared.ids, &self.config(options)?, options)?;
        let mut sequence = Sequence::new(&prepared.ids, plan)?;
        if let Some(cancel) = &options.cancel {
            sequence = sequence.with_cancel_handle(cancel.clone());
        }
        let (mut cache, cached) = cached();
        sequence.reuse(&*self.model, &mut cache, &cached)?;
        let tokens = TokenStream::new(self.model.clone(), cache, sequence)?;
        let skip_special = options.skip_special_tokens.unwrap_or(true);
        TextStream::new(tokens, self.tokenizer.decode_stream(skip_special))
    }
}
