//! What all codecs have in common.

use crate::error::{Error, Result};
use crate::models::traits::Model;

/// A neural codec: sound to codes and back. It has several codebooks, each of which says what those before it
/// have left open; a frame is a code of each.
///
/// ```no_run
/// use sconce::models::AutoModel;
/// use sconce::models::codecs::Codec;
///
/// let codec = AutoModel::open::<dyn Codec>("facebook/encodec_24khz", &Default::default())?;
/// let audio = sconce::audio::AudioReader::open("speech.wav")?.mono(codec.layout().sampling_rate)?;
/// let codes = codec.encode(&[&audio.samples], Some(codec.codebooks_for(6.0)?))?;
/// let samples = &codec.decode(&codes)?[0];
/// # let _ = samples;
/// # Ok::<(), sconce::Error>(())
/// ```
pub trait Codec: Model {
    /// The sizes of sound and codes.
    fn layout(&self) -> CodecLayout;

    /// The codes of sound: of each channel its samples, from -1 to 1, as many as of the others. `books` are how
    /// many of the codebooks are used; `None` as in the reference, which is all, but those of the lowest
    /// bandwidth for EnCodec.
    ///
    /// # Errors
    ///
    /// When the sound is empty, has another number of channels or samples that are no finite numbers, when there are
    /// not so many codebooks, or the device fails.
    fn encode(&self, channels: &[&[f32]], books: Option<usize>) -> Result<Codes>;

    /// The sound of codes: of each channel its samples. Where frames overlap the end of the sound that was
    /// encoded there are a few samples more of them than of it.
    ///
    /// # Errors
    ///
    /// When there are no codes, more codebooks than the codec has, books of different lengths, or a code is too
    /// large; when the chunks are not as long as this codec's; or the device fails.
    fn decode(&self, codes: &Codes) -> Result<Vec<Vec<f32>>>;

    /// How many codebooks a bandwidth in thousands of bits per second stands for.
    ///
    /// # Errors
    ///
    /// When the codec has no bandwidths, or not this one.
    fn codebooks_for(&self, bandwidth: f64) -> Result<usize> {
        let books = self.layout().codebooks;
        Err(Error::input(format!(
            "a bandwidth of {bandwidth} for a codec without bandwidths: choose 1 to {books} codebooks"
        )))
    }
}

/// The sizes of a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodecLayout {
    /// Samples of each channel per second.
    pub sampling_rate: u32,
    /// Channels of sound.
    pub channels: usize,
    /// The samples that a frame stands for.
    pub hop_length: usize,
    /// How many codebooks there are.
    pub codebooks: usize,
    /// Codes are below this.
    pub codebook_size: usize,
}

/// Sound as codes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Codes {
    /// What was encoded together: all of the sound, or for codecs that work in chunks a part that overlaps the
    /// next one.
    pub chunks: Vec<CodeChunk>,
}

/// The codes of a chunk of sound.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CodeChunk {
    /// Of each codebook a code for each frame.
    pub books: Vec<Vec<u32>>,
    /// What the sound is multiplied with, where it was normalized: EnCodec of 48 kHz.
    pub scale: Option<f32>,
}

impl Codes {
    /// Codes of one chunk: of each codebook a code for each frame.
    #[must_use]
    pub fn new(books: Vec<Vec<u32>>) -> Self {
        Self { chunks: vec![CodeChunk::new(books)] }
    }
}

impl CodeChunk {
    /// Codes without a scale.
    #[must_use]
    pub fn new(books: Vec<Vec<u32>>) -> Self {
        Self { books, scale: None }
    }

    /// With a scale.
    #[must_use]
    pub fn with_scale(self, scale: Option<f32>) -> Self {
        Self { scale, ..self }
    }

    /// How many frames there are, if the codes are such as a codec of this layout decodes.
    pub(super) fn checked(&self, layout: &CodecLayout) -> Result<usize> {
        let (books, frames) = (self.books.len(), self.books.first().map_or(0, Vec::len));
        if frames == 0 {
            return Err(Error::input("there are no codes to decode"));
        }
        if books > layout.codebooks {
            let own = layout.codebooks;
            return Err(Error::input(format!("codes of {books} codebooks for a codec of {own}")));
        }
        if let Some(book) = self.books.iter().position(|book| book.len() != frames) {
            let other = self.books[book].len();
            return Err(Error::input(format!(
                "codebook {book} has {other} codes where the first has {frames}"
            )));
        }
        let size = layout.codebook_size;
        match self.books.iter().flatten().find(|&&code| code as usize >= size) {
            Some(code) => Err(Error::input(format!("code {code} of codebooks of {size}"))),
            None => Ok(frames),
        }
    }
}

impl CodecLayout {
    /// How many samples each channel has and how many codebooks are used, if a codec of this layout can encode
    /// the sound.
    pub(super) fn checked(
        &self,
        channels: &[&[f32]],
        books: Option<usize>,
    ) -> Result<(usize, usize)> {
        let samples = channels.first().map_or(0, |channel| channel.len());
        if channels.len() != self.channels {
            let (found, own) = (channels.len(), self.channels);
            return Err(Error::input(format!("{found} channels for a codec of {own}")));
        }
        if samples == 0 {
            return Err(Error::input("the sound has no samples"));
        }
        if let Some(channel) = channels.iter().position(|channel| channel.len() != samples) {
            let other = channels[channel].len();
            return Err(Error::input(format!(
                "channel {channel} has {other} samples where the first has {samples}"
            )));
        }
        for (number, channel) in channels.iter().enumerate() {
            if let Some(at) = channel.iter().position(|sample| !sample.is_finite()) {
                let sample = channel[at];
                return Err(Error::input(format!("sample {at} of channel {number} is {sample}")));
            }
        }
        let books = books.unwrap_or(self.codebooks);
        if books == 0 || books > self.codebooks {
            let own = self.codebooks;
            return Err(Error::input(format!("{books} codebooks of a codec of {own}")));
        }
        Ok((samples, books))
    }
}
