//! One answer, piece by piece.

use crate::error::Result;
use crate::generation::{ResponseStream, Sequence, TextPieces, TextStream, TokenStream};
use crate::nn::cache::KvCache;
use crate::pipeline::text_generation::prepare::Prepared;
use crate::pipeline::text_generation::{
    Engine, Local, Prompt, TextGenerationOptions, TextGenerationPipeline,
};
use crate::tokenizer::chat::{Response, ResponseFormat, ResponseParser};
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
        match &self.engine {
            Engine::Local(local) => {
                let prepared = local.prepare(prompt.into(), options)?;
                local.stream_from(&prepared, options, || (local.model.new_cache(), Vec::new()))
            }
            #[cfg(feature = "remote")]
            Engine::Served(served) => {
                Ok(TextStream::served(served.stream(&prompt.into(), options)?))
            }
        }
    }

    /// Answers one chat in pieces that say what they are: content, reasoning, tool calls, as the option
    /// `response_format` says or else the model's chat template
    /// ([`Tokenizer::response_format`](crate::tokenizer::Tokenizer::response_format)). A service says itself what
    /// they are.
    ///
    /// # Errors
    ///
    /// As [`stream_text_with`](Self::stream_text_with).
    pub fn stream_response(
        &self,
        prompt: impl Into<Prompt>,
        options: &TextGenerationOptions,
    ) -> Result<ResponseStream> {
        match &self.engine {
            Engine::Local(local) => local.stream_response(prompt.into(), options),
            #[cfg(feature = "remote")]
            Engine::Served(served) => {
                Ok(ResponseStream::served(served.stream(&prompt.into(), options)?))
            }
        }
    }
}

impl Local {
    fn stream_response(
        &self,
        prompt: Prompt,
        options: &TextGenerationOptions,
    ) -> Result<ResponseStream> {
        let format = options.response_format.unwrap_or_else(|| self.tokenizer.response_format());
        let options = options.clone().response_format(format);
        let prepared = self.prepare(prompt, &options)?;
        let cached = || (self.model.new_cache(), Vec::new());
        let text = self.stream_from(&prepared, &options, cached)?;
        let parser = self.response_parser(&prepared.ids, format, &options)?;
        Ok(ResponseStream::new(text, parser))
    }

    /// What takes an answer to this prompt apart.
    pub(super) fn response_parser(
        &self,
        prompt: &[u32],
        format: ResponseFormat,
        options: &TextGenerationOptions,
    ) -> Result<ResponseParser> {
        let tools = options.tools.iter().flatten().cloned();
        let parser = ResponseParser::new(format).with_tools(tools);
        if format == ResponseFormat::PLAIN {
            return Ok(parser);
        }
        Ok(parser.following(&self.tokenizer.decode(prompt, false)?))
    }

    /// The parts of an answer whose ids are `new`.
    pub(super) fn response(
        &self,
        prepared: &Prepared,
        new: &[u32],
        format: ResponseFormat,
        options: &TextGenerationOptions,
    ) -> Result<Response> {
        let prompt = &prepared.ids;
        let mut pieces = TextPieces::new(prompt, self.tokenizer.response_stream(format))?;
        let mut text = prepared.healed.clone();
        for &id in new {
            text += &pieces.push(id, None)?;
        }
        text += &pieces.finish()?;
        Ok(self.response_parser(prompt, format, options)?.parse(&text))
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
        let config = self.config(options)?;
        config.warn_of_what_has_no_effect();
        let plan = self.plan(&prepared.ids, &config, options)?;
        let mut sequence = self.drafted(Sequence::new(&prepared.ids, plan)?, &config)?;
        if let Some(cancel) = &options.cancel {
            sequence = sequence.with_cancel_handle(cancel.clone());
        }
        let (mut cache, cached) = cached();
        sequence.reuse(&*self.model, &mut cache, &cached)?;
        let tokens = TokenStream::new(self.model.clone(), cache, sequence)?;
        let skip_special = options.skip_special_tokens.unwrap_or(true);
        let decoder = match options.response_format {
            Some(format) => self.tokenizer.response_stream(format),
            None => self.tokenizer.decode_stream(skip_special),
        };
        Ok(TextStream::new(tokens, decoder)?.beginning_with(prepared.healed.clone()))
    }
}
