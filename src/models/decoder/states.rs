//! Hidden states of a decoder, of words or of other vectors, and the sources that it attends to.

use candle_core::Tensor;

use super::{Decoder, NO_CHECKPOINT};
use crate::batch::TokenBatch;
#[cfg(feature = "audio")]
use crate::error::Error;
use crate::error::Result;
use crate::models::traits::CausalLm;
use crate::nn::cache::{CacheLayer, KvCache};
use crate::nn::layer::LayerConfig;
use crate::nn::norm::normed;
use crate::nn::packed::{Packed, select};
#[cfg(feature = "audio")]
use crate::weights::Embedding;

impl Decoder {
    /// The batch without its padding, and its hidden states after the final norm, `(packed tokens,
    /// hidden)`.
    pub(crate) fn states(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
    ) -> Result<(Packed, Tensor)> {
        let packed = self.checked(batch, cache)?;
        let hidden = self.threads.run_on(&self.device, || {
            let (hidden, places) =
                self.through_layers(&packed.row_ids(), None, cache, NO_CHECKPOINT, None)?;
            normed(self.final_norm.as_ref(), select(&hidden, &places.concat())?)
        })?;
        Ok((packed, hidden))
    }

    /// The vectors of words.
    #[cfg(feature = "audio")]
    pub(in crate::models) fn words(&self) -> &Embedding {
        &self.embedding
    }

    /// The hidden states after the final norm, `(tokens, hidden)`, of rows of so many vectors, `(tokens, hidden)`,
    /// which stand in place of those of words. What the cache notes of them are zeros. The cache is as it was
    /// where this fails.
    #[cfg(feature = "audio")]
    pub(in crate::models) fn states_of_vectors(
        &self,
        vectors: &Tensor,
        lengths: &[usize],
        cache: &mut KvCache,
    ) -> Result<Tensor> {
        let (tokens, hidden) = vectors.dims2()?;
        if tokens != lengths.iter().sum::<usize>() || hidden != self.config.hidden_size {
            let dims = vectors.dims();
            return Err(Error::input(format!("vectors {dims:?} for rows of {lengths:?}")));
        }
        if cache.rows() != 0 && cache.rows() != lengths.len() {
            let (rows, cached) = (lengths.len(), cache.rows());
            return Err(Error::input(format!("{rows} rows for a cache of {cached}")));
        }
        let ids: Vec<Vec<u32>> = lengths.iter().map(|&length| vec![0; length]).collect();
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let most = super::lengths(&ids, cache).into_iter().max().unwrap_or(0);
        if most > self.config.max_positions {
            return Err(Error::ContextOverflow { tokens: most, limit: self.config.max_positions });
        }
        let before = cache.row_lengths();
        let outcome = self.threads.run_on(&self.device, || {
            let (hidden, places) =
                self.through_layers(&ids, Some(vectors), cache, NO_CHECKPOINT, None)?;
            normed(self.final_norm.as_ref(), select(&hidden, &places.concat())?)
        });
        if outcome.is_err() {
            match before.is_empty() {
                true => cache.clear(),
                false => cache.truncate_rows(&before)?,
            }
        }
        outcome
    }

    /// A cache whose rows attend to the tokens of their sources, which have these ids and the `hidden`
    /// states `(packed tokens, hidden)`.
    pub(crate) fn attend_to(&self, sources: &[&[u32]], hidden: &Tensor) -> Result<KvCache> {
        self.threads.run(|| {
            let mut cache = self.new_sources();
            cache.extend_rows(sources.iter().copied());
            for (number, layer) in self.layers.iter().enumerate() {
                if let Some(cross) = layer.cross() {
                    cross.keep_source(hidden, &mut cache.layer(number))?;
                }
            }
            self.new_cache().with_sources(cache)
        })
    }

    /// An empty cache for sources.
    pub(super) fn new_sources(&self) -> KvCache {
        let layer = |layer: &LayerConfig| {
            let attention = layer.cross.as_ref().unwrap_or(&layer.attention);
            CacheLayer::new(attention.kv_heads, attention.head_dim)
        };
        KvCache::new(self.config.layers.iter().map(layer), self.cache_dtype)
    }
}
