//! How to load a model: device, dtype, quantization.

mod adapter;
mod precision;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use serde::{Deserialize, Serialize};

pub(crate) use adapter::ModelPart;
pub use adapter::{Adapter, AdapterPlace};
pub(crate) use precision::as_text;
pub use precision::{CachePrecision, Precision, QuantLevel};

/// How to load a model. The same struct for every task and every architecture. As JSON it is an object of the
/// fields that are set, without [`device`](Self::device) and [`progress`](Self::progress).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Where weights live and arithmetic happens. `None`: the best device that this build supports.
    /// On the CPU, the best instructions of the processor are used; the environment variable
    /// `SCONCE_CPU` limits them: `avx512`, `avxvnni`, `avx2`, `i8mm`, `dotprod`, `neon` or
    /// `scalar`.
    #[serde(skip)]
    pub device: Option<Device>,
    /// The dtype of dense weights and, on a GPU, of the arithmetic, which is f32 on the CPU. `None`:
    /// as stored; a GGUF file keeps its blocks. `Some` makes a GGUF file dense (it is dequantized, as
    /// transformers does it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Precision>,
    /// Quantize the linear layers while they are read. `None`: leave them as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantize: Option<QuantLevel>,
    /// Modules that [`quantize`](Self::quantize) leaves alone, by the model's or the checkpoint's
    /// names, each with everything in it (`layers.0`, `mlp.down`, `lm_head`). `None`: the output
    /// head, as in bitsandbytes (`llm_int8_skip_modules`). A list replaces that default; an empty
    /// list skips nothing. Where the head is tied to the embedding, they are quantized together. A name that matches no module is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_modules: Option<Vec<String>>,
    /// The precision of cached keys and values on the CPU. `None`: f32 if all weights are f32, or
    /// else f16, whose rounding is small compared with that of the weights. On a GPU the cache has
    /// the dtype of the arithmetic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CachePrecision>,
    /// The most threads that the model computes on, including the caller's. `None`: all that the
    /// process may use: `RAYON_NUM_THREADS`, or else its processors and, on Linux, the quota of its
    /// control group. Models share threads: a call that finds them busy computes on its own thread
    /// alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// LoRA that the model is loaded with, one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<Adapter>,
    /// The part of a larger model that is loaded.
    #[serde(skip)]
    pub(crate) part: Option<ModelPart>,
    /// Told after every tensor that is loaded, for a progress bar. A download has
    /// [one of its own](crate::source::hub::HubRepo::progress).
    #[serde(skip)]
    pub progress: Option<LoadCallback>,
}

/// What is called while a model is loaded.
#[derive(Clone)]
pub struct LoadCallback(Arc<dyn Fn(LoadProgress) + Send + Sync>);

impl LoadCallback {
    pub(crate) fn call(&self, progress: LoadProgress) {
        (self.0)(progress);
    }
}

impl fmt::Debug for LoadCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("callback")
    }
}

/// How far the loading of a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadProgress {
    /// Bytes of the checkpoint that have been read.
    pub done: u64,
    /// Bytes of all its tensors. Those that the model does not use are among them, so that the last
    /// report may be below.
    pub total: u64,
}

impl LoadProgress {
    pub(crate) fn new(done: u64, total: u64) -> Self {
        Self { done, total }
    }
}

impl LoadOptions {
    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = Some(device);
        self
    }

    /// Sets [`dtype`](Self::dtype).
    #[must_use]
    pub fn dtype(mut self, dtype: Precision) -> Self {
        self.dtype = Some(dtype);
        self
    }

    /// Sets [`quantize`](Self::quantize).
    #[must_use]
    pub fn quantize(mut self, level: QuantLevel) -> Self {
        self.quantize = Some(level);
        self
    }

    /// Sets [`skip_modules`](Self::skip_modules).
    #[must_use]
    pub fn skip_modules(mut self, modules: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.skip_modules = Some(modules.into_iter().map(Into::into).collect());
        self
    }

    /// Sets [`cache`](Self::cache).
    #[must_use]
    pub fn cache(mut self, precision: CachePrecision) -> Self {
        self.cache = Some(precision);
        self
    }

    /// Sets [`threads`](Self::threads).
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Adds an [adapter](Self::adapters): a folder, a file or a repository of the Hub, and how strong it is.
    #[must_use]
    pub fn adapter(self, source: impl AsRef<Path>, scale: f32) -> Self {
        self.with_adapter(Adapter::new(source).scale(scale))
    }

    /// As [`adapter`](Self::adapter), with all that can be said of one.
    #[must_use]
    pub fn with_adapter(mut self, adapter: Adapter) -> Self {
        self.adapters.push(adapter);
        self
    }

    /// The same options for a part of a larger model.
    #[cfg(feature = "image")]
    pub(crate) fn for_part(&self, part: ModelPart) -> Self {
        Self { part: Some(part), ..self.clone() }
    }

    /// The same options for the part of that name.
    #[cfg(feature = "image")]
    pub(crate) fn named_part(&self, name: &str) -> Self {
        let named = self.part.and_then(|part| part.named(name));
        Self { part: named.or(self.part), ..self.clone() }
    }

    /// The same options without adapters: for parts that never have any.
    #[cfg(feature = "image")]
    pub(crate) fn without_adapters(&self) -> Self {
        Self { adapters: Vec::new(), ..self.clone() }
    }

    /// Sets [`progress`](Self::progress). It is called on the thread that loads and should return quickly.
    #[must_use]
    pub fn progress(mut self, callback: impl Fn(LoadProgress) + Send + Sync + 'static) -> Self {
        self.progress = Some(LoadCallback(Arc::new(callback)));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_json_both_ways() {
        let options: LoadOptions =
            serde_json::from_str(r#"{"dtype": "float16", "quantize": "int4", "cache": "8bit"}"#)
                .unwrap();
        let json = serde_json::to_string(&options.threads(2)).unwrap();
        assert_eq!(json, r#"{"dtype":"f16","quantize":"q4_k","cache":"q8","threads":2}"#);
        let error = serde_json::from_str::<LoadOptions>(r#"{"dtype": "q4_k"}"#).unwrap_err();
        assert!(error.to_string().contains("`quantize` q4_k"), "{error}");
        assert!(serde_json::from_str::<LoadOptions>(r#"{"dtyp": "f32"}"#).is_err());
    }
}
