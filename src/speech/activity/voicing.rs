//! Which windows sound like a voice, told without weights.

use std::f32::consts::TAU;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Finds windows that sound like a voice. Three things are asked of a stretch of two windows:
///
/// - It repeats itself as often as vocal folds do, 70 to 400 times a second: the autocorrelation of what lies
///   below 1,500 Hz, by the window's own, is one half or more (P. Boersma, 1993, Accurate short-term analysis of
///   the fundamental frequency …, Proceedings of the Institute of Phonetic Sciences 17). Noise does not.
/// - It is no pure tone: less than nine tenths of the power lie in one narrow band (as spectral flatness tells
///   tones in J. D. Johnston, 1988, Transform coding of audio signals …).
/// - The shape of its spectrum moves: within 130 ms, the levels of 16 bands change by 3 dB on average, loudness
///   apart (as long-term variability tells speech in P. K. Ghosh et al., 2011, Robust voice activity detection
///   using long-term signal variability). Hum and chords that are held do not.
pub(super) struct Voicing {
    /// Of the detector.
    window: usize,
    /// The bells that frames are multiplied by, their own autocorrelation at each lag, from 1 on.
    bell: Vec<f32>,
    of_bell: Vec<f32>,
    forward: Arc<dyn RealToComplex<f32>>,
    back: Arc<dyn ComplexToReal<f32>>,
    /// Bins of the transform.
    low: Range<usize>,
    bands: Vec<Range<usize>>,
    lags: Range<usize>,
}

/// What is said of a frame.
struct Frame {
    may_be_voice: bool,
    /// Levels of bands in dB, without their mean.
    shape: [f32; BANDS],
}

impl Voicing {
    /// `None` for recordings in which too little of a voice is left.
    pub(super) fn new(window: usize, sampling_rate: u32) -> Option<Self> {
        if sampling_rate < LOWEST_RATE {
            return None;
        }
        let rate = sampling_rate as f32;
        let length = 2 * window;
        let bell: Vec<f32> = (0..length)
            .map(|at| 0.5 - 0.5 * (TAU * at as f32 / (length - 1) as f32).cos())
            .collect();
        let mut planner = RealFftPlanner::new();
        let bins = |from: f32, to: f32| {
            let bin = |frequency: f32| (frequency * (2 * length) as f32 / rate).ceil() as usize;
            let last = length + 1;
            bin(from).min(last)..bin(to).min(last)
        };
        let highest = HIGHEST_BAND.min(rate / 2.0);
        let (first, last) = (mel(LOWEST_BAND), mel(highest));
        let edge = |band: usize| hertz(first + (last - first) * band as f32 / BANDS as f32);
        let bands = (0..BANDS).map(|band| bins(edge(band), edge(band + 1))).collect();
        let lags = (rate / HIGHEST_VOICE) as usize..(rate / LOWEST_VOICE) as usize;
        let mut voicing = Self {
            window,
            forward: planner.plan_fft_forward(2 * length),
            back: planner.plan_fft_inverse(2 * length),
            of_bell: Vec::new(),
            low: bins(LOWEST_HARMONIC, HIGHEST_HARMONIC),
            bands,
            lags,
            bell,
        };
        let spectrum = voicing.spectrum(&vec![1.0; length]);
        voicing.of_bell = voicing.autocorrelation(&spectrum, 0..spectrum.len());
        let whole = voicing.of_bell[0].max(f32::MIN_POSITIVE);
        voicing.of_bell.iter_mut().for_each(|share| *share /= whole);
        Some(voicing)
    }

    /// Which windows of a recording sound like a voice; the last may be part of one.
    pub(super) fn voiced(&self, samples: &[f32]) -> Vec<bool> {
        let count = samples.len().div_ceil(self.window);
        let frames: Vec<Frame> = (0..count).map(|number| self.frame(samples, number)).collect();
        let moves = |number: usize| {
            let (Some(before), Some(after)) =
                (number.checked_sub(REACH).map(|at| &frames[at]), frames.get(number + REACH))
            else {
                return false;
            };
            let apart = before.shape.iter().zip(&after.shape).map(|(a, b)| (a - b).abs());
            apart.sum::<f32>() > LEAST_MOVE * BANDS as f32
        };
        (0..count).map(|number| frames[number].may_be_voice && moves(number)).collect()
    }

    /// The frame around a window: half a window more on both sides.
    fn frame(&self, samples: &[f32], number: usize) -> Frame {
        let length = 2 * self.window;
        let mut frame = vec![0.0; length];
        let start = (number * self.window) as isize - (self.window / 2) as isize;
        let from = start.max(0) as usize;
        let to = samples.len().min((start + length as isize).max(0) as usize);
        if from < to {
            let place = (from as isize - start) as usize;
            frame[place..place + to - from].copy_from_slice(&samples[from..to]);
        }
        let mean = frame.iter().sum::<f32>() / length as f32;
        frame.iter_mut().for_each(|sample| *sample -= mean);
        let spectrum = self.spectrum(&frame);
        let power: Vec<f32> = spectrum.iter().map(Complex::norm_sqr).collect();
        let whole: f32 = power.iter().sum();
        let loudest = (0..power.len()).max_by(|&a, &b| power[a].total_cmp(&power[b])).unwrap_or(0);
        let around = loudest.saturating_sub(NARROW)..(loudest + NARROW + 1).min(power.len());
        let is_pure = power[around].iter().sum::<f32>() >= MOST_PURE * whole;
        Frame {
            may_be_voice: whole > SILENT && !is_pure && self.repeats(&spectrum),
            shape: self.shape(&power),
        }
    }

    /// Whether what lies low repeats itself as often as a voice.
    fn repeats(&self, spectrum: &[Complex<f32>]) -> bool {
        let found = self.autocorrelation(spectrum, self.low.clone());
        let mut lags = self.lags.start..self.lags.end.min(self.of_bell.len() / 2);
        let share = |lag: usize| found[lag] / self.of_bell[lag].max(f32::MIN_POSITIVE);
        found[0] > 0.0 && lags.any(|lag| share(lag) > LEAST_PERIODIC * found[0])
    }

    fn spectrum(&self, frame: &[f32]) -> Vec<Complex<f32>> {
        let mut input = self.forward.make_input_vec();
        let bell = frame.iter().zip(&self.bell).map(|(sample, bell)| sample * bell);
        input.iter_mut().zip(bell).for_each(|(input, sample)| *input = sample);
        let mut spectrum = self.forward.make_output_vec();
        // It fails for other lengths alone.
        let _ = self.forward.process(&mut input, &mut spectrum);
        spectrum
    }

    /// Of the part of a sound in some bins of its transform.
    fn autocorrelation(&self, spectrum: &[Complex<f32>], bins: Range<usize>) -> Vec<f32> {
        let mut power = self.back.make_input_vec();
        for bin in bins {
            power[bin] = Complex::new(spectrum[bin].norm_sqr(), 0.0);
        }
        let mut found = self.back.make_output_vec();
        // It fails for other lengths alone: the first and the last number are real.
        let _ = self.back.process(&mut power, &mut found);
        found
    }

    fn shape(&self, power: &[f32]) -> [f32; BANDS] {
        let mut levels = [0.0; BANDS];
        for (level, bins) in levels.iter_mut().zip(&self.bands) {
            let count = bins.len().max(1) as f32;
            *level = power[bins.clone()].iter().sum::<f32>() / count;
        }
        let loudest = levels.iter().copied().fold(0.0, f32::max);
        let floor = (loudest * FAINT).max(f32::MIN_POSITIVE);
        levels.iter_mut().for_each(|level| *level = 10.0 * level.max(floor).log10());
        let mean = levels.iter().sum::<f32>() / BANDS as f32;
        levels.map(|level| level - mean)
    }
}

impl fmt::Debug for Voicing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Voicing").field("window", &self.window).finish_non_exhaustive()
    }
}

fn mel(hertz: f32) -> f32 {
    2595.0 * (1.0 + hertz / 700.0).log10()
}

fn hertz(mel: f32) -> f32 {
    700.0 * (10_f32.powf(mel / 2595.0) - 1.0)
}

/// Of these voices are told.
const LOWEST_RATE: u32 = 4000;
const BANDS: usize = 16;
/// In Hz.
const LOWEST_BAND: f32 = 100.0;
const HIGHEST_BAND: f32 = 4000.0;
const LOWEST_VOICE: f32 = 70.0;
const HIGHEST_VOICE: f32 = 400.0;
const LOWEST_HARMONIC: f32 = 60.0;
const HIGHEST_HARMONIC: f32 = 1500.0;
/// Of the autocorrelation at a voice's lag.
const LEAST_PERIODIC: f32 = 0.5;
/// Of the power in a narrow band, so many bins to both sides.
const MOST_PURE: f32 = 0.9;
const NARROW: usize = 4;
/// In dB, on average over the bands, from so many windows before to as many after.
const LEAST_MOVE: f32 = 3.0;
const REACH: usize = 2;
/// Bands are taken to be at least so loud, by the loudest.
const FAINT: f32 = 1e-4;
/// The power of a frame that holds nothing.
const SILENT: f32 = 1e-7;
