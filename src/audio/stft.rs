//! The short-time Fourier transform and its inverse.

use std::f32::consts::TAU;
use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use crate::error::{Error, Result};

/// `torch.stft` and `torch.istft` with their defaults: frames are centred, the ends are mirrored, and of a spectrum
/// the half that tells the other is kept. A bin is a pair, its real and its imaginary part.
///
/// ```
/// use sconce::audio::Stft;
///
/// # fn main() -> sconce::Result<()> {
/// let stft = Stft::hann(20, 5)?;
/// let samples: Vec<f32> = (0..200).map(|at| (at as f32 * 0.3).sin()).collect();
/// let spectrum = stft.forward(&samples)?;
/// assert_eq!(spectrum.len(), 41 * stft.bins());
/// let again = stft.inverse(&spectrum, None)?;
/// assert!(samples.iter().zip(&again).all(|(one, other)| (one - other).abs() < 1e-5));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Stft {
    window: Vec<f64>,
    hop: usize,
    forward: Arc<dyn RealToComplex<f64>>,
    inverse: Arc<dyn ComplexToReal<f64>>,
}

impl Stft {
    /// Frames of `length` samples, `hop` samples apart, each multiplied by `window`. A shorter window lies in the
    /// middle of the frame.
    ///
    /// # Errors
    ///
    /// When a size is 0 or absurdly large, or the window is longer than a frame.
    pub fn new(length: usize, hop: usize, window: &[f32]) -> Result<Self> {
        if !(2..=MOST).contains(&length) || !(1..=MOST).contains(&hop) || window.len() > length {
            return Err(Error::input(format!(
                "a Fourier transform of frames of {length} samples, {hop} apart, with a window of {}",
                window.len()
            )));
        }
        let before = (length - window.len()) / 2;
        let mut wide = vec![0.0; length];
        let places = wide[before..].iter_mut().zip(window);
        places.for_each(|(to, &value)| *to = f64::from(value));
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) =
            (planner.plan_fft_forward(length), planner.plan_fft_inverse(length));
        Ok(Self { window: wide, hop, forward, inverse })
    }

    /// With Hann's window of the length of a frame: `torch.hann_window(length)`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn hann(length: usize, hop: usize) -> Result<Self> {
        let step = TAU / length as f32;
        let length_or_less = length.min(MOST);
        let window: Vec<f32> =
            (0..length_or_less).map(|at| (at as f32 * step).cos() * -0.5 + 0.5).collect();
        Self::new(length, hop, &window)
    }

    /// The bins of a frame.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.window.len() / 2 + 1
    }

    /// How many frames so many samples have.
    #[must_use]
    pub fn frames(&self, samples: usize) -> usize {
        (samples + self.window.len() / 2 * 2).saturating_sub(self.window.len()) / self.hop + 1
    }

    /// The spectrum of each frame, `(frames, bins)`.
    ///
    /// # Errors
    ///
    /// When there are so few samples that the ends cannot be mirrored.
    pub fn forward(&self, samples: &[f32]) -> Result<Vec<[f32; 2]>> {
        let (length, count) = (self.window.len(), samples.len());
        let half = length / 2;
        if count <= half {
            return Err(Error::input(format!(
                "{count} samples for the spectrum of frames of {length}: more than {half} are needed"
            )));
        }
        // Mirrored without the sample at the end itself.
        let sample = |at: usize| match at.checked_sub(half) {
            None => samples[half - at],
            Some(at) if at < count => samples[at],
            Some(at) => samples[2 * (count - 1) - at],
        };
        let mut frame = self.forward.make_input_vec();
        let mut spectrum = self.forward.make_output_vec();
        let mut scratch = self.forward.make_scratch_vec();
        let mut out = Vec::with_capacity(self.frames(count) * self.bins());
        for number in 0..self.frames(count) {
            let start = number * self.hop;
            for (at, (to, window)) in frame.iter_mut().zip(&self.window).enumerate() {
                *to = f64::from(sample(start + at)) * window;
            }
            let done = self.forward.process_with_scratch(&mut frame, &mut spectrum, &mut scratch);
            debug_assert!(done.is_ok(), "the room is the transform's own");
            out.extend(spectrum.iter().map(|bin| [bin.re as f32, bin.im as f32]));
        }
        Ok(out)
    }

    /// The samples of a spectrum `(frames, bins)`: frames are added up, and divided by the sum of the squares of
    /// the window. Without a `length` there are `hop` samples for each frame but one.
    ///
    /// # Errors
    ///
    /// When there is no whole frame, or the window leaves samples that no frame tells.
    pub fn inverse(&self, spectrum: &[[f32; 2]], length: Option<usize>) -> Result<Vec<f32>> {
        let (bins, width) = (self.bins(), self.window.len());
        if spectrum.is_empty() || !spectrum.len().is_multiple_of(bins) {
            return Err(Error::input(format!("{} bins for frames of {bins}", spectrum.len())));
        }
        let all = width + self.hop * (spectrum.len() / bins - 1);
        let (mut sums, mut squares) = (vec![0.0_f64; all], vec![0.0_f64; all]);
        let mut bin = self.inverse.make_input_vec();
        let mut frame = self.inverse.make_output_vec();
        let mut scratch = self.inverse.make_scratch_vec();
        for (number, row) in spectrum.chunks_exact(bins).enumerate() {
            let pairs = bin.iter_mut().zip(row);
            pairs.for_each(|(to, &[re, im])| *to = Complex::new(f64::from(re), f64::from(im)));
            // What has no imaginary part: it is not looked at in the reference.
            bin[0].im = 0.0;
            if width.is_multiple_of(2) {
                bin[bins - 1].im = 0.0;
            }
            let done = self.inverse.process_with_scratch(&mut bin, &mut frame, &mut scratch);
            debug_assert!(done.is_ok(), "the room is the transform's own");
            let start = number * self.hop;
            let places = sums[start..].iter_mut().zip(&mut squares[start..]);
            for ((sum, square), (value, window)) in places.zip(frame.iter().zip(&self.window)) {
                *sum += value * window / width as f64;
                *square += window * window;
            }
        }
        let start = width / 2;
        let end = match length {
            None => all.saturating_sub(start),
            Some(length) => all.min(start.saturating_add(length)),
        };
        let kept = start..end.max(start);
        if squares[kept.clone()].iter().any(|&square| square <= LEAST) {
            return Err(Error::input("the window leaves samples that no frame tells"));
        }
        let quotients = sums[kept.clone()].iter().zip(&squares[kept]);
        let mut out: Vec<f32> = quotients.map(|(sum, square)| (sum / square) as f32).collect();
        out.resize(length.unwrap_or(out.len()), 0.0);
        Ok(out)
    }
}

impl fmt::Debug for Stft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.window.len();
        f.debug_struct("Stft")
            .field("length", &length)
            .field("hop", &self.hop)
            .finish_non_exhaustive()
    }
}

/// No frame is longer.
const MOST: usize = 1 << 24;
/// What the reference divides by at least.
const LEAST: f64 = 1e-11;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// `tests/goldens/stft.json`, by `make_stft.py`.
    #[derive(Deserialize)]
    struct Golden {
        length: usize,
        hop: usize,
        window: Vec<f32>,
        samples: Vec<f32>,
        spectrum: Vec<[f32; 2]>,
        changed: Vec<[f32; 2]>,
        inverse: Vec<f32>,
        wanted: Option<usize>,
    }

    #[test]
    fn both_ways_are_those_of_torch() -> Result<()> {
        let goldens: Vec<Golden> =
            serde_json::from_str(include_str!("../../tests/goldens/stft.json")).unwrap();
        assert!(goldens.len() > 4);
        for golden in &goldens {
            let what = format!("{} {} {}", golden.length, golden.hop, golden.window.len());
            let stft = Stft::new(golden.length, golden.hop, &golden.window)?;
            let spectrum = stft.forward(&golden.samples)?;
            assert_eq!(spectrum.len(), golden.spectrum.len(), "{what}");
            let both = spectrum.iter().flatten().zip(golden.spectrum.iter().flatten());
            assert!(both.clone().all(|(one, other)| (one - other).abs() < 1e-5), "{what}");
            let samples = stft.inverse(&golden.changed, golden.wanted)?;
            assert_eq!(samples.len(), golden.inverse.len(), "{what}");
            let both = samples.iter().zip(&golden.inverse);
            for (at, (one, other)) in both.enumerate() {
                assert!(
                    (one - other).abs() < 1e-5 * other.abs().max(1.0),
                    "{what}, {at}: {one} {other}"
                );
            }
        }
        Ok(())
    }

    #[test]
    fn what_cannot_be_is_refused() -> Result<()> {
        for (length, hop, window) in [(0, 1, 0), (8, 0, 8), (8, 2, 9), (usize::MAX, 1, 1)] {
            assert!(Stft::new(length, hop, &vec![1.0; window]).is_err());
        }
        assert!(Stft::hann(usize::MAX, 1).is_err());
        let stft = Stft::hann(8, 2)?;
        assert!(stft.forward(&[0.0; 4]).is_err() && stft.forward(&[0.0; 5]).is_ok());
        assert!(stft.inverse(&[], None).is_err() && stft.inverse(&[[0.0; 2]; 6], None).is_err());
        // Frames that do not reach each other.
        assert!(Stft::hann(8, 20)?.inverse(&[[0.0; 2]; 10], None).is_err());
        Ok(())
    }
}
