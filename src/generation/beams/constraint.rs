//! What an answer must hold.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::read::read;

/// Something that an answer must hold: transformers' `Constraint`. A constraint keeps track of one
/// answer, which moves towards it token by token.
///
/// [`PhrasalConstraint`] and [`DisjunctiveConstraint`] are those of the option `force_words_ids`; one
/// of your own goes into a plan by [`Plan::with_constraint`](crate::generation::Plan::with_constraint).
pub trait Constraint: CloneConstraint + fmt::Debug + Send + Sync {
    /// The ids that would each be a step towards it; none where it is met.
    fn advance(&self) -> Vec<u32>;

    /// Takes note of the next token.
    fn update(&mut self, id: u32) -> Advance;

    /// The most steps it takes from its beginning.
    fn length(&self) -> usize;

    /// The most steps that are left.
    fn remaining(&self) -> usize;
}

/// What a token does for a [`Constraint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// It is a step towards it.
    Step,
    /// It is the last step: the constraint is met.
    Met,
    /// It leads away: the constraint begins anew.
    Lost,
}

/// How a [`Constraint`] behind a pointer is cloned. All that are `Clone` have it.
pub trait CloneConstraint {
    /// A clone.
    fn boxed_clone(&self) -> Box<dyn Constraint>;
}

impl<T: Constraint + Clone + 'static> CloneConstraint for T {
    fn boxed_clone(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Constraint> {
    fn clone(&self) -> Self {
        (**self).boxed_clone()
    }
}

/// The answer holds these ids, one after the other.
#[derive(Debug, Clone)]
pub struct PhrasalConstraint {
    ids: Arc<[u32]>,
    /// How many of them have come.
    met: usize,
}

impl PhrasalConstraint {
    /// The answer holds `ids`.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn new(ids: &[u32]) -> Result<Self> {
        match ids {
            [] => Err(Error::input("a phrase without tokens constrains nothing")),
            ids => Ok(Self { ids: ids.into(), met: 0 }),
        }
    }
}

impl Constraint for PhrasalConstraint {
    fn advance(&self) -> Vec<u32> {
        self.ids.get(self.met).copied().into_iter().collect()
    }

    fn update(&mut self, id: u32) -> Advance {
        if self.ids.get(self.met) != Some(&id) {
            self.met = 0;
            return Advance::Lost;
        }
        self.met += 1;
        if self.remaining() == 0 { Advance::Met } else { Advance::Step }
    }

    fn length(&self) -> usize {
        self.ids.len()
    }

    fn remaining(&self) -> usize {
        self.ids.len() - self.met
    }
}

/// The answer holds one of these phrases.
#[derive(Debug, Clone)]
pub struct DisjunctiveConstraint {
    phrases: Arc<[Vec<u32>]>,
    /// The beginning that has come.
    begun: Vec<u32>,
}

impl DisjunctiveConstraint {
    /// The answer holds one of `phrases`.
    ///
    /// # Errors
    ///
    /// When there are none, one has no tokens, or one begins with another, which would always come
    /// first.
    pub fn new(phrases: &[Vec<u32>]) -> Result<Self> {
        if phrases.is_empty() || phrases.iter().any(Vec::is_empty) {
            return Err(Error::input("alternatives without tokens constrain nothing"));
        }
        let mut sorted: Vec<_> = phrases.iter().collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[1].starts_with(pair[0])) {
            let [first, second] = [pair[0], pair[1]];
            return Err(Error::input(format!("alternative {second:?} begins with {first:?}")));
        }
        Ok(Self { phrases: phrases.into(), begun: Vec::new() })
    }
}

impl Constraint for DisjunctiveConstraint {
    fn advance(&self) -> Vec<u32> {
        let possible = self.phrases.iter().filter(|phrase| phrase.starts_with(&self.begun));
        let mut next: Vec<u32> = Vec::new();
        for &id in possible.filter_map(|phrase| phrase.get(self.begun.len())) {
            if !next.contains(&id) {
                next.push(id);
            }
        }
        next
    }

    fn update(&mut self, id: u32) -> Advance {
        if !self.advance().contains(&id) {
            self.begun.clear();
            return Advance::Lost;
        }
        self.begun.push(id);
        if self.remaining() == 0 { Advance::Met } else { Advance::Step }
    }

    fn length(&self) -> usize {
        self.phrases.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Counted to the end of the longest phrase, as in transformers, until one is complete.
    fn remaining(&self) -> usize {
        if self.phrases.contains(&self.begun) { 0 } else { self.length() - self.begun.len() }
    }
}

/// One item of `force_words_ids`: `[5, 6]` in JSON is a phrase, `[[5, 6], [7]]` alternatives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ForcedWords {
    /// All these ids, one after the other: a [`PhrasalConstraint`].
    Phrase(Vec<u32>),
    /// One of these phrases: a [`DisjunctiveConstraint`].
    AnyOf(Vec<Vec<u32>>),
}

impl ForcedWords {
    /// All ids of the item.
    pub(in crate::generation) fn ids(&self) -> impl Iterator<Item = u32> {
        let phrases = match self {
            Self::Phrase(ids) => std::slice::from_ref(ids),
            Self::AnyOf(phrases) => phrases,
        };
        phrases.iter().flatten().copied()
    }

    /// The constraint that the item stands for.
    ///
    /// # Errors
    ///
    /// What the constraint refuses.
    pub fn constraint(&self) -> Result<Box<dyn Constraint>> {
        Ok(match self {
            Self::Phrase(ids) => Box::new(PhrasalConstraint::new(ids)?),
            Self::AnyOf(phrases) => Box::new(DisjunctiveConstraint::new(phrases)?),
        })
    }
}

impl<'de> Deserialize<'de> for ForcedWords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let is_nested = value.get(0).is_some_and(Value::is_array);
        let words =
            if is_nested { read(&value).map(Self::AnyOf) } else { read(&value).map(Self::Phrase) };
        words.map_err(de::Error::custom)
    }
}
