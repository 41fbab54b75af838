//! `fill-mask`: the tokens that fit where a text has a mask.
//!
//! Mirrors `pipelines/fill_mask.py` of transformers 4.57.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::error::{Error, Result, quoted};
use crate::models::heads::MaskedLm;
use crate::pipeline::arguments::{self, OneOrMore};
use crate::pipeline::flow::Work;
use crate::pipeline::options::task_options;
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf, pipeline};
use crate::pipeline::tokenize::{Rows, TokenizerOptions, token_batch};
use crate::tokenizer::{EncodeOptions, Encoding, SpecialToken, TextInput};
use crate::warning::warn;

task_options! {
    /// Call options of [`FillMaskPipeline`], by their Hugging Face names.
    FillMaskOptions {
        /// The only tokens to choose from. A word that is not a token is replaced by its first
        /// token, with a warning. Default: the whole vocabulary.
        #[serde(deserialize_with = "targets")]
        targets: (Vec<String>),
        /// How texts become tokens.
        tokenizer_kwargs: TokenizerOptions,
        /// How many tokens per mask, best first; with fewer targets, all of them. Default: 5.
        top_k: usize,
    }
}

fn targets<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Option::deserialize(from)?.map(OneOrMore::into_vec))
}

/// A token in the place of a mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

pipeline! {
    /// Says which tokens fit where a text has a mask: for each mask, in their order, the best tokens.
    ///
    #[doc = include_str!("../../docs/tasks/fill-mask.md")]
    FillMaskPipeline<dyn MaskedLm>
}

impl FillMaskPipeline {
    /// The model's mask token, to be put into texts.
    #[must_use]
    pub fn mask_token(&self) -> &str {
        self.tokenizer.mask_token().map_or("", |mask| &mask.content)
    }

    fn mask(&self) -> Result<&SpecialToken> {
        self.tokenizer.mask_token().ok_or_else(|| {
            let reason = "fill-mask needs a tokenizer with a `mask_token`: set it in \
                          tokenizer_config.json, or use a model trained to fill masks";
            Error::unsupported(reason)
        })
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
                    warn(&format!("the target {word} is not a token: {token:?} stands for it"));
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

impl TaskSteps for FillMaskPipeline {
    type Input = String;
    type Output = Vec<Vec<Filling>>;
    type Options = FillMaskOptions;

    fn check(&self) -> Result<()> {
        self.mask().map(|_| ())
    }

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        let targets = options.targets.as_deref().map(|words| self.target_ids(words)).transpose()?;
        let vocabulary = self.model.limits().vocab;
        let top_k = options.top_k.unwrap_or(5);
        if targets.is_none() && top_k > vocabulary {
            let reason = format!("{top_k} is more than the {vocabulary} tokens there are");
            return Err(Error::option("top_k", reason));
        }
        Ok(Fill {
            rows: Rows::new(&self.tokenizer, &*self.model, options.tokenizer_kwargs.as_ref()),
            model: Arc::clone(&self.model),
            mask: self.mask()?.id,
            targets,
            top_k,
        })
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<String>> {
        Ok(Items::texts(input)?.or_single())
    }

    fn write_output(&self, masks: Self::Output, _: &Self::Options) -> Result<Value> {
        arguments::one_or_more(masks)
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
    type Row = Encoding;
    /// Per mask, the best ids.
    type Answer = Vec<Vec<(u32, f32)>>;
    type Output = Vec<Vec<Filling>>;

    fn prepare(&self, text: String) -> Result<((), Vec<Encoding>)> {
        let row = self.rows.row(TextInput::Text(&text))?;
        if self.masks(&row).is_empty() {
            let mask = self.rows.tokenizer().mask_token().map_or("", |mask| &mask.content);
            return Err(Error::input(format!("the text has no {mask}: put it where to guess")));
        }
        Ok(((), vec![row]))
    }

    fn forward(&self, rows: &[&Encoding]) -> Result<Vec<Self::Answer>> {
        let masks: Vec<Vec<usize>> = rows.iter().map(|row| self.masks(row)).collect();
        let places: Vec<(usize, usize)> = masks
            .iter()
            .enumerate()
            .flat_map(|(row, columns)| columns.iter().map(move |&column| (row, column)))
            .collect();
        let logits = scores::rows(&self.model.predict(&token_batch(rows)?, &places)?)?;
        let mut best = logits.iter().map(|logits| self.best(logits));
        Ok(masks.iter().map(|columns| best.by_ref().take(columns.len()).collect()).collect())
    }

    fn finish(&self, (): (), rows: Vec<(Encoding, Self::Answer)>) -> Result<Self::Output> {
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
