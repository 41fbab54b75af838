//! The calls of Whisper.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::audio::AudioFeatures;
use crate::error::{Error, Result};
use crate::generation::softmax::Softmax;
use crate::speech::whisper::Whisper;
use crate::speech::whisper::options::WhisperOptions;
use crate::speech::whisper::run::{Run, cut};
use crate::speech::whisper::stream::SegmentStream;
use crate::speech::whisper::transcription::{LanguageProbability, Transcription};

impl Whisper {
    /// Transcribes recordings together: Whisper's `generate`. Each gets what it gets alone.
    ///
    /// A recording of at most 30 seconds should be padded to 30 seconds of silence, as the feature extractor
    /// does it. A longer one is read window after window, each from where the text about the last one ends.
    ///
    /// # Errors
    ///
    /// What [`stream`](Self::stream) refuses, and what the model refuses.
    pub fn generate(
        &self,
        recordings: &[Arc<AudioFeatures>],
        options: &WhisperOptions,
    ) -> Result<Vec<Transcription>> {
        self.stream(recordings, options)?.finish()
    }

    /// Transcribes recordings together, and returns the segments as they come.
    ///
    /// # Errors
    ///
    /// When an option has a value that makes no sense, alone, with the others, or with this model.
    pub fn stream(
        &self,
        recordings: &[Arc<AudioFeatures>],
        options: &WhisperOptions,
    ) -> Result<SegmentStream> {
        Ok(SegmentStream::new(Run::new(self.clone(), recordings.to_vec(), options)?))
    }

    /// How probable each language is in the first 30 seconds of each recording, the likeliest first. At most
    /// 8 recordings are read at a time.
    ///
    /// # Errors
    ///
    /// When the model knows English alone, and when it refuses the features.
    pub fn detect_language(
        &self,
        recordings: &[Arc<AudioFeatures>],
    ) -> Result<Vec<Vec<LanguageProbability>>> {
        if self.config().lang_to_id.as_ref().is_none_or(BTreeMap::is_empty) {
            let reason =
                "the model's generation config has no `lang_to_id`: it detects no languages";
            return Err(Error::option("language", reason));
        }
        let window = self.config().window();
        let mut detected = Vec::with_capacity(recordings.len());
        for together in recordings.chunks(AT_A_TIME) {
            let windows = together.iter().map(|it| cut(it, 0, it.frames().min(window), window));
            let sources = self.encode(&windows.collect::<Result<Vec<_>>>()?)?;
            for logits in self.languages(&sources)? {
                let values: Vec<f32> = logits.iter().map(|(_, logit)| *logit).collect();
                let normalizer = Softmax::of(&values).log_sum();
                let probability = |(id, logit): (u32, f32)| LanguageProbability {
                    language: self.config().language_of(id).unwrap_or_default().to_owned(),
                    probability: (logit - normalizer).exp(),
                };
                let mut found: Vec<_> = logits.into_iter().map(probability).collect();
                found.sort_by(|a, b| b.probability.total_cmp(&a.probability));
                detected.push(found);
            }
        }
        Ok(detected)
    }
}

/// Windows that are encoded at a time.
const AT_A_TIME: usize = 8;
