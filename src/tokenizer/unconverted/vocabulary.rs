//! What the classes do each in its own way: their vocabularies, and how a text is cut and put together.
//!
//! Source: `tokenization_marian.py`, `tokenization_m2m_100.py`, `tokenization_plbart.py`,
//! `tokenization_byt5.py` and `tokenization_wav2vec2.py`.

use crate::tokenizer::processor::{Cut, Processor, SPACE};
use crate::tokenizer::texts::Lexicon;
use crate::tokenizer::unconverted::letters::Letters;
use crate::tokenizer::unconverted::space::{is_space, strip};
use crate::tokenizer::unconverted::words::Words;

/// Which of a translation's two texts is encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::tokenizer) enum Side {
    /// The text that is translated.
    #[default]
    Source,
    /// A translation. Marian has another SentencePiece model for it.
    Target,
}

/// The tokens of a class, without those added to it.
pub(super) struct Vocabulary {
    pub(super) splitter: Splitter,
    pub(super) tokens: Lexicon,
    /// Of the target side, where that has a vocabulary of its own.
    pub(super) target: Option<Lexicon>,
    pub(super) unk_token: String,
    /// Python's `vocab_size`: additional tokens from here on are decoded with spaces around them.
    pub(super) base_size: u32,
    /// Tokens from here on are not listed: M2M100's languages.
    pub(super) listed: u32,
    /// The special tokens that the class itself adds, by their names.
    pub(super) own_added: &'static [(&'static str, u32)],
}

/// How a class cuts a text.
#[expect(clippy::large_enum_variant, reason = "there is one for each tokenizer")]
pub(super) enum Splitter {
    Marian { source: Processor, target: Processor },
    M2m100(Processor),
    PlBart(Processor),
    ByT5,
    Letters(Letters),
    Words(Words),
}

impl Vocabulary {
    /// The tokens of a text without added ones.
    pub(super) fn cut(&self, text: &str, side: Side) -> Result<Vec<Cut>, String> {
        match &self.splitter {
            Splitter::Marian { source, target } => {
                let code = text.strip_prefix(">>").and_then(|rest| Some(rest.find("<<")? + 4));
                let (code, rest) = text.split_at(code.unwrap_or(0));
                let processor = if side == Side::Target { target } else { source };
                let code_length = code.len();
                let code = Cut { piece: code.to_owned(), origin: 0..code_length };
                let pieces = processor.encode(rest)?.into_iter().map(|mut cut| {
                    cut.origin = cut.origin.start + code_length..cut.origin.end + code_length;
                    cut
                });
                Ok((code_length > 0).then_some(code).into_iter().chain(pieces).collect())
            }
            Splitter::M2m100(processor) | Splitter::PlBart(processor) => processor.encode(text),
            Splitter::Letters(letters) => Ok(letters.cut(text)),
            Splitter::ByT5 => {
                let bytes = text.char_indices().flat_map(|(start, c)| {
                    let end = start + c.len_utf8();
                    text.as_bytes()[start..end].iter().map(move |&byte| (byte, start..end))
                });
                let cut = |(byte, origin)| Cut { piece: char::from(byte).to_string(), origin };
                Ok(bytes.map(cut).collect())
            }
            Splitter::Words(words) => Ok(words.cut(text, |word| self.tokens.id(word).is_some())),
        }
    }

    /// `convert_tokens_to_string`.
    pub(super) fn join(
        &self,
        tokens: &[String],
        is_special: impl Fn(&str) -> bool,
        is_added: impl Fn(&str) -> bool,
    ) -> String {
        // Special tokens are not SentencePiece's.
        let by_pieces = |processor: &Processor, after_special: &str| {
            let mut text = String::new();
            let mut pieces = Vec::new();
            for token in tokens {
                if !is_special(token) {
                    pieces.push(token.as_str());
                    continue;
                }
                text.push_str(&processor.decode(pieces.drain(..)));
                text.push_str(token);
                text.push_str(after_special);
            }
            text + &processor.decode(pieces)
        };
        match &self.splitter {
            Splitter::Marian { target, .. } => strip(&by_pieces(target, " ").replace(SPACE, " ")),
            Splitter::M2m100(processor) => strip(&by_pieces(processor, "")),
            Splitter::PlBart(_) => strip(&tokens.concat().replace(SPACE, " ")),
            Splitter::Letters(letters) => letters.join(tokens.iter().map(String::as_str)),
            Splitter::ByT5 => {
                let mut bytes = Vec::new();
                for token in tokens {
                    match byte(token).filter(|_| !is_added(token)) {
                        Some(byte) => bytes.push(byte),
                        None => bytes.extend_from_slice(token.as_bytes()),
                    }
                }
                bytes.utf8_chunks().map(|chunk| chunk.valid()).collect()
            }
            Splitter::Words(_) => tokens.join(" "),
        }
    }

    /// Whether text that comes later may change how these tokens end: spaces are stripped at the end,
    /// and the bytes of a character stand for text together.
    pub(super) fn is_open(&self, tail: &[&str]) -> bool {
        match &self.splitter {
            Splitter::Letters(letters) => tail.last().is_some_and(|token| letters.is_open(token)),
            Splitter::ByT5 => {
                let bytes: Vec<_> = tail.iter().filter_map(|token| byte(token)).collect();
                let mut rest = bytes.as_slice();
                loop {
                    match std::str::from_utf8(rest) {
                        Ok(_) => return false,
                        Err(error) => match error.error_len() {
                            None => return true,
                            Some(length) => rest = &rest[error.valid_up_to() + length..],
                        },
                    }
                }
            }
            Splitter::Words(_) => false,
            _ => {
                let is_stripped = |c| c == SPACE || is_space(c);
                tail.last().is_some_and(|token| token.ends_with(is_stripped))
            }
        }
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.tokens.id(token)
    }

    /// The id of a piece; the unknown token's where there is none.
    pub(super) fn known_id(&self, token: &str, side: Side) -> u32 {
        let own = self.target.as_ref().filter(|_| side == Side::Target);
        let tokens = own.unwrap_or(&self.tokens);
        tokens.id(token).or_else(|| tokens.id(&self.unk_token)).unwrap_or_default()
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        self.target.as_ref().unwrap_or(&self.tokens).token(id)
    }

    /// What ids outside the vocabulary are decoded to.
    pub(super) fn token_of_unknown_ids(&self) -> Option<&str> {
        let is_unknown = matches!(
            self.splitter,
            Splitter::Marian { .. } | Splitter::M2m100(_) | Splitter::Letters(_)
        );
        is_unknown.then_some(self.unk_token.as_str())
    }

    /// Python's `get_vocab`, without added tokens.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (&str, u32)> {
        self.tokens.iter().filter(|&(_, id)| id < self.listed)
    }
}

/// The byte that a token of ByT5 stands for.
fn byte(token: &str) -> Option<u8> {
    let mut characters = token.chars();
    let first = characters.next().filter(|_| characters.as_str().is_empty())?;
    u8::try_from(u32::from(first)).ok()
}
