//! What all codecs have in common.

use super::pieces::{CodecState, Way};
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

    /// Begins a row of sound that comes in pieces, to be encoded with so many codebooks.
    ///
    /// ```no_run
    /// # use sconce::models::AutoModel;
    /// # use sconce::models::codecs::Codec;
    /// # let codec = AutoModel::open::<dyn Codec>("kyutai/mimi", &Default::default())?;
    /// # let blocks: Vec<Vec<f32>> = Vec::new();
    /// let mut state = codec.begin_encoding(Some(8))?;
    /// for block in &blocks {
    ///     for codes in codec.encode_piece(&[block.as_slice()], &mut state)? {
    ///         println!("{} frames", codes.books[0].len());
    ///     }
    /// }
    /// let last = codec.finish_encoding(&mut state)?;
    /// # let _ = last;
    /// # Ok::<(), sconce::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When there are not so many codebooks, and for codecs that need the whole row, as they norm all of it: an EnCodec
    /// with `time_group_norm` or `normalize` that has no chunks.
    fn begin_encoding(&self, books: Option<usize>) -> Result<CodecState> {
        let _ = books;
        Err(whole())
    }

    /// Takes the next samples, of any number, and returns what they complete: the codes of some frames, or nothing; the
    /// frames of a row together are those of [`encode`](Self::encode). Of a codec that works in chunks, the chunks:
    /// EnCodec of 48 kHz.
    ///
    /// # Errors
    ///
    /// For a state of something else or of a row that has ended, and as [`encode`](Self::encode).
    fn encode_piece(&self, channels: &[&[f32]], state: &mut CodecState) -> Result<Vec<CodeChunk>> {
        let _ = (channels, state);
        Err(whole())
    }

    /// Ends a row, and returns the codes of the last frames, if there are any, or the last chunks.
    ///
    /// # Errors
    ///
    /// As for [`encode_piece`](Self::encode_piece).
    fn finish_encoding(&self, state: &mut CodecState) -> Result<Vec<CodeChunk>> {
        let _ = state;
        Err(whole())
    }

    /// Begins a row of codes that come in pieces.
    ///
    /// # Errors
    ///
    /// For codecs that need the whole row.
    fn begin_decoding(&self) -> Result<CodecState> {
        Err(whole())
    }

    /// Takes the codes of the next frames, or the next chunk of a codec that works in chunks, and returns of each channel
    /// the samples that are known by them: in all those of [`decode`](Self::decode).
    ///
    /// # Errors
    ///
    /// For a state of something else, another number of codebooks than in the first piece, and as
    /// [`decode`](Self::decode).
    fn decode_piece(&self, codes: &CodeChunk, state: &mut CodecState) -> Result<Vec<Vec<f32>>> {
        let _ = (codes, state);
        Err(whole())
    }

    /// Ends a row, and returns the last samples of each channel, of which there are some where the row was short.
    ///
    /// # Errors
    ///
    /// As for [`decode_piece`](Self::decode_piece).
    fn finish_decoding(&self, state: &mut CodecState) -> Result<Vec<Vec<f32>>> {
        let _ = state;
        Err(whole())
    }

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

/// The error of codecs that have no pieces.
pub(super) fn whole() -> Error {
    Error::unsupported(
        "this codec needs the whole sound at once, as it norms all of it and has no chunks: EnCodec of 24, 32 and 48 kHz, \
         Mimi and DAC work in pieces",
    )
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
        self.check_books(books)?;
        Ok((samples, books))
    }

    /// Refuses codes that are not the next of a row.
    pub(super) fn check_codes(&self, codes: &CodeChunk, state: &mut CodecState) -> Result<()> {
        state.check(Way::Decoding)?;
        codes.checked(self)?;
        let books = &codes.books;
        if state.books == 0 {
            state.books = books.len();
        }
        match state.books == books.len() {
            true => Ok(()),
            false => {
                let (found, own) = (books.len(), state.books);
                Err(Error::input(format!("{found} codebooks after a piece with {own}")))
            }
        }
    }

    /// Refuses a number of codebooks that there are not.
    pub(super) fn check_books(&self, books: usize) -> Result<()> {
        if books == 0 || books > self.codebooks {
            let own = self.codebooks;
            return Err(Error::input(format!("{books} codebooks of a codec of {own}")));
        }
        Ok(())
    }
}
