//! What codecs in pieces share: the calls of a stream, of which a codec computes what lies between.

use candle_core::{DType, Tensor};

use super::common;
use super::pieces::{CodecState, Way};
use super::traits::{CodeChunk, Codec};
use crate::error::{Error, Result};

/// A codec whose halves take a row in pieces, as one that is causal does.
pub(super) trait InPieces: Codec {
    /// Of samples and frames.
    fn dtype(&self) -> DType;

    /// What codes stand for, `(frames, width)`.
    fn frames(&self, books: &[Vec<u32>]) -> Result<Tensor>;

    /// The codes that come with the next samples, `(samples, channels)`, or with the end.
    fn encoded(
        &self,
        x: Option<Tensor>,
        is_last: bool,
        state: &mut CodecState,
    ) -> Result<Vec<Vec<u32>>>;

    /// The samples of each channel that come with the next frames, or with the end.
    fn decoded(
        &self,
        x: Option<Tensor>,
        is_last: bool,
        state: &mut CodecState,
    ) -> Result<Vec<Vec<f32>>>;
}

/// [`Codec::encode_piece`].
pub(super) fn encode(
    codec: &impl InPieces,
    channels: &[&[f32]],
    state: &mut CodecState,
) -> Result<Vec<CodeChunk>> {
    state.check(Way::Encoding)?;
    let (samples, _) = codec.layout().checked(channels, Some(state.books))?;
    let shape = (samples, channels.len());
    let x = Tensor::from_vec(common::interleaved(channels), shape, codec.device())?;
    Ok(chunk(codec.encoded(Some(x.to_dtype(codec.dtype())?), false, state)?))
}

/// [`Codec::finish_encoding`].
pub(super) fn finish_encoding(
    codec: &impl InPieces,
    state: &mut CodecState,
) -> Result<Vec<CodeChunk>> {
    state.end(Way::Encoding)?;
    Ok(chunk(codec.encoded(None, true, state)?))
}

/// The frames of a piece, if there are any.
fn chunk(books: Vec<Vec<u32>>) -> Vec<CodeChunk> {
    let has_frames = books.first().is_some_and(|book| !book.is_empty());
    has_frames.then(|| CodeChunk::new(books)).into_iter().collect()
}

/// [`Codec::decode_piece`].
pub(super) fn decode(
    codec: &impl InPieces,
    codes: &CodeChunk,
    state: &mut CodecState,
) -> Result<Vec<Vec<f32>>> {
    codec.layout().check_codes(codes, state)?;
    if codes.scale.is_some() {
        return Err(Error::input("this codec has no scales"));
    }
    codec.decoded(Some(codec.frames(&codes.books)?), false, state)
}

/// [`Codec::finish_decoding`].
pub(super) fn finish_decoding(
    codec: &impl InPieces,
    state: &mut CodecState,
) -> Result<Vec<Vec<f32>>> {
    state.end(Way::Decoding)?;
    codec.decoded(None, true, state)
}
