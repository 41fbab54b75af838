//! Layers in pieces: what a stack of layers keeps from one piece of a row to the next, so that all pieces together give
//! what the whole row gives.

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::convolution::Convolution;
use crate::nn::lstm::LstmState;
use crate::nn::transposed::TransposedConvolution;

/// What each layer keeps, in their order.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    next: usize,
}

/// What a layer keeps.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Frames that results to come are computed from.
    pub(crate) rest: Option<Tensor>,
    pub(crate) lstm: LstmState,
    /// Of convolutions: the number of the first frame of `rest`, and of the result that is due.
    pub(crate) first: usize,
    pub(crate) due: usize,
}

impl Slots {
    /// Begins another piece.
    pub(crate) fn rewind(&mut self) {
        self.next = 0;
    }

    /// What the next layer keeps.
    pub(crate) fn take(&mut self) -> &mut Slot {
        if self.next == self.slots.len() {
            self.slots.push(Slot::default());
        }
        self.next += 1;
        &mut self.slots[self.next - 1]
    }
}

impl Slot {
    /// What is kept, and a piece behind it.
    pub(crate) fn joined(&self, x: Option<&Tensor>) -> Result<Option<Tensor>> {
        Ok(match (&self.rest, x) {
            (None, x) => x.cloned(),
            (Some(rest), None) => Some(rest.clone()),
            (Some(rest), Some(x)) => Some(Tensor::cat(&[rest, x], 0)?),
        })
    }
}

/// A piece of a row, or the end of it, through a convolution with zeros beyond the ends: results come as soon as all that
/// they see has.
pub(crate) fn convolution_piece(
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
pub(crate) fn transposed_convolution_piece(
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

/// Parts that come at different times, added frame by frame: as many as all of them have.
pub(crate) fn summed_piece<const N: usize>(
    parts: [Option<Tensor>; N],
    slots: &mut Slots,
) -> Result<Option<Tensor>> {
    summed_pieces(parts.into(), slots)
}

/// As [`summed_piece`], of any number of parts.
pub(crate) fn summed_pieces(
    parts: Vec<Option<Tensor>>,
    slots: &mut Slots,
) -> Result<Option<Tensor>> {
    let begin = slots.next;
    let mut waiting = Vec::with_capacity(parts.len());
    for part in parts {
        waiting.push(slots.take().joined(part.as_ref())?);
    }
    let count = waiting.iter().map(|part| part.as_ref().map_or(Ok(0), |part| part.dim(0)));
    let count = count.collect::<candle_core::Result<Vec<_>>>()?.into_iter().min().unwrap_or(0);
    let mut sum: Option<Tensor> = None;
    for (slot, part) in slots.slots[begin..].iter_mut().zip(waiting) {
        slot.rest = match part {
            Some(part) if count > 0 => {
                let left = rest(&part, count)?;
                let part = part.narrow(0, 0, count)?;
                sum = Some(match sum {
                    Some(sum) => (sum + part)?,
                    None => part,
                });
                left
            }
            part => part,
        };
    }
    Ok(sum)
}

/// What comes after so many frames.
pub(crate) fn rest(x: &Tensor, count: usize) -> Result<Option<Tensor>> {
    match x.dim(0)? - count {
        0 => Ok(None),
        more => Ok(Some(x.narrow(0, count, more)?.contiguous()?)),
    }
}
