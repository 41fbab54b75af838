//! The options that every task has, and the macro by which a task declares its own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::generation::CancelHandle;

/// The options of every call, for all tasks.
#[derive(Debug, Clone, Default)]
pub(super) struct CallOptions {
    /// The most rows of a forward pass.
    pub(super) batch_size: Option<usize>,
    pub(super) progress: Progress,
    pub(super) truncation_report: Option<TruncationReport>,
    /// Of tasks whose cancelled calls fail; others end their answers, and look at it themselves.
    pub(super) cancel: Option<CancelHandle>,
}

impl CallOptions {
    /// An error once the call is cancelled.
    pub(super) fn check(&self) -> Result<()> {
        match &self.cancel {
            Some(cancel) if cancel.is_cancelled() => Err(Error::Interrupted),
            _ => Ok(()),
        }
    }
}

/// The options of a task.
pub(super) trait TaskOptions: Default {
    /// From keyword arguments of the Python pipeline.
    fn read(options: Map<String, Value>) -> Result<Self>;

    fn call(&self) -> CallOptions;

    /// Sets the report that receives the numbers of the truncated inputs.
    fn report_to(&mut self, report: TruncationReport);
}

/// Declares the options of a task as [`options!`](crate::fields) does, followed by the options that
/// every task has.
macro_rules! task_options {
    ($(#[$about:meta])* $name:ident { $($fields:tt)* }) => {
        $crate::fields::options! {
            $(#[$about])*
            $name {
                $($fields)*
                /// The most rows of a forward pass. Default: as many as fit a budget of tokens.
                batch_size: usize,
                /// Cancels the call from any thread: before the next pass of the model, or the next text that is
                /// prepared for one. The call then fails with [`Error::Interrupted`](crate::Error::Interrupted).
                #[serde(skip)]
                cancel: (crate::generation::CancelHandle),
                /// Where the progress of a long call is reported. Default: a bar on stderr.
                #[serde(skip)]
                progress: (crate::pipeline::Progress),
                /// Receives the numbers of the truncated inputs.
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
                    cancel: self.cancel.clone(),
                }
            }

            fn report_to(&mut self, report: crate::pipeline::TruncationReport) {
                self.truncation_report = Some(report);
            }
        }
    };
}

pub(super) use task_options;

/// Where the progress of a long call is reported.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Progress {
    /// A bar on stderr, where that is a terminal.
    #[default]
    Bar,
    /// Calls a function after each chunk, with the number of finished items and, if known, of all
    /// items.
    Call(Arc<dyn Fn(usize, Option<usize>) + Send + Sync>),
    /// Nobody.
    Off,
}

impl Progress {
    /// Calls a function with the number of finished items and, if known, of all items.
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

/// Records which inputs of a call were longer than the model or `max_length` and were truncated.
/// Put a clone into the call's options, and read the report after the call.
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
/// Callers of JSON find the numbers in the [`Output`](crate::pipeline::Output). A report that is
/// used for several calls has the numbers of all of them.
#[derive(Debug, Clone, Default)]
pub struct TruncationReport {
    inputs: Arc<Mutex<Vec<usize>>>,
}

impl TruncationReport {
    /// The numbers of the truncated inputs, from 0, in the order of the inputs.
    #[must_use]
    pub fn inputs(&self) -> Vec<usize> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add(&self, input: usize) {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).push(input);
    }
}
