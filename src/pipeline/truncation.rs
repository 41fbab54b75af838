//! Which inputs of a call were cut.

use std::sync::{Arc, Mutex, PoisonError};

/// Which inputs of a call were longer than the model or `max_length` and were cut: put a clone into
/// the call's options, and read it when the outputs are there.
///
/// ```no_run
/// use sconce::Pipeline;
/// use sconce::pipeline::{TextClassificationOptions, TruncationReport};
///
/// let classifier = Pipeline::text_classification("./a-model").build()?;
/// let report = TruncationReport::default();
/// let mut options = TextClassificationOptions::default();
/// options.truncation_report = Some(report.clone());
/// let outputs = classifier.run_batch(["short", "long"], &options)?;
/// println!("{} labels, cut: {:?}", outputs.len(), report.inputs());
/// # Ok::<(), sconce::Error>(())
/// ```
///
/// Callers of JSON hand it to [`Pipeline::call_reporting`](crate::Pipeline::call_reporting). Used for
/// several calls it has the numbers of all of them. For a program that only wants to be
/// told, there is [`on_warning`](crate::pipeline::on_warning).
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
