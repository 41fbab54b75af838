//! `fill-mask`: the tokens that fit where a text has a mask.
//!
//! Mirrors `pipelines/fill_mask.py` of transformers 4.57.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::batch::TokenBatch;
use crate::error::{Error, Result, quoted};
use crate::models::AutoModel;
use crate::models::heads::MaskedLm;
use crate::options::LoadOptions;
use crate::pipeline::Task;
use crate::pipeline::TaskPipeline;
use crate::pipeline::flow::{Flow, Work};
use crate::pipeline::json::{self, OneOrMore};
use crate::pipeline::scores;
use crate::pipeline::tokenize::{Rows, TokenizerOptions};
use crate::pipeline::truncation::TruncationReport;
use crate::source::ModelFiles;
use crate::tokenizer::{EncodeOptions, Encoding, TextInput, Tokenizer};
use crate::warning::warn;

/// Call options of [`FillMaskPipeline`], by their Hugging Face names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FillMaskOptions {
    /// The most rows of a forward pass. Default: as many as fit a budget of tokens.
    pub batch_size: Option<usize>,
    /// The only tokens to choose from; a word that is no token stands for its first one, with a
    /// warning. Default: the whole vocabulary.
    #[serde(deserialize_with = "targets")]
    pub targets: Option<Vec<String>>,
    /// How texts become tokens.
    pub tokenizer_kwargs: TokenizerOptions,
    /// How many tokens per mask, best first; with fewer targets, all of them. Default: 5.
    pub top_k: Option<usize>,
    /// Gets the numbers of the inputs that are cut.
    #[serde(skip)]
    pub truncation_report: Option<TruncationReport>,
}

fn targets<'de, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<Vec<String>>, D::Error> {
    Ok(Option::deserialize(from)?.map(OneOrMore::into_vec))
}

/// A token in the place of a mask.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Filling {
    /// A probability.
    pub score: f32,
    /// The token's id.
    pub token: u32,
    /// The token's text.
    pub token_str: String,
    /// The text with the token in it.
    pub sequence: String,
}

/// Says which tokens fit where a text has a mask.
#[derive(Debug)]
pub struct FillMaskPipeline {
    model: Arc<dyn MaskedLm>,
    tokenizer: Tokenizer,
    mask: u32,
}

impl FillMaskPipeline {
    /// The best tokens for each mask of the text, in the order of the masks.
    ///
    /// # Errors
    ///
    /// When the text has no mask or is longer than the model, or the model fails.
    pub fn run(&self, text: impl Into<String>) -> Result<Vec<Vec<Filling>>> {
        self.run_with(text, &FillMaskOptions::default())
    }

    /// As [`run`](Self::run), with options.
    ///
    /// # Errors
    ///
    /// As there, and when an option is invalid.
    pub fn run_with(
        &self,
        text: impl Into<String>,
        options: &FillMaskOptions,
    ) -> Result<Vec<Vec<Filling>>> {
        Ok(self.run_batch([text], options)?.pop().unwrap_or_default())
    }

    /// Many texts, in order, each with what it would get alone.
    ///
    /// # Errors
    ///
    /// As [`run_with`](Self::run_with); nothing is returned where one text fails.
    pub fn run_batch<T: Into<String>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &FillMaskOptions,
    ) -> Result<Vec<Vec<Vec<Filling>>>> {
        self.stream(texts, options)?.collect()
    }

    /// As [`run_batch`](Self::run_batch), one output after the other, in bounded memory.
    ///
    /// # Errors
    ///
    /// When an option is invalid. A text that fails gives an error in its place.
    pub fn stream<T: Into<String>, I: IntoIterator<Item = T>>(
        &self,
        texts: I,
        options: &FillMaskOptions,
    ) -> Result<impl Iterator<Item = Result<Vec<Vec<Filling>>>> + use<T, I>> {
        let targets = options.targets.as_deref().map(|words| self.target_ids(words)).transpose()?;
        let vocabulary = self.model.limits().vocab;
        let top_k = options.top_k.unwrap_or(5);
        if targets.is_none() && top_k > vocabulary {
            let reason = format!("{top_k} is more than the {vocabulary} tokens there are");
            return Err(Error::option("top_k", reason));
        }
        let work = Fill {
            rows: Rows::new(&self.tokenizer, &*self.model, &options.tokenizer_kwargs),
            model: Arc::clone(&self.model),
            mask: self.mask,
            targets,
            top_k,
        };
        let texts = texts.into_iter().map(Into::into);
        Flow::new(work, texts, options.batch_size, options.truncation_report.as_ref())
    }

    /// The token that stands for what is to be guessed, to be put into texts.
    #[must_use]
    pub fn mask_token(&self) -> &str {
        self.tokenizer.mask_token().map_or("", |mask| &mask.content)
    }

    fn target_ids(&self, words: &[String]) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for word in words {
            let id = match self.tokenizer.token_to_id(word) {
                Some(id) => id,
                None => {
                    let plain = EncodeOptions::default().add_special_tokens(false);
                    let found = self.tokenizer.encode_with(word.as_str(), &plain)?;
                    let word = quoted(word);
                    let (Some(&id), Some(token)) = (found.ids.first(), found.tokens.first()) else {
                        warn(&format!("the target {word} has no tokens and is left out"));
                        continue;
                    };
                    warn(&format!("the target {word} is no token: {token:?} stands for it"));
                    id
                }
            };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        match ids.is_empty() {
            true => Err(Error::option("targets", "name at least one token")),
            false => Ok(ids),
        }
    }
}

impl TaskPipeline for FillMaskPipeline {
    const TASK: Task = Task::FillMask;

    fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::masked_lm_from(files, options)?;
        let tokenizer = Tokenizer::from_files(files)?;
        let mask = tokenizer.mask_token().ok_or_else(|| {
            let reason = "fill-mask needs a tokenizer with a `mask_token`: set it in \
                          tokenizer_config.json, or use a model trained to fill masks";
            Error::unsupported(reason)
        })?;
        let mask = mask.id;
        Ok(Self { model, tokenizer, mask })
    }

    fn call(
        &self,
        input: &Value,
        options: Map<String, Value>,
        report: &TruncationReport,
    ) -> Result<Value> {
        let mut options: FillMaskOptions = json::options(options)?;
        options.truncation_report = Some(report.clone());
        let texts = json::item::<OneOrMore>(input)?.into_vec();
        let is_one = texts.len() == 1;
        let outputs = self.run_batch(texts, &options)?;
        let mut outputs = outputs.into_iter().map(|mut masks| match masks.len() {
            1 => json::output(masks.pop()),
            _ => json::output(masks),
        });
        match is_one {
            true => outputs.next().unwrap_or(Ok(Value::Null)),
            false => outputs.collect::<Result<Vec<_>>>().map(Value::Array),
        }
    }
}

struct Fill {
    rows: Rows,
    model: Arc<dyn MaskedLm>,
    mask: u32,
    targets: Option<Vec<u32>>,
    top_k: usize,
}

impl Fill {
    fn masks(&self, row: &Encoding) -> Vec<usize> {
        let masked = row.ids.iter().enumerate().filter(|(_, id)| **id == self.mask);
        masked.map(|(place, _)| place).collect()
    }

    /// The best ids of one mask, with their probabilities over the whole vocabulary.
    fn best(&self, logits: &[f32]) -> Vec<(u32, f32)> {
        let scores = scores::softmax(logits);
        let score = |id: u32| (id, scores.get(id as usize).copied().unwrap_or(0.0));
        let mut scored: Vec<(u32, f32)> = match &self.targets {
            Some(ids) => ids.iter().map(|&id| score(id)).collect(),
            None => scores.iter().copied().zip(0u32..).map(|(score, id)| (id, score)).collect(),
        };
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.top_k < scored.len() {
            scored.select_nth_unstable_by(self.top_k, order);
            scored.truncate(self.top_k);
        }
        scored.sort_by(order);
        scored
    }
}

impl Work for Fill {
    type Item = String;
    type Kept = ();
    /// Per mask, the best ids.
    type Row = Vec<Vec<(u32, f32)>>;
    type Output = Vec<Vec<Filling>>;

    fn size(item: &String) -> usize {
        item.len()
    }

    fn prepare(&self, text: String) -> Result<((), Vec<Encoding>)> {
        let row = self.rows.row(TextInput::Text(&text))?;
        if self.masks(&row).is_empty() {
            let mask = self.rows.tokenizer().mask_token().map_or("", |mask| &mask.content);
            return Err(Error::input(format!("the text has no {mask}: put it where to guess")));
        }
        Ok(((), vec![row]))
    }

    fn forward(&self, batch: &TokenBatch, rows: &[&Encoding]) -> Result<Vec<Self::Row>> {
        let masks: Vec<Vec<usize>> = rows.iter().map(|row| self.masks(row)).collect();
        let places: Vec<(usize, usize)> = masks
            .iter()
            .enumerate()
            .flat_map(|(row, columns)| columns.iter().map(move |&column| (row, column)))
            .collect();
        let logits = scores::rows(&self.model.predict(batch, &places)?)?;
        let mut best = logits.iter().map(|logits| self.best(logits));
        Ok(masks.iter().map(|columns| best.by_ref().take(columns.len()).collect()).collect())
    }

    fn finish(&self, (): (), rows: Vec<(Encoding, Self::Row)>) -> Result<Self::Output> {
        let Some((row, best)) = rows.into_iter().next() else { return Ok(Vec::new()) };
        let tokenizer = self.rows.tokenizer();
        let padding = tokenizer.pad_token().map(|pad| pad.id);
        let places = self.masks(&row);
        let filling = |place: usize, (token, score): (u32, f32)| {
            let mut ids = row.ids.clone();
            ids[place] = token;
            ids.retain(|&id| Some(id) != padding);
            Ok(Filling {
                score,
                token,
                token_str: tokenizer.decode(&[token], false)?,
                // Without the special tokens, unless that would drop the other masks.
                sequence: tokenizer.decode(&ids, places.len() == 1)?,
            })
        };
        let masks = places.iter().zip(best);
        masks
            .map(|(&place, best)| best.into_iter().map(|one| filling(place, one)).collect())
            .collect()
    }
}
