//! Tokenizers whose tokens are whole words.

use std::collections::HashSet;

use crate::tokenizer::backend::{Backend, Template};
use crate::tokenizer::shared::{Settings, Tokenizer};
use crate::tokenizer::unconverted::load;
use crate::tokenizer::unconverted::words::Words;

impl Tokenizer {
    /// A tokenizer whose tokens are the words of a vocabulary, by their numbers there; other words and stop
    /// words are left out. Of a word that is there twice, the second number counts.
    pub(crate) fn of_words(
        vocab: Vec<String>,
        stop_words: HashSet<String>,
        is_lower_case: bool,
    ) -> Self {
        let tokenizer = load::words(vocab, Words { stop_words, is_lower_case });
        let backend = Backend::unconverted(tokenizer);
        Self::of(backend, Settings::default(), None, Template::new(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `WhitespaceTokenizer.tokenize` finds them.
    #[test]
    fn words_are_found_as_written_then_bare_then_in_lower_case() {
        let vocab = ["PAD", "Light", "light", "don't", "b.c", "the", "ΣΑΣ"].map(str::to_owned);
        let stop = HashSet::from(["the".to_owned()]);
        let tokenizer = Tokenizer::of_words(vocab.to_vec(), stop, false);
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
