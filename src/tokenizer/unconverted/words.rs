//! Whole words: `WhitespaceTokenizer` of sentence-transformers.

use std::collections::HashSet;

use crate::tokenizer::processor::Cut;
use crate::tokenizer::unconverted::space::is_space;

/// Which words of a text are left out, and how the others are looked for.
pub(in crate::tokenizer) struct Words {
    pub(in crate::tokenizer) stop_words: HashSet<String>,
    pub(in crate::tokenizer) is_lower_case: bool,
}

impl Words {
    /// The words that `is_known`, each as written, or without the punctuation around it, or in lower case.
    pub(super) fn cut(&self, text: &str, is_known: impl Fn(&str) -> bool) -> Vec<Cut> {
        let mut cuts = Vec::new();
        let mut start = 0;
        for word in text.split_inclusive(is_space) {
            let origin = start..start + word.trim_end_matches(is_space).len();
            start += word.len();
            let mut word = text[origin.clone()].to_owned();
            if self.is_lower_case {
                word = word.to_lowercase();
            }
            let stripped = word.trim_matches(|c: char| c.is_ascii_punctuation()).to_owned();
            let lower = stripped.to_lowercase();
            for form in [word, stripped, lower] {
                if form.is_empty() || self.stop_words.contains(&form) {
                    break;
                }
                if is_known(&form) {
                    cuts.push(Cut { piece: form, origin });
                    break;
                }
            }
        }
        cuts
    }
}
