//! From a text to its vector, before dimensions are cut off: a model with the modules behind it, or a
//! table of vectors.

use std::sync::Arc;

use crate::batch::TokenBatch;
use crate::embeddings::layout::Module;
use crate::embeddings::modules::Modules;
use crate::embeddings::pooling::Pooling;
use crate::embeddings::reader::Reader;
use crate::embeddings::static_embedding::StaticEmbedding;
use crate::embeddings::transformer::{FEATURES, TransformerSettings};
use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::heads::Encoder;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::tokenizer::{Encoding, Tokenizer};
use crate::warning::warn;

/// The first module and what comes after it.
#[derive(Debug)]
pub(super) struct Body {
    first: First,
    modules: Modules,
}

#[derive(Debug)]
enum First {
    Static(StaticEmbedding),
    Transformer { encoder: Arc<dyn Encoder>, reader: Reader },
}

impl Body {
    /// Of the modules that a repository names, or the default ones.
    pub(super) fn load(
        files: &ModelFiles,
        modules: Option<&[Module]>,
        options: &LoadOptions,
    ) -> Result<Self> {
        let Some(modules) = modules else { return Self::of_a_model(files, options) };
        let refuse = |why: &str| Err(Error::unsupported(format!("{}: {why}", files.origin())));
        let Some((module, rest)) = modules.split_first() else {
            return refuse("modules.json names no modules");
        };
        let own = module.files(files)?;
        match module.kind.as_str() {
            "StaticEmbedding" => {
                let first = StaticEmbedding::read(&own, options)?;
                let modules = Modules::read(files, rest, first.dimension, false, options)?;
                Ok(Self { first: First::Static(first), modules })
            }
            "Transformer" => {
                let settings = TransformerSettings::read(&own)?;
                if settings.task != FEATURES {
                    let (task, path) = (&settings.task, &module.path);
                    return refuse(&format!(
                        "the Transformer in {path:?} is for the task {task:?}, which gives no \
                         vectors of tokens"
                    ));
                }
                // The tokenizer last: where there is none, what is not built is still named.
                let encoder = AutoModel::from_files::<dyn Encoder>(&own, options)?;
                let size = encoder.hidden_size();
                let modules = Modules::read(files, rest, size, true, options)?;
                let reader = Reader::load(&own, &settings, encoder.limits())?;
                Ok(Self { first: First::Transformer { encoder, reader }, modules })
            }
            kind => refuse(&format!(
                "the first module is a {kind}; a Transformer or a StaticEmbedding has to be"
            )),
        }
    }

    /// A repository of a model alone: its own pooling in a GGUF file, the last token of a language
    /// model, else the mean.
    fn of_a_model(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let mut settings = TransformerSettings::of_a_model();
        // llama.cpp has no part in that.
        settings.messages = settings.messages.filter(|_| files.gguf().is_none());
        let encoder = AutoModel::from_files::<dyn Encoder>(files, options)?;
        let reader = Reader::load(files, &settings, encoder.limits())?;
        let pooling = match gguf_pooling(files)? {
            Some(pooling) => pooling,
            None => {
                let is_causal = AutoModel::is_causal_lm(files)?;
                let (pooling, name) = match is_causal {
                    true => (Pooling::Last, "vector of the last token"),
                    false => (Pooling::Mean, "mean of the tokens' vectors"),
                };
                let template = reader
                    .messages
                    .as_ref()
                    .map_or("", |_| ", after the text went through the chat template");
                warn(&format!(
                    "{} does not say how texts are embedded: the {name} is taken{template}. Unless the \
                     model was trained for that, the vectors are of little use: choose a model made \
                     for embeddings",
                    files.origin()
                ));
                pooling
            }
        };
        let modules = Modules::pooled(pooling, encoder.hidden_size());
        Ok(Self { first: First::Transformer { encoder, reader }, modules })
    }

    /// A model whose tokens are pooled.
    pub(super) fn from_parts(
        encoder: Arc<dyn Encoder>,
        tokenizer: Tokenizer,
        pooling: Pooling,
    ) -> Result<Self> {
        let reader = Reader::new(tokenizer, &TransformerSettings::default(), encoder.limits())?;
        let modules = Modules::pooled(pooling, encoder.hidden_size());
        Ok(Self { first: First::Transformer { encoder, reader }, modules })
    }

    pub(super) fn model(&self) -> Option<&Arc<dyn Encoder>> {
        match &self.first {
            First::Static(_) => None,
            First::Transformer { encoder, .. } => Some(encoder),
        }
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        match &self.first {
            First::Static(table) => &table.tokenizer,
            First::Transformer { reader, .. } => &reader.tokenizer,
        }
    }

    pub(super) fn modules(&self) -> &Modules {
        &self.modules
    }

    pub(super) fn max_seq_length(&self) -> usize {
        match &self.first {
            First::Static(table) => table.max_seq_length(),
            First::Transformer { reader, .. } => reader.max_length,
        }
    }

    /// The row of a text behind a prompt; what is cut off is its `overflowing`.
    pub(super) fn encode(&self, prompt: &str, text: &str) -> Result<Encoding> {
        match &self.first {
            First::Static(table) => table.encode(&format!("{prompt}{text}")),
            First::Transformer { reader, .. } => reader.row(prompt, text),
        }
    }

    /// How many tokens of a prompt are not pooled.
    pub(super) fn prompt_length(&self, prompt: &str) -> Result<usize> {
        let First::Transformer { reader, .. } = &self.first else { return Ok(0) };
        // Through a template there is no telling, and the reference pools them.
        if self.modules.includes_prompt || prompt.is_empty() || reader.messages.is_some() {
            return Ok(0);
        }
        let row = reader.row("", prompt)?;
        // As in the reference: a special token behind the prompt comes behind the text.
        let special = reader.tokenizer.special_ids();
        let closes = row.ids.last().is_some_and(|id| special.contains(id));
        Ok(row.len() - usize::from(closes))
    }

    /// The vector of a text that has no tokens, of which a model can make none.
    pub(super) fn empty(&self) -> Result<Vec<f32>> {
        match &self.first {
            First::Static(table) => {
                Ok(self.modules.finish(vec![table.mean(&[])?])?.pop().unwrap_or_default())
            }
            First::Transformer { .. } => Err(Error::input("the text is empty: it has no tokens")),
        }
    }

    /// One vector per row of a batch, whose first `skipped` tokens are not pooled.
    pub(super) fn vectors(&self, batch: &TokenBatch, skipped: usize) -> Result<Vec<Vec<f32>>> {
        match &self.first {
            First::Static(table) => {
                let rows = batch.ids().chunks(batch.tokens());
                let rows = rows.zip(batch.attention_mask().chunks(batch.tokens()));
                let means = rows.map(|(ids, mask)| {
                    let ids = ids.iter().zip(mask).filter(|(_, mask)| **mask == 1);
                    table.mean(&ids.map(|(&id, _)| id).collect::<Vec<_>>())
                });
                self.modules.finish(means.collect::<Result<_>>()?)
            }
            First::Transformer { encoder, .. } => {
                self.modules.run(&encoder.encode(batch)?, batch, skipped)
            }
        }
    }
}

/// What a GGUF file says, `<architecture>.pooling_type`: `enum llama_pooling_type` of llama.cpp.
fn gguf_pooling(files: &ModelFiles) -> Result<Option<Pooling>> {
    let Some(file) = files.gguf() else { return Ok(None) };
    let architecture = file.string("general.architecture")?.unwrap_or_default();
    match file.integer(&format!("{architecture}.pooling_type"))? {
        None | Some(0) => Ok(None),
        Some(1) => Ok(Some(Pooling::Mean)),
        Some(2) => Ok(Some(Pooling::Cls)),
        Some(3) => Ok(Some(Pooling::Last)),
        Some(other) => {
            let origin = files.origin();
            let reason = "it gives no embeddings; use it for text-ranking";
            Err(Error::unsupported(format!("{origin} has the pooling type {other}: {reason}")))
        }
    }
}
