//! `question-answering`: the words of a text that answer a question.
//!
//! Mirrors `pipelines/question_answering.py` of transformers 4.57, with two differences. Only spans
//! that end where or after they begin are answers (there, others come with a score of 0 where the
//! text has fewer spans than asked for), equal scores keep the order of the text. And with a
//! tokenizer that pads on the left, answers come from the context alone (there, from the question
//! too).

mod options;
mod spans;

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use options::QuestionAnsweringOptions;

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::heads::QuestionAnswerer;
use crate::options::LoadOptions;
use crate::pipeline::Task;
use crate::pipeline::TaskPipeline;
use crate::pipeline::characters::Characters;
use crate::pipeline::flow::{Flow, Work};
use crate::pipeline::json::{self, OneOrMore};
use crate::pipeline::scores;
use crate::pipeline::tokenize::{Rows, TokenizerOptions};
use crate::pipeline::truncation::TruncationReport;
use crate::source::ModelFiles;
use crate::tokenizer::{Encoding, TextInput, Tokenizer, TruncationStrategy};

/// A question, and the text to answer it from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// What is asked.
    pub question: String,
    /// The text that holds the answer; of any length.
    pub context: String,
}

impl Question {
    /// A question about a text.
    pub fn new(question: impl Into<String>, context: impl Into<String>) -> Self {
        Self { question: question.into(), context: context.into() }
    }
}

/// A part of the context.
#[derive(Debug, Clone, PartialEq, Serialize)]
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

/// Answers questions from texts.
#[derive(Debug)]
pub struct QuestionAnsweringPipeline {
    model: Arc<dyn QuestionAnswerer>,
    tokenizer: Tokenizer,
}

impl QuestionAnsweringPipeline {
    /// The best answer; none where no words of the context can be one.
    ///
    /// # Errors
    ///
    /// When question or context is empty, the question leaves the context no room, or the model
    /// fails.
    pub fn run(&self, question: Question) -> Result<Option<Answer>> {
        let answers = self.run_with(question, &QuestionAnsweringOptions::default())?;
        Ok(answers.into_iter().next())
    }

    /// The best `top_k` answers, best first.
    ///
    /// # Errors
    ///
    /// As there, and when an option is invalid.
    pub fn run_with(
        &self,
        question: Question,
        options: &QuestionAnsweringOptions,
    ) -> Result<Vec<Answer>> {
        Ok(self.run_batch([question], options)?.pop().unwrap_or_default())
    }

    /// Many questions, in order, each with what it would get alone.
    ///
    /// # Errors
    ///
    /// As [`run_with`](Self::run_with); nothing is returned where one question fails.
    pub fn run_batch(
        &self,
        questions: impl IntoIterator<Item = Question>,
        options: &QuestionAnsweringOptions,
    ) -> Result<Vec<Vec<Answer>>> {
        self.stream(questions, options)?.collect()
    }

    /// As [`run_batch`](Self::run_batch), one output after the other, in bounded memory.
    ///
    /// # Errors
    ///
    /// When an option is invalid. A question that fails gives an error in its place.
    pub fn stream<I: IntoIterator<Item = Question>>(
        &self,
        questions: I,
        options: &QuestionAnsweringOptions,
    ) -> Result<impl Iterator<Item = Result<Vec<Answer>>> + use<I>> {
        options.check()?;
        let longest = options
            .max_seq_len
            .unwrap_or_else(|| self.tokenizer.model_max_length().unwrap_or(usize::MAX).min(384));
        let stride = options.doc_stride.unwrap_or_else(|| (longest / 2).min(128));
        if stride > longest {
            let reason = format!("{stride} is more than the {longest} of `max_seq_len`");
            return Err(Error::option("doc_stride", reason));
        }
        let rows = TokenizerOptions { max_length: Some(longest), ..Default::default() };
        let work = Ask {
            rows: Rows::new(&self.tokenizer, &*self.model, &rows),
            model: Arc::clone(&self.model),
            options: options.clone(),
            stride,
        };
        // Windows take a long context in, and a question is never cut: nothing to report.
        Flow::new(work, questions, options.batch_size, None)
    }
}

impl TaskPipeline for QuestionAnsweringPipeline {
    const TASK: Task = Task::QuestionAnswering;

    fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::question_answerer_from(files, options)?;
        Ok(Self { model, tokenizer: Tokenizer::from_files(files)? })
    }

    fn call(
        &self,
        input: &Value,
        mut options: Map<String, Value>,
        _report: &TruncationReport,
    ) -> Result<Value> {
        json::rename(&mut options, "topk", "top_k");
        let options = json::options(options)?;
        let (count, questions) = questions(input)?;
        let outputs = self.run_batch(questions, &options)?;
        let mut outputs = outputs.into_iter().map(|mut answers| match answers.len() {
            1 => json::output(answers.pop()),
            _ => json::output(answers),
        });
        match count == 1 {
            true => outputs.next().unwrap_or(Ok(Value::Null)),
            false => outputs.collect::<Result<Vec<_>>>().map(Value::Array),
        }
    }
}

/// How many questions, and they. They come as one, as a list, or as a list beside one of contexts or a
/// single one; `data` and `X` are old names of the first two.
fn questions(input: &Value) -> Result<(usize, Box<dyn Iterator<Item = Question>>)> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Lists {
        question: Vec<String>,
        context: OneOrMore,
    }
    let fields = match input {
        Value::Array(items) => {
            let questions: Vec<Question> = json::item(input)?;
            return Ok((items.len(), Box::new(questions.into_iter())));
        }
        Value::Object(fields) => fields,
        _ => {
            let wanted =
                "{\"question\": …, \"context\": …}, lists in these places, or a list of such";
            return Err(json::misshapen(input, wanted));
        }
    };
    if let (1, Some(old)) = (fields.len(), fields.get("data").or_else(|| fields.get("X"))) {
        return questions(old);
    }
    if !fields.get("question").is_some_and(Value::is_array) {
        return Ok((1, Box::new(std::iter::once(json::item::<Question>(input)?))));
    }
    let Lists { question: questions, context } = json::item(input)?;
    let count = questions.len();
    let contexts: Box<dyn Iterator<Item = String>> = match context {
        OneOrMore::One(context) => Box::new(std::iter::repeat(context)),
        OneOrMore::More(contexts) if contexts.len() == count => Box::new(contexts.into_iter()),
        OneOrMore::More(contexts) => {
            return Err(Error::input(format!("{count} questions and {} contexts", contexts.len())));
        }
    };
    let pairs = questions.into_iter().zip(contexts);
    Ok((count, Box::new(pairs.map(|(question, context)| Question { question, context }))))
}

struct Ask {
    rows: Rows,
    model: Arc<dyn QuestionAnswerer>,
    options: QuestionAnsweringOptions,
    stride: usize,
}

impl Ask {
    /// Which of the two texts of a row is the context.
    fn context_is_second(&self) -> bool {
        self.rows.tokenizer().padding_side() == PaddingSide::Right
    }
}

impl Work for Ask {
    type Item = Question;
    type Kept = Characters;
    type Row = (Vec<f32>, Vec<f32>);
    type Output = Vec<Answer>;

    fn size(item: &Question) -> usize {
        item.question.len() + item.context.len()
    }

    fn prepare(&self, item: Question) -> Result<(Characters, Vec<Encoding>)> {
        for (name, text) in [("question", &item.question), ("context", &item.context)] {
            if text.is_empty() {
                return Err(Error::input(format!("the {name} is empty")));
            }
        }
        let (input, cut) = match self.context_is_second() {
            true => {
                (TextInput::Pair(&item.question, &item.context), TruncationStrategy::OnlySecond)
            }
            false => {
                (TextInput::Pair(&item.context, &item.question), TruncationStrategy::OnlyFirst)
            }
        };
        let windows =
            self.rows.windows(input, Some((cut, self.stride))).map_err(|error| match error {
                Error::InvalidOption { option, reason } if option == "stride" => {
                    Error::option("doc_stride", reason)
                }
                Error::InvalidOption { option, reason }
                    if option == "truncation" || option == "max_length" =>
                {
                    Error::option("max_seq_len", reason)
                }
                other => other,
            })?;
        Ok((Characters::new(item.context), windows))
    }

    fn forward(&self, batch: &TokenBatch, rows: &[&Encoding]) -> Result<Vec<Self::Row>> {
        let (starts, ends) = self.model.spans(batch)?;
        let pairs = scores::rows(&starts)?.into_iter().zip(scores::rows(&ends)?);
        Ok(pairs
            .zip(rows)
            .map(|((mut start, mut end), row)| {
                start.truncate(row.len());
                end.truncate(row.len());
                (start, end)
            })
            .collect())
    }

    fn finish(
        &self,
        context: Characters,
        windows: Vec<(Encoding, Self::Row)>,
    ) -> Result<Vec<Answer>> {
        let reader = spans::Reader {
            context: &context,
            sequence: usize::from(self.context_is_second()),
            cls: self.rows.tokenizer().cls_token().map(|token| token.id),
            options: &self.options,
        };
        Ok(reader.answers(&windows))
    }
}
