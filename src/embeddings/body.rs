//! From a text to its vector, before dimensions are cut off: a model with the modules behind it, or a
//! table of vectors.

use std::sync::Arc;

use serde::Deserialize;

use crate::batch::TokenBatch;
use crate::embeddings::layout::Module;
use crate::embeddings::modules::Modules;
use crate::embeddings::pooling::Pooling;
use crate::embeddings::reader::Reader;
use crate::embeddings::static_embedding::StaticEmbedding;
use crate::embeddings::token_steps::TokenRow;
use crate::embeddings::transformer::{FEATURES, TransformerSettings};
use crate::embeddings::words::{BagOfWords, WordEmbeddings};
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
    first: Arc<First>,
    modules: Modules,
}

/// What texts go into.
#[derive(Debug)]
pub(super) enum First {
    Bag(BagOfWords),
    Static(StaticEmbedding),
    Transformer { encoder: Arc<dyn Encoder>, reader: Reader, gives_layers: bool },
    Words(WordEmbeddings),
}

/// What a model's own config says of what comes out.
#[derive(Deserialize, Default)]
struct Outputs {
    output_hidden_states: Option<bool>,
}

impl Body {
    /// Of the modules that a repository names, or the default ones. First modules that are there already, by
    /// their paths, are not loaded again.
    pub(super) fn load(
        files: &ModelFiles,
        modules: Option<&[Module]>,
        options: &LoadOptions,
        firsts: &mut Vec<(String, Arc<First>)>,
    ) -> Result<Self> {
        let Some(modules) = modules else { return Self::of_a_model(files, options) };
        let refuse = |why: &str| Err(Error::unsupported(format!("{}: {why}", files.origin())));
        let Some((module, rest)) = modules.split_first() else {
            return refuse("modules.json names no modules");
        };
        let own = module.files(files)?;
        let known = firsts.iter().find(|(path, _)| *path == module.path);
        let first = match known.map(|(_, first)| Arc::clone(first)) {
            Some(first) => first,
            None if module.kind == "Transformer" => {
                return Self::of_a_transformer(files, &own, module, rest, options, firsts);
            }
            None => Arc::new(First::read(files, &own, module, options)?),
        };
        let mut modules =
            Modules::read(files, rest, first.dimension(), first.is_of_tokens(), options)?;
        modules.gives_layers = first.gives_layers();
        firsts.push((module.path.clone(), Arc::clone(&first)));
        Ok(Self { first, modules })
    }

    /// The tokenizer last: where there is none, what is not built is still named.
    fn of_a_transformer(
        files: &ModelFiles,
        own: &ModelFiles,
        module: &Module,
        rest: &[Module],
        options: &LoadOptions,
        firsts: &mut Vec<(String, Arc<First>)>,
    ) -> Result<Self> {
        let settings = TransformerSettings::read(own)?;
        if settings.task != FEATURES {
            let (origin, task, path) = (files.origin(), &settings.task, &module.path);
            return Err(Error::unsupported(format!(
                "{origin}: the Transformer in {path:?} is for the task {task:?}, which gives no \
                 vectors of tokens"
            )));
        }
        let encoder = AutoModel::from_files::<dyn Encoder>(own, options)?;
        let mut modules = Modules::read(files, rest, encoder.hidden_size(), true, options)?;
        let outputs: Option<Outputs> = own.json("config.json")?;
        let own_flag = outputs.and_then(|outputs| outputs.output_hidden_states);
        let gives_layers = settings.gives_layers || own_flag == Some(true);
        modules.gives_layers = gives_layers;
        let reader = Reader::load(own, &settings, encoder.limits())?;
        let first = Arc::new(First::Transformer { encoder, reader, gives_layers });
        firsts.push((module.path.clone(), Arc::clone(&first)));
        Ok(Self { first, modules })
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
        Ok(Self::of_parts(encoder, reader, pooling))
    }

    /// A model whose tokens are pooled.
    pub(super) fn from_parts(
        encoder: Arc<dyn Encoder>,
        tokenizer: Tokenizer,
        pooling: Pooling,
    ) -> Result<Self> {
        let reader = Reader::new(tokenizer, &TransformerSettings::default(), encoder.limits())?;
        Ok(Self::of_parts(encoder, reader, pooling))
    }

    fn of_parts(encoder: Arc<dyn Encoder>, reader: Reader, pooling: Pooling) -> Self {
        let modules = Modules::pooled(pooling, encoder.hidden_size());
        let first = First::Transformer { encoder, reader, gives_layers: false };
        Self { first: Arc::new(first), modules }
    }

    pub(super) fn model(&self) -> Option<&Arc<dyn Encoder>> {
        match &*self.first {
            First::Transformer { encoder, .. } => Some(encoder),
            First::Bag(_) | First::Static(_) | First::Words(_) => None,
        }
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        match &*self.first {
            First::Bag(bag) => &bag.tokenizer,
            First::Static(table) => &table.tokenizer,
            First::Transformer { reader, .. } => &reader.tokenizer,
            First::Words(words) => &words.tokenizer,
        }
    }

    pub(super) fn modules(&self) -> &Modules {
        &self.modules
    }

    pub(super) fn max_seq_length(&self) -> usize {
        match &*self.first {
            First::Bag(_) | First::Words(_) => usize::MAX,
            First::Static(table) => table.max_seq_length(),
            First::Transformer { reader, .. } => reader.max_length,
        }
    }

    /// The row of a text behind a prompt; what is cut off is its `overflowing`.
    pub(super) fn encode(&self, prompt: &str, text: &str) -> Result<Encoding> {
        match &*self.first {
            First::Bag(bag) => bag.tokenizer.encode(&format!("{prompt}{text}")),
            First::Static(table) => table.encode(&format!("{prompt}{text}")),
            First::Transformer { reader, .. } => reader.row(prompt, text),
            First::Words(words) => words.tokenizer.encode(&format!("{prompt}{text}")),
        }
    }

    /// How many tokens of a prompt are not pooled.
    pub(super) fn prompt_length(&self, prompt: &str) -> Result<usize> {
        let First::Transformer { reader, .. } = &*self.first else { return Ok(0) };
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
        let vectors = match &*self.first {
            First::Bag(bag) => self.modules.finish(vec![bag.vector(&[])])?,
            First::Static(table) => self.modules.finish(vec![table.table.mean(&[])?])?,
            First::Transformer { .. } => {
                return Err(Error::input("the text is empty: it has no tokens"));
            }
            First::Words(_) => self.modules.empty()?,
        };
        Ok(vectors.into_iter().next().unwrap_or_default())
    }

    /// One vector per row of a batch, whose first `skipped` tokens are not pooled.
    pub(super) fn vectors(&self, batch: &TokenBatch, skipped: usize) -> Result<Vec<Vec<f32>>> {
        let rows =
            batch.ids().chunks(batch.tokens()).zip(batch.attention_mask().chunks(batch.tokens()));
        let rows = rows.map(|(ids, mask)| {
            let ids = ids.iter().zip(mask).filter(|(_, mask)| **mask == 1);
            ids.map(|(&id, _)| id).collect::<Vec<_>>()
        });
        match &*self.first {
            First::Bag(bag) => self.modules.finish(rows.map(|ids| bag.vector(&ids)).collect()),
            First::Static(table) => {
                let means = rows.map(|ids| table.table.mean(&ids));
                self.modules.finish(means.collect::<Result<_>>()?)
            }
            First::Transformer { encoder, .. } => self.modules.run(&**encoder, batch, skipped),
            First::Words(words) => {
                let size = words.table.dimension;
                let pooled = rows.map(|ids| {
                    let vectors = ids.iter().map(|&id| words.table.row(id));
                    let vectors = vectors.collect::<Result<Vec<_>>>()?.concat();
                    let row = TokenRow { ids, vectors, size, layers: Vec::new(), weight: None };
                    self.modules.pool(row, skipped)
                });
                self.modules.finish(pooled.collect::<Result<_>>()?)
            }
        }
    }
}

impl First {
    /// A first module that is no model.
    fn read(
        files: &ModelFiles,
        own: &ModelFiles,
        module: &Module,
        options: &LoadOptions,
    ) -> Result<Self> {
        Ok(match module.kind.as_str() {
            "BoW" => Self::Bag(BagOfWords::new(module.config(files)?)?),
            "StaticEmbedding" => Self::Static(StaticEmbedding::read(own, options)?),
            "WordEmbeddings" => Self::Words(WordEmbeddings::read(own, options)?),
            kind => {
                return Err(Error::unsupported(format!(
                    "{}: the first module is a {kind}; a Transformer, a StaticEmbedding, WordEmbeddings \
                     or a BoW has to be",
                    files.origin()
                )));
            }
        })
    }

    /// Numbers of a vector.
    fn dimension(&self) -> usize {
        match self {
            Self::Bag(bag) => bag.dimension(),
            Self::Static(table) => table.table.dimension,
            Self::Transformer { encoder, .. } => encoder.hidden_size(),
            Self::Words(words) => words.table.dimension,
        }
    }

    /// Whether there is a vector for each token, and not one for the text.
    fn is_of_tokens(&self) -> bool {
        matches!(self, Self::Transformer { .. } | Self::Words(_))
    }

    fn gives_layers(&self) -> bool {
        matches!(self, Self::Transformer { gives_layers: true, .. })
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
