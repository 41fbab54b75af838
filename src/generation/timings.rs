//! How long a generation took.

use std::fmt;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How long a generation has taken so far. Only computing counts, not the caller's time between
/// tokens. As JSON, times are seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timings {
    /// Tokens of the prompt that were computed.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were in the cache already.
    pub cached_tokens: usize,
    /// Tokens generated so far.
    pub generated_tokens: usize,
    /// Tokens of drafts that were computed so far ([`Drafter`](super::Drafter)).
    #[serde(default)]
    pub drafted_tokens: usize,
    /// How many of these were accepted: generated tokens that took no pass of their own.
    #[serde(default)]
    pub accepted_tokens: usize,
    /// Time to compute the prompt and pick the first token; zero before that.
    #[serde(serialize_with = "to_seconds", deserialize_with = "from_seconds")]
    pub time_to_first_token: Duration,
    /// All the time so far.
    #[serde(serialize_with = "to_seconds", deserialize_with = "from_seconds")]
    pub total: Duration,
}

/// The tokens of an answer, as servers count them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt, those in the cache included.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
    /// Tokens of the prompt that were in the cache already.
    pub cached_tokens: usize,
}

impl Timings {
    /// The tokens of prompt and answer.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.prompt_tokens + self.cached_tokens,
            completion_tokens: self.generated_tokens,
            cached_tokens: self.cached_tokens,
        }
    }

    /// Takes the tokens as somebody else has counted them.
    #[cfg(feature = "remote")]
    pub(crate) fn set_usage(&mut self, usage: Usage) {
        self.prompt_tokens = usage.prompt_tokens - usage.cached_tokens;
        self.cached_tokens = usage.cached_tokens;
        self.generated_tokens = usage.completion_tokens;
    }

    /// Speed of the tokens after the first, in tokens per second; 0 before there are two.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        let seconds = self.total.saturating_sub(self.time_to_first_token).as_secs_f64();
        if self.generated_tokens < 2 || seconds == 0.0 {
            return 0.0;
        }
        (self.generated_tokens - 1) as f64 / seconds
    }

    /// Counts the time of one step, and the tokens that it made.
    pub(super) fn record(&mut self, spent: Duration, tokens: usize) {
        self.total += spent;
        if self.generated_tokens == 0 && tokens > 0 {
            self.time_to_first_token = self.total;
        }
        self.generated_tokens += tokens;
    }
}

impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} prompt tokens", self.prompt_tokens)?;
        if self.cached_tokens > 0 {
            write!(f, " (and {} cached)", self.cached_tokens)?;
        }
        write!(
            f,
            ", first token after {:.2} s; {} tokens in {:.2} s ({:.1} tokens/s)",
            self.time_to_first_token.as_secs_f64(),
            self.generated_tokens,
            self.total.as_secs_f64(),
            self.tokens_per_second()
        )?;
        if self.drafted_tokens > 0 {
            write!(f, ", {} of {} drafted accepted", self.accepted_tokens, self.drafted_tokens)?;
        }
        Ok(())
    }
}

fn to_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

fn from_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_leaves_out_the_prompt() {
        let mut timings = Timings { prompt_tokens: 7, ..Timings::default() };
        assert_eq!(timings.tokens_per_second(), 0.0);
        timings.record(Duration::from_millis(500), 1);
        timings.record(Duration::from_millis(100), 1);
        timings.record(Duration::from_millis(100), 1);
        assert_eq!(timings.time_to_first_token, Duration::from_millis(500));
        assert!((timings.tokens_per_second() - 10.0).abs() < 1e-9);
        let shown = "7 prompt tokens, first token after 0.50 s; 3 tokens in 0.70 s (10.0 tokens/s)";
        assert_eq!(timings.to_string(), shown);
    }
}
