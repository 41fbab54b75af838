//! A draft model beside the model: Python's `assistant_model`.

use std::sync::Arc;

use crate::error::Result;
use crate::generation::{DraftModel, GenerationConfig};
use crate::models::CausalLm;
use crate::tokenizer::Tokenizer;

/// What drafts the answers of a pipeline.
#[derive(Debug, Clone)]
pub(super) struct Assistant {
    pub(super) model: Arc<dyn CausalLm>,
    /// Where it is another than that of the pipeline.
    pub(super) tokenizer: Option<Tokenizer>,
    /// Its own options of drafting.
    pub(super) defaults: GenerationConfig,
}

impl Assistant {
    /// What drafts one answer of a model that has this tokenizer.
    pub(super) fn drafter(
        &self,
        target: &dyn CausalLm,
        target_tokenizer: &Tokenizer,
        config: &GenerationConfig,
    ) -> Result<DraftModel> {
        let config = self.defaults.clone().overlaid(config);
        match &self.tokenizer {
            None => DraftModel::new(&self.model, target, &config),
            Some(tokenizer) => {
                DraftModel::with_tokenizers(&self.model, tokenizer, target_tokenizer, &config)
            }
        }
    }
}
