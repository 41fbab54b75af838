//! Added tokens: `_add_tokens`, and how `tokenize` looks for them in a text.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use tokenizers::AddedToken;

use crate::tokenizer::class::Class;
use crate::tokenizer::config::Config;
use crate::tokenizer::named::{ADDITIONAL, GivenToken, Named};
use crate::tokenizer::unconverted::space::is_space;
use crate::tokenizer::unconverted::vocabulary::{Splitter, Vocabulary};

/// The tokens that a text is searched for before it is cut.
pub(super) struct Added {
    tokens: BTreeMap<u32, AddedToken>,
    ids: HashMap<String, u32>,
    /// By their first characters, the longest first.
    by_first: HashMap<char, Vec<String>>,
}

/// A part of a text, and the id of the added token that the part is.
pub(super) type Part = (Range<usize>, Option<u32>);

impl Added {
    pub(super) fn new(vocabulary: &Vocabulary, config: &Config) -> Self {
        let special: HashSet<_> =
            config.special.iter().map(|token| token.content.as_str()).collect();
        let mut tokens: BTreeMap<_, _> = vocabulary
            .own_added
            .iter()
            .filter_map(|&(name, id)| {
                let token = config.special.iter().find(|token| token.name == name)?;
                Some((id, properties(token, config.class)))
            })
            .collect();
        tokens.extend(config.added.iter().map(|(&id, token)| {
            let special = token.special || config.is_legacy && special.contains(token.content());
            (id, token.token(special))
        }));
        let contents = |tokens: &BTreeMap<u32, AddedToken>| {
            tokens.iter().map(|(&id, token)| (token.content.clone(), id)).collect::<HashMap<_, _>>()
        };
        let mut ids = contents(&tokens);
        let own = vocabulary.tokens().filter(|(token, _)| !ids.contains_key(*token)).count();
        let mut next = u32::try_from(own + ids.len()).unwrap_or(u32::MAX);
        let from_files: HashSet<_> = config.added.values().map(GivenToken::content).collect();
        let mut seen = HashSet::new();
        for named in config.special.iter().filter(|named| seen.insert(named.content.as_str())) {
            let content = named.content.as_str();
            // The files beside the class's own give a named token its properties.
            let is_settled = named.name != ADDITIONAL && from_files.contains(content);
            let is_text = named.given.is_none() && !has_own_properties(named, config.class);
            if content.is_empty() || is_settled || is_text && ids.contains_key(content) {
                continue;
            }
            let id = ids.get(content).copied().or_else(|| vocabulary.id(content));
            let id = id.unwrap_or_else(|| {
                next = next.saturating_add(1);
                next - 1
            });
            ids.insert(content.to_owned(), id);
            tokens.insert(id, properties(named, config.class));
        }
        if let Splitter::Letters(_) = vocabulary.splitter {
            // A letter of several characters is found whole, without the spaces beside it.
            let long = vocabulary.tokens().filter(|(token, _)| token.chars().nth(1).is_some());
            for (token, id) in long {
                let added = AddedToken::from(token.to_owned(), false).normalized(false);
                tokens.insert(id, added.lstrip(true).rstrip(true));
                ids.insert(token.to_owned(), id);
            }
        }
        let mut by_first: HashMap<char, Vec<String>> = HashMap::new();
        for content in ids.keys() {
            if let Some(first) = content.chars().next() {
                by_first.entry(first).or_default().push(content.clone());
            }
        }
        for tokens in by_first.values_mut() {
            tokens.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        }
        Self { tokens, ids, by_first }
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    pub(super) fn token(&self, id: u32) -> Option<&AddedToken> {
        self.tokens.get(&id)
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = (u32, &AddedToken)> {
        self.tokens.iter().map(|(&id, token)| (id, token))
    }

    /// The parts of a text, without those that are stripped away.
    pub(super) fn split(&self, text: &str) -> Vec<Part> {
        let mut parts = self.found(text);
        for at in 0..parts.len() {
            let (range, Some(id)) = parts[at].clone() else { continue };
            let Some(token) = self.tokens.get(&id) else { continue };
            let neighbour = |at: Option<usize>| {
                let (range, _) = parts.get(at?)?;
                (!range.is_empty()).then(|| &text[range.clone()])
            };
            let (left, right) = (neighbour(at.checked_sub(1)), neighbour(Some(at + 1)));
            let touches = |text: Option<&str>, at_end: bool| {
                let next = |text: &str| {
                    if at_end { text.chars().next_back() } else { text.chars().next() }
                };
                text.and_then(next).is_some_and(|next| next != ' ')
            };
            let (joins_left, joins_right) = (touches(left, true), touches(right, false));
            let stripped_right =
                right.filter(|_| token.rstrip).map(|text| text.trim_start_matches(is_space).len());
            let stripped_left =
                left.filter(|_| token.lstrip).map(|text| text.trim_end_matches(is_space).len());
            if let Some(length) = stripped_right {
                parts[at + 1].0.start = parts[at + 1].0.end - length;
            }
            if let Some(length) = stripped_left {
                parts[at - 1].0.end = parts[at - 1].0.start + length;
            }
            if token.single_word && joins_left {
                parts[at - 1] = (parts[at - 1].0.start..range.end, None);
                parts[at].0 = range.end..range.end;
            } else if token.single_word && joins_right {
                parts[at + 1] = (range.start..parts[at + 1].0.end, None);
                parts[at].0 = range.start..range.start;
            }
        }
        parts.retain(|(range, _)| !range.is_empty());
        parts
    }

    /// The leftmost added tokens, the longest of those that begin at one place, and what is between.
    fn found(&self, text: &str) -> Vec<Part> {
        let mut parts = Vec::new();
        let (mut start, mut at) = (0, 0);
        while let Some(first) = text[at..].chars().next() {
            let tokens = self.by_first.get(&first).into_iter().flatten();
            match tokens.into_iter().find(|token| text[at..].starts_with(token.as_str())) {
                Some(token) => {
                    parts.push((start..at, None));
                    parts.push((at..at + token.len(), self.id(token)));
                    at += token.len();
                    start = at;
                }
                None => at += first.len_utf8(),
            }
        }
        parts.push((start..at, None));
        parts.retain(|(range, _)| !range.is_empty());
        parts
    }
}

/// A special token with the properties that the files or its class give it.
fn properties(named: &Named, class: Class) -> AddedToken {
    let plain = || {
        let own = has_own_properties(named, class);
        let token = AddedToken::from(named.content.clone(), true);
        token.lstrip(own).rstrip(own && class == Class::ByT5)
    };
    named.given.as_ref().map_or_else(plain, |given| given.token(true))
}

/// Tokens that absorb the spaces around or before them, unless the files say otherwise.
fn has_own_properties(named: &Named, class: Class) -> bool {
    match class {
        Class::ByT5 => matches!(named.name.as_str(), "eos_token" | "pad_token" | "unk_token"),
        Class::PlBart => named.name == "mask_token",
        _ => false,
    }
}
