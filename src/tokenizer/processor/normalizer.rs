//! A text before it is cut: replacements by the model's table, and spaces.
//!
//! Source: `normalizer.cc`.

use std::ops::Range;

use crate::tokenizer::bounded;
use crate::tokenizer::charsmap;
use crate::tokenizer::processor::table::{Prefixes, SPACE, character};
use crate::tokenizer::sentencepiece::SpmModel;

/// What is done to every text.
pub(super) struct Normalizer {
    /// A double array of darts-clone; empty without a table.
    trie: Vec<u32>,
    /// The replacements, each ended by a zero.
    texts: Vec<u8>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
    whitespace_as_suffix: bool,
}

/// A normalized text.
#[derive(Default)]
pub(super) struct Normalized {
    pub(super) text: Vec<u8>,
    /// Where in the original text each byte begins, and where the last ends.
    origins: Vec<u32>,
}

impl Normalized {
    pub(super) fn origin(&self, range: &Range<usize>) -> Range<usize> {
        let at = |index: usize| self.origins.get(index).map_or(0, |&origin| origin as usize);
        at(range.start)..at(range.end)
    }

    fn push(&mut self, text: &[u8], origin: usize) {
        self.text.extend_from_slice(text);
        self.origins.resize(self.text.len(), origin as u32);
    }
}

impl Normalizer {
    pub(super) fn new(model: &SpmModel) -> Result<Self, String> {
        let (mut trie, mut texts) = (Vec::new(), Vec::new());
        if !model.charsmap.is_empty() {
            let (units, rest) = charsmap::split(&model.charsmap)?;
            let unit = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
            trie = units.chunks_exact(4).map(unit).collect();
            texts = rest.to_vec();
        }
        Ok(Self {
            trie,
            texts,
            add_dummy_prefix: model.add_dummy_prefix,
            remove_extra_whitespaces: model.remove_extra_whitespaces,
            escape_whitespaces: model.escape_whitespaces,
            whitespace_as_suffix: model.whitespace_as_suffix,
        })
    }

    /// Replaces, but nothing in the pieces that a text is cut around.
    pub(super) fn normalize(&self, text: &str, kept: Prefixes<'_>) -> Result<Normalized, String> {
        let bytes = text.as_bytes();
        let mut at = 0;
        while self.remove_extra_whitespaces && at < bytes.len() {
            let (replacement, length) = self.prefix(&bytes[at..], kept);
            if replacement != b" " {
                break;
            }
            at += length;
        }
        let mut out = Normalized::default();
        if at == bytes.len() {
            return Ok(out);
        }
        let mut buffer = [0; 4];
        let space = match self.escape_whitespaces {
            true => SPACE.encode_utf8(&mut buffer).as_bytes(),
            false => b" ",
        };
        if self.add_dummy_prefix && !self.whitespace_as_suffix {
            out.push(space, at);
        }
        let mut follows_space = self.remove_extra_whitespaces;
        while at < bytes.len() {
            let (mut replacement, length) = self.prefix(&bytes[at..], kept);
            while follows_space && let Some(rest) = replacement.strip_prefix(b" ") {
                replacement = rest;
            }
            for byte in replacement {
                match byte {
                    b' ' => out.push(space, at),
                    byte => out.push(&[*byte], at),
                }
            }
            if let Some(last) = replacement.last() {
                follows_space = *last == b' ';
            }
            follows_space &= self.remove_extra_whitespaces;
            at += length;
            bounded::check_growth(bytes.len(), out.text.len())
                .map_err(|error| error.to_string())?;
        }
        while self.remove_extra_whitespaces && out.text.ends_with(space) {
            let length = out.text.len() - space.len();
            at = out.origins[length] as usize;
            out.text.truncate(length);
            out.origins.truncate(length);
        }
        if self.add_dummy_prefix && self.whitespace_as_suffix {
            out.push(space, at);
        }
        out.origins.push(at as u32);
        Ok(out)
    }

    /// What the beginning of a text becomes, and how many bytes of the text that is.
    fn prefix<'a>(&'a self, text: &'a [u8], kept: Prefixes<'_>) -> (&'a [u8], usize) {
        if let Some(length) = kept.longest(text) {
            return (&text[..length], length);
        }
        match self.longest_rule(text) {
            Some((length, value)) => {
                let replacement = self.texts.get(value..).unwrap_or_default();
                let end = replacement.iter().position(|&byte| byte == 0);
                (&replacement[..end.unwrap_or(replacement.len())], length)
            }
            None => {
                let length = character(text);
                (&text[..length], length)
            }
        }
    }

    /// The longest entry of the table that a text begins with: its length, and where its replacement is.
    fn longest_rule(&self, text: &[u8]) -> Option<(usize, usize)> {
        let mut longest = None;
        let offset = |unit: u32| ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize;
        let mut at = offset(*self.trie.first()?);
        for (length, &byte) in (1..).zip(text) {
            at ^= usize::from(byte);
            let Some(&unit) = self.trie.get(at) else { break };
            if unit & (1 << 31 | 0xff) != u32::from(byte) {
                break;
            }
            at ^= offset(unit);
            let has_leaf = unit >> 8 & 1 == 1;
            if let Some(leaf) = self.trie.get(at).filter(|_| has_leaf) {
                longest = Some((length, (leaf & !(1 << 31)) as usize));
            }
        }
        longest
    }
}
