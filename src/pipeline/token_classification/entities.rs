//! From scores of tokens to entities.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::models::heads::Labels;
use crate::pipeline::characters::Characters;
use crate::pipeline::scores::{argmax, mean, softmax};
use crate::pipeline::token_classification::AggregationStrategy;
use crate::tokenizer::{Encoding, Tokenizer};

/// A labelled token, or several of one label. As JSON it is the record of the Python pipeline, with
/// `entity` and `index` for a token and `entity_group` for a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Record", into = "Record")]
#[non_exhaustive]
pub struct Entity {
    /// The label; of a group without `B-` or `I-`.
    pub label: String,
    /// A probability; of a group its tokens' mean.
    pub score: f32,
    /// Of a single token: its place in the row.
    pub index: Option<usize>,
    /// As the tokenizer puts it back together.
    pub word: String,
    /// The first character, as Python counts them.
    pub start: usize,
    /// The character after the last.
    pub end: usize,
    /// The same place in bytes, for slicing: `&text[entity.bytes.clone()]`; the text of a list of words
    /// is these with the delimiter between them. Not in JSON.
    pub bytes: Range<usize>,
}

/// The record of the Python pipeline.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_group: Option<String>,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    word: String,
    start: usize,
    end: usize,
}

impl From<Entity> for Record {
    fn from(Entity { label, score, index, word, start, end, bytes: _ }: Entity) -> Self {
        let (entity, entity_group) = match index {
            Some(_) => (Some(label), None),
            None => (None, Some(label)),
        };
        Self { entity, entity_group, score, index, word, start, end }
    }
}

impl From<Record> for Entity {
    fn from(Record { entity, entity_group, score, index, word, start, end }: Record) -> Self {
        let label = entity.or(entity_group).unwrap_or_default();
        Self { label, score, index, word, start, end, bytes: 0..0 }
    }
}

/// A token before it has one label.
struct Piece {
    word: String,
    scores: Vec<f32>,
    start: usize,
    end: usize,
    index: usize,
    continues_word: bool,
}

/// Reads the entities of one window.
pub(super) struct Reader<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) labels: &'a Labels,
    pub(super) strategy: AggregationStrategy,
    pub(super) text: &'a Characters,
    /// Where in the text each word of a list begins.
    pub(super) word_starts: Option<&'a [usize]>,
    /// The caller's offsets.
    pub(super) offsets: Option<&'a [(usize, usize)]>,
}

impl Reader<'_> {
    pub(super) fn entities(&self, row: &Encoding, logits: &[f32]) -> Result<Vec<Entity>> {
        let pieces = self.pieces(row, logits)?;
        let tokens = match self.strategy {
            AggregationStrategy::None | AggregationStrategy::Simple => {
                pieces.into_iter().map(|piece| self.labelled(piece)).collect()
            }
            _ => {
                let words = pieces.chunk_by(|_, next| next.continues_word);
                words.map(|word| self.word(word)).collect::<Result<Vec<_>>>()?
            }
        };
        if self.strategy == AggregationStrategy::None {
            return Ok(tokens);
        }
        let groups = tokens.chunk_by(|last, next| {
            let (begins, name) = tag(&next.label);
            !begins && name == tag(&last.label).1
        });
        groups.map(|group| self.group(group)).collect()
    }

    fn pieces(&self, row: &Encoding, logits: &[f32]) -> Result<Vec<Piece>> {
        let count = self.labels.names.len();
        let unknown = self.tokenizer.unk_token().map(|token| token.id);
        let knows_words = self.tokenizer.marks_continued_words();
        let mut pieces = Vec::new();
        for (index, scores) in logits.chunks(count.max(1)).take(row.len()).enumerate() {
            if row.special_tokens_mask[index] != 0 {
                continue;
            }
            let (mut start, mut end) = match self.offsets {
                None => row.offsets[index],
                Some(offsets) => *offsets.get(index).ok_or_else(|| {
                    let reason = format!("{} offsets for {} tokens", offsets.len(), row.len());
                    Error::option("offset_mapping", reason)
                })?,
            };
            if let (Some(starts), Some(word)) = (self.word_starts, row.word_ids[index]) {
                let begin = starts.get(word as usize).copied().unwrap_or(0);
                start += begin;
                end += begin;
            }
            let surface = self.text.slice(start, end);
            // Of an added token the row has what stands in the text, spaces that it swallows included.
            let mut word = self.tokenizer.id_to_token(row.ids[index]).unwrap_or_default();
            let mut continues_word = match knows_words {
                true => word.chars().count() != surface.chars().count(),
                false => start > 0 && !self.text.slice(start - 1, start + 1).contains(' '),
            };
            if Some(row.ids[index]) == unknown {
                word = surface.to_owned();
                continues_word = false;
            }
            pieces.push(Piece { word, scores: softmax(scores), start, end, index, continues_word });
        }
        Ok(pieces)
    }

    fn labelled(&self, piece: Piece) -> Entity {
        let best = argmax(&piece.scores);
        Entity {
            label: self.name(best),
            score: piece.scores[best],
            index: Some(piece.index),
            word: piece.word,
            start: piece.start,
            end: piece.end,
            bytes: self.text.bytes(piece.start, piece.end),
        }
    }

    fn word(&self, pieces: &[Piece]) -> Result<Entity> {
        let scores = match self.strategy {
            AggregationStrategy::Average => {
                let score = |label| mean(pieces.iter().map(|piece| piece.scores[label]));
                (0..pieces[0].scores.len()).map(score).collect()
            }
            AggregationStrategy::First => pieces[0].scores.clone(),
            _ => {
                let tops: Vec<f32> =
                    pieces.iter().map(|piece| piece.scores[argmax(&piece.scores)]).collect();
                pieces[argmax(&tops)].scores.clone()
            }
        };
        let best = argmax(&scores);
        let parts = pieces.iter().map(|piece| (piece.word.clone(), piece.start, piece.end));
        self.whole(self.name(best), scores[best], parts)
    }

    fn group(&self, tokens: &[Entity]) -> Result<Entity> {
        let label = &tokens[0].label;
        let name = label.split_once('-').map_or(label.as_str(), |(_, name)| name);
        let parts = tokens.iter().map(|token| (token.word.clone(), token.start, token.end));
        self.whole(name.to_owned(), mean(tokens.iter().map(|token| token.score)), parts)
    }

    /// Several parts that stand one after the other.
    fn whole(
        &self,
        label: String,
        score: f32,
        parts: impl Iterator<Item = (String, usize, usize)>,
    ) -> Result<Entity> {
        let (mut words, mut place) = (Vec::new(), None);
        for (word, start, end) in parts {
            words.push(word);
            place = Some((place.map_or(start, |(start, _)| start), end));
        }
        let (start, end) = place.unwrap_or_default();
        let word = self.tokenizer.tokens_to_string(words)?;
        let bytes = self.text.bytes(start, end);
        Ok(Entity { label, score, index: None, word, start, end, bytes })
    }

    fn name(&self, label: usize) -> String {
        self.labels.names.get(label).cloned().unwrap_or_else(|| format!("LABEL_{label}"))
    }
}

/// Whether a label begins an entity, and the entity's name.
fn tag(label: &str) -> (bool, &str) {
    match label.strip_prefix("B-") {
        Some(name) => (true, name),
        None => (false, label.strip_prefix("I-").unwrap_or(label)),
    }
}

/// Of entities that overlap where windows do, the longer, then the surer.
pub(super) fn without_overlaps(mut entities: Vec<Entity>) -> Vec<Entity> {
    entities.sort_by_key(|entity| entity.start);
    let mut kept: Vec<Entity> = Vec::with_capacity(entities.len());
    for entity in entities {
        match kept.last_mut() {
            Some(last) if last.start <= entity.start && entity.start < last.end => {
                let rank = |one: &Entity| one.end.saturating_sub(one.start);
                let (new, old) = (rank(&entity), rank(last));
                if new > old || (new == old && entity.score > last.score) {
                    *last = entity;
                }
            }
            _ => kept.push(entity),
        }
    }
    kept
}
