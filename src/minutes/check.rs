//! Claims against what was said.

use std::collections::BTreeSet;

use crate::minutes::claim::Evidence;
use crate::minutes::utterance::Utterance;

/// What a claim rests on.
pub(super) struct Found {
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) evidence: Evidence,
}

/// A part of what was said, with the words of each utterance.
pub(super) struct Heard<'a> {
    utterances: &'a [Utterance],
    words: Vec<BTreeSet<String>>,
}

impl<'a> Heard<'a> {
    pub(super) fn new(utterances: &'a [Utterance]) -> Self {
        let words = utterances.iter().map(|utterance| {
            let mut words = content_words(&utterance.text);
            words.extend(utterance.speaker.iter().flat_map(|speaker| content_words(speaker)));
            words
        });
        Self { utterances, words: words.collect() }
    }

    /// Looks for the words of a claim at its time, and then in all of the part. `least` is the share of them
    /// that has to be said.
    pub(super) fn find(&self, text: &str, time: Option<(f64, f64)>, least: f64) -> Found {
        let (Some(first), Some(last)) = (self.utterances.first(), self.utterances.last()) else {
            return Found { start: 0.0, end: 0.0, evidence: Evidence::NotFound };
        };
        let wanted = content_words(text);
        let time = time.filter(|&(start, _)| {
            // A label has whole seconds.
            start >= first.start.floor() && start <= last.end
        });
        if let Some((start, end)) = time {
            let near: Vec<_> = (0..self.utterances.len())
                .filter(|&at| {
                    let said = &self.utterances[at];
                    said.end >= start - NEAR && said.start <= end.max(start) + NEAR
                })
                .collect();
            if self.share(&wanted, &near) >= least {
                let end = end.clamp(start, last.end.max(start));
                return Found { start, end, evidence: Evidence::Said };
            }
        }
        let best = self.best_window(&wanted);
        if let Some((window, share)) = best
            && share >= least
        {
            let (from, to) = (&self.utterances[window.0], &self.utterances[window.1]);
            return Found { start: from.start, end: to.end, evidence: Evidence::Moved };
        }
        let (start, end) = time.unwrap_or((first.start, last.end));
        Found { start, end: end.max(start), evidence: Evidence::NotFound }
    }

    /// Whether the words of a name or a date are said.
    pub(super) fn names(&self, text: &str) -> bool {
        let wanted = content_words(text);
        let all: Vec<_> = (0..self.words.len()).collect();
        !wanted.is_empty() && self.share(&wanted, &all) >= MOST_OF_A_NAME
    }

    /// The share of the words that is said in some utterances; all of none.
    fn share(&self, wanted: &BTreeSet<String>, utterances: &[usize]) -> f64 {
        if wanted.is_empty() {
            return 1.0;
        }
        let is_said = |word: &&String| utterances.iter().any(|&at| self.words[at].contains(*word));
        wanted.iter().filter(is_said).count() as f64 / wanted.len() as f64
    }

    /// The few utterances in a row in which most of the words are said, and the share; the shortest of those
    /// that say as much, and the first.
    fn best_window(&self, wanted: &BTreeSet<String>) -> Option<((usize, usize), f64)> {
        let mut best: Option<((usize, usize), f64)> = None;
        for length in 1..=WINDOW.min(self.utterances.len()) {
            for start in 0..=self.utterances.len() - length {
                let rows: Vec<_> = (start..start + length).collect();
                let share = self.share(wanted, &rows);
                if best.is_none_or(|(_, most)| share > most) {
                    best = Some(((start, start + length - 1), share));
                }
            }
        }
        best
    }
}

/// The words that carry meaning, each by its first letters, so that its endings do not matter. Writing without
/// spaces is cut into pairs of characters.
pub(super) fn content_words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let letters: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
        if letters.iter().any(|&letter| is_without_spaces(letter)) {
            match letters.len() {
                1 => drop(words.insert(letters.iter().collect())),
                _ => words.extend(letters.windows(2).map(|pair| pair.iter().collect::<String>())),
            }
            continue;
        }
        let word: String = letters.iter().take(STEM).collect();
        let is_number = letters.iter().any(char::is_ascii_digit);
        if is_number
            || (letters.len() >= SHORTEST_WORD
                && !FUNCTION_WORDS.contains(&&*letters.iter().collect::<String>()))
        {
            words.insert(word);
        }
    }
    words
}

/// Chinese, Japanese, Thai, Lao, Khmer and Burmese.
fn is_without_spaces(letter: char) -> bool {
    matches!(letter as u32, 0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

/// Seconds around a time in which its words may be said: people come to the point slowly.
const NEAR: f64 = 20.0;
/// Utterances in a row that are looked through for a claim without its time.
const WINDOW: usize = 4;
/// Letters by which words are compared.
const STEM: usize = 5;
const SHORTEST_WORD: usize = 3;
const MOST_OF_A_NAME: f64 = 0.5;
/// English words that are in every sentence, and what minutes say about talking.
const FUNCTION_WORDS: &[&str] = &[
    "about",
    "and",
    "are",
    "been",
    "but",
    "can",
    "could",
    "did",
    "does",
    "for",
    "from",
    "had",
    "has",
    "have",
    "her",
    "him",
    "his",
    "how",
    "into",
    "its",
    "may",
    "not",
    "one",
    "our",
    "out",
    "shall",
    "she",
    "should",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "was",
    "were",
    "what",
    "when",
    "which",
    "who",
    "will",
    "with",
    "would",
    "you",
    "your",
    "agreed",
    "decided",
    "discussed",
    "meeting",
    "mentioned",
    "participants",
    "said",
    "speaker",
    "team",
    "also",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Vec<Utterance> {
        vec![
            Utterance::new("Good morning, let us begin.", 0.0, 3.0).by("Anna"),
            Utterance::new("The printer on the second floor is broken.", 3.0, 8.0).by("Ben"),
            Utterance::new("Then we buy a new printer before Friday.", 60.0, 64.0).by("Anna"),
            Utterance::new("I will order one for 300 euros.", 64.0, 68.0).by("Ben"),
            Utterance::new("Next, the summer party.", 120.0, 123.0).by("Anna"),
        ]
    }

    #[test]
    fn claims_are_found_where_they_are_said() {
        let utterances = said();
        let heard = Heard::new(&utterances);
        for (text, time, expected, start) in [
            (
                "A new printer will be bought before Friday",
                Some((60.0, 60.0)),
                Evidence::Said,
                60.0,
            ),
            // Ben says it a little later.
            ("Ben orders a printer for 300 euros", Some((60.0, 60.0)), Evidence::Said, 60.0),
            ("A new printer will be bought before Friday", Some((0.0, 3.0)), Evidence::Moved, 60.0),
            (
                "A new printer will be bought before Friday",
                Some((4000.0, 4001.0)),
                Evidence::Moved,
                60.0,
            ),
            ("The summer party", None, Evidence::Moved, 120.0),
            ("The budget was doubled by the board", Some((60.0, 64.0)), Evidence::NotFound, 60.0),
            ("The budget was doubled by the board", None, Evidence::NotFound, 0.0),
            ("An order for 900 dollars", Some((64.0, 64.0)), Evidence::NotFound, 64.0),
        ] {
            let found = heard.find(text, time, 0.5);
            assert_eq!((found.evidence, found.start), (expected, start), "{text} at {time:?}");
            assert!(found.end >= found.start);
        }
        let nothing = Heard::new(&[]).find("x", Some((0.0, 1.0)), 0.5);
        assert_eq!(nothing.evidence, Evidence::NotFound);
    }

    #[test]
    fn names_are_those_that_were_said() {
        let utterances = said();
        let heard = Heard::new(&utterances);
        for (name, expected) in [
            ("Ben", true),
            ("Anna", true),
            ("Friday", true),
            ("Clara", false),
            ("", false),
            ("-", false),
        ] {
            assert_eq!(heard.names(name), expected, "{name}");
        }
    }

    #[test]
    fn words_without_endings_and_without_spaces() {
        let words = |text| content_words(text).into_iter().collect::<Vec<_>>();
        assert_eq!(words("The printers, printing: 3 of it!"), ["3", "print"]);
        assert_eq!(words("会議室"), ["会議", "議室"]);
        assert_eq!(words("Größe"), ["größe"]);
    }
}
