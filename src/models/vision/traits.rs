//! The traits of models that see.

use candle_core::Tensor;

use crate::error::Result;
use crate::image::PixelValues;
use crate::models::heads::Labels;
use crate::models::traits::{Model, ModelLimits};

/// Pictures in, hidden states out: `AutoModel` of transformers for models that see.
pub trait ImageEncoder: Model {
    /// The width of a hidden state.
    fn hidden_size(&self) -> usize;

    /// The hidden states of each picture after the last layer, `(tokens, hidden)` each, in f32. The first tokens are
    /// those of the class and of registers, where the model has them; then come the patches row by row.
    ///
    /// # Errors
    ///
    /// When there are no pictures, or one is not of a size that the model sees.
    fn encode(&self, pictures: &[&PixelValues]) -> Result<Vec<Tensor>>;

    /// One vector for each picture, `pooler_output` of transformers: `(pictures, size)` in f32.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and when the checkpoint has no pooler.
    fn pool(&self, pictures: &[&PixelValues]) -> Result<Tensor>;
}

/// One answer for a picture: `AutoModelForImageClassification` of transformers.
pub trait ImageClassifier: Model {
    /// What the logits mean.
    fn labels(&self) -> &Labels;

    /// Logits `(pictures, labels)` in f32.
    ///
    /// # Errors
    ///
    /// As [`ImageEncoder::encode`].
    fn classify(&self, pictures: &[&PixelValues]) -> Result<Tensor>;
}

/// Pictures and texts in one space: `AutoModelForZeroShotImageClassification` of transformers.
pub trait ImageTextModel: Model {
    /// How texts become rows.
    fn text_pooling(&self) -> TextPooling;

    /// The sizes that texts must respect.
    fn text_limits(&self) -> ModelLimits;

    /// One vector for each picture, `(pictures, size)` in f32, of length 1: `image_embeds`.
    ///
    /// # Errors
    ///
    /// As [`ImageEncoder::encode`].
    fn embed_images(&self, pictures: &[&PixelValues]) -> Result<Tensor>;

    /// One vector for each text, `(texts, size)` in f32, of length 1: `text_embeds`.
    ///
    /// # Errors
    ///
    /// When a row is empty or longer than the model, or an id is outside the vocabulary.
    fn embed_texts(&self, rows: &[Vec<u32>]) -> Result<Tensor>;

    /// How well pictures and texts fit, `(pictures, texts)` in f32, of their vectors: `logits_per_image`.
    ///
    /// # Errors
    ///
    /// When the vectors are of different sizes.
    fn similarity(&self, images: &Tensor, texts: &Tensor) -> Result<Tensor>;
}

/// How a model reads texts, and what its logits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextPooling {
    /// As they are. The logits of all texts together are those of a choice: softmax. CLIP.
    End,
    /// Padded to a fixed length, with the padding read as well. Each text has a logit of its own: sigmoid. SigLIP.
    Padded,
}
