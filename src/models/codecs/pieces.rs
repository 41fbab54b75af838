//! Codecs in pieces: what a stack of layers keeps from one piece of a row to the next, so that all pieces together give
//! what the whole row gives.

use candle_core::Tensor;

use super::seanet::{Block, Layer, Padded, Padding, Seanet, elu, padded};
use crate::error::{Error, Result};
use crate::nn::cache::KvCache;
use crate::nn::convolution::Convolution;
use crate::nn::lstm::{Lstm, LstmState};
use crate::nn::transposed::TransposedConvolution;

/// What a codec keeps between the pieces of a stream: the caller's, as a cache is. Begun by
/// [`Codec::begin_encoding`](super::Codec::begin_encoding) or
/// [`begin_decoding`](super::Codec::begin_decoding), and of use for that codec alone.
#[derive(Debug)]
pub struct CodecState {
    pub(super) way: Way,
    pub(super) slots: Slots,
    /// Of the transformer: Mimi.
    pub(super) cache: Option<KvCache>,
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

/// What each layer keeps, in their order.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    next: usize,
}

#[derive(Debug, Default)]
struct Slot {
    /// Frames that results to come are computed from.
    rest: Option<Tensor>,
    is_started: bool,
    lstm: LstmState,
    /// Of layers that see the future: the number of the first frame of `rest`, and of the result that is due.
    first: usize,
    due: usize,
}

impl CodecState {
    pub(super) fn new(way: Way, books: usize) -> Self {
        Self { way, slots: Slots::default(), cache: None, books, is_done: false }
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
}

impl Slots {
    /// Begins another piece.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
    }

    fn take(&mut self) -> &mut Slot {
        if self.next == self.slots.len() {
            self.slots.push(Slot::default());
        }
        self.next += 1;
        &mut self.slots[self.next - 1]
    }
}

impl Slot {
    /// What is kept, and a piece behind it.
    fn joined(&self, x: Option<&Tensor>) -> Result<Option<Tensor>> {
        Ok(match (&self.rest, x) {
            (None, x) => x.cloned(),
            (Some(rest), None) => Some(rest.clone()),
            (Some(rest), Some(x)) => Some(Tensor::cat(&[rest, x], 0)?),
        })
    }
}

impl Seanet {
    /// Whether pieces can give what the whole gives: each result is of frames before it.
    pub(super) fn has_pieces(&self) -> bool {
        self.0.iter().all(|layer| match layer {
            Layer::Block(block) => {
                let mut all = block.convolutions.iter().chain(&block.shortcut);
                all.all(Padded::has_pieces)
            }
            Layer::Convolution(convolution) => convolution.has_pieces(),
            Layer::Elu | Layer::Lstm(_) => true,
            Layer::Transposed { inner, after } => after.is_none() && inner.is_causal(),
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
                Layer::Transposed { inner, .. } => transposed_piece(inner, x, slots)?,
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
    added_piece(straight, y, slots)
}

/// A piece of a row, or the end of it, through a convolution with zeros beyond the ends: results come as soon as all that
/// they see has.
pub(super) fn convolution_piece(
    convolution: &Convolution,
    x: Option<Tensor>,
    is_last: bool,
    slots: &mut Slots,
) -> Result<Option<Tensor>> {
    let slot = slots.take();
    let Some(frames) = slot.joined(x.as_ref())? else { return Ok(None) };
    let ([reach, stride], before) = (convolution.window(), convolution.padding()[0]);
    let (first, seen) = (slot.first / stride, slot.first + frames.dim(0)?);
    let known = match is_last {
        true => first + convolution.frames(frames.dim(0)?),
        false => (seen + before + stride).saturating_sub(reach) / stride,
    };
    // Zeros stand before what is kept, too: frames are kept from so early on that no result sees these.
    let next = (known * stride).saturating_sub(before) / stride;
    slot.results(&frames, known, first, next * stride, |x| convolution.forward(x))
}

/// As [`convolution_piece`], through a transposed convolution.
pub(super) fn transposed_convolution_piece(
    inner: &TransposedConvolution,
    x: Option<Tensor>,
    is_last: bool,
    slots: &mut Slots,
) -> Result<Option<Tensor>> {
    let slot = slots.take();
    let Some(frames) = slot.joined(x.as_ref())? else { return Ok(None) };
    let (stride, cut) = (inner.stride(), inner.cut()[0]);
    let first = slot.first * stride;
    let known = match is_last {
        true => first + inner.frames(frames.dim(0)?),
        false => ((slot.first + frames.dim(0)?) * stride).saturating_sub(cut),
    };
    let next = ((known + cut) / stride).saturating_sub(inner.reach() - 1);
    slot.results(&frames, known, first, next, |x| inner.forward(x))
}

impl Slot {
    /// The results from the one that is due to the one of number `known`, of frames of which the first gives number
    /// `first`. Frames are kept from number `next` on.
    fn results(
        &mut self,
        frames: &Tensor,
        known: usize,
        first: usize,
        next: usize,
        forward: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Option<Tensor>> {
        if known <= self.due {
            self.rest = Some(frames.clone());
            return Ok(None);
        }
        let y = forward(frames)?.narrow(0, self.due - first, known - self.due)?.contiguous()?;
        let next = next.clamp(self.first, self.first + frames.dim(0)?);
        self.rest = rest(frames, next - self.first)?;
        (self.first, self.due) = (next, known);
        Ok(Some(y))
    }
}

/// What goes in and what comes of it one piece later, added.
pub(super) fn added_piece(
    straight: Option<Tensor>,
    y: Option<Tensor>,
    slots: &mut Slots,
) -> Result<Option<Tensor>> {
    let slot = slots.take();
    let waiting = slot.joined(straight.as_ref())?;
    let (Some(y), Some(waiting)) = (y, &waiting) else {
        slot.rest = waiting;
        return Ok(None);
    };
    let count = y.dim(0)?;
    slot.rest = rest(waiting, count)?;
    Ok(Some((waiting.narrow(0, 0, count)? + y)?))
}

fn lstm_piece(lstm: &Lstm, x: Option<Tensor>, slots: &mut Slots) -> Result<Option<Tensor>> {
    let slot = slots.take();
    x.map(|x| Ok((lstm.forward_with(&x, &mut slot.lstm)? + x)?)).transpose()
}

/// Each frame is spread over two turns of the stride, of which the second is the next frame's, too.
pub(super) fn transposed_piece(
    inner: &TransposedConvolution,
    x: Option<Tensor>,
    slots: &mut Slots,
) -> Result<Option<Tensor>> {
    let slot = slots.take();
    let Some(x) = x else { return Ok(None) };
    let joined = slot.joined(Some(&x))?.unwrap_or_else(|| x.clone());
    let y = inner.forward(&joined)?;
    let known = if slot.rest.is_some() { inner.stride() } else { 0 };
    slot.rest = Some(x.narrow(0, x.dim(0)? - 1, 1)?.contiguous()?);
    rest(&y, known)
}

impl Padded {
    pub(super) fn has_pieces(&self) -> bool {
        self.is_causal && self.norm.is_none()
    }

    /// A piece of a row, or the end of it.
    pub(super) fn piece(
        &self,
        x: Option<Tensor>,
        is_last: bool,
        slots: &mut Slots,
    ) -> Result<Option<Tensor>> {
        let slot = slots.take();
        let [reach, stride] = self.window;
        let before = reach - stride;
        let Some(mut frames) = slot.joined(x.as_ref())? else { return Ok(None) };
        if !slot.is_started {
            let count = frames.dim(0)?;
            if count <= before && self.padding == Padding::Reflect {
                if is_last {
                    // Too short to be mirrored: as the whole.
                    slot.rest = None;
                    return Ok(Some(self.forward(&frames)?));
                }
                slot.rest = Some(frames);
                return Ok(None);
            }
            frames = padded(&frames, [before, 0], self.padding)?;
            slot.is_started = true;
        }
        let beyond = (frames.dim(0)? - before) % stride;
        if is_last && beyond > 0 {
            frames = padded(&frames, [0, stride - beyond], self.padding)?;
        }
        let results = (frames.dim(0)? - before) / stride;
        slot.rest = rest(&frames, results * stride)?;
        if results == 0 {
            return Ok(None);
        }
        let seen = frames.narrow(0, 0, results * stride + before)?.contiguous()?;
        Ok(Some(self.inner.forward(&seen)?))
    }
}

/// What comes after so many frames.
fn rest(x: &Tensor, count: usize) -> Result<Option<Tensor>> {
    match x.dim(0)? - count {
        0 => Ok(None),
        more => Ok(Some(x.narrow(0, count, more)?.contiguous()?)),
    }
}
