//! The traits of models that hear.

use candle_core::Tensor;

use crate::audio::AudioFeatures;
use crate::batch::TokenBatch;
use crate::error::Result;
use crate::models::heads::Labels;
use crate::models::traits::{Autoregressive, Model, TextModel};
use crate::nn::cache::KvCache;

/// An encoder-decoder that hears and writes: `AutoModelForSpeechSeq2Seq` of transformers.
///
/// As with [`Seq2SeqLm`](crate::models::Seq2SeqLm), [`encode`](Self::encode) makes a cache with a row for
/// each recording, and what is appended to it are the decoder's tokens.
pub trait SpeechSeq2Seq: Autoregressive {
    /// The hidden states of each recording after the encoder's last layer, `(frames, hidden)` each, in f32.
    ///
    /// # Errors
    ///
    /// When the features are not those that the model reads.
    fn hidden_states(&self, rows: &[&AudioFeatures]) -> Result<Vec<Tensor>>;

    /// Runs the encoder over recordings and returns a cache with a row for each, which holds the keys and
    /// values of the recordings and no tokens yet.
    ///
    /// # Errors
    ///
    /// As [`hidden_states`](Self::hidden_states).
    fn encode(&self, rows: &[&AudioFeatures]) -> Result<KvCache>;

    /// An empty cache without recordings: for [`KvCache::load`], or to [admit](KvCache::admit) rows to.
    fn new_cache(&self) -> KvCache;

    /// The first token of the decoder: `decoder_start_token_id` of the config.
    fn start_id(&self) -> Option<u32>;
}

/// A model that says for every frame of a recording which letter it holds, or none: `AutoModelForCTC`
/// of transformers.
pub trait Ctc: Model {
    /// The hidden states of each recording that the logits are made of, `(frames, hidden)` each, in f32.
    ///
    /// # Errors
    ///
    /// As [`logits`](Self::logits).
    fn hidden_states(&self, rows: &[&AudioFeatures]) -> Result<Vec<Tensor>>;

    /// Logits of each recording, `(frames, vocab)` each, in f32.
    ///
    /// # Errors
    ///
    /// When the features are not those that the model reads, or too short for one frame.
    fn logits(&self, rows: &[&AudioFeatures]) -> Result<Vec<Tensor>>;

    /// The number of letters, special ones included.
    fn vocab(&self) -> usize;

    /// The samples that one frame of logits stands for, also where the model reads frames of features:
    /// `inputs_to_logits_ratio` of transformers.
    fn inputs_to_logits_ratio(&self) -> usize;
}

/// A model that knows what kind of sound a recording is: `AutoModelForAudioClassification` of transformers.
pub trait AudioClassifier: Model {
    /// What the logits mean.
    fn labels(&self) -> &Labels;

    /// Logits `(recordings, labels)` in f32.
    ///
    /// # Errors
    ///
    /// When the features are not those that the model reads, or too short for one frame.
    fn classify(&self, rows: &[&AudioFeatures]) -> Result<Tensor>;
}

/// A model that gives each voice a vector, near to those of the same voice: `AutoModelForAudioXVector` of
/// transformers.
pub trait SpeakerEncoder: Model {
    /// The length of a vector.
    fn embedding_size(&self) -> usize;

    /// A vector for each recording, `(recordings, embedding_size)` in f32, as `embeddings` of transformers: of any
    /// length, so compare the angles between them.
    ///
    /// # Errors
    ///
    /// When the features are not those that the model reads, or too short.
    fn speaker_embeddings(&self, rows: &[&AudioFeatures]) -> Result<Tensor>;
}

/// A model that puts sounds and texts into one space, in which those that belong together are near each
/// other: `ClapModel` of transformers.
pub trait AudioTextModel: TextModel {
    /// The width of the space.
    fn embedding_size(&self) -> usize;

    /// A vector of length 1 for each recording, `(recordings, embedding_size)` in f32.
    ///
    /// # Errors
    ///
    /// When the features are not those that the model reads.
    fn audio_features(&self, rows: &[&AudioFeatures]) -> Result<Tensor>;

    /// A vector of length 1 for each text, `(batch, embedding_size)` in f32.
    ///
    /// # Errors
    ///
    /// As for [`Encoder::encode`](crate::models::heads::Encoder::encode).
    fn text_features(&self, batch: &TokenBatch) -> Result<Tensor>;

    /// What products of such vectors are multiplied by to be logits.
    fn logit_scales(&self) -> LogitScales;
}

/// What products of the vectors of sounds and texts are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LogitScales {
    /// For the texts that fit a sound: `logits_per_audio`.
    pub audio: f32,
    /// For the sounds that fit a text: `logits_per_text`.
    pub text: f32,
}
