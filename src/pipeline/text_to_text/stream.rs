//! One text, piece by piece.

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::generation::{GenerationConfig, Sequence, TextStream, TokenStream};
use crate::pipeline::flow::Measured;
use crate::pipeline::text_to_text::{TextToText, TextToTextOptions};
use crate::warning::warn;

impl TextToText {
    /// What becomes of a text, as it is generated, with one beam.
    pub(super) fn stream_text(
        &self,
        text: &str,
        options: &TextToTextOptions,
    ) -> Result<TextStream> {
        let one = GenerationConfig::default().num_beams(1);
        let task = Self { defaults: self.defaults.clone().overlaid(&one), ..self.clone() };
        let reading = task.reading(options)?;
        let rows = reading.rows_of(text)?;
        let [source] = rows.as_slice() else {
            return Err(Error::option("split_long_texts", "a stream is of one part: use `run`"));
        };
        if source.is_cut() {
            warn(&format!("the text is cut to {} tokens: the rest is not read", source.len()));
            if let Some(report) = &options.truncation_report {
                report.add(0);
            }
        }
        let plan = task.plan(reading.start, &source.ids, &reading.config, options)?;
        let mut sequence = Sequence::new(&[reading.start], plan)?;
        if let Some(cancel) = &options.cancel {
            sequence = sequence.with_cancel_handle(cancel.clone());
        }
        let cache = task.model.encode(&TokenBatch::single(&source.ids)?)?;
        let tokens = TokenStream::new(task.model.clone(), cache, sequence)?;
        TextStream::new(tokens, task.tokenizer.decode_stream(true))
    }
}
