//! Recordings, transcribed window after window.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::audio::AudioFeatures;
use crate::error::{Error, Result};
use crate::generation::CancelHandle;
use crate::nn::cache::KvCache;
use crate::speech::whisper::Whisper;
use crate::speech::whisper::alignment::{TIME_PRECISION, token_times};
use crate::speech::whisper::config::STRIDE;
use crate::speech::whisper::decoding::{Decoded, Decoding, Job};
use crate::speech::whisper::options::WhisperOptions;
use crate::speech::whisper::parts::segments;
use crate::speech::whisper::settings::Settings;
use crate::speech::whisper::slices::Slices;
use crate::speech::whisper::start::{Start, writes_timestamps};
use crate::speech::whisper::transcription::{AudioProgress, Segment, Transcription, Window};
use crate::speech::whisper::trim::trim;

/// Recordings that are transcribed together, each at its own pace.
#[derive(Debug)]
pub(super) struct Run {
    whisper: Whisper,
    settings: Settings,
    cancel: CancelHandle,
    waiting: VecDeque<Recording>,
    running: Vec<Recording>,
    /// One for each recording, in their order.
    transcriptions: Vec<Transcription>,
    /// Frames that are done, and all.
    frames: [usize; 2],
}

/// A recording, and how far it is.
#[derive(Debug)]
struct Recording {
    number: usize,
    features: Arc<AudioFeatures>,
    start: Start,
    timestamps: bool,
    /// What the decoder begins with, once the language is known.
    start_ids: Option<Vec<u32>>,
    /// Frames that are done, and all.
    seek: usize,
    frames: usize,
    /// The tokens of each part so far, and of the prompt.
    said: Vec<Vec<u32>>,
    /// Whether the next window follows what was said.
    conditions: bool,
    /// Where the last word ended, in seconds.
    spoken: f64,
}

impl Run {
    pub(super) fn new(
        whisper: Whisper,
        recordings: Vec<Arc<AudioFeatures>>,
        options: &WhisperOptions,
    ) -> Result<Self> {
        let config = whisper.config();
        let settings = Settings::new(config, options)?;
        let languages = options.language.as_deref().unwrap_or_default();
        if languages.len() > 1 && languages.len() != recordings.len() {
            let (given, wanted) = (languages.len(), recordings.len());
            let reason =
                format!("{given} languages for {wanted} recordings: give one, or one for each");
            return Err(Error::option("language", reason));
        }
        let window = config.window();
        let first = whisper.start_id()?;
        let waiting = recordings.into_iter().enumerate().map(|(number, features)| {
            let is_long = features.frames() > window;
            let language = languages.get(number).or_else(|| languages.first()).map(String::as_str);
            let timestamps = writes_timestamps(config, options, is_long)?;
            let start = Start::new(first, config, options, language, timestamps)?;
            let frames = if is_long { features.length() } else { features.frames() };
            let start_ids = (!start.detects_language()).then(|| start.ids().to_vec());
            let conditions = settings.conditions_first;
            let said = settings.said_before(config.prev_sot_token_id);
            let (seek, timestamps) = (0, timestamps);
            Ok(Recording {
                number,
                features,
                start,
                timestamps,
                start_ids,
                seek,
                frames,
                said,
                conditions,
                spoken: 0.0,
            })
        });
        let waiting = waiting.collect::<Result<VecDeque<_>>>()?;
        let transcriptions = waiting.iter().map(|recording| Transcription {
            duration: recording.features.length() as f64 * FRAME_SECONDS,
            ..Transcription::default()
        });
        let all = waiting.iter().map(|recording| recording.frames).sum();
        Ok(Self {
            transcriptions: transcriptions.collect(),
            cancel: options.cancel.clone().unwrap_or_default(),
            running: Vec::new(),
            frames: [0, all],
            whisper,
            settings,
            waiting,
        })
    }

    /// Reads one window of each recording that is at hand, and returns the new segments with the numbers of
    /// their recordings.
    pub(super) fn step(&mut self) -> Result<Vec<(usize, Segment)>> {
        self.admit();
        if self.running.is_empty() {
            return Ok(Vec::new());
        }
        if self.cancel.is_cancelled() {
            self.give_up();
            return Ok(Vec::new());
        }
        let sources = self.encode()?;
        self.detect(&sources)?;
        let context = self.whisper.model().limits().context;
        let job = |it: &Recording| it.job(&self.settings, &self.transcriptions, context);
        let jobs: Vec<Job> = self.running.iter().map(job).collect();
        let decoding = Decoding {
            model: self.whisper.model(),
            tokenizer: self.whisper.tokenizer().tokenizer(),
            settings: &self.settings,
            cancel: &self.cancel,
        };
        let decoded = decoding.run(&sources, &jobs)?;
        if decoded.iter().any(|decoded| decoded.cancelled) {
            self.give_up();
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for (row, (job, decoded)) in jobs.into_iter().zip(decoded).enumerate() {
            let times = self.times(&sources, row, &job, &decoded)?;
            found.extend(self.note(row, job, decoded, &times)?);
        }
        Ok(found)
    }

    /// Whether all recordings are done.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.running.iter().all(Recording::is_over)
    }

    pub(super) fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    pub(super) fn progress(&self) -> AudioProgress {
        let [done, total] = self.frames.map(|frames| frames as f64 * FRAME_SECONDS);
        AudioProgress { done, total }
    }

    pub(super) fn transcriptions(&self) -> &[Transcription] {
        &self.transcriptions
    }

    pub(super) fn into_transcriptions(self) -> Vec<Transcription> {
        self.transcriptions
    }

    /// Lets recordings go that are done, and takes others in.
    fn admit(&mut self) {
        self.running.retain(|recording| !recording.is_over());
        while self.running.len() < self.settings.batch_size {
            let Some(next) = self.waiting.pop_front() else { return };
            if !next.is_over() {
                self.running.push(next);
            }
        }
    }

    /// Ends all that is not done.
    fn give_up(&mut self) {
        for recording in self.running.drain(..).chain(self.waiting.drain(..)) {
            self.transcriptions[recording.number].cancelled |= !recording.is_over();
        }
    }

    /// Runs the encoder over the next window of each recording.
    fn encode(&self) -> Result<KvCache> {
        let window = self.whisper.config().window();
        let windows = self.running.iter();
        let windows = windows.map(|it| cut(&it.features, it.seek, it.length(window), window));
        self.whisper.encode(&windows.collect::<Result<Vec<_>>>()?)
    }

    /// Detects the languages of recordings that are at their beginning. `sources` are their windows.
    fn detect(&mut self, sources: &KvCache) -> Result<()> {
        let Self { whisper, running, transcriptions, .. } = self;
        let window = whisper.config().window();
        let wanted = |it: &Recording| it.start_ids.is_none();
        let rows: Vec<_> = (0..running.len()).filter(|&row| wanted(&running[row])).collect();
        // Languages are detected in all of the first window, be it padding.
        let (same, other): (Vec<_>, Vec<_>) = rows.into_iter().partition(|&row| {
            let recording = &running[row];
            recording.length(window) == recording.features.frames().min(window)
        });
        for (rows, is_same) in [(same, true), (other, false)] {
            if rows.is_empty() {
                continue;
            }
            let found = if is_same {
                let mut sources = sources.fork()?;
                sources.select_rows(&rows)?;
                whisper.languages(&sources)?
            } else {
                let windows = rows.iter().map(|&row| {
                    let features = &running[row].features;
                    cut(features, 0, features.frames().min(window), window)
                });
                whisper.languages(&whisper.encode(&windows.collect::<Result<Vec<_>>>()?)?)?
            };
            for (row, found) in rows.into_iter().zip(found) {
                let likeliest =
                    found.iter().copied().reduce(|best, it| if it.1 > best.1 { it } else { best });
                let none = || Error::option("language", "the model's `lang_to_id` is empty");
                let (id, _) = likeliest.ok_or_else(none)?;
                running[row].start_ids = Some(running[row].start.with_language(id));
            }
        }
        for recording in running {
            let mut ids = recording.start_ids.iter().flatten();
            let transcription = &mut transcriptions[recording.number];
            if transcription.language.is_none() {
                let known = ids.find_map(|&id| whisper.config().language_of(id));
                let is_english = whisper.config().is_multilingual == Some(false);
                transcription.language =
                    known.or_else(|| is_english.then_some(ENGLISH)).map(str::to_owned);
            }
        }
        Ok(())
    }

    /// When the tokens of a window end, in seconds from its beginning; nothing where nobody asked.
    fn times(
        &self,
        sources: &KvCache,
        row: usize,
        job: &Job,
        decoded: &Decoded,
    ) -> Result<Vec<f64>> {
        if !self.settings.token_times || decoded.skipped {
            return Ok(Vec::new());
        }
        let mut source = sources.fork()?;
        source.select_rows(&[row])?;
        let recording = &self.running[row];
        let rest = recording.features.length().saturating_sub(recording.seek);
        let frames = rest.min(self.whisper.config().window());
        let (model, config) = (&**self.whisper.model(), self.whisper.config());
        token_times(model, config, &source, &job.prompt, &decoded.ids, frames)
    }

    /// Notes a window and its segments, and goes on to the next.
    fn note(
        &mut self,
        row: usize,
        job: Job,
        decoded: Decoded,
        times: &[f64],
    ) -> Result<Vec<(usize, Segment)>> {
        let Self { whisper, running, transcriptions, settings, frames, .. } = self;
        let recording = &mut running[row];
        let transcription = &mut transcriptions[recording.number];
        let offset = recording.seek as f64 * TIME_PRECISION / STRIDE as f64;
        let length = recording.length(whisper.config().window());
        recording.conditions = settings.conditions && decoded.temperature < WARM;
        let window = Window {
            start: offset,
            end: offset + length as f64 * FRAME_SECONDS,
            prompt: job.prompt,
            ids: decoded.ids,
            logprobs: decoded.logprobs,
            temperature: decoded.temperature,
            avg_logprob: decoded.avg_logprob,
            compression_ratio: decoded.compression_ratio,
            no_speech_prob: decoded.no_speech_prob,
            skipped: decoded.skipped,
        };
        let mut advance = length;
        let mut found = Vec::new();
        if !window.skipped {
            let ended = window.ids.last().is_some_and(|id| settings.eos().contains(id));
            let ids = &window.ids[..window.ids.len() - usize::from(ended)];
            let slices = Slices::of(ids, whisper.config().timestamp_begin(), length);
            // A part without length would be read for ever.
            advance = if slices.advance == 0 { length } else { slices.advance };
            let place = transcription.windows.len();
            let language = match whisper.config().translates(&window.prompt) {
                true => Some(ENGLISH),
                false => transcription.language.as_deref(),
            };
            found = segments(whisper, &window, &slices, times, place, language)?;
            if settings.trims_words {
                trim(&mut found, &mut recording.spoken);
            }
        }
        let before = recording.seek.min(recording.frames);
        recording.seek += advance;
        frames[0] += recording.seek.min(recording.frames) - before;
        recording.said.extend(found.iter().map(|segment| segment.ids.clone()));
        transcription.segments.extend(found.iter().cloned());
        transcription.windows.push(window);
        Ok(found.into_iter().map(|segment| (recording.number, segment)).collect())
    }
}

impl Recording {
    fn is_over(&self) -> bool {
        self.seek >= self.frames
    }

    /// The frames of the next window.
    fn length(&self, window: usize) -> usize {
        self.frames.saturating_sub(self.seek).min(window)
    }

    /// What is to be written about the next window (`_prepare_decoder_input_ids`).
    fn job(&self, settings: &Settings, transcriptions: &[Transcription], context: usize) -> Job {
        let start = self.start_ids.as_deref().unwrap_or_default();
        let before = if self.conditions && !self.said.is_empty() {
            settings.after(&self.said, context)
        } else {
            settings.prompt.as_ref().map(|prompt| prompt.ids.clone()).unwrap_or_default()
        };
        let windows = transcriptions[self.number].windows.len() as u64;
        Job {
            prompt: [&before, start].concat(),
            before: before.len(),
            timestamps: self.timestamps,
            seed: settings.seed.wrapping_add(windows.wrapping_mul(SEEDS)),
        }
    }
}

/// Frames of a recording as a window, with zeros behind them.
pub(super) fn cut(
    features: &AudioFeatures,
    start: usize,
    frames: usize,
    window: usize,
) -> Result<AudioFeatures> {
    let width = features.width();
    let end = (start + frames).min(features.frames());
    let mut values = vec![0.0; window * width];
    let cut = &features.values()[start.min(end) * width..end * width];
    values[..cut.len()].copy_from_slice(cut);
    AudioFeatures::new(values, width, end.saturating_sub(start))
}

/// Seconds of a frame of features.
const FRAME_SECONDS: f64 = 0.01;

/// What is said at this temperature and above is no context for the next window.
const WARM: f64 = 0.5;

/// The code of what translations are in.
const ENGLISH: &str = "en";

/// Seeds of a window: more than there are temperatures.
const SEEDS: u64 = 1000;
