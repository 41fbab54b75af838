//! Logits processors: what is done to logits before a token is chosen from them.
//!
//! Each is usable alone. [`GenerationConfig::plan`](super::GenerationConfig::plan) makes those of the options
//! and puts them in order; [`Plan`](super::Plan) shows the order and lets it be edited.
//!
//! ```
//! use sconce::generation::LogitsProcessor;
//! use sconce::generation::processors::{NoRepeatNgram, TopK};
//!
//! let mut logits = vec![1.0, 4.0, 3.0, 2.0];
//! NoRepeatNgram::new(2)?.process(&[2, 1, 2], &mut logits)?; // "2 1" has been said
//! TopK::new(2)?.process(&[2, 1, 2], &mut logits)?;
//! let ruled_out = f32::NEG_INFINITY;
//! assert_eq!(logits, [ruled_out, ruled_out, 3.0, 2.0]);
//! # Ok::<(), sconce::Error>(())
//! ```
//!
//! Ids outside the vocabulary are ignored: only a [`GenerationConfig`](super::GenerationConfig) knows how
//! large the vocabulary is, and rejects them.

use std::any::Any;
use std::fmt;

use crate::error::{Error, Result};

mod bias;
mod cutoff;
mod dry;
mod guidance;
mod length;
mod occurrence;
mod prefix;
mod rank;
mod repetition;
mod scale;
mod top_h;
mod top_k;
mod top_n_sigma;
mod top_p;
mod typical;
mod watermark;
mod xtc;

pub use bias::{SequenceBias, Suppress};
pub use cutoff::{EpsilonCutoff, EtaCutoff, MinP};
pub use dry::Dry;
pub use guidance::Guidance;
pub use length::{ExponentialDecay, ForcedTokens, MinLength};
pub use occurrence::FrequencyPresencePenalty;
pub use prefix::PrefixAllowedTokens;
pub use repetition::{NoRepeatNgram, RepetitionPenalty};
pub use scale::{DynamicTemperature, RemoveInvalid, Renormalize, Temperature};
pub use top_h::TopH;
pub use top_k::TopK;
pub use top_n_sigma::TopNSigma;
pub use top_p::TopP;
pub use typical::Typical;
pub use watermark::{
    SeedingScheme, SynthId, SynthIdConfig, SynthIdDetector, Watermark, WatermarkDetection,
    WatermarkDetector, Watermarking, WatermarkingConfig,
};
pub use xtc::Xtc;

/// Edits next-token logits in place.
///
/// Implement it for constraints of your own and add them with
/// [`Plan::with_processor`](super::Plan::with_processor) or
/// [`TokenStream::with_processor`](super::TokenStream::with_processor).
///
/// It may keep state of the answer; what is given to a pipeline is cloned for each.
pub trait LogitsProcessor: CloneProcessor + fmt::Debug + Any + Send + Sync {
    /// Edits `logits`, one per vocabulary item; `-inf` rules an item out. `tokens` is the prompt
    /// and everything generated so far.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from its work, which ends the answer as an error.
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()>;

    /// Starts its random numbers over from `seed`. A processor without random numbers does nothing.
    fn reseed(&mut self, seed: u64) {
        let _ = seed;
    }
}

impl dyn LogitsProcessor {
    /// Whether it is a `T`.
    #[must_use]
    pub fn is<T: LogitsProcessor>(&self) -> bool {
        (self as &dyn Any).is::<T>()
    }

    /// The `T` that it is; `None` if it is something else.
    #[must_use]
    pub fn downcast_ref<T: LogitsProcessor>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }

    /// The `T` that it is; `None` if it is something else.
    pub fn downcast_mut<T: LogitsProcessor>(&mut self) -> Option<&mut T> {
        (self as &mut dyn Any).downcast_mut()
    }
}

/// How a [`LogitsProcessor`] behind a pointer is cloned. All that are `Clone` have it.
pub trait CloneProcessor {
    /// A clone.
    fn boxed_clone(&self) -> Box<dyn LogitsProcessor>;
}

impl<T: LogitsProcessor + Clone> CloneProcessor for T {
    fn boxed_clone(&self) -> Box<dyn LogitsProcessor> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn LogitsProcessor> {
    fn clone(&self) -> Self {
        (**self).boxed_clone()
    }
}

/// Sets the logits of `ids` to `-inf`; ids outside the vocabulary are ignored.
fn rule_out(ids: &[u32], logits: &mut [f32]) {
    for &id in ids {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// The value of an option, or an error that names the option and the rule that does not hold.
pub(super) fn checked(
    option: &str,
    value: f64,
    rule: &str,
    holds: impl Fn(f64) -> bool,
) -> Result<f64> {
    match holds(value) {
        true => Ok(value),
        // Without hundreds of zeros.
        false if value != 0.0 && !(1e-5..1e16).contains(&value.abs()) => {
            Err(Error::option(option, format!("is {value:e}, but must be {rule}")))
        }
        false => Err(Error::option(option, format!("is {value}, but must be {rule}"))),
    }
}

/// Above 0 and finite, in f32, too.
fn is_positive(value: f64) -> bool {
    value > 0.0 && (value as f32) > 0.0 && (value as f32).is_finite()
}

/// Neither NaN nor infinite, in f32, too.
fn is_finite(value: f64) -> bool {
    (value as f32).is_finite()
}

/// Refuses the empty sequence.
fn refuse_empty(option: &str, sequence: &[u32]) -> Result<()> {
    match sequence.is_empty() {
        true => Err(Error::option(option, "holds an empty sequence")),
        false => Ok(()),
    }
}

const POSITIVE: &str = "a strictly positive number";
