//! `question-answering`: the words of a text that answer a question.
//!
//! Mirrors `pipelines/question_answering.py` of transformers 4.57, with two differences. Only spans
//! that end where or after they begin are answers (there, others come with a score of 0 where the
//! text has fewer spans than asked for), equal scores keep the order of the text. And with a
//! tokenizer that pads on the left, answers come from the context alone (there, from the question
//! too).

mod options;
mod spans;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use options::QuestionAnsweringOptions;
pub use spans::Answer;
use spans::Found;

use crate::batch::PaddingSide;
use crate::error::{Error, Result};
use crate::models::heads::QuestionAnswerer;
use crate::pipeline::arguments::{self, OneOrMore};
use crate::pipeline::characters::Characters;
use crate::pipeline::flow::{Measured, Work};
use crate::pipeline::options::TaskOptions;
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf, pipeline};
use crate::pipeline::tokenize::{RowWindows, Rows, TokenizerOptions, token_batch};
use crate::tokenizer::{Encoding, TextInput, TruncationStrategy, Unfit};

/// A question, and the text to answer it from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

pipeline! {
    /// Answers questions from texts: the best `top_k` answers, best first; none where no words of the context
    /// can be one.
    ///
    #[doc = include_str!("../../docs/tasks/question-answering.md")]
    QuestionAnsweringPipeline<dyn QuestionAnswerer>
}

impl TaskSteps for QuestionAnsweringPipeline {
    type Input = Question;
    type Output = Vec<Answer>;
    type Options = QuestionAnsweringOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        options.check()?;
        let longest = options
            .max_seq_len
            .unwrap_or_else(|| self.tokenizer.model_max_length().unwrap_or(usize::MAX).min(384));
        let stride = options.doc_stride.unwrap_or_else(|| (longest / 2).min(128));
        if stride > longest {
            let reason = format!("{stride} is more than the {longest} of `max_seq_len`");
            return Err(Error::option("doc_stride", reason));
        }
        let rows = TokenizerOptions::default().max_length(longest);
        Ok(Ask {
            rows: Rows::new(&self.tokenizer, &*self.model, Some(&rows)),
            model: Arc::clone(&self.model),
            options: options.clone(),
            stride,
        })
    }

    fn read_options(&self, mut options: Map<String, Value>) -> Result<Self::Options> {
        arguments::rename(&mut options, "topk", "top_k");
        TaskOptions::read(options)
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<Question>> {
        Ok(questions(input)?.or_single())
    }

    fn write_output(&self, answers: Vec<Answer>, _: &Self::Options) -> Result<Value> {
        arguments::one_or_more(answers)
    }
}

/// Questions come as one, as a list, or as a list beside one of contexts or a single one; `data` and `X` are
/// old names of the first two.
fn questions(input: &Value) -> Result<Items<Question>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Lists {
        question: Vec<String>,
        context: OneOrMore,
    }
    let fields = match input {
        Value::Array(_) => return Ok(Items::many(arguments::item::<Vec<Question>>(input)?)),
        Value::Object(fields) => fields,
        _ => {
            let wanted =
                "{\"question\": …, \"context\": …}, lists in these places, or a list of such";
            return Err(arguments::misshapen(input, wanted));
        }
    };
    if let (1, Some(old)) = (fields.len(), fields.get("data").or_else(|| fields.get("X"))) {
        return questions(old);
    }
    if !fields.get("question").is_some_and(Value::is_array) {
        return Ok(Items::One(arguments::item(input)?));
    }
    let Lists { question: questions, context } = arguments::item(input)?;
    let count = questions.len();
    let contexts: Box<dyn Iterator<Item = String>> = match context {
        OneOrMore::One(context) => Box::new(std::iter::repeat(context)),
        OneOrMore::More(contexts) if contexts.len() == count => Box::new(contexts.into_iter()),
        OneOrMore::More(contexts) => {
            return Err(Error::input(format!("{count} questions and {} contexts", contexts.len())));
        }
    };
    let pairs = questions.into_iter().zip(contexts);
    Ok(Items::many(pairs.map(|(question, context)| Question { question, context })))
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

    fn reader<'a>(&'a self, context: &'a Characters) -> spans::Reader<'a> {
        spans::Reader {
            context,
            sequence: usize::from(self.context_is_second()),
            cls: self.rows.tokenizer().cls_token().map(|token| token.id),
            options: &self.options,
        }
    }
}

/// A context that is read window by window.
struct Asked {
    context: Characters,
    /// Those that are not made yet.
    windows: RowWindows,
    found: Found,
}

impl Work for Ask {
    type Item = Question;
    type Kept = Asked;
    type Row = Encoding;
    type Answer = (Vec<f32>, Vec<f32>);
    type Output = Vec<Answer>;

    fn prepare(&self, item: Question) -> Result<(Asked, Vec<Encoding>)> {
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
        // Windows take a long context in, and a question is never cut: nothing is to report.
        let windows = self.rows.windows(input, cut, self.stride);
        let mut windows = windows.map_err(|unfit| match unfit {
            Unfit::Stride(reason) => Error::option("doc_stride", reason),
            Unfit::NoRoom(reason) | Unfit::TooLong(reason) | Unfit::TooShort(reason) => {
                Error::option("max_seq_len", reason)
            }
            Unfit::Other(error) => error,
        })?;
        let rows = windows.some()?;
        Ok((
            Asked { context: Characters::new(item.context), windows, found: Found::default() },
            rows,
        ))
    }

    fn forward(&self, rows: &[&Encoding]) -> Result<Vec<Self::Answer>> {
        let (starts, ends) = self.model.spans(&token_batch(rows)?)?;
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

    fn next_rows(
        &self,
        asked: &mut Asked,
        read: &mut Vec<(Encoding, Self::Answer)>,
    ) -> Result<Vec<Encoding>> {
        self.reader(&asked.context).read(&std::mem::take(read), &mut asked.found);
        asked.windows.some()
    }

    fn finish(
        &self,
        Asked { context, mut found, .. }: Asked,
        rows: Vec<(Encoding, Self::Answer)>,
    ) -> Result<Vec<Answer>> {
        let reader = self.reader(&context);
        reader.read(&rows, &mut found);
        Ok(reader.best(found))
    }
}

impl Measured for Question {
    fn length(&self) -> usize {
        self.question.len() + self.context.len()
    }
}
