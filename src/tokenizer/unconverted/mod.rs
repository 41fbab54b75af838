//! The classes that transformers never converts to fast ones: Marian, M2M100, PLBART, ByT5 and Wav2Vec2CTC; and the
//! words of sentence-transformers.
//!
//! Source: `PreTrainedTokenizer` in `tokenization_utils.py`, and the classes' own files.

mod added;
mod letters;
pub(super) mod load;
mod space;
mod treebank;
mod vocabulary;
pub(super) mod words;

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use tokenizers::{AddedToken, Encoding};

use crate::tokenizer::config::Config;
use crate::tokenizer::processor::Cut;
use crate::tokenizer::unconverted::added::Added;
pub(super) use crate::tokenizer::unconverted::vocabulary::Side;
use crate::tokenizer::unconverted::vocabulary::{Splitter, Vocabulary};

/// A tokenizer of such a class.
pub(super) struct Unconverted {
    vocabulary: Vocabulary,
    added: Added,
    /// `all_special_tokens`.
    special: HashSet<String>,
    /// Added tokens that are joined with spaces around them.
    standalone: HashSet<String>,
    splits_special_tokens: bool,
}

impl Unconverted {
    fn new(vocabulary: Vocabulary, config: &Config) -> Self {
        let added = Added::new(&vocabulary, config);
        let special: HashSet<_> =
            config.special.iter().map(|token| token.content.clone()).collect();
        let additional: HashSet<_> = config.additional().collect();
        let is_standalone = |id: u32, token: &AddedToken| {
            let is_additional = additional.contains(token.content.as_str());
            !special.contains(&token.content) || is_additional && id >= vocabulary.base_size
        };
        let standalone = added
            .tokens()
            .filter(|&(id, token)| is_standalone(id, token))
            .map(|(_, token)| token.content.clone());
        Self {
            standalone: standalone.collect(),
            splits_special_tokens: config.boolean("split_special_tokens").unwrap_or(false),
            vocabulary,
            added,
            special,
        }
    }

    /// Tokens, their ids and their places in the text, in characters.
    pub(super) fn encode(&self, text: &str, side: Side) -> Result<Encoding, String> {
        let text = &*match &self.vocabulary.splitter {
            Splitter::Letters(letters) => letters.lowered(text, &self.special),
            _ => Cow::Borrowed(text),
        };
        let mut tokens = Vec::new();
        let mut characters = Characters::of(text);
        let parts = match self.splits_special_tokens {
            true => vec![(0..text.len(), None)],
            false => self.added.split(text),
        };
        let mut push = |id, token: String, place| {
            let Range { start, end } = characters.range(&place);
            tokens.push(tokenizers::Token::new(id, token, (start, end)));
        };
        for (range, added) in parts {
            if let Some(id) = added {
                push(id, text[range.clone()].to_owned(), range);
                continue;
            }
            for Cut { piece, origin } in self.vocabulary.cut(&text[range.clone()], side)? {
                let id = self.added.id(&piece);
                let id = id.unwrap_or_else(|| self.vocabulary.known_id(&piece, side));
                push(id, piece, range.start + origin.start..range.start + origin.end);
            }
        }
        Ok(Encoding::from_tokens(tokens, 0))
    }

    /// Words given one by one.
    pub(super) fn encode_words(
        &self,
        words: &[impl AsRef<str>],
        side: Side,
    ) -> Result<Encoding, String> {
        let words = words.iter().map(|word| self.encode(word.as_ref(), side));
        Ok(Encoding::merge(words.collect::<Result<Vec<_>, _>>()?, false))
    }

    /// Whether no end is put behind a text that ends with one.
    pub(super) fn leaves_ends(&self) -> bool {
        matches!(self.vocabulary.splitter, Splitter::ByT5)
    }

    /// `decode`, without cleaning spaces up.
    pub(super) fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> String {
        if let Splitter::Letters(letters) = &self.vocabulary.splitter {
            let tokens = ids.iter().filter_map(|&id| self.text_token(id));
            let is_kept = |token: &&str| !(skip_special_tokens && self.special.contains(*token));
            return letters.join(tokens.filter(is_kept));
        }
        let mut texts = Vec::new();
        let mut current = Vec::new();
        for token in ids.iter().filter_map(|&id| self.text_token(id)) {
            if skip_special_tokens && self.special.contains(token) {
                continue;
            }
            if !self.standalone.contains(token) {
                current.push(token.to_owned());
                continue;
            }
            let before = self.join(&current);
            current.clear();
            texts.extend((!before.is_empty()).then_some(before));
            texts.push(token.to_owned());
        }
        if !current.is_empty() {
            texts.push(self.join(&current));
        }
        texts.join(" ")
    }

    /// `convert_tokens_to_string`.
    pub(super) fn join(&self, tokens: &[String]) -> String {
        let is_special = |token: &str| self.special.contains(token);
        self.vocabulary.join(tokens, is_special, |token| self.added.id(token).is_some())
    }

    /// Whether text that comes later may change how these ids end.
    pub(super) fn is_open(&self, ids: &[u32]) -> bool {
        let tail = &ids[ids.len().saturating_sub(LONGEST_CHARACTER)..];
        let tail: Vec<_> = tail.iter().filter_map(|&id| self.text_token(id)).collect();
        self.vocabulary.is_open(&tail)
    }

    /// The token that an id stands for in a text; for some classes an unknown id is `<unk>`.
    pub(super) fn text_token(&self, id: u32) -> Option<&str> {
        self.token(id).or_else(|| self.vocabulary.token_of_unknown_ids())
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        let added = self.added.token(id).map(|token| token.content.as_str());
        added.or_else(|| self.vocabulary.token(id))
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.added.id(token).or_else(|| self.vocabulary.id(token))
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        self.text_token(id).is_some_and(|token| self.special.contains(token))
    }

    /// The added tokens by their ids.
    pub(super) fn added_tokens(&self) -> impl Iterator<Item = (u32, &AddedToken)> {
        self.added.tokens()
    }

    /// All tokens by their ids.
    pub(super) fn vocabulary(&self) -> impl Iterator<Item = (&str, u32)> {
        let added = self.added.tokens().map(|(id, token)| (token.content.as_str(), id));
        let own = self.vocabulary.tokens().filter(|(token, _)| self.added.id(token).is_none());
        own.chain(added)
    }
}

/// Counts the characters before a byte, for bytes that mostly ascend.
struct Characters<'a> {
    text: &'a [u8],
    last: (usize, usize),
}

impl<'a> Characters<'a> {
    fn of(text: &'a str) -> Self {
        Self { text: text.as_bytes(), last: (0, 0) }
    }

    fn range(&mut self, bytes: &Range<usize>) -> Range<usize> {
        let start = self.before(bytes.start);
        start..self.before(bytes.end)
    }

    fn before(&mut self, byte: usize) -> usize {
        if byte < self.last.0 {
            self.last = (0, 0);
        }
        let begins = |byte: &&u8| **byte & 0xc0 != 0x80;
        let between = self.text.get(self.last.0..byte).unwrap_or_default();
        self.last = (byte, self.last.1 + between.iter().filter(begins).count());
        self.last.1
    }
}

/// In bytes, each of which is a token of ByT5.
const LONGEST_CHARACTER: usize = 4;
