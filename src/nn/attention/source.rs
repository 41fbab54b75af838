//! Attention to the tokens of another sequence, the source: the encoder's hidden states in an
//! encoder-decoder. Their keys and values are computed once and kept in a cache of their own, which the
//! rows of the decoder's cache share.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::kernels::attention;
use crate::nn::attention::{Attention, AttentionConfig};
use crate::nn::cache::{LayerCache, SourceLayer};
use crate::nn::span::AttentionSpan;
use crate::nn::{Step, Views, mask};
use crate::weights::Linear;
use crate::weights::slices::with_f32;

/// All of a source is seen from everywhere.
const ALL: AttentionSpan = AttentionSpan::Bidirectional { window: None };

impl Attention {
    /// Puts the keys and values of a source, `(tokens, hidden)`, into a cache that has been extended by
    /// its tokens.
    pub(crate) fn keep_source(&self, source: &Tensor, cache: &mut LayerCache<'_>) -> Result<()> {
        let (norm, kv_heads) = (self.key_norm.as_ref(), self.config.kv_heads);
        if source.device().is_cpu() && source.dtype() == DType::F32 {
            let [keys, values] = with_f32(&source.contiguous()?, |source| {
                Linear::forward_rows([&self.key, &self.value], source)
            })??;
            return cache.append_rows([&self.placed_rows(keys, norm, kv_heads, &[])?, &values]);
        }
        let keys = self.placed(self.key.forward(source)?, norm, kv_heads, &[])?;
        let values = self.split(self.value.forward(source)?, kv_heads)?;
        cache.append(&keys.transpose(0, 1)?, &values.transpose(0, 1)?)?;
        Ok(())
    }

    /// `x: (tokens, hidden)`, the same shape back; each row attends to all of its source.
    pub(crate) fn forward_source(
        &self,
        x: &Tensor,
        step: &Step,
        source: &SourceLayer<'_>,
    ) -> Result<Tensor> {
        let AttentionConfig { heads, scale, score_cap, .. } = self.config;
        let norm = self.query_norm.as_ref();
        let Views::Reaches(_) = step.views else {
            let queries = self.placed(self.query.forward(x)?, norm, heads, &[])?;
            let queries = step.spread(&queries.transpose(0, 1)?)?.transpose(1, 2)?;
            let [keys, values] = source.kept(x.device())?;
            let ends = mask::ends(source.lengths(), x.device())?;
            let record = step.shares.as_ref().map(|shares| &shares.of_sources);
            let attended = self.weigh(&queries, &keys, &values, &[ends], record)?;
            return self.output.forward(&step.gathered(&attended)?.flatten_from(1)?);
        };
        let rows = source.rows_for(&step.segments)?;
        let (layout, layer) = source.layout();
        let attention = attention::Attention {
            heads,
            scale: scale as f32,
            cap: score_cap.map(|cap| cap as f32),
            biases: None,
            distances: None,
            reach: ALL.reach(),
            rows: &rows,
            layout,
            layer,
        };
        let attended = with_f32(&x.contiguous()?, |x| -> Result<Vec<f32>> {
            let [queries] = Linear::forward_rows([&self.query], x)?;
            let queries = self.placed_rows(queries, norm, heads, &[])?;
            Ok(attention::attend(&attention, &queries))
        })??;
        let [y] = Linear::forward_rows([&self.output], &attended)?;
        Ok(Tensor::from_vec(y, x.shape(), x.device())?)
    }

    /// How some heads share their attention to all of each row's source, `(rows, those heads, tokens of the
    /// longest row, tokens of the longest source)` in f32; `x` is as in
    /// [`forward_source`](Self::forward_source).
    pub(crate) fn source_shares(
        &self,
        x: &Tensor,
        step: &Step,
        source: &SourceLayer<'_>,
        heads: &[u32],
    ) -> Result<Tensor> {
        let AttentionConfig { heads: all, kv_heads, .. } = self.config;
        let queries = self.placed(self.query.forward(x)?, self.query_norm.as_ref(), all, &[])?;
        let heads_at = Tensor::new(heads, x.device())?;
        let queries = queries.contiguous()?.index_select(&heads_at, 0)?;
        let queries = step.spread(&queries.transpose(0, 1)?)?.transpose(1, 2)?;
        let shared = heads.iter().map(|&head| head / (all / kv_heads) as u32);
        let [keys, _] = source.kept(x.device())?;
        let keys = keys.contiguous()?.index_select(&Tensor::from_iter(shared, x.device())?, 1)?;
        self.shares(&queries, &keys, &[mask::ends(source.lengths(), x.device())?])
    }
}
