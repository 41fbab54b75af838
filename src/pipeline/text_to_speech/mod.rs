//! `text-to-speech`: speaks texts. For models that write a codec's codes there is `text-to-audio`.
//!
//! Mirrors `pipelines/text_to_audio.py` of transformers 4.57. Ours are `pause`, `phonemes`, `seed` and
//! `cancel`, the streams, and when words are heard.

mod options;
mod output;
mod reader;
mod stream;
mod work;

use std::sync::Arc;

use serde_json::Value;

use crate::error::Result;
use crate::media::{Audio, Media};
use crate::models::AutoModel;
use crate::models::speech::{SpeechT5HifiGan, TextToWaveform, Xtts};
use crate::options::LoadOptions;
use crate::pipeline::PipelineBuilder;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};
use crate::sound::XttsSpeaker;
use crate::source::{ModelFiles, ModelSource};
use crate::speech::XttsTokenizer;
pub use options::TextToSpeechOptions;
pub use output::{SpokenPart, SpokenSpan, SpokenText};
pub use reader::SpeechReader;
pub use stream::SpeechStream;
use work::Voice;

/// Speaks texts.
///
#[doc = include_str!("../../../docs/tasks/text-to-speech.md")]
#[derive(Debug, Clone)]
pub struct TextToSpeechPipeline {
    model: Arc<dyn TextToWaveform>,
    reader: SpeechReader,
}

impl TextToSpeechPipeline {
    /// A pipeline of a loaded model and what reads texts for it; both stay shared.
    #[must_use]
    pub fn from_parts(model: Arc<dyn TextToWaveform>, reader: SpeechReader) -> Self {
        Self { model, reader }
    }

    pub(super) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        if Xtts::is_in(files)? {
            let model = AutoModel::from_files::<Xtts>(files, options)?;
            let reader = SpeechReader::Xtts(XttsTokenizer::of(&model));
            return Ok(Self { model: Arc::new(XttsSpeaker::new(model)), reader });
        }
        let model = AutoModel::from_files::<dyn TextToWaveform>(files, options)?;
        Ok(Self { model, reader: SpeechReader::from_files(files)? })
    }

    /// The same pipeline with a vocoder, for a model that writes spectrograms: SpeechT5.
    ///
    /// # Errors
    ///
    /// When the model makes sound by itself, or the vocoder cannot be read or does not fit.
    pub fn with_vocoder(
        &self,
        vocoder: impl Into<ModelSource>,
        options: &LoadOptions,
    ) -> Result<Self> {
        let vocoder = SpeechT5HifiGan::from_files(&vocoder.into().open()?, options)?;
        let model = self.model.with_vocoder(Arc::new(vocoder))?;
        Ok(Self { model, reader: self.reader.clone() })
    }

    /// The model, for sharing or inspection.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn TextToWaveform> {
        &self.model
    }

    /// What turns texts into ids.
    #[must_use]
    pub fn reader(&self) -> &SpeechReader {
        &self.reader
    }

    /// Speaks a text sentence by sentence: the first sound comes after the first sentence.
    ///
    /// # Errors
    ///
    /// When an option is invalid. A sentence that fails yields an error, which ends the stream.
    pub fn stream_audio(
        &self,
        text: impl Into<String>,
        options: &TextToSpeechOptions,
    ) -> Result<SpeechStream<std::iter::Once<Result<String>>>> {
        self.stream_pieces(std::iter::once(Ok(text.into())), options)
    }

    /// As [`stream_audio`](Self::stream_audio), of a text that is still being written: pieces of any length, such as
    /// those of [`stream_text`](crate::pipeline::TextGenerationPipeline::stream_text). A sentence is spoken as
    /// soon as the next one begins, and the last one when there are no more pieces.
    ///
    /// # Errors
    ///
    /// As there, and an error among the pieces.
    pub fn stream_pieces<I: IntoIterator<Item = Result<String>>>(
        &self,
        pieces: I,
        options: &TextToSpeechOptions,
    ) -> Result<SpeechStream<I::IntoIter>> {
        Ok(SpeechStream::new(Voice::new(&self.model, &self.reader, options)?, pieces.into_iter()))
    }
}

impl PipelineBuilder<TextToSpeechPipeline> {
    /// The vocoder of a model that writes spectrograms: `microsoft/speecht5_hifigan` for SpeechT5.
    #[must_use]
    pub fn vocoder(self, source: impl Into<ModelSource>) -> Self {
        let source = source.into();
        self.then(move |pipeline, options| pipeline.with_vocoder(source, options))
    }
}

impl TaskSteps for TextToSpeechPipeline {
    type Input = String;
    type Output = SpokenText;
    type Options = TextToSpeechOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        Voice::new(&self.model, &self.reader, options)
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<String>> {
        Items::texts(input)
    }

    fn take_media(&self, output: &mut SpokenText) -> Vec<Media> {
        let silence = Audio { samples: Vec::new(), sampling_rate: output.sampling_rate };
        vec![Media::Audio(std::mem::replace(&mut output.audio, silence))]
    }
}
