//! What all tasks share: options and inputs are read, items go through the model, outputs are
//! returned.
//!
//! A task implements only its own steps ([`TaskSteps`]); the table of tasks makes the methods of
//! its pipeline.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::media::Media;
use crate::pipeline::arguments::{self, OneOrMore};
use crate::pipeline::flow::{Flow, Work};
use crate::pipeline::input::{Input, Output};
use crate::pipeline::options::{TaskOptions, TruncationReport};

/// Declares the pipeline of one kind of model and a tokenizer. The model is loaded first, so that one of
/// an unknown kind is named as such, and not by the tokenizer that is missing.
macro_rules! pipeline {
    ($(#[$about:meta])* $name:ident<$model:ty>) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        pub struct $name {
            model: std::sync::Arc<$model>,
            tokenizer: crate::tokenizer::Tokenizer,
        }

        impl $name {
            /// A pipeline of a loaded model and tokenizer; both stay shared.
            ///
            /// # Errors
            ///
            /// When they cannot do the task.
            pub fn from_parts(
                model: std::sync::Arc<$model>,
                tokenizer: crate::tokenizer::Tokenizer,
            ) -> Result<Self> {
                let pipeline = Self { model, tokenizer };
                crate::pipeline::skeleton::TaskSteps::check(&pipeline)?;
                Ok(pipeline)
            }

            pub(super) fn load(
                files: &crate::source::ModelFiles,
                options: &crate::options::LoadOptions,
            ) -> Result<Self> {
                let model = crate::models::AutoModel::from_files::<$model>(files, options)?;
                Self::from_parts(model, crate::tokenizer::Tokenizer::from_files(files)?)
            }

            /// The model, for sharing or inspection.
            #[must_use]
            pub fn model(&self) -> &std::sync::Arc<$model> {
                &self.model
            }

            /// The tokenizer.
            #[must_use]
            pub fn tokenizer(&self) -> &crate::tokenizer::Tokenizer {
                &self.tokenizer
            }
        }
    };
}

pub(super) use pipeline;

/// What a task does by itself.
pub(super) trait TaskSteps: Sized {
    /// One item.
    type Input: 'static;
    /// The output of one item.
    type Output: Serialize;
    type Options: TaskOptions;

    /// Refuses a model or a tokenizer that cannot do the task.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The pipeline for the languages in a task's name.
    fn for_languages(self, _source: &str, _target: &str) -> Result<Self> {
        Err(Error::option("task", "this one has no languages; only `translation` has"))
    }

    /// Checks the options and settles what they leave open.
    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<Self>>;

    /// From keyword arguments of the Python pipeline.
    fn read_options(&self, options: Map<String, Value>) -> Result<Self::Options> {
        Self::Options::read(options)
    }

    /// From the input of the Python pipeline.
    fn read_input(&self, input: &Value, options: &Self::Options) -> Result<Items<Self::Input>>;

    /// From an input that is no JSON, or one of a list of such.
    fn read_media(&self, input: Input, options: &Self::Options) -> Result<Self::Input> {
        match self.read_input(&input.into_json()?, options)? {
            Items::One(item) => Ok(item),
            Items::Many(_) => Err(Error::input("a list within a list of inputs")),
        }
    }

    /// Takes out of an output what JSON does not hold.
    fn take_media(&self, _output: &mut Self::Output) -> Vec<Media> {
        Vec::new()
    }

    /// To the output of the Python pipeline for one item.
    fn write_output(&self, output: Self::Output, _options: &Self::Options) -> Result<Value> {
        arguments::output(output)
    }

    /// Answers inputs of shapes that are no item and no list of items.
    fn answer(&self, _input: &Value, _options: &Self::Options) -> Result<Option<Value>> {
        Ok(None)
    }
}

/// The work of a task.
pub(super) trait WorkOf<T: TaskSteps>: Work<Item = T::Input, Output = T::Output> {}

impl<T: TaskSteps, W: Work<Item = T::Input, Output = T::Output>> WorkOf<T> for W {}

/// Makes inputs of texts.
macro_rules! from_text {
    ($name:ident) => {
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::Text(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::Text(text)
            }
        }
    };
}

pub(super) use from_text;

/// The items of a call.
pub(super) enum Items<T> {
    /// One, whose output comes by itself.
    One(T),
    /// A list, which gives a list.
    Many(Box<dyn Iterator<Item = T>>),
}

impl<T: 'static> Items<T> {
    pub(super) fn many(items: impl IntoIterator<Item = T, IntoIter: 'static>) -> Self {
        Self::Many(Box::new(items.into_iter()))
    }
}

impl<T> Items<T> {
    /// The items of a list; of a list of one, the one.
    pub(super) fn or_single(self) -> Self {
        match self {
            Self::Many(mut items) if items.size_hint() == (1, Some(1)) => match items.next() {
                Some(item) => Self::One(item),
                None => Self::Many(items),
            },
            items => items,
        }
    }
}

impl<T: From<String> + 'static> Items<T> {
    /// A text or a list of texts.
    pub(super) fn texts(input: &Value) -> Result<Self> {
        Ok(match arguments::item(input)? {
            OneOrMore::One(text) => Self::One(text.into()),
            OneOrMore::More(texts) => Self::many(texts.into_iter().map(Into::into)),
        })
    }
}

/// Outputs of items, in order, in bounded memory.
pub(super) fn stream<T: TaskSteps, I: IntoIterator<Item: Into<T::Input>>>(
    task: &T,
    inputs: I,
    options: &T::Options,
) -> Result<impl Iterator<Item = Result<T::Output>> + use<T, I>> {
    Flow::new(task.work(options)?, inputs.into_iter().map(Into::into), options.call())
}

/// The output of one item.
pub(super) fn run<T: TaskSteps>(
    task: &T,
    input: T::Input,
    options: &T::Options,
) -> Result<T::Output> {
    let output = stream(task, [input], options)?.next();
    output.unwrap_or_else(|| Err(Error::input("the input is empty")))
}

/// A call of the Python pipeline.
pub(super) fn call<T: TaskSteps>(
    task: &T,
    input: Input,
    mut options: Map<String, Value>,
) -> Result<Output> {
    // Of Python's data loader; inputs are prepared on a thread of their own here.
    let _not_needed: Option<usize> = arguments::take(&mut options, "num_workers")?;
    let mut options = task.read_options(options)?;
    let report = TruncationReport::default();
    options.report_to(report.clone());
    let json = match &input {
        Input::Json(input) => task.answer(input, &options)?,
        _ => None,
    };
    let mut media = Vec::new();
    let mut write = |mut output: T::Output| {
        media.extend(task.take_media(&mut output));
        task.write_output(output, &options)
    };
    let json = match json {
        Some(answer) => answer,
        None => match items(task, input, &options)? {
            Items::One(item) => write(run(task, item, &options)?)?,
            Items::Many(items) => stream(task, items, &options)?
                .map(|output| write(output?))
                .collect::<Result<_>>()?,
        },
    };
    Ok(Output { json, media, truncated: report.inputs() })
}

/// The items of an input.
fn items<T: TaskSteps>(task: &T, input: Input, options: &T::Options) -> Result<Items<T::Input>> {
    match input {
        Input::Json(input) => task.read_input(&input, options),
        Input::List(inputs) => {
            let items = inputs.into_iter().map(|input| task.read_media(input, options));
            Ok(Items::Many(Box::new(items.collect::<Result<Vec<_>>>()?.into_iter())))
        }
        one => task.read_media(one, options).map(Items::One),
    }
}
