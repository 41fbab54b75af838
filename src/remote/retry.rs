//! How often, and after which waits, a request is repeated: as the official Python client does it.

use std::sync::mpsc::channel;
use std::time::Duration;

use crate::error::Result;
use crate::generation::CancelHandle;
use crate::remote::failure::Failure;
use crate::source::remote::RemoteModel;

/// The repetitions of one request.
#[derive(Debug)]
pub(super) struct Retry {
    taken: u32,
    most: u32,
    backoff: Duration,
}

impl Retry {
    pub(super) fn new(model: &RemoteModel) -> Self {
        Self { taken: 0, most: model.max_retries, backoff: model.backoff }
    }

    pub(super) fn taken(&self) -> u32 {
        self.taken
    }

    /// Waits before the next attempt, or gives the failure back. Returns early where the call is cancelled.
    pub(super) fn after(&mut self, failure: Failure, cancel: &CancelHandle) -> Result<()> {
        let asked = failure.asked;
        if failure.may_be_repeated
            && let Some(wait) = asked.filter(|&wait| wait > LONGEST_WAIT)
        {
            let advice = format!("it asks to wait {} s; try again then", wait.as_secs());
            return Err(failure.error(&advice));
        }
        if !failure.may_be_repeated {
            return Err(failure.error(""));
        }
        if self.taken == self.most {
            let tried = match self.taken {
                0 => String::new(),
                taken => format!("tried {} times", taken + 1),
            };
            return Err(failure.error(&tried));
        }
        let wait = asked.unwrap_or_else(|| self.backoff(rand::random()));
        self.taken += 1;
        let (wake, woken) = channel();
        let _hook = cancel.on_cancel(move || {
            let _nobody_waits = wake.send(());
        });
        let _either = woken.recv_timeout(wait);
        Ok(())
    }

    /// Doubled each time, and up to a quarter less by `chance`, from 0 to 1.
    fn backoff(&self, chance: f64) -> Duration {
        let doubled = self.backoff.saturating_mul(1 << self.taken.min(MOST_DOUBLINGS));
        doubled.mul_f64(1.0 - 0.25 * chance)
    }
}

/// Whoever asks to wait longer gets an error instead of a program that seems to hang.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// 8 s after 0.5 s.
const MOST_DOUBLINGS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// `_calculate_retry_timeout` of openai 3.57.0: `min(0.5 * 2 ** n, 8) * (1 - 0.25 * random())`.
    #[test]
    fn waits_double_up_to_a_bound() {
        let backoff = |taken, chance| {
            Retry { taken, most: 9, backoff: Duration::from_millis(500) }
                .backoff(chance)
                .as_millis()
        };
        let waits: Vec<_> = (0..7).map(|taken| backoff(taken, 0.0)).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(backoff(1, 1.0), 750);
    }
}
