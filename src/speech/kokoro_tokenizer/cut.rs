//! Long texts are cut to what Kokoro reads at once, and words are found in what is heard. Source: `en_tokenize` and
//! `join_timestamps` of `pipeline.py` in kokoro 0.9.4.

use std::ops::Range;

/// A word or a mark, and how it is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Empty where nobody knows.
    pub(super) phonemes: String,
    /// What stands behind it in the text.
    pub(super) whitespace: String,
}

impl Token {
    /// Characters of the phonemes, with the space behind them.
    fn length(&self) -> usize {
        self.phonemes.chars().count() + usize::from(!self.whitespace.is_empty())
    }
}

/// The phonemes of some tokens.
pub(super) fn phonemes(tokens: &[Token]) -> String {
    let space = |token: &Token| if token.whitespace.is_empty() { "" } else { " " };
    let all: String = tokens.iter().flat_map(|token| [&*token.phonemes, space(token)]).collect();
    all.trim().to_owned()
}

/// The text of some tokens.
pub(super) fn text(tokens: &[Token]) -> String {
    let all: String = tokens.iter().flat_map(|token| [&*token.text, &*token.whitespace]).collect();
    all.trim().to_owned()
}

/// Tokens in groups of at most `most` phonemes, which end at the end of a sentence, else at a mark within it, else
/// where it is.
pub(super) fn cut(tokens: Vec<Token>, most: usize) -> Vec<Vec<Token>> {
    let mut groups = Vec::new();
    let mut group: Vec<Token> = Vec::new();
    let mut count = 0;
    for token in tokens.into_iter().flat_map(|token| split(token, most)) {
        let all = count + token.phonemes.trim_end().chars().count();
        if all > most {
            let rest = group.split_off(end(&group, all, most));
            groups.push(std::mem::replace(&mut group, rest));
            count = phonemes(&group).chars().count();
            // A group does not begin with a space.
            if group.is_empty() && token.phonemes.is_empty() {
                group.push(token);
                continue;
            }
        }
        count += token.length();
        group.push(token);
    }
    groups.push(group);
    groups.retain(|group| !phonemes(group).is_empty());
    groups
}

/// Where a group ends that grows too long with the next token.
fn end(tokens: &[Token], all: usize, most: usize) -> usize {
    for marks in ["!.?…", ":;", ",—"] {
        let is_mark = |token: &Token| single(token).is_some_and(|mark| marks.contains(mark));
        let Some(mut end) = tokens.iter().rposition(is_mark).map(|at| at + 1) else { continue };
        if tokens.get(end).and_then(single).is_some_and(|mark| ")”".contains(mark)) {
            end += 1;
        }
        if all - phonemes(&tokens[..end]).chars().count().min(all) <= most {
            return end;
        }
    }
    tokens.len()
}

fn single(token: &Token) -> Option<char> {
    let mut phonemes = token.phonemes.chars();
    phonemes.next().filter(|_| phonemes.next().is_none())
}

/// A token that alone is too long, in several.
fn split(token: Token, most: usize) -> Vec<Token> {
    let symbols: Vec<char> = token.phonemes.chars().collect();
    if symbols.len() <= most {
        return vec![token];
    }
    let count = symbols.len().div_ceil(most);
    let part = |(number, symbols): (usize, &[char])| Token {
        text: if number == 0 { token.text.clone() } else { String::new() },
        phonemes: symbols.iter().collect(),
        whitespace: if number + 1 == count { token.whitespace.clone() } else { String::new() },
    };
    symbols.chunks(most).enumerate().map(part).collect()
}

/// When each word, a range of ids, is heard, in halves of frames, of the frames of each id; the first and the last id
/// are ends. Half of a space belongs to the word before it, and half to the word behind it. At the beginning something
/// is heard already in the last `quiet` frames.
pub(super) fn times(
    words: &[Range<usize>],
    is_space: impl Fn(usize) -> bool,
    frames: &[usize],
    quiet: usize,
) -> Vec<[usize; 2]> {
    let mut ends = vec![0];
    let mut end = 0;
    for count in frames {
        end += 2 * count;
        ends.push(end);
    }
    let early = 2 * quiet.min(frames.first().copied().unwrap_or_default());
    let half_space =
        |at: usize| if is_space(at) { frames.get(at).copied().unwrap_or(0) } else { 0 };
    let place = |at: usize| ends.get(at).copied().unwrap_or(end);
    let time = |word: &Range<usize>| {
        let before = word.start.checked_sub(1).map_or(0, half_space);
        let start = place(word.start).saturating_sub(before + early);
        [start, (place(word.end) + half_space(word.end)).saturating_sub(early)]
    };
    words.iter().map(time).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// `tests/goldens/voices/kokoro_cuts.json`, by `make_kokoro.py`.
    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        tokens: Vec<(String, Option<String>, String)>,
        chunks: Vec<Chunk>,
    }

    #[derive(Deserialize)]
    struct Chunk {
        text: String,
        phonemes: String,
        frames: Vec<usize>,
        times: Vec<[Option<f64>; 2]>,
    }

    #[test]
    fn long_texts_are_cut_and_words_timed_as_in_the_reference() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../../tests/goldens/voices/kokoro_cuts.json"))
                .unwrap();
        let mut timed = 0;
        for case in golden.cases {
            let token = |(text, phonemes, whitespace): (String, Option<String>, String)| Token {
                text,
                phonemes: phonemes.unwrap_or_default(),
                whitespace,
            };
            let groups = cut(case.tokens.into_iter().map(token).collect(), 510);
            assert_eq!(groups.len(), case.chunks.len());
            for (group, chunk) in groups.iter().zip(&case.chunks) {
                assert_eq!(phonemes(group), chunk.phonemes);
                assert_eq!(text(group), chunk.text);
                if group.iter().any(|token| token.phonemes.is_empty()) {
                    // Behind these the reference counts a space twice.
                    continue;
                }
                let (mut at, mut words, mut spaces) = (1, Vec::new(), Vec::new());
                for token in group {
                    let end = at + token.phonemes.chars().count();
                    words.push(at..end);
                    at = end;
                    if !token.whitespace.is_empty() {
                        spaces.push(at);
                        at += 1;
                    }
                }
                // Where it goes on with another part, the reference takes the end for a space.
                words.pop();
                let last = chunk.times.len() - 1;
                let found = times(&words, |at| spaces.contains(&at), &chunk.frames, 3);
                let found: Vec<_> =
                    found.iter().map(|pair| pair.map(|half| half as f64 / 80.0)).collect();
                let expected: Vec<_> =
                    chunk.times[..last].iter().map(|pair| pair.map(Option::unwrap)).collect();
                assert_eq!(found, expected);
                timed += words.len();
            }
        }
        assert!(timed > 200, "{timed}");
    }

    #[test]
    fn nothing_is_lost_of_a_word_without_end() {
        let word = Token { text: "a".into(), phonemes: "ab".repeat(600), whitespace: " ".into() };
        let groups = cut(vec![word.clone(), word], 510);
        let lengths: Vec<_> = groups.iter().map(|group| phonemes(group).len()).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 2400, "{lengths:?}");
        assert!(lengths.iter().all(|&length| length <= 510), "{lengths:?}");
        assert_eq!(cut(Vec::new(), 510), Vec::<Vec<Token>>::new());
    }
}
