//! Codecs in pieces: what a codec keeps from one piece of a row to the next, so that all pieces together give what the whole
//! row gives.

use candle_core::Tensor;

use super::chunked::{FadedChunks, Waiting};
use super::seanet::{Block, Layer, Padded, Padding, Seanet, elu, padded};
use crate::error::{Error, Result};
use crate::nn::cache::KvCache;
use crate::nn::lstm::Lstm;
use crate::nn::pieces::{Slots, rest, summed_piece, transposed_convolution_piece};

/// What a codec keeps between the pieces of a stream: the caller's, as a cache is. Begun by
/// [`Codec::begin_encoding`](super::Codec::begin_encoding) or
/// [`begin_decoding`](super::Codec::begin_decoding), and of use for that codec alone.
#[derive(Debug)]
pub struct CodecState {
    pub(super) way: Way,
    pub(super) slots: Slots,
    /// Of the transformer: Mimi.
    pub(super) cache: Option<KvCache>,
    /// Of codecs that work in chunks.
    pub(super) waiting: Waiting,
    pub(super) chunks: FadedChunks,
    /// Frames of the first chunk.
    pub(super) first_frames: Option<usize>,
    /// How many codebooks are used.
    pub(super) books: usize,
    /// Whether the row has ended.
    pub(super) is_done: bool,
}

/// What a stream does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Encoding,
    Decoding,
}

impl CodecState {
    pub(super) fn new(way: Way, books: usize) -> Self {
        Self {
            way,
            slots: Slots::default(),
            cache: None,
            waiting: Waiting::default(),
            chunks: FadedChunks::default(),
            first_frames: None,
            books,
            is_done: false,
        }
    }

    /// Refuses a state of the other direction, and one that has ended.
    pub(super) fn check(&self, way: Way) -> Result<()> {
        if self.way != way {
            return Err(Error::input("a state of the other direction"));
        }
        match self.is_done {
            true => Err(Error::input("the stream has ended: begin another")),
            false => Ok(()),
        }
    }

    /// Ends a row.
    pub(super) fn end(&mut self, way: Way) -> Result<()> {
        self.check(way)?;
        self.is_done = true;
        Ok(())
    }
}

impl Seanet {
    /// Whether pieces can give what the whole gives: nothing is a norm of all frames.
    pub(super) fn has_pieces(&self) -> bool {
        self.0.iter().all(|layer| match layer {
            Layer::Block(block) => {
                let mut all = block.convolutions.iter().chain(&block.shortcut);
                all.all(Padded::has_pieces)
            }
            Layer::Convolution(convolution) => convolution.has_pieces(),
            Layer::Elu | Layer::Lstm(_) => true,
            Layer::Transposed { after, .. } => after.is_none(),
        })
    }

    /// A piece of a row, or the end of it; `None` where it completes no result.
    pub(super) fn forward_piece(
        &self,
        x: Option<Tensor>,
        is_last: bool,
        slots: &mut Slots,
    ) -> Result<Option<Tensor>> {
        let mut x = x;
        for layer in &self.0 {
            x = match layer {
                Layer::Block(block) => block_piece(block, x, is_last, slots)?,
                Layer::Convolution(convolution) => convolution.piece(x, is_last, slots)?,
                Layer::Elu => x.map(|x| elu(&x)).transpose()?,
                Layer::Lstm(lstm) => lstm_piece(lstm, x, slots)?,
                Layer::Transposed { inner, .. } => {
                    transposed_convolution_piece(inner, x, is_last, slots)?
                }
            };
        }
        Ok(x)
    }
}

fn block_piece(
    block: &Block,
    x: Option<Tensor>,
    is_last: bool,
    slots: &mut Slots,
) -> Result<Option<Tensor>> {
    let [first, second] = &block.convolutions;
    let y = x.as_ref().map(elu).transpose()?;
    let y = first.piece(y, is_last, slots)?.map(|y| elu(&y)).transpose()?;
    let y = second.piece(y, is_last, slots)?;
    // What the results are added to waits for them.
    let straight = match &block.shortcut {
        None => x,
        Some(shortcut) => shortcut.piece(x, is_last, slots)?,
    };
    summed_piece([straight, y], slots)
}

fn lstm_piece(lstm: &Lstm, x: Option<Tensor>, slots: &mut Slots) -> Result<Option<Tensor>> {
    let slot = slots.take();
    x.map(|x| Ok((lstm.forward_with(&x, &mut slot.lstm)? + x)?)).transpose()
}

impl Padded {
    pub(super) fn has_pieces(&self) -> bool {
        self.norm.is_none()
    }

    /// A piece of a row, or the end of it.
    pub(super) fn piece(
        &self,
        x: Option<Tensor>,
        is_last: bool,
        slots: &mut Slots,
    ) -> Result<Option<Tensor>> {
        let slot = slots.take();
        let ([reach, stride], [left, right]) = (self.window, self.ends());
        let Some(frames) = slot.joined(x.as_ref())? else { return Ok(None) };
        let seen = slot.first + frames.dim(0)?;
        let known = match is_last {
            true => seen.div_ceil(stride),
            // What is mirrored to the front must have come.
            false if self.padding == Padding::Reflect && seen <= left => 0,
            false => (seen + left + stride).saturating_sub(reach) / stride,
        };
        let count = known - slot.due;
        if count == 0 {
            slot.rest = Some(frames);
            return Ok(None);
        }
        let before = if slot.first == 0 { left } else { 0 };
        let after = if is_last { right + known * stride - seen } else { 0 };
        let start = slot.due * stride + before - left - slot.first;
        let row = padded(&frames, [before, after], self.padding)?;
        let row = row.narrow(0, start, (count - 1) * stride + reach)?.contiguous()?;
        // Frames are kept that the next result sees, and that may be mirrored at the end.
        let next = (known * stride).saturating_sub(left).min(seen.saturating_sub(right + stride));
        let next = next.max(slot.first);
        slot.rest = rest(&frames, next - slot.first)?;
        (slot.first, slot.due) = (next, known);
        Ok(Some(self.inner.forward(&row)?))
    }
}
