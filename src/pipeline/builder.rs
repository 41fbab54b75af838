//! One builder for every task.

use std::fmt;
use std::path::Path;

use candle_core::Device;

use crate::error::Result;
use crate::options::{CachePrecision, LoadOptions, LoadProgress, Precision, QuantLevel};
use crate::pipeline::TaskPipeline;
use crate::source::ModelSource;

/// Options for loading a pipeline; [`build`](Self::build) loads it.
pub struct PipelineBuilder<T> {
    source: ModelSource,
    options: LoadOptions,
    /// What is done to the loaded pipeline.
    then: Vec<Box<Then<T>>>,
}

type Then<T> = dyn FnOnce(T, &LoadOptions) -> Result<T> + Send + Sync;

impl<T: TaskPipeline> PipelineBuilder<T> {
    /// A pipeline of the model in `source`, with default options.
    #[must_use]
    pub fn new(source: impl Into<ModelSource>) -> Self {
        Self { source: source.into(), options: LoadOptions::default(), then: Vec::new() }
    }

    /// Replaces all options.
    #[must_use]
    pub fn options(mut self, options: LoadOptions) -> Self {
        self.options = options;
        self
    }

    /// Where to run. See [`LoadOptions::device`].
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.options = self.options.device(device);
        self
    }

    /// The dtype of dense weights. See [`LoadOptions::dtype`].
    #[must_use]
    pub fn dtype(mut self, dtype: Precision) -> Self {
        self.options = self.options.dtype(dtype);
        self
    }

    /// Quantize linear layers while loading. See [`LoadOptions::quantize`].
    #[must_use]
    pub fn quantize(mut self, level: QuantLevel) -> Self {
        self.options = self.options.quantize(level);
        self
    }

    /// Linear layers that are not quantized. See [`LoadOptions::skip_modules`].
    #[must_use]
    pub fn skip_modules(mut self, modules: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options = self.options.skip_modules(modules);
        self
    }

    /// Adds a LoRA and how strong it is. See [`LoadOptions::adapters`].
    #[must_use]
    pub fn adapter(mut self, source: impl AsRef<Path>, scale: f32) -> Self {
        self.options = self.options.adapter(source, scale);
        self
    }

    /// What keys and values are kept in. See [`LoadOptions::cache`].
    #[must_use]
    pub fn cache(mut self, precision: CachePrecision) -> Self {
        self.options = self.options.cache(precision);
        self
    }

    /// How many threads the model computes on at most. See [`LoadOptions::threads`].
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.options = self.options.threads(threads);
        self
    }

    /// Who is told how far loading is. See [`LoadOptions::progress`].
    #[must_use]
    pub fn progress(mut self, told: impl Fn(LoadProgress) + Send + Sync + 'static) -> Self {
        self.options = self.options.progress(told);
        self
    }

    /// Does something to the pipeline once it is loaded.
    pub(super) fn then(
        mut self,
        then: impl FnOnce(T, &LoadOptions) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        self.then.push(Box::new(then));
        self
    }

    /// Downloads missing files, and loads model and tokenizer.
    ///
    /// # Errors
    ///
    /// When the source cannot be opened, a file is missing or broken, or the model cannot do the
    /// task.
    pub fn build(self) -> Result<T> {
        let pipeline = T::from_files(&self.source.open()?, &self.options)?;
        self.then.into_iter().try_fold(pipeline, |pipeline, then| then(pipeline, &self.options))
    }
}

impl<T: TaskPipeline> fmt::Debug for PipelineBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineBuilder")
            .field("task", &T::TASK)
            .field("source", &self.source)
            .field("options", &self.options)
            .finish()
    }
}
