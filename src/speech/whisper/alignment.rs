//! When the tokens of a window were spoken.

use candle_core::{IndexOp, Tensor};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::speech::SpeechSeq2Seq;
use crate::models::{LogitsAt, TraceRequest};
use crate::nn::cache::KvCache;
use crate::speech::whisper::config::{STRIDE, WhisperConfig};
use crate::speech::whisper::warping::frames_of_tokens;

/// When each of `ids` ends, in seconds from the beginning of its window, of which `frames` frames are the
/// recording's. `source` has the window's row alone. The last token ends with the one before it.
///
/// As in transformers, the attention is that of a token which is read, so it is about the token after it. The
/// tokens are computed once more, all together: for `ids` that beams found, too.
pub(super) fn token_times(
    model: &dyn SpeechSeq2Seq,
    config: &WhisperConfig,
    source: &KvCache,
    prompt: &[u32],
    ids: &[u32],
    frames: usize,
) -> Result<Vec<f64>> {
    let Some((_, read)) = ids.split_last().filter(|(_, read)| !read.is_empty()) else {
        return Ok(vec![0.0; ids.len()]);
    };
    let heads = config.alignment_heads.clone().unwrap_or_default();
    let request = TraceRequest {
        logits: LogitsAt::LastToken,
        hidden_states: Vec::new(),
        hidden_at: LogitsAt::LastToken,
        attentions: false,
        source_heads: heads,
    };
    let batch = TokenBatch::single(&[prompt, read].concat())?;
    let trace = model.trace_with(&batch, &mut source.fork()?, &request, &|| Ok(()))?;
    let mut columns = frames / STRIDE;
    let mut shares = Vec::with_capacity(trace.source_heads.len());
    for head in &trace.source_heads {
        let (_, rows, positions) = head.dims3()?;
        if rows != prompt.len() + read.len() {
            return Err(Error::input(format!("attention of {rows} tokens, not of the window's")));
        }
        columns = columns.min(positions);
        let head: Tensor = head.i((0, prompt.len().., ..columns))?;
        shares.push(head.flatten_all()?.to_vec1::<f32>()?);
    }
    let firsts = frames_of_tokens(shares, read.len(), columns, config.median_filter_width);
    let times = firsts.iter().chain(firsts.last()).map(|&frame| frame as f64 * TIME_PRECISION);
    Ok(times.collect())
}

/// Seconds of a frame of the encoder, and of a step of timestamps.
pub(super) const TIME_PRECISION: f64 = 0.02;
