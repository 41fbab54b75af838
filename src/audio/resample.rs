//! Changing the number of samples per second.

use crate::error::{Error, Result};

/// Resamples a stream of one channel, block by block, as torchaudio's `functional.resample` resamples it
/// whole with its defaults: a windowed sinc (`sinc_interp_hann`) with `lowpass_filter_width` 6 and `rolloff`
/// 0.99. Blocks may have any length; the samples that come out do not depend on it.
///
/// Of `n` samples it makes `ceil(n * to / from)`. It keeps one filter for each of the `to / gcd(from, to)`
/// places where a new sample may lie between old ones, 16 MiB at most, and as much of the stream as a filter
/// is wide.
///
/// ```
/// use sconce::audio::Resampler;
///
/// let mut resampler = Resampler::new(44_100, 16_000)?;
/// let mut resampled = Vec::new();
/// for block in [vec![0.5; 441], vec![0.25; 100]] {
///     resampler.push(&block, &mut resampled)?;
/// }
/// resampler.finish(&mut resampled)?;
/// assert_eq!(resampled.len(), 197); // 541 * 160 / 441 = 196.3
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Resampler {
    /// Samples per second that come in and go out, without their common factor.
    from: usize,
    to: usize,
    filters: Filters,
    /// What came in and is still needed, from the sample `kept_from` on, where samples before the stream's
    /// first one are zeros.
    kept: Vec<f32>,
    kept_from: i64,
    received: u64,
    /// The number of samples that went out, and the place of the next one: a filter, and the sample that
    /// the filter is centred at.
    sent: u64,
    filter: usize,
    centre: i64,
}

impl Resampler {
    /// From `from` samples per second to `to`.
    ///
    /// # Errors
    ///
    /// When a rate is 0, when `to` is more than 64 times `from`, or when the filters would take more than
    /// 16 MiB: rates of many thousands without a large common factor do that.
    pub fn new(from: u32, to: u32) -> Result<Self> {
        if from == 0 || to == 0 {
            return Err(Error::input("a sampling rate of 0 Hz"));
        }
        if u64::from(to) > MOST_TIMES * u64::from(from) {
            return Err(Error::input(format!(
                "resampling from {from} Hz to {to} Hz makes up more than {MOST_TIMES} samples for each: \
                 is {from} Hz the right sampling rate?"
            )));
        }
        let common = greatest_common_divisor(from, to);
        let (from_part, to_part) = ((from / common) as usize, (to / common) as usize);
        let filters = Filters::new(from_part, to_part).ok_or_else(|| {
            Error::input(format!(
                "resampling from {from} Hz to {to} Hz needs more than {MOST_TAPS} filter taps, as these rates \
                 have no large common factor: resample to a rate nearby"
            ))
        })?;
        let before = filters.before;
        Ok(Self {
            from: from_part,
            to: to_part,
            filters,
            kept: vec![0.0; before],
            kept_from: -(before as i64),
            received: 0,
            sent: 0,
            filter: 0,
            centre: 0,
        })
    }

    /// Takes the next samples, and appends to `resampled` all samples that they complete.
    ///
    /// # Errors
    ///
    /// When there is no memory for them.
    pub fn push(&mut self, samples: &[f32], resampled: &mut Vec<f32>) -> Result<()> {
        self.received += samples.len() as u64;
        if self.from == self.to {
            reserve(resampled, samples.len())?;
            resampled.extend_from_slice(samples);
            self.sent = self.received;
            return Ok(());
        }
        // In parts, so that what is kept stays small however long a block is.
        for part in samples.chunks(PART) {
            self.kept.extend_from_slice(part);
            self.send(u64::MAX, resampled)?;
        }
        Ok(())
    }

    /// Ends the stream: appends the last samples to `resampled`. The resampler is ready for another stream.
    ///
    /// # Errors
    ///
    /// When there is no memory for them.
    pub fn finish(&mut self, resampled: &mut Vec<f32>) -> Result<()> {
        let length = (u128::from(self.received) * self.to as u128).div_ceil(self.from as u128);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if self.from != self.to {
            while self.sent < length {
                self.kept.resize(self.kept.len() + self.filters.width, 0.0);
                self.send(length, resampled)?;
            }
        }
        let before = self.filters.before;
        self.kept.clear();
        self.kept.resize(before, 0.0);
        (self.kept_from, self.received, self.sent) = (-(before as i64), 0, 0);
        (self.filter, self.centre) = (0, 0);
        Ok(())
    }

    /// Appends the samples that what is kept suffices for, as long as fewer than `length` went out.
    fn send(&mut self, length: u64, resampled: &mut Vec<f32>) -> Result<()> {
        reserve(resampled, self.kept.len() * self.to / self.from + 1)?;
        let width = self.filters.width;
        while self.sent < length {
            let (offset, taps) = self.filters.get(self.filter);
            // Filters begin at most `before` samples before their centre, so this is not negative.
            let start = (self.centre + offset - self.kept_from) as usize;
            let Some(samples) = self.kept.get(start..start + width) else { break };
            resampled.push(dot(samples, taps));
            self.sent += 1;
            self.filter += 1;
            if self.filter == self.to {
                self.filter = 0;
                self.centre += self.from as i64;
            }
        }
        let needed_from = self.centre - self.filters.before as i64;
        let done = usize::try_from(needed_from - self.kept_from).unwrap_or(0).min(self.kept.len());
        self.kept.drain(..done);
        self.kept_from += done as i64;
        Ok(())
    }
}

/// Room for so many more samples.
pub(super) fn reserve(samples: &mut Vec<f32>, more: usize) -> Result<()> {
    samples.try_reserve(more).map_err(|_| {
        let length = samples.len();
        Error::input(format!(
            "no memory for audio of more than {length} samples: read it in blocks"
        ))
    })
}

/// The filters of the places between samples, each with its nonzero taps only.
#[derive(Debug, Clone)]
struct Filters {
    /// The number of taps of a filter.
    width: usize,
    /// How many samples before its centre a filter begins at most.
    before: usize,
    /// Where each filter begins, from its centre.
    offsets: Vec<i64>,
    taps: Vec<f32>,
}

impl Filters {
    /// `None` where they would be too large.
    fn new(from: usize, to: usize) -> Option<Self> {
        if from == to {
            return Some(Self { width: 1, before: 0, offsets: vec![0], taps: vec![1.0] });
        }
        let base = from.min(to) as f64 * ROLLOFF;
        // A sample on either side of where the window ends, whatever rounding does there.
        let half = (LOWPASS_FILTER_WIDTH * from as f64 / base).ceil() as usize;
        let width = 2 * half + 2;
        if width.checked_mul(to)? > MOST_TAPS {
            return None;
        }
        let mut filters = Self {
            width,
            before: half,
            offsets: Vec::with_capacity(to),
            taps: Vec::with_capacity(width * to),
        };
        for place in 0..to {
            let between = (place as u64 * from as u64 / to as u64) as i64;
            let offset = between - half as i64;
            filters.offsets.push(offset);
            let taps = (0..width as i64).map(|tap| tap_at(offset + tap, place, from, to));
            filters.taps.extend(taps);
        }
        Some(filters)
    }

    fn get(&self, place: usize) -> (i64, &[f32]) {
        (self.offsets[place], &self.taps[place * self.width..][..self.width])
    }
}

/// The weight of the sample `index` from the centre for the new sample at `place`, computed in f32 step by step
/// as torchaudio does: with rates that have no common factor, f32 rounds the argument of the sine visibly.
fn tap_at(index: i64, place: usize, from: usize, to: usize) -> f32 {
    use std::f32::consts::PI;
    let base = from.min(to) as f64 * ROLLOFF;
    let width = LOWPASS_FILTER_WIDTH as f32;
    let time = -(place as f32) / to as f32 + index as f32 / from as f32;
    let time = (time * base as f32).clamp(-width, width);
    let window = (time * PI / width / 2.0).cos();
    let angle = time * PI;
    let sinc = if angle == 0.0 { 1.0 } else { angle.sin() / angle };
    sinc * (window * window * (base / from as f64) as f32)
}

/// Sums in eight lanes, which the compiler turns into vectors.
fn dot(samples: &[f32], taps: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (sample_lanes, sample_rest) = samples.as_chunks::<8>();
    let (tap_lanes, tap_rest) = taps.as_chunks::<8>();
    for (sample, tap) in sample_lanes.iter().zip(tap_lanes) {
        for lane in 0..8 {
            sums[lane] += sample[lane] * tap[lane];
        }
    }
    let rest: f32 = sample_rest.iter().zip(tap_rest).map(|(sample, tap)| sample * tap).sum();
    sums.iter().sum::<f32>() + rest
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// `lowpass_filter_width` and `rolloff` of torchaudio.
const LOWPASS_FILTER_WIDTH: f64 = 6.0;
const ROLLOFF: f64 = 0.99;
/// 16 MiB.
const MOST_TAPS: usize = 1 << 22;
/// How many new samples may be made up for an old one.
const MOST_TIMES: u64 = 64;
/// How many samples of a block are taken at once.
const PART: usize = 1 << 14;
