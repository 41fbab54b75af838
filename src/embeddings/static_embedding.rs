//! `StaticEmbedding`: one vector for each token, whatever is beside it, and their mean. model2vec
//! distils such models (potion).

use candle_core::Device;

use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::tokenizer::{EncodeOptions, Encoding, Tokenizer, Truncation};
use crate::weights::slices::with_f32;
use crate::weights::{NameTable, Weights};

/// A table of vectors and the tokenizer whose ids it is by. Lives on the CPU: there is nothing to
/// compute.
#[derive(Debug)]
pub(super) struct StaticEmbedding {
    pub(super) tokenizer: Tokenizer,
    /// As the tokenizer's file says; mostly none.
    truncation: Option<Truncation>,
    table: Vec<f32>,
    pub(super) dimension: usize,
    /// For messages.
    origin: String,
}

impl StaticEmbedding {
    /// Of a module's folder: `tokenizer.json`, and weights with `embedding.weight` or, as model2vec
    /// saves them, `embeddings`.
    pub(super) fn read(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let options = options.clone().device(Device::Cpu);
        let weights = Weights::open(files, NameTable::stored_names(), &options)?;
        let origin = files.origin();
        let names = ["embedding.weight", "embeddings"];
        let found = names.into_iter().find_map(|name| Some((name, weights.shape(name)?)));
        let Some((name, &[rows, dimension])) = found else {
            return Err(Error::unsupported(format!(
                "{origin}: a StaticEmbedding has its table of vectors under \"embedding.weight\" or \
                 \"embeddings\""
            )));
        };
        if weights.contains("mapping") {
            return Err(Error::unsupported(format!(
                "{origin}: several tokens of the model2vec table share a vector (\"mapping\"), which \
                 StaticEmbedding does not know; save the model without `vocabulary_quantization`"
            )));
        }
        let table = weights.tensor(name, &[rows, dimension])?;
        let table = with_f32(&table, <[f32]>::to_vec)?;
        let (tokenizer, truncation) = Tokenizer::plain(files)?;
        Ok(Self { tokenizer, truncation, table, dimension, origin })
    }

    /// The most tokens of a text that are looked at.
    pub(super) fn max_seq_length(&self) -> usize {
        self.truncation.map_or(usize::MAX, |truncation| truncation.max_length)
    }

    /// The tokens of a text, without any around it.
    pub(super) fn encode(&self, text: &str) -> Result<Encoding> {
        let mut options = EncodeOptions::default().add_special_tokens(false);
        options.truncation = self.truncation;
        self.tokenizer.encode_with(text, &options)
    }

    /// The mean of the vectors of ids; zeros where there are none.
    pub(super) fn mean(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let mut sum = vec![0.0_f64; self.dimension];
        for &id in ids {
            let at = id as usize * self.dimension;
            let vector = self.table.get(at..at + self.dimension).ok_or_else(|| {
                let (origin, vectors) = (&self.origin, self.table.len() / self.dimension.max(1));
                Error::malformed(origin, format!("the token {id} has none of {vectors} vectors"))
            })?;
            sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let count = ids.len().max(1) as f64;
        Ok(sum.into_iter().map(|sum| (sum / count) as f32).collect())
    }
}
