//! From logits of begins and ends to answers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::pipeline::characters::Characters;
use crate::pipeline::question_answering::options::QuestionAnsweringOptions;
use crate::pipeline::scores::softmax;
use crate::tokenizer::Encoding;

/// A part of the context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answer {
    /// A probability; the sum of them where the same words answer several times.
    pub score: f64,
    /// The first character in the context, as Python counts them.
    pub start: usize,
    /// The character after the last.
    pub end: usize,
    /// The same place in bytes, for slicing: `&context[answer.bytes.clone()]`. Not in JSON.
    #[serde(skip)]
    pub bytes: Range<usize>,
    /// The text; empty where the question has no answer.
    pub answer: String,
}

/// Reads the answers of one question.
pub(super) struct Reader<'a> {
    pub(super) context: &'a Characters,
    /// Which text of a row is the context.
    pub(super) sequence: usize,
    pub(super) cls: Option<u32>,
    pub(super) options: &'a QuestionAnsweringOptions,
}

/// A window of the context, and the logits of begins and ends.
pub(super) type Window = (Encoding, (Vec<f32>, Vec<f32>));

/// What some windows of a context have shown.
pub(super) struct Found {
    answers: Vec<Answer>,
    /// Where in `answers` the same words are, in any case.
    known: HashMap<String, usize>,
    least_null: f64,
}

impl Default for Found {
    fn default() -> Self {
        Self { answers: Vec::new(), known: HashMap::new(), least_null: 1_000_000.0 }
    }
}

struct Span {
    start: usize,
    end: usize,
    score: f32,
}

impl Reader<'_> {
    /// Adds the answers of the next windows.
    pub(super) fn read(&self, windows: &[Window], found: &mut Found) {
        let Found { answers, known, least_null } = found;
        for (row, (starts, ends)) in windows {
            for span in self.spans(row, starts, ends, least_null) {
                let (start, end) = self.characters(row, &span);
                let answer = self.context.slice(start, end);
                match known.entry(answer.to_lowercase()) {
                    Entry::Occupied(place) => answers[*place.get()].score += f64::from(span.score),
                    Entry::Vacant(place) => {
                        place.insert(answers.len());
                        answers.push(Answer {
                            score: f64::from(span.score),
                            start,
                            end,
                            bytes: self.context.bytes(start, end),
                            answer: answer.to_owned(),
                        });
                    }
                }
            }
        }
    }

    /// The best answers, best first.
    pub(super) fn best(&self, Found { mut answers, least_null, .. }: Found) -> Vec<Answer> {
        if self.options.handle_impossible_answer == Some(true) {
            let answer = String::new();
            answers.push(Answer { score: least_null, start: 0, end: 0, bytes: 0..0, answer });
        }
        answers.sort_by(|a, b| b.score.total_cmp(&a.score));
        answers.truncate(self.top_k());
        answers
    }

    /// The best spans of a window, best first.
    fn spans(
        &self,
        row: &Encoding,
        starts: &[f32],
        ends: &[f32],
        least_null: &mut f64,
    ) -> Vec<Span> {
        // The classification token stays: some models point to it where there is no answer.
        let may_answer = |token: usize| {
            row.sequence_ids[token] == Some(self.sequence) || Some(row.ids[token]) == self.cls
        };
        let probabilities = |logits: &[f32]| {
            let logit = |(token, &logit)| if may_answer(token) { logit } else { -10000.0 };
            softmax(&logits.iter().enumerate().map(logit).collect::<Vec<_>>())
        };
        let (mut starts, mut ends) = (probabilities(starts), probabilities(ends));
        if starts.is_empty() || ends.is_empty() {
            return Vec::new();
        }
        if self.options.handle_impossible_answer == Some(true) {
            *least_null = least_null.min(f64::from(starts[0] * ends[0]));
        }
        (starts[0], ends[0]) = (0.0, 0.0);
        let longest = self.options.max_answer_len.unwrap_or(15);
        // Aligned to words, some of them become one.
        let wanted = match self.aligns() {
            true => self.top_k().saturating_mul(2).saturating_add(10),
            false => self.top_k(),
        };
        let best_first = |a: &Span, b: &Span| {
            b.score.total_cmp(&a.score).then((a.start, a.end).cmp(&(b.start, b.end)))
        };
        let mut spans: Vec<Span> = Vec::new();
        for (start, &begins) in starts.iter().enumerate() {
            let reach = start.saturating_add(longest).min(ends.len());
            spans.extend((start..reach).map(|end| Span { start, end, score: begins * ends[end] }));
            // There are as many as tokens times `max_answer_len`: most need not be kept.
            if spans.len() > wanted.saturating_mul(2).saturating_add(MOST_SPANS) {
                spans.select_nth_unstable_by(wanted, best_first);
                spans.truncate(wanted);
            }
        }
        spans.sort_unstable_by(best_first);
        spans.truncate(wanted);
        spans.retain(|span| may_answer(span.start) && may_answer(span.end));
        spans
    }

    /// Where a span stands in the context.
    fn characters(&self, row: &Encoding, span: &Span) -> (usize, usize) {
        let word = |token: usize| {
            let word = row.word_ids[token]?;
            let is_of_word = |other: &usize| {
                row.word_ids[*other] == Some(word)
                    && row.sequence_ids[*other] == Some(self.sequence)
            };
            let first = (0..row.len()).find(is_of_word)?;
            let last = (0..row.len()).rfind(is_of_word)?;
            Some((row.offsets[first].0, row.offsets[last].1))
        };
        match (self.aligns(), word(span.start), word(span.end)) {
            (true, Some((start, _)), Some((_, end))) => (start, end),
            _ => (row.offsets[span.start].0, row.offsets[span.end].1),
        }
    }

    fn aligns(&self) -> bool {
        self.options.align_to_words.unwrap_or(true)
    }

    fn top_k(&self) -> usize {
        self.options.top_k.unwrap_or(1)
    }
}

/// How many spans are kept before the worse ones are dropped.
const MOST_SPANS: usize = 4096;
