//! Who speaks, by vectors of voices that are put into groups.

use std::sync::Arc;

use crate::audio::FeatureExtractor;
use crate::error::{Error, Result};
use crate::fields::options;
use crate::media::Audio;
use crate::models::AutoModel;
use crate::models::speech::SpeakerEncoder;
use crate::options::LoadOptions;
use crate::source::{ModelFiles, ModelSource};
use crate::speech::activity::{
    EnergyDetector, SpeechSpan, VoiceActivityDetector, VoiceActivityOptions, speech_timestamps,
};
use crate::speech::speakers::groups::groups;
use crate::speech::speakers::{Diarizer, SpeakerTurn};

options! {
    /// How speakers are told apart by [`VoiceDiarizer`].
    VoiceDiarizerOptions {
        /// How many people speak, if that is known: better than a threshold. Default: not known.
        num_speakers: usize,
        /// Windows whose voices are at least so far apart, from 0 to 2, are two people's. It depends on the model,
        /// so try it with yours. Default 0.3.
        threshold: f64,
        /// The seconds of a window. Longer ones tell voices better, shorter ones find quick changes. Default 1.5.
        window_s: f64,
        /// The seconds from one window to the next. In long recordings more, so that there are at most 3,000
        /// windows. Default 0.75.
        step_s: f64,
        /// How speech is found before.
        voice_activity: VoiceActivityOptions,
    }
}

/// Tells speakers apart by their voices: [speech is found](crate::speech::activity), windows of 1.5 seconds each get
/// the vector of a [`SpeakerEncoder`], and vectors near to each other are one person (agglomerative clustering with
/// average linkage of cosine distances).
///
/// It knows nobody by name: speakers are `SPEAKER_00`, `SPEAKER_01` and so on, in the order in which they begin. Of
/// two who speak at once it hears one, an interjection shorter than a window belongs to whom it interrupts, and
/// changes of speaker are found to within half a step. How well voices are told apart is up to the model.
///
/// ```no_run
/// use sconce::audio;
/// use sconce::speech::speakers::{Diarizer, VoiceDiarizer, VoiceDiarizerOptions};
///
/// # fn main() -> sconce::Result<()> {
/// let options = VoiceDiarizerOptions::default().num_speakers(4);
/// let diarizer = VoiceDiarizer::open("microsoft/wavlm-base-plus-sv", &Default::default())?.options(options);
/// for turn in diarizer.diarize(&audio::read("meeting.wav")?)? {
///     println!("{:.1} {:.1} {}", turn.start, turn.end, turn.speaker);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct VoiceDiarizer {
    model: Arc<dyn SpeakerEncoder>,
    extractor: Arc<FeatureExtractor>,
    detector: Arc<dyn VoiceActivityDetector>,
    options: VoiceDiarizerOptions,
}

impl VoiceDiarizer {
    /// Opens a source with a model of voices, such as `microsoft/wavlm-base-plus-sv`.
    ///
    /// # Errors
    ///
    /// When the source cannot be opened, and as [`from_files`](Self::from_files).
    pub fn open(source: impl Into<ModelSource>, options: &LoadOptions) -> Result<Self> {
        Self::from_files(&source.into().open()?, options)
    }

    /// Loads the model of an opened source, and what it reads.
    ///
    /// # Errors
    ///
    /// When a file is missing or malformed, or the model has no vectors of voices.
    pub fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::from_files::<dyn SpeakerEncoder>(files, options)?;
        Ok(Self::new(model, FeatureExtractor::from_files(files)?))
    }

    /// Of a model and what it reads.
    #[must_use]
    pub fn new(model: Arc<dyn SpeakerEncoder>, extractor: FeatureExtractor) -> Self {
        Self {
            model,
            extractor: Arc::new(extractor),
            detector: Arc::new(EnergyDetector::default()),
            options: VoiceDiarizerOptions::default(),
        }
    }

    /// With these options.
    #[must_use]
    pub fn options(self, options: VoiceDiarizerOptions) -> Self {
        Self { options, ..self }
    }

    /// With another detector of speech than [`EnergyDetector`].
    #[must_use]
    pub fn detector(self, detector: impl VoiceActivityDetector + 'static) -> Self {
        Self { detector: Arc::new(detector), ..self }
    }

    /// The vectors of windows, each as long as 1.
    fn vectors(&self, samples: &[f32], windows: &[SpeechSpan]) -> Result<Vec<Vec<f32>>> {
        let rate = self.extractor.sampling_rate();
        let mut vectors = Vec::with_capacity(windows.len());
        for together in windows.chunks(AT_A_TIME) {
            let features = together
                .iter()
                .map(|span| self.extractor.extract(&samples[span.start..span.end], rate));
            let features = features.collect::<Result<Vec<_>>>()?;
            let found = self.model.speaker_embeddings(&features.iter().collect::<Vec<_>>())?;
            vectors.extend(found.to_vec2::<f32>()?.into_iter().map(|vector| {
                let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
                vector.into_iter().map(|x| x / length.max(f32::MIN_POSITIVE)).collect()
            }));
        }
        Ok(vectors)
    }
}

impl Diarizer for VoiceDiarizer {
    fn diarize(&self, audio: &Audio) -> Result<Vec<SpeakerTurn>> {
        let rate = self.extractor.sampling_rate();
        let audio = match audio.sampling_rate == rate {
            true => std::borrow::Cow::Borrowed(audio),
            false => std::borrow::Cow::Owned(audio.clone().resampled(rate)?),
        };
        let options = &self.options;
        let samples = |name: &str, value: Option<f64>, default: f64| {
            let seconds = value.unwrap_or(default);
            match (LEAST_SECONDS..=MOST_SECONDS).contains(&seconds) {
                true => Ok((seconds * f64::from(rate)) as usize),
                false => Err(Error::option(
                    name,
                    format!("{seconds} is not between {LEAST_SECONDS} and {MOST_SECONDS}"),
                )),
            }
        };
        let window = samples("window_s", options.window_s, 1.5)?;
        let step = samples("step_s", options.step_s, 0.75)?.min(window);
        let threshold = options.threshold.unwrap_or(0.3);
        if !(0.0..=2.0).contains(&threshold) {
            let reason = format!("{threshold} is no distance from 0 to 2");
            return Err(Error::option("threshold", reason));
        }
        if options.num_speakers == Some(0) {
            return Err(Error::option("num_speakers", "somebody speaks"));
        }
        let activity = options.voice_activity.clone().unwrap_or_default();
        let spans = speech_timestamps(&*self.detector, &audio.samples, rate, &activity)?;
        let least = (LEAST_SECONDS * f64::from(rate)) as usize;
        let spoken: usize = spans.iter().map(SpeechSpan::samples).sum();
        let step = step.max(spoken / MOST_WINDOWS).min(window);
        let windows: Vec<Vec<SpeechSpan>> = spans
            .iter()
            .map(|span| windows(*span, window, step, least, audio.samples.len()))
            .collect();
        let all: Vec<SpeechSpan> = windows.iter().flatten().copied().collect();
        if all.len() > 2 * MOST_WINDOWS {
            let reason = "the recording is too long for windows of this length";
            return Err(Error::option("window_s", reason));
        }
        let vectors = self.vectors(&audio.samples, &all)?;
        let mut numbers = groups(&vectors, options.num_speakers, threshold as f32).into_iter();
        let mut turns: Vec<SpeakerTurn> = Vec::new();
        for (span, windows) in spans.iter().zip(&windows) {
            let numbers: Vec<usize> = numbers.by_ref().take(windows.len()).collect();
            let middle = |at: usize| (windows[at].start + windows[at].end) / 2;
            for (at, number) in numbers.iter().enumerate() {
                let start = if at == 0 { span.start } else { (middle(at - 1) + middle(at)) / 2 };
                let is_last = at + 1 == windows.len();
                let end = if is_last { span.end } else { (middle(at) + middle(at + 1)) / 2 };
                let seconds = |sample: usize| sample as f64 / f64::from(rate);
                let speaker = format!("SPEAKER_{number:02}");
                match turns.last_mut() {
                    Some(last) if last.speaker == speaker && seconds(start) - last.end < PAUSE => {
                        last.end = seconds(end);
                    }
                    _ => turns.push(SpeakerTurn::new(speaker, seconds(start), seconds(end))),
                }
            }
        }
        Ok(turns)
    }
}

/// Windows over a span, the last of which ends with it. A span that is shorter than the least is heard with what
/// is around it.
fn windows(
    span: SpeechSpan,
    window: usize,
    step: usize,
    least: usize,
    length: usize,
) -> Vec<SpeechSpan> {
    let SpeechSpan { start, end } = span;
    if end - start <= window {
        let more = least.saturating_sub(end - start).div_ceil(2);
        let start = start.saturating_sub(more);
        return vec![SpeechSpan { start, end: (end + more).min(length).max(start + 1) }];
    }
    let starts = (start..end - window).step_by(step.max(1)).chain([end - window]);
    starts.map(|start| SpeechSpan { start, end: start + window }).collect()
}

/// Windows that are read at a time.
const AT_A_TIME: usize = 8;
/// Distances of all of each other are in memory.
const MOST_WINDOWS: usize = 3_000;
/// Of a window.
const LEAST_SECONDS: f64 = 0.4;
const MOST_SECONDS: f64 = 30.0;
/// Seconds in which somebody who goes on has not stopped.
const PAUSE: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_spans() {
        let of = |start, end| {
            let found = windows(SpeechSpan { start, end }, 100, 50, 40, 1_000);
            found.iter().map(|span| (span.start, span.end)).collect::<Vec<_>>()
        };
        assert_eq!(of(10, 250), [(10, 110), (60, 160), (110, 210), (150, 250)]);
        assert_eq!(of(10, 110), [(10, 110)]);
        assert_eq!(of(10, 111), [(10, 110), (11, 111)]);
        assert_eq!(of(10, 30), [(0, 40)]);
        assert_eq!(of(995, 1_000), [(977, 1_000)]);
    }
}
