//! Whole words: `WhitespaceTokenizer` and `PhraseTokenizer` of sentence-transformers.

use std::collections::{BTreeSet, HashSet};

use crate::tokenizer::processor::Cut;
use crate::tokenizer::unconverted::space::is_space;
use crate::tokenizer::unconverted::treebank;

/// Which words of a text are left out, and how the others are looked for.
pub(in crate::tokenizer) struct Words {
    pub(in crate::tokenizer) stop_words: HashSet<String>,
    pub(in crate::tokenizer) kind: WordKind,
}

/// How a text is cut to words.
pub(in crate::tokenizer) enum WordKind {
    /// At spaces: `WhitespaceTokenizer`.
    Spaced { is_lower_case: bool },
    /// As NLTK does it, and phrases are one word: `PhraseTokenizer`.
    Phrases(Phrases),
}

/// Words of the vocabulary that are several words of a text.
pub(in crate::tokenizer) struct Phrases {
    separator: String,
    known: HashSet<String>,
    /// Of how many words there are some.
    lengths: BTreeSet<usize>,
}

impl Words {
    /// The words that `is_known`, each as written, or else in lower case or without the punctuation around it.
    pub(super) fn cut(&self, text: &str, is_known: impl Fn(&str) -> bool) -> Vec<Cut> {
        let words = match &self.kind {
            WordKind::Spaced { .. } => spaced(text),
            WordKind::Phrases(phrases) => phrases.join(treebank::words(text)),
        };
        let bare = |word: &str| word.trim_matches(|c: char| c.is_ascii_punctuation()).to_owned();
        let mut cuts = Vec::new();
        for Cut { piece, origin } in words {
            let forms = match &self.kind {
                WordKind::Spaced { is_lower_case } => {
                    let word = if *is_lower_case { piece.to_lowercase() } else { piece };
                    let bare = bare(&word);
                    let lower = bare.to_lowercase();
                    [word, bare, lower]
                }
                WordKind::Phrases(_) => {
                    let lower = piece.to_lowercase();
                    let bare = bare(&lower);
                    [piece, lower, bare]
                }
            };
            for form in forms {
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

impl Phrases {
    /// Those of a vocabulary: `New_York`. Words with two separators one after the other, and those of more than
    /// `longest` words, are none.
    pub(in crate::tokenizer) fn of(
        vocab: &[String],
        separator: Option<String>,
        longest: usize,
    ) -> Self {
        let (mut known, mut lengths) = (HashSet::new(), BTreeSet::new());
        let separator = separator.filter(|separator| !separator.is_empty());
        if let Some(separator) = &separator {
            let twice = separator.repeat(2);
            for word in vocab {
                let length = word.matches(separator.as_str()).count() + 1;
                if length > 1 && length <= longest && !word.contains(&twice) {
                    known.insert(word.clone());
                    lengths.insert(length);
                }
            }
        }
        Self { separator: separator.unwrap_or_default(), known, lengths }
    }

    /// Of how many words the longest is.
    pub(in crate::tokenizer) fn longest(&self) -> usize {
        self.lengths.last().copied().unwrap_or(0)
    }

    /// Puts the words of each phrase together, the longest phrases first.
    fn join(&self, mut words: Vec<Cut>) -> Vec<Cut> {
        for &length in self.lengths.iter().rev() {
            let mut joined = Vec::with_capacity(words.len());
            let mut rest = words.as_slice();
            while let [first, others @ ..] = rest {
                let phrase = rest.get(..length).and_then(|words| self.phrase(words));
                match phrase {
                    Some(phrase) => {
                        joined.push(phrase);
                        rest = &rest[length..];
                    }
                    None => {
                        joined.push(first.clone());
                        rest = others;
                    }
                }
            }
            words = joined;
        }
        words
    }

    /// These words as one, if they are: as written or in lower case.
    fn phrase(&self, words: &[Cut]) -> Option<Cut> {
        let pieces: Vec<&str> = words.iter().map(|word| word.piece.as_str()).collect();
        let written = pieces.join(&self.separator);
        let lower = || Some(written.to_lowercase()).filter(|lower| self.known.contains(lower));
        let piece = if self.known.contains(&written) { written } else { lower()? };
        let origin = words.first()?.origin.start..words.last()?.origin.end;
        Some(Cut { piece, origin })
    }
}

/// Words between spaces.
fn spaced(text: &str) -> Vec<Cut> {
    let mut words = Vec::new();
    let mut start = 0;
    for word in text.split_inclusive(is_space) {
        let piece = word.trim_end_matches(is_space);
        if !piece.is_empty() {
            words.push(Cut { piece: piece.to_owned(), origin: start..start + piece.len() });
        }
        start += word.len();
    }
    words
}
