//! Log-mel values as Kaldi computes them: frames of 400 samples every 160, transformed at 512 points.

use crate::audio::extractor::check::{check_finite, check_rate};
use crate::audio::log_mel::{Log, LogMel, Preparation};
use crate::audio::mel::{MelBank, MelScale};
use crate::error::{Error, Result};

/// The samples of a frame.
pub(super) const FRAME: usize = 400;
/// Samples from one frame to the next.
pub(super) const HOP: usize = 160;

/// What computes them, with `filters` values in a frame and that window of [`FRAME`] samples.
pub(super) fn log_mel(filters: usize, sampling_rate: u32, window: Vec<f64>) -> LogMel {
    let bank = MelBank {
        filters,
        fft_length: 512,
        sampling_rate,
        lowest: 20.0,
        highest: f64::from(sampling_rate / 2),
        scale: MelScale::Kaldi,
    };
    LogMel::new(window, HOP, Preparation::Kaldi, &bank, Log::Natural)
}

/// The values of all whole frames of a recording, which are `least` or more.
pub(super) fn frames(
    log_mel: &LogMel,
    (samples, sampling_rate): (&[f32], u32),
    wanted_rate: u32,
    least: usize,
) -> Result<Vec<f32>> {
    check_rate(wanted_rate, sampling_rate)?;
    check_finite(samples)?;
    if log_mel.frames_in(samples.len()) < least {
        let (found, wanted) = (samples.len(), FRAME + (least - 1) * HOP);
        return Err(Error::input(format!(
            "a recording of {found} samples, which is too short: features take {wanted} or more"
        )));
    }
    let mut values = Vec::new();
    log_mel.append(samples, &mut values);
    Ok(values)
}
