//! Tokenizers whose tokens are whole words.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::tokenizer::backend::{Backend, Template};
use crate::tokenizer::shared::{Settings, Tokenizer};
use crate::tokenizer::unconverted::load;
use crate::tokenizer::unconverted::words::{Phrases, WordKind, Words};

/// How a text is cut to words.
pub(crate) enum WordSplit {
    /// At spaces: `WhitespaceTokenizer` of sentence-transformers.
    Spaces { is_lower_case: bool },
    /// As NLTK does it, with phrases of up to `longest` words as one: `PhraseTokenizer`. In the vocabulary, their words
    /// stand with the separator between them.
    Phrases { separator: Option<String>, longest: usize },
}

impl Tokenizer {
    /// A tokenizer whose tokens are the words of a vocabulary, by their numbers there; other words and stop
    /// words are left out. Of a word that is there twice, the second number counts.
    pub(crate) fn of_words(
        vocab: Vec<String>,
        stop_words: HashSet<String>,
        split: WordSplit,
    ) -> Result<Self> {
        let kind = match split {
            WordSplit::Spaces { is_lower_case } => WordKind::Spaced { is_lower_case },
            WordSplit::Phrases { separator, longest } => {
                let phrases = Phrases::of(&vocab, separator, longest);
                let words = phrases.longest();
                if words > MOST_WORDS {
                    let reason = format!("a phrase of {words} words; {MOST_WORDS} are the limit");
                    return Err(Error::tokenizer(reason));
                }
                WordKind::Phrases(phrases)
            }
        };
        let tokenizer = load::words(vocab, Words { stop_words, kind });
        let backend = Backend::unconverted(tokenizer);
        Ok(Self::of(backend, Settings::default(), None, Template::new(None)))
    }
}

/// Of a phrase. Each run of so many words of a text is looked for.
const MOST_WORDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// As `WhitespaceTokenizer.tokenize` finds them.
    #[test]
    fn words_are_found_as_written_then_bare_then_in_lower_case() {
        let vocab = ["PAD", "Light", "light", "don't", "b.c", "the", "ΣΑΣ"].map(str::to_owned);
        let stop = HashSet::from(["the".to_owned()]);
        let split = WordSplit::Spaces { is_lower_case: false };
        let tokenizer = Tokenizer::of_words(vocab.to_vec(), stop, split).unwrap();
        let text = "  (Light) LIGHT\u{1f}don't, THE \"b.c\" ΣΑΣ x PAD";
        let encoding = tokenizer.encode(text).unwrap();
        assert_eq!(encoding.ids, [1, 2, 3, 4, 6, 0]);
        assert_eq!(encoding.offsets[1], (10, 15));
        assert_eq!(
            tokenizer.decode(&encoding.ids, false).unwrap(),
            "Light light don't b.c ΣΑΣ PAD"
        );
    }
}
