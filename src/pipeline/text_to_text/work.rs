//! Texts through the model, as the flow of all tasks brings them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::batch::Budget;
use crate::error::Result;
use crate::generation::{self, Generated, Plan, Sequence, complete};
use crate::models::Autoregressive;
use crate::pipeline::arguments::GLOBAL_MAX_LENGTH;
use crate::pipeline::flow::{Measured, Pace, Work};
use crate::pipeline::text_to_text::prepare::Reading;
use crate::pipeline::text_to_text::{
    Kind, TextToText, TextToTextOptions, WrittenOutput, WrittenText,
};
use crate::pipeline::tokenize::token_batch;
use crate::tokenizer::Encoding;
use crate::warning::warn;

/// One call of a pipeline.
pub(super) struct Writing {
    task: TextToText,
    options: TextToTextOptions,
    reading: Reading,
    has_warned: AtomicBool,
}

/// A text, ready for the encoder, and how the decoder goes on.
pub(super) struct Row {
    source: Encoding,
    plan: Plan,
}

impl Measured for Row {
    fn length(&self) -> usize {
        self.source.len()
    }

    fn is_cut(&self) -> bool {
        self.source.is_cut()
    }
}

impl Writing {
    pub(super) fn new(task: &TextToText, options: &TextToTextOptions) -> Result<Self> {
        let reading = task.reading(options)?;
        let (task, options) = (task.clone(), options.clone());
        Ok(Self { task, options, reading, has_warned: AtomicBool::new(false) })
    }

    /// Says once a call what Python says about lengths, where `max_length` counts.
    fn warn_of_length(&self, input: usize) {
        let config = &self.reading.config;
        if config.max_new_tokens.is_some() {
            return;
        }
        let longest = config.max_length.unwrap_or(GLOBAL_MAX_LENGTH);
        let shortest = config.min_length.unwrap_or(0);
        let warning = match self.task.kind {
            Kind::Summarization if longest < shortest => {
                format!("min_length is {shortest}, and max_length is less: {longest}")
            }
            Kind::Summarization if input < longest => format!(
                "max_length is {longest}, but the text has {input} tokens only; a summary is usually shorter: \
                 think of max_length={}",
                input / 2
            ),
            Kind::Translation if input as f64 > 0.9 * longest as f64 => format!(
                "the text has {input} tokens, more than 0.9 * max_length, which is {longest}: think of a larger \
                 max_length"
            ),
            _ => return,
        };
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            warn(&warning);
        }
    }

    /// The output of one answer.
    fn written(&self, answer: Generated) -> Result<WrittenText> {
        let ids = [vec![self.reading.start], answer.ids()].concat();
        let output = if self.options.return_tensors == Some(true) {
            WrittenOutput::TokenIds(ids)
        } else {
            let clean_up = self.options.clean_up_tokenization_spaces.unwrap_or(false);
            WrittenOutput::Text(self.task.tokenizer.decode_with(&ids, true, clean_up)?)
        };
        let details = if self.options.details == Some(true) { vec![answer] } else { Vec::new() };
        Ok(WrittenText { output, details })
    }
}

impl Work for Writing {
    type Item = String;
    type Kept = ();
    type Row = Row;
    /// As many as `num_return_sequences` says; or what went wrong with this text alone.
    type Answer = Result<Vec<Generated>>;
    type Output = Vec<WrittenText>;

    /// Texts of like length go together: what each gets does not depend on the others.
    fn pace(&self, batch_size: Option<usize>) -> Pace {
        let rows = batch_size.unwrap_or(MOST_ROWS);
        let tokens = if batch_size.is_some() { usize::MAX } else { MOST_TOKENS };
        Pace {
            items: rows.saturating_mul(16),
            length: 1 << 18,
            batch: Budget { rows, tokens, may_be_loose: usize::MAX },
        }
    }

    fn prepare(&self, text: String) -> Result<((), Vec<Row>)> {
        let rows = self.reading.rows_of(&text)?.into_iter().map(|source| {
            self.warn_of_length(source.len());
            let Reading { config, start, .. } = &self.reading;
            let plan = self.task.plan(*start, &source.ids, config, &self.options)?;
            Ok(Row { source, plan })
        });
        Ok(((), rows.collect::<Result<_>>()?))
    }

    fn forward(&self, rows: &[&Row]) -> Result<Vec<Self::Answer>> {
        let Reading { config, start, .. } = &self.reading;
        let started = Instant::now();
        let sources: Vec<_> = rows.iter().map(|row| &row.source).collect();
        let batch = token_batch(&sources)?;
        let (mut cache, traces) = generation::read_sources(&*self.task.model, &batch, config)?;
        let each = config.sequences_per_prompt();
        if each > 1 {
            let copies: Vec<_> = (0..rows.len()).flat_map(|row| vec![row; each]).collect();
            cache.select_rows(&copies)?;
        }
        let cancel = self.options.cancel.clone().unwrap_or_default();
        let sequences = rows.iter().flat_map(|row| {
            // What becomes of a text does not depend on what stands beside it.
            let seed = config.seed.unwrap_or_else(rand::random);
            let cancel = &cancel;
            (0..each).map(move |answer| {
                let plan = row.plan.clone().with_seed(seed.wrapping_add(answer as u64));
                let sequence = Sequence::new(&[*start], plan.counting_from(started))?;
                Ok(sequence.with_cancel_handle(cancel.clone()))
            })
        });
        let model: Arc<dyn Autoregressive> = self.task.model.clone();
        let mut answers = complete(&model, &cache, sequences)?.into_iter();
        let mut traces = traces.into_iter();
        let mut answer = || {
            let trace = traces.next().unwrap_or_default();
            let lists = answers.by_ref().take(each).collect::<Result<Vec<_>>>();
            let mut answers: Vec<Generated> = lists?.into_iter().flatten().collect();
            answers.iter_mut().for_each(|answer| answer.encoder = trace.clone());
            Ok(answers)
        };
        Ok(rows.iter().map(|_| answer()).collect())
    }

    /// Parts of one text are joined by spaces.
    fn finish(&self, (): (), rows: Vec<(Row, Self::Answer)>) -> Result<Vec<WrittenText>> {
        let mut records: Vec<WrittenText> = Vec::new();
        for (part, (_, answers)) in rows.into_iter().enumerate() {
            for (index, answer) in answers?.into_iter().enumerate() {
                let written = self.written(answer)?;
                match records.get_mut(index).filter(|_| part > 0) {
                    Some(record) => record.join(written),
                    None => records.push(written),
                }
            }
        }
        let config = &self.reading.config;
        let end = || config.eos_token_id.as_ref().and_then(|ids| ids.first().copied());
        WrittenText::pad(&mut records, config.pad_token_id.or_else(end).unwrap_or(0));
        Ok(records)
    }
}

/// Texts that are computed together by default.
const MOST_ROWS: usize = 16;

/// And their tokens, padding included.
const MOST_TOKENS: usize = 8192;
