//! The options that every task has, and the macro by which a task declares its own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::error::Result;

/// What every call has, whatever the task.
#[derive(Debug, Clone, Default)]
pub(super) struct CallOptions {
    /// The most rows of a forward pass.
    pub(super) batch_size: Option<usize>,
    pub(super) progress: Progress,
    pub(super) truncation_report: Option<TruncationReport>,
}

/// The options of a task.
pub(super) trait TaskOptions: Default {
    /// From keyword arguments of the Python pipeline.
    fn read(options: Map<String, Value>) -> Result<Self>;

    fn call(&self) -> CallOptions;

    /// Who gets the numbers of the inputs that are cut.
    fn report_to(&mut self, report: TruncationReport);
}

/// Declares the options of a task as [`options!`](crate::fields) does, with those that every task has
/// behind them.
macro_rules! task_options {
    ($(#[$about:meta])* $name:ident { $($fields:tt)* }) => {
        $crate::fields::options! {
            $(#[$about])*
            $name {
                $($fields)*
                /// The most rows of a forward pass. Default: as many as fit a budget of tokens.
                batch_size: usize,
                /// Who is told how far a long call is. Default: a bar on stderr.
                #[serde(skip)]
                progress: (crate::pipeline::Progress),
                /// Gets the numbers of the inputs that are cut.
                #[serde(skip)]
                truncation_report: (crate::pipeline::TruncationReport),
            }
        }

        impl crate::pipeline::options::TaskOptions for $name {
            fn read(
                options: serde_json::Map<String, serde_json::Value>,
            ) -> crate::error::Result<Self> {
                crate::pipeline::arguments::options(options)
            }

            fn call(&self) -> crate::pipeline::options::CallOptions {
                crate::pipeline::options::CallOptions {
                    batch_size: self.batch_size,
                    progress: self.progress.clone().unwrap_or_default(),
                    truncation_report: self.truncation_report.clone(),
                }
            }

            fn report_to(&mut self, report: crate::pipeline::TruncationReport) {
                self.truncation_report = Some(report);
            }
        }
    };
}

pub(super) use task_options;

/// Who is told how far a long call is.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Progress {
    /// A bar on stderr, where that is a terminal.
    #[default]
    Bar,
    /// Called with the number of items that are done, and of all where that is known, after each chunk of
    /// them.
    Call(Arc<dyn Fn(usize, Option<usize>) + Send + Sync>),
    /// Nobody.
    Off,
}

impl Progress {
    /// Calls a function with the number of items that are done, and of all where that is known.
    pub fn call(told: impl Fn(usize, Option<usize>) + Send + Sync + 'static) -> Self {
        Self::Call(Arc::new(told))
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bar => "Bar",
            Self::Call(_) => "Call",
            Self::Off => "Off",
        })
    }
}

/// Which inputs of a call were longer than the model or `max_length` and were cut: put a clone into
/// the call's options, and read it when the outputs are there.
///
/// ```no_run
/// use sconce::Pipeline;
/// use sconce::pipeline::{TextClassificationOptions, TruncationReport};
///
/// let classifier = Pipeline::text_classification("./a-model").build()?;
/// let report = TruncationReport::default();
/// let options = TextClassificationOptions::default().truncation_report(report.clone());
/// let outputs = classifier.run_batch(["short", "long"], &options)?;
/// println!("{} labels, cut: {:?}", outputs.len(), report.inputs());
/// # Ok::<(), sconce::Error>(())
/// ```
///
/// Callers of JSON find the numbers in the [`Output`](crate::pipeline::Output). Used for several calls a
/// report has the numbers of all of them. For a program that only wants to be told, there is
/// [`on_warning`](crate::pipeline::on_warning).
#[derive(Debug, Clone, Default)]
pub struct TruncationReport {
    inputs: Arc<Mutex<Vec<usize>>>,
}

impl TruncationReport {
    /// The numbers of the inputs that were cut, from 0 on, in the order of the inputs.
    #[must_use]
    pub fn inputs(&self) -> Vec<usize> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add(&self, input: usize) {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).push(input);
    }
}
