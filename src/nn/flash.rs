//! FlashAttention-2 (<https://arxiv.org/abs/2307.08691>), which writes no scores down: on CUDA, with the
//! feature `flash-attn`, for half precision. What it does not serve is `None`, and computed with candle's
//! own operations.

use std::ops::Range;

use candle_core::{D, DType, Device, Tensor};

use crate::error::Result;
use crate::nn::span::AttentionSpan;

/// Whether a device may have it.
pub(crate) fn is_on(device: &Device) -> bool {
    cfg!(feature = "flash-attn") && device.is_cuda()
}

/// Attention of the last tokens of rows without padding to those within the span:
/// `queries: (batch, heads, tokens, head_dim)`, keys and values `(batch, kv_heads, slots, head_dim)`;
/// `(batch, tokens, heads, head_dim)`.
pub(super) fn cached(
    [queries, keys, values]: [&Tensor; 3],
    span: AttentionSpan,
    scale: f64,
    cap: Option<f64>,
) -> Result<Option<Tensor>> {
    if !serves([queries, keys, values])? {
        return Ok(None);
    }
    #[cfg(feature = "flash-attn")]
    {
        // How far to look back, and ahead; `None` is without end.
        let before = span.window().map(|window| window.saturating_sub(1));
        let after = if span.looks_ahead() { before } else { Some(0) };
        let by_token = |x: &Tensor| channels_together(x)?.transpose(1, 2);
        Ok(Some(candle_flash_attn::flash_attn_alibi_windowed_softcap(
            &by_token(queries)?,
            &by_token(keys)?,
            &by_token(values)?,
            None,
            scale as f32,
            before,
            after,
            // 0 is none.
            cap.unwrap_or(0.0) as f32,
        )?))
    }
    #[cfg(not(feature = "flash-attn"))]
    {
        let _ = (span, scale, cap);
        Ok(None)
    }
}

/// Attention among the tokens of each row, of which all lie one after the other, to those less than
/// `window` away: all `(heads, packed tokens, head_dim)`; `(packed tokens, heads, head_dim)`.
pub(crate) fn packed(
    [queries, keys, values]: [&Tensor; 3],
    rows: &[Range<usize>],
    window: Option<usize>,
    scale: f64,
) -> Result<Option<Tensor>> {
    if !serves([queries, keys, values])? {
        return Ok(None);
    }
    #[cfg(feature = "flash-attn")]
    {
        let ends: Vec<u32> = [0].into_iter().chain(rows.iter().map(|row| row.end as u32)).collect();
        let ends = Tensor::new(ends, queries.device())?;
        let longest = rows.iter().map(Range::len).max().unwrap_or(0);
        let by_token = |x: &Tensor| channels_together(x)?.transpose(0, 1);
        Ok(Some(candle_flash_attn::flash_attn_varlen_windowed(
            &by_token(queries)?,
            &by_token(keys)?,
            &by_token(values)?,
            &ends,
            &ends,
            longest,
            longest,
            scale as f32,
            window.map(|window| window.saturating_sub(1)),
            window.map(|window| window.saturating_sub(1)),
        )?))
    }
    #[cfg(not(feature = "flash-attn"))]
    {
        let _ = (rows, window, scale);
        Ok(None)
    }
}

/// The same, with the channels of a head one after the other.
#[cfg(feature = "flash-attn")]
fn channels_together(x: &Tensor) -> candle_core::Result<Tensor> {
    if x.stride().last() == Some(&1) { Ok(x.clone()) } else { x.contiguous() }
}

/// Half precision, and heads of so many channels as there are kernels for.
fn serves(tensors: [&Tensor; 3]) -> Result<bool> {
    let [queries, ..] = tensors;
    let head_dim = queries.dim(D::Minus1)?;
    let halves = tensors
        .iter()
        .all(|x| matches!(x.dtype(), DType::F16 | DType::BF16) && x.dtype() == queries.dtype());
    Ok(is_on(queries.device()) && halves && head_dim.is_multiple_of(8) && head_dim <= 256)
}
