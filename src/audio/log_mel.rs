//! Logarithms of what mel filters let through of each frame.

use std::f32::consts::LOG10_E;
use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use crate::audio::mel::{MelBank, MelFilters};
use crate::kernels;

/// How frames become log-mel values.
#[derive(Clone)]
pub(super) struct LogMel {
    /// What each sample of a frame is multiplied by.
    window: Vec<f64>,
    hop: usize,
    preparation: Preparation,
    fft: Arc<dyn RealToComplex<f64>>,
    filters: MelFilters,
    log: Log,
}

/// What is done to a frame before the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preparation {
    /// Nothing.
    None,
    /// The mean is taken away, and 0.97 of the sample before from each sample.
    Kaldi,
}

/// The logarithm and the least value that has one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Log {
    /// Ten times base 10, from 1e-10.
    Decibels,
    /// Base 10, from 1e-10.
    Ten,
    /// None: the values themselves.
    None,
    /// Natural, from the distance of 1 to the next f32.
    Natural,
    /// Natural, from this value.
    NaturalFrom(f64),
    /// Natural, after adding this value.
    NaturalPlus(f64),
}

impl LogMel {
    /// Frames of the window's length, `hop` samples apart. The window is at most as long as the
    /// bank's Fourier transform, which zeros fill up.
    pub(super) fn new(
        window: Vec<f64>,
        hop: usize,
        preparation: Preparation,
        bank: &MelBank,
        log: Log,
    ) -> Self {
        Self::with_filters(window, hop, preparation, bank.filters(), bank.fft_length, log)
    }

    /// As [`new`](Self::new), with filters of another kind.
    pub(super) fn with_filters(
        window: Vec<f64>,
        hop: usize,
        preparation: Preparation,
        filters: MelFilters,
        fft_length: usize,
        log: Log,
    ) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(fft_length);
        Self { window, hop, preparation, fft, filters, log }
    }

    /// The values of a frame.
    pub(super) fn width(&self) -> usize {
        self.filters.len()
    }

    /// The samples of a frame.
    pub(super) fn frame_length(&self) -> usize {
        self.window.len()
    }

    /// Samples from one frame to the next.
    pub(super) fn hop(&self) -> usize {
        self.hop
    }

    /// How many whole frames so many samples hold.
    pub(super) fn frames_in(&self, samples: usize) -> usize {
        samples.checked_sub(self.window.len()).map_or(0, |rest| rest / self.hop + 1)
    }

    /// Appends the values of all whole frames of `samples`, `(frames, width)`.
    pub(super) fn append(&self, samples: &[f32], values: &mut Vec<f32>) {
        let (start, width) = (values.len(), self.width());
        values.resize(start + self.frames_in(samples.len()) * width, 0.0);
        let cost = 8 * self.fft.len();
        kernels::each_part(&mut values[start..], width, cost, |first, part| {
            let mut room = Room::new(&*self.fft);
            for (group, out) in part.chunks_mut(TOGETHER * width).enumerate() {
                for lane in 0..out.len() / width {
                    let start = (first + group * TOGETHER + lane) * self.hop;
                    self.power(&samples[start..start + self.window.len()], &mut room, lane);
                }
                self.filters.apply(&room.power, |filter, mels| {
                    let frames = out.chunks_exact_mut(width).zip(self.log.of(mels));
                    frames.for_each(|(frame, log)| frame[filter] = log);
                });
            }
        });
    }

    /// Computes the power of each bin in a frame.
    fn power(&self, samples: &[f32], room: &mut Room, lane: usize) {
        if samples.iter().all(|&sample| sample == 0.0) {
            return room.power.iter_mut().for_each(|power| power[lane] = 0.0);
        }
        let (frame, rest) = room.frame.split_at_mut(samples.len());
        rest.fill(0.0);
        match self.preparation {
            Preparation::None => {
                let products = frame.iter_mut().zip(samples).zip(&self.window);
                products.for_each(|((to, &sample), window)| *to = f64::from(sample) * window);
            }
            Preparation::Kaldi => {
                let mean =
                    samples.iter().copied().map(f64::from).sum::<f64>() / samples.len() as f64;
                let mut before = f64::from(samples[0]) - mean;
                for ((to, &sample), window) in frame.iter_mut().zip(samples).zip(&self.window) {
                    let sample = f64::from(sample) - mean;
                    *to = (sample - PREEMPHASIS * before) * window;
                    before = sample;
                }
            }
        }
        let Room { frame, spectrum, power, scratch } = room;
        let transformed = self.fft.process_with_scratch(frame, spectrum, scratch);
        debug_assert!(transformed.is_ok(), "the room is the transform's own");
        let bins = power.iter_mut().zip(spectrum.iter());
        bins.for_each(|(power, bin)| power[lane] = bin.re * bin.re + bin.im * bin.im);
    }
}

impl fmt::Debug for LogMel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (frame, fft) = (self.window.len(), self.fft.len());
        f.debug_struct("LogMel")
            .field("frame_length", &frame)
            .field("hop", &self.hop)
            .field("fft_length", &fft)
            .field("width", &self.width())
            .finish_non_exhaustive()
    }
}

impl Log {
    fn of(self, mels: [f64; TOGETHER]) -> [f32; TOGETHER] {
        match self {
            Self::Decibels => mels.map(|mel| (10.0 * mel.max(LEAST).log10()) as f32),
            Self::Ten => mels.map(|mel| log10(mel.max(LEAST) as f32)),
            // In f64: values around 15 are compared over time, and may hardly differ.
            Self::None => mels.map(|mel| mel as f32),
            Self::Natural => mels.map(|mel| mel.max(f64::from(f32::EPSILON)).ln() as f32),
            Self::NaturalFrom(least) => mels.map(|mel| mel.max(least).ln() as f32),
            Self::NaturalPlus(added) => mels.map(|mel| (mel + added).ln() as f32),
        }
    }
}

/// The logarithm of a number from [`LEAST`], to 1e-6. The library's takes as long as the transform.
fn log10(x: f32) -> f32 {
    // x = 2^exponent * mantissa, where the mantissa is about 1.
    let bits = x.to_bits() as i32;
    let exponent = (bits - SQRT_HALF) >> 23;
    let mantissa = f32::from_bits((bits - (exponent << 23)) as u32);
    // ln(mantissa) = 2 artanh(s), whose terms become smaller by 30 each.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let series = 1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z / 9.0)));
    let small = exponent as f32 * LOG10_2_REST + 2.0 * LOG10_E * s * series;
    let log = exponent as f32 * LOG10_2_TOP + small;
    // So that silence is exactly -1.5 in Whisper's features.
    if x <= LEAST as f32 { -10.0 } else { log }
}

/// Where a thread computes one frame after the other.
struct Room {
    frame: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    /// Of each bin, in several frames.
    power: Vec<[f64; TOGETHER]>,
    scratch: Vec<Complex<f64>>,
}

impl Room {
    fn new(fft: &dyn RealToComplex<f64>) -> Self {
        let spectrum = fft.make_output_vec();
        let power = vec![[0.0; TOGETHER]; spectrum.len()];
        Self { frame: fft.make_input_vec(), spectrum, power, scratch: fft.make_scratch_vec() }
    }
}

/// What is taken from each sample of the one before, in Kaldi's features.
const PREEMPHASIS: f64 = 0.97;
/// Frames that filters are applied to at once: vectors of numbers instead of short sums.
const TOGETHER: usize = 8;
/// The least value that has a logarithm to base 10.
const LEAST: f64 = 1e-10;
/// The logarithm of 2 to base 10: twelve bits, whose products with exponents are exact, and the rest.
const LOG10_2_TOP: f32 = 0.301_025_4;
const LOG10_2_REST: f32 = 4.605_039e-6;
/// The bits of the square root of 1/2.
const SQRT_HALF: i32 = 0x3f35_04f3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_that_of_the_library() {
        for step in 0..200_000 {
            // From 1e-10 to 1e10.
            let x = 1e-10_f32 * 1.000_23_f32.powi(step);
            let error = (f64::from(log10(x)) - f64::from(x).log10()).abs();
            assert!(error < 1e-6, "{x}: {error}");
        }
        assert_eq!((log10(1e-10), log10(1.0)), (-10.0, 0.0));
    }
}
