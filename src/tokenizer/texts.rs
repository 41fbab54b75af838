//! Vocabularies in little memory: each text is there once, and none has an allocation of its own.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Texts by their numbers, which they have in the order they came in, and numbers by their texts.
#[derive(Default)]
pub(super) struct Texts {
    /// One behind the other.
    all: String,
    /// Where each ends.
    ends: Vec<u32>,
    /// Of equal texts the last.
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Texts {
    /// Adds a text, whether there is an equal one or not, and returns the number of that.
    pub(super) fn push(&mut self, text: &str) -> Option<u32> {
        let number = count(self.ends.len());
        self.all.push_str(text);
        self.ends.push(count(self.all.len()));
        let hash = self.hasher.hash_one(text);
        let Self { all, ends, numbers, hasher } = self;
        if let Some(equal) = numbers.find_mut(hash, |&other| text_of(all, ends, other) == text) {
            return Some(std::mem::replace(equal, number));
        }
        let rehash = |&other: &u32| hasher.hash_one(text_of(all, ends, other));
        numbers.insert_unique(hash, number, rehash);
        None
    }

    /// The number of a text.
    pub(super) fn number(&self, text: &str) -> Option<u32> {
        let Self { all, ends, numbers, hasher } = self;
        numbers.find(hasher.hash_one(text), |&other| text_of(all, ends, other) == text).copied()
    }

    /// The text with a number, which there is.
    pub(super) fn text(&self, number: u32) -> &str {
        text_of(&self.all, &self.ends, number)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        0..count(self.ends.len())
    }

    /// Gives back what was reserved for more.
    pub(super) fn shrink(&mut self) {
        let Self { all, ends, numbers, hasher } = self;
        all.shrink_to_fit();
        ends.shrink_to_fit();
        numbers.shrink_to_fit(|&other| hasher.hash_one(text_of(all, ends, other)));
    }
}

/// Tokens by their ids, and ids by their tokens. An id may have several tokens, of which the last stands for it,
/// and a token several ids, of which the last is its own.
#[derive(Default)]
pub(super) struct Lexicon {
    tokens: Texts,
    /// Of each token.
    ids: Vec<u32>,
    /// The numbers of the tokens that stand for ids, in the order of ids.
    by_id: Vec<u32>,
}

impl Lexicon {
    /// Adds tokens.
    pub(super) fn extend(&mut self, tokens: impl IntoIterator<Item = (impl AsRef<str>, u32)>) {
        for (token, id) in tokens {
            self.tokens.push(token.as_ref());
            self.ids.push(id);
        }
        self.settle();
    }

    /// The own id of a token.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.tokens.number(token).map(|number| self.id_of(number))
    }

    /// The token that stands for an id.
    pub(super) fn token(&self, id: u32) -> Option<&str> {
        let at = self.by_id.binary_search_by_key(&id, |&number| self.id_of(number)).ok()?;
        self.by_id.get(at).map(|&number| self.tokens.text(number))
    }

    /// Tokens with their own ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        let tokens = self.tokens.numbers().map(|number| (number, self.tokens.text(number)));
        let own = tokens.filter(|&(number, token)| self.tokens.number(token) == Some(number));
        own.map(|(number, token)| (token, self.id_of(number)))
    }

    /// How many ids there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    fn id_of(&self, number: u32) -> u32 {
        self.ids[number as usize]
    }

    fn settle(&mut self) {
        let Self { tokens, ids, by_id } = self;
        tokens.shrink();
        ids.shrink_to_fit();
        by_id.clear();
        by_id.extend(tokens.numbers());
        // The last of an id first.
        by_id.sort_unstable_by_key(|&number| (ids[number as usize], std::cmp::Reverse(number)));
        by_id.dedup_by_key(|number| ids[*number as usize]);
        by_id.shrink_to_fit();
    }
}

impl<S: AsRef<str>> FromIterator<(S, u32)> for Lexicon {
    fn from_iter<T: IntoIterator<Item = (S, u32)>>(tokens: T) -> Self {
        let mut lexicon = Self::default();
        lexicon.extend(tokens);
        lexicon
    }
}

/// A JSON object of ids by tokens. Of members with one name the last counts.
impl<'de> Deserialize<'de> for Lexicon {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Lexicon;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Lexicon, A::Error> {
                let mut lexicon = Lexicon::default();
                while let Some((token, id)) = members.next_entry::<String, u32>()? {
                    match lexicon.tokens.number(&token) {
                        Some(number) => lexicon.ids[number as usize] = id,
                        None => {
                            lexicon.tokens.push(&token);
                            lexicon.ids.push(id);
                        }
                    }
                }
                lexicon.settle();
                Ok(lexicon)
            }
        }

        from.deserialize_map(Members)
    }
}

fn text_of<'a>(all: &'a str, ends: &[u32], number: u32) -> &'a str {
    let number = number as usize;
    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
    all.get(start as usize..ends[number] as usize).unwrap_or_default()
}

/// Vocabularies of more than 4 GB there are none.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_lexicon_is_two_maps(entries in proptest::collection::vec(("[a-c▁]{0,3}", 0u32..30), 0..60)) {
            let ids: HashMap<String, u32> = entries.iter().cloned().collect();
            let tokens: HashMap<u32, String> =
                entries.iter().map(|(token, id)| (*id, token.clone())).collect();
            let lexicon: Lexicon = entries.iter().map(|(token, id)| (token, *id)).collect();
            prop_assert_eq!(lexicon.len(), tokens.len());
            for id in 0..31 {
                prop_assert_eq!(lexicon.token(id), tokens.get(&id).map(String::as_str));
            }
            for token in ids.keys().map(String::as_str).chain(["d", "aaaa"]) {
                prop_assert_eq!(lexicon.id(token), ids.get(token).copied());
            }
            let listed: HashMap<_, _> = lexicon.iter().map(|(token, id)| (token.to_owned(), id)).collect();
            prop_assert_eq!(lexicon.iter().count(), listed.len());
            prop_assert_eq!(listed, ids);
        }
    }

    #[test]
    fn members_with_one_name_count_once() {
        let lexicon: Lexicon = serde_json::from_str(r#"{"a": 1, "b": 9, "a": 3}"#).unwrap();
        assert_eq!(
            (lexicon.id("a"), lexicon.token(1), lexicon.token(3)),
            (Some(3), None, Some("a"))
        );
        assert_eq!((lexicon.len(), lexicon.token(9)), (2, Some("b")));
        assert!(serde_json::from_str::<Lexicon>(r#"["a"]"#).is_err());
        assert!(serde_json::from_str::<Lexicon>(r#"{"a": -1}"#).is_err());
    }
}
