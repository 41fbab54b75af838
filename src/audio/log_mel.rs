//! Logarithms of what mel filters let through of each frame.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    /// Base 10, from 1e-10.
    Ten,
    /// Natural, from the distance of 1 to the next f32.
    Natural,
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
        let fft = RealFftPlanner::new().plan_fft_forward(bank.fft_length);
        Self { window, hop, preparation, fft, filters: bank.filters(), log }
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
            for (frame, out) in (first..).zip(part.chunks_exact_mut(width)) {
                self.frame(&samples[frame * self.hop..][..self.window.len()], &mut room, out);
            }
        });
    }

    fn frame(&self, samples: &[f32], room: &mut Room, out: &mut [f32]) {
        if samples.iter().all(|&sample| sample == 0.0) {
            return out.fill(self.log.of(0.0));
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
        bins.for_each(|(power, bin)| *power = bin.re * bin.re + bin.im * bin.im);
        out.iter_mut()
            .zip(self.filters.apply(power))
            .for_each(|(out, mel)| *out = self.log.of(mel));
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
    fn of(self, mel: f64) -> f32 {
        match self {
            Self::Ten => (mel.max(1e-10) as f32).log10(),
            // In f64: values around 15 are compared over time, and may hardly differ.
            Self::Natural => mel.max(f64::from(f32::EPSILON)).ln() as f32,
        }
    }
}

/// Where a thread computes one frame after the other.
struct Room {
    frame: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    power: Vec<f64>,
    scratch: Vec<Complex<f64>>,
}

impl Room {
    fn new(fft: &dyn RealToComplex<f64>) -> Self {
        let spectrum = fft.make_output_vec();
        let power = vec![0.0; spectrum.len()];
        Self { frame: fft.make_input_vec(), spectrum, power, scratch: fft.make_scratch_vec() }
    }
}

/// What is taken from each sample of the one before, in Kaldi's features.
const PREEMPHASIS: f64 = 0.97;
