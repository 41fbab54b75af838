//! From probabilities to spans of speech, as `get_speech_timestamps` of the package silero-vad 6.2.3 does
//! it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fields::options;
use crate::speech::activity::detector::{VoiceActivityDetector, speech_probabilities};

options! {
    /// How spans of speech are found, by the names of `get_speech_timestamps` of silero-vad.
    VoiceActivityOptions {
        /// Speech begins with a window that is at least so probable. Default 0.5.
        threshold: f64,
        /// Speech ends with a window that is less probable than this. Default `threshold - 0.15`, at least 0.01.
        neg_threshold: f64,
        /// Shorter spans are dropped. Default 250.
        min_speech_duration_ms: f64,
        /// Longer spans are cut, at a silence where there is one. Default: no limit.
        max_speech_duration_s: f64,
        /// Speech has ended when there was silence for so long. Default 100.
        min_silence_duration_ms: f64,
        /// Spans are extended by so much on both sides. Default 30.
        speech_pad_ms: f64,
        /// A span that is too long is cut at silences of more than this. Default 98.
        min_silence_at_max_speech: f64,
        /// Whether a span that is too long is cut at its longest silence, or else at its last. Default true.
        use_max_poss_sil_at_max_speech: bool,
    }
}

/// A part of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SpeechSpan {
    /// The first sample.
    pub start: usize,
    /// The first sample after it.
    pub end: usize,
}

impl SpeechSpan {
    /// The number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Where it starts and ends, in seconds.
    #[must_use]
    pub fn seconds(&self, sampling_rate: u32) -> (f64, f64) {
        let seconds = |at: usize| at as f64 / f64::from(sampling_rate.max(1));
        (seconds(self.start), seconds(self.end))
    }
}

/// Where a recording holds speech: `get_speech_timestamps` of silero-vad.
///
/// # Errors
///
/// When the detector does not hear recordings of that sampling rate, a sample is no finite number, or an option
/// makes no sense.
pub fn speech_timestamps(
    detector: &dyn VoiceActivityDetector,
    samples: &[f32],
    sampling_rate: u32,
    options: &VoiceActivityOptions,
) -> Result<Vec<SpeechSpan>> {
    let limits = Limits::new(options, sampling_rate, detector.window(sampling_rate)?)?;
    let probabilities = speech_probabilities(detector, samples, sampling_rate)?;
    Ok(limits.spans(&probabilities, samples.len()))
}

/// The same of probabilities that are there: `get_speech_timestamps_from_probs`. `window` is the number of
/// samples that each is for, and `samples` that of the recording.
///
/// # Errors
///
/// When an option makes no sense.
pub fn timestamps_of_probabilities(
    probabilities: &[f32],
    window: usize,
    samples: usize,
    sampling_rate: u32,
    options: &VoiceActivityOptions,
) -> Result<Vec<SpeechSpan>> {
    Ok(Limits::new(options, sampling_rate, window)?.spans(probabilities, samples))
}

/// The options, in samples.
#[derive(Debug)]
struct Limits {
    window: usize,
    threshold: f64,
    neg_threshold: f64,
    min_speech: f64,
    max_speech: f64,
    min_silence: f64,
    min_silence_at_max: f64,
    pad: f64,
    cut_at_longest: bool,
}

/// What is known while windows go by.
#[derive(Debug, Default)]
struct Progress {
    /// Spans that have ended.
    spans: Vec<(i64, i64)>,
    /// Where the current span starts.
    start: Option<i64>,
    /// Whether the last windows were speech, or silence that may still turn out to be too short.
    triggered: bool,
    /// Where the current silence begins; 0 where there is none.
    silence: i64,
    /// Where the current span may be cut if it gets too long, and where the next begins then.
    cut: (i64, i64),
    /// Silences in the current span and how long they are.
    silences: Vec<(i64, i64)>,
}

impl Limits {
    fn new(options: &VoiceActivityOptions, sampling_rate: u32, window: usize) -> Result<Self> {
        let rate = f64::from(sampling_rate);
        let number = |name: &str, value: Option<f64>, default: f64| match value.unwrap_or(default) {
            value if value >= 0.0 => Ok(value),
            value => Err(Error::option(name, format!("{value} is no number of at least 0"))),
        };
        let threshold = number("threshold", options.threshold, 0.5)?;
        let samples = |name: &str, value, default| {
            number(name, value, default).map(|milliseconds| rate * milliseconds / 1000.0)
        };
        let pad = samples("speech_pad_ms", options.speech_pad_ms, 30.0)?;
        let longest =
            number("max_speech_duration_s", options.max_speech_duration_s, f64::INFINITY)?;
        let neg_threshold = (threshold - 0.15).max(0.01);
        Ok(Self {
            window,
            threshold,
            neg_threshold: number("neg_threshold", options.neg_threshold, neg_threshold)?,
            min_speech: samples("min_speech_duration_ms", options.min_speech_duration_ms, 250.0)?,
            max_speech: rate * longest - window as f64 - 2.0 * pad,
            min_silence: samples(
                "min_silence_duration_ms",
                options.min_silence_duration_ms,
                100.0,
            )?,
            min_silence_at_max: samples(
                "min_silence_at_max_speech",
                options.min_silence_at_max_speech,
                98.0,
            )?,
            pad,
            cut_at_longest: options.use_max_poss_sil_at_max_speech.unwrap_or(true),
        })
    }

    fn spans(&self, probabilities: &[f32], samples: usize) -> Vec<SpeechSpan> {
        let mut progress = Progress::default();
        for (number, &probability) in probabilities.iter().enumerate() {
            self.step(&mut progress, (self.window * number) as i64, probability.into());
        }
        let (mut spans, samples) = (progress.spans, samples as i64);
        if let Some(start) =
            progress.start.filter(|start| (samples - start) as f64 > self.min_speech)
        {
            spans.push((start, samples));
        }
        self.pad(&mut spans, samples);
        let span = |(start, end): (i64, i64)| {
            let at = |sample: i64| usize::try_from(sample).unwrap_or(0);
            SpeechSpan { start: at(start), end: at(end) }
        };
        spans.into_iter().map(span).collect()
    }

    /// Takes the window that begins at sample `now`.
    fn step(&self, progress: &mut Progress, now: i64, probability: f64) {
        let is_speech = probability >= self.threshold;
        if is_speech && progress.silence != 0 {
            let lasted = now - progress.silence;
            if lasted as f64 > self.min_silence_at_max {
                progress.silences.push((progress.silence, lasted));
            }
            progress.silence = 0;
            if progress.cut.1 < progress.cut.0 {
                progress.cut.1 = now;
            }
        }
        if is_speech && !progress.triggered {
            progress.triggered = true;
            progress.start = Some(now);
            return;
        }
        if let Some(start) = progress.start.filter(|start| (now - start) as f64 > self.max_speech)
            && progress.triggered
            && !self.cut(progress, start, now)
        {
            return;
        }
        if probability < self.neg_threshold
            && progress.triggered
            && let Some(start) = progress.start
        {
            if progress.silence == 0 {
                progress.silence = now;
            }
            let lasted = (now - progress.silence) as f64;
            if !self.cut_at_longest && lasted > self.min_silence_at_max {
                progress.cut.0 = progress.silence;
            }
            if lasted >= self.min_silence {
                let end = progress.silence;
                let spans = std::mem::take(&mut progress.spans);
                *progress = Progress { spans, ..Progress::default() };
                if (end - start) as f64 > self.min_speech {
                    progress.spans.push((start, end));
                }
            }
        }
    }

    /// Ends a span that has become too long. Returns whether the window may still be silence.
    fn cut(&self, progress: &mut Progress, start: i64, now: i64) -> bool {
        // The first of the longest.
        let longest = progress.silences.iter().rev().max_by_key(|(_, lasted)| *lasted).copied();
        let (end, next) = match longest.filter(|_| self.cut_at_longest) {
            Some((end, lasted)) => (end, Some(end + lasted)),
            None if progress.cut.0 == 0 => (now, None),
            None => (progress.cut.0, (progress.cut.1 >= progress.cut.0).then_some(progress.cut.1)),
        };
        let may_be_silence = end != now;
        let mut spans = std::mem::take(&mut progress.spans);
        spans.push((start, end));
        *progress =
            Progress { spans, start: next, triggered: next.is_some(), ..Progress::default() };
        may_be_silence
    }

    /// Extends spans into the silence around them, and shares silences that are too short for both.
    fn pad(&self, spans: &mut [(i64, i64)], samples: i64) {
        let down = |at: f64| at as i64;
        if let Some(first) = spans.first_mut() {
            first.0 = down((first.0 as f64 - self.pad).max(0.0));
        }
        for at in 0..spans.len() {
            let Some(&(next, _)) = spans.get(at + 1) else {
                spans[at].1 = down((spans[at].1 as f64 + self.pad).min(samples as f64));
                break;
            };
            let silence = next - spans[at].1;
            if (silence as f64) < 2.0 * self.pad {
                spans[at].1 += silence.div_euclid(2);
                spans[at + 1].0 = (next - silence.div_euclid(2)).max(0);
            } else {
                spans[at].1 = down((spans[at].1 as f64 + self.pad).min(samples as f64));
                spans[at + 1].0 = down((next as f64 - self.pad).max(0.0));
            }
        }
    }
}
