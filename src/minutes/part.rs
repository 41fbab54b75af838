//! Transcripts in parts that a model can read at once.

use crate::error::{Error, Result};
use crate::minutes::utterance::Utterance;

/// The utterances as lines with their times, `[01:02] Anna: Good morning.`
pub(super) fn lines(utterances: &[Utterance]) -> String {
    utterances.iter().map(|utterance| line(utterance) + "\n").collect()
}

fn line(utterance: &Utterance) -> String {
    let Utterance { start, speaker, text, .. } = utterance;
    match speaker {
        Some(speaker) => format!("[{}] {speaker}: {text}", clock(*start)),
        None => format!("[{}] {text}", clock(*start)),
    }
}

/// `01:02`, or `1:01:02` from an hour on.
pub(super) fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Parts of at most `most` tokens, cut between utterances; an utterance that alone is longer is cut between
/// words, its time with it.
pub(super) fn split(
    utterances: Vec<Utterance>,
    most: usize,
    count: &dyn Fn(&str) -> Result<usize>,
) -> Result<Vec<Vec<Utterance>>> {
    let mut parts: Vec<Vec<Utterance>> = Vec::new();
    let mut room = 0;
    for utterance in utterances {
        for piece in pieces(utterance, most, count)? {
            // Tokens do not quite add up; the line break is one of its own.
            let tokens = count(&line(&piece))? + 1;
            match parts.last_mut() {
                Some(part) if tokens <= room => {
                    room -= tokens;
                    part.push(piece);
                }
                _ => {
                    room = most.saturating_sub(tokens);
                    parts.push(vec![piece]);
                }
            }
        }
    }
    Ok(parts)
}

fn pieces(
    utterance: Utterance,
    most: usize,
    count: &dyn Fn(&str) -> Result<usize>,
) -> Result<Vec<Utterance>> {
    let mut done = Vec::new();
    let mut waiting = vec![utterance];
    while let Some(utterance) = waiting.pop() {
        if count(&line(&utterance))? < most {
            done.push(utterance);
            continue;
        }
        let Some((first, second)) = halves(&utterance) else {
            let reason = format!("{most} tokens for a part of the transcript are too few");
            return Err(Error::option("max_part_tokens", reason));
        };
        waiting.extend([second, first]);
    }
    Ok(done)
}

/// Cut at the word in the middle, or at the character where there is one word; `None` of a single character.
fn halves(utterance: &Utterance) -> Option<(Utterance, Utterance)> {
    let text = &utterance.text;
    let middle = text.len() / 2;
    let spaces = text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at);
    let near = |at: &usize| at.abs_diff(middle);
    let cut = spaces
        .min_by_key(near)
        .or_else(|| text.char_indices().map(|(at, _)| at).filter(|&at| at > 0).min_by_key(near))?;
    let share = cut as f64 / text.len() as f64;
    let time = utterance.start + (utterance.end - utterance.start) * share;
    let first = Utterance { end: time, text: text[..cut].trim().to_owned(), ..utterance.clone() };
    let second =
        Utterance { start: time, text: text[cut..].trim().to_owned(), ..utterance.clone() };
    (!first.text.is_empty() && !second.text.is_empty()).then_some((first, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token is a word.
    fn words(text: &str) -> Result<usize> {
        Ok(text.split_whitespace().count())
    }

    #[test]
    fn times_are_written_as_on_a_clock() {
        for (seconds, expected) in [
            (0.0, "00:00"),
            (62.9, "01:02"),
            (3661.0, "1:01:01"),
            (-5.0, "00:00"),
            (f64::NAN, "00:00"),
        ] {
            assert_eq!(clock(seconds), expected);
        }
    }

    #[test]
    fn parts_end_between_utterances() {
        let said = |text: &str, start: f64| Utterance::new(text, start, start + 1.0);
        let utterances =
            vec![said("a b", 0.0), said("c d", 1.0), said("e", 2.0), said("f g h", 3.0)];
        // Lines of 3, 3, 2 and 4 tokens, and one for each line break.
        for (most, expected) in
            [(8, vec![2, 2]), (11, vec![3, 1]), (16, vec![4]), (5, vec![1, 1, 1, 1])]
        {
            let parts = split(utterances.clone(), most, &words).unwrap();
            assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), expected, "{most}");
            assert_eq!(parts.concat(), utterances);
        }
        assert!(split(Vec::new(), 5, &words).unwrap().is_empty());
    }

    #[test]
    fn an_utterance_that_is_too_long_is_cut_with_its_time() {
        let long = Utterance::new("a b c d e f g h", 10.0, 18.0).by("X");
        let parts = split(vec![long], 7, &words).unwrap();
        let all: Vec<_> = parts.concat();
        assert_eq!(
            all.iter().map(|u| u.text.as_str()).collect::<Vec<_>>().join(" "),
            "a b c d e f g h"
        );
        assert!(all.len() >= 2 && all.iter().all(|u| u.speaker.as_deref() == Some("X")));
        assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!((all[0].start, all[all.len() - 1].end) == (10.0, 18.0));
        let one = Utterance::new("x", 0.0, 1.0);
        assert!(split(vec![one], 1, &words).unwrap_err().is_caller_error());
    }
}
