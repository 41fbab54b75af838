//! Words that reach into silence.

use crate::speech::whisper::transcription::{Segment, Word};

/// Shortens words that are longer than they can be, as openai-whisper does: attention wanders where nobody
/// speaks, so that words around a pause take it for a part of them. `spoken` is where the last word of the
/// segments before ended, in seconds.
///
/// A word is too long at twice the median of the window's words, which counts for at most 0.7 seconds. It is
/// shortened at its end where a sentence ends with it, and else at its beginning: after the end of a sentence,
/// and as the first or the second of a segment after a pause of four medians. Words that lie half a second
/// outside their segment's timestamps are brought to them.
pub(super) fn trim(segments: &mut [Segment], spoken: &mut f64) {
    let words = segments.iter().flat_map(|segment| &segment.words);
    let Some(median) = median(words.map(length).filter(|&length| length > 0.0).collect()) else {
        return;
    };
    let median = median.min(LONGEST_MEDIAN);
    let most = 2.0 * median;
    let mut is_new = false;
    for word in segments.iter_mut().flat_map(|segment| &mut segment.words) {
        let ends = word.text.trim_end().ends_with(SENTENCE_ENDS);
        match length(word) > most {
            true if is_new => word.start = word.end - most,
            true if ends => word.end = word.start + most,
            _ => {}
        }
        is_new = ends;
    }
    for Segment { start, end, words, .. } in segments {
        if let [first, rest @ ..] = words.as_mut_slice() {
            let follows_pause = first.end - *spoken > 2.0 * most;
            let reaches = rest.first().is_some_and(|second| second.end - first.start > 2.0 * most);
            if follows_pause && (length(first) > most || reaches) {
                if let Some(second) = rest.first_mut().filter(|second| length(second) > most) {
                    second.start = second.end - most;
                    first.end = second.start;
                }
                first.start = first.start.max(first.end - most);
            }
            if *start < first.end && *start - FAR > first.start {
                first.start = start.min(first.end - median);
            }
        }
        if let Some(last) = words.last_mut() {
            if *end > last.start && *end + FAR < last.end {
                last.end = end.max(last.start + median);
            }
            *spoken = last.end;
        }
        for word in words {
            word.start = (word.start.max(0.0) * 100.0).round() / 100.0;
            word.end = (word.end * 100.0).round() / 100.0;
        }
    }
}

fn length(word: &Word) -> f64 {
    word.end - word.start
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) { values[middle - 1] } else { upper };
    Some((lower + upper) / 2.0)
}

/// Seconds of the longest median that counts.
const LONGEST_MEDIAN: f64 = 0.7;

/// Seconds that a word may lie outside its segment.
const FAR: f64 = 0.5;

const SENTENCE_ENDS: [char; 6] = ['.', '。', '!', '！', '?', '？'];

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start: f64, end: f64, words: &[(&str, f64, f64)]) -> Segment {
        let word = |&(text, start, end): &(&str, f64, f64)| Word {
            text: text.to_owned(),
            start,
            end,
            probability: 1.0,
        };
        Segment { start, end, words: words.iter().map(word).collect(), ..Segment::default() }
    }

    fn times(segments: &mut [Segment], spoken: f64) -> Vec<(f64, f64)> {
        trim(segments, &mut { spoken });
        segments.iter().flat_map(|it| &it.words).map(|word| (word.start, word.end)).collect()
    }

    #[test]
    fn words_around_pauses_are_shortened() {
        // The first begins in the silence before, the last goes on into that behind.
        let words =
            [(" one", 0.0, 4.0), (" two", 4.0, 4.3), (" three.", 4.3, 7.0), (" four", 7.0, 7.3)];
        let found = times(&mut [segment(0.0, 7.4, &words)], -9.0);
        // Lengths of 4, 0.3, 2.7 and 0.3: a median of 1.5, which counts as 0.7.
        assert_eq!(found, [(2.6, 4.0), (4.0, 4.3), (4.3, 5.7), (7.0, 7.3)]);
        let words = [(" one", 1.0, 1.3), (" two", 1.3, 1.6), (" three", 1.6, 1.9)];
        let found = times(&mut [segment(0.9, 2.0, &words)], 0.5);
        assert_eq!(found, [(1.0, 1.3), (1.3, 1.6), (1.6, 1.9)]);
    }

    #[test]
    fn words_come_to_their_segments() {
        let words = [(" one", 1.0, 2.0), (" two", 2.0, 2.2), (" three", 2.2, 3.5)];
        let found = times(&mut [segment(1.8, 2.6, &words)], 1.0);
        assert_eq!(found, [(1.3, 2.0), (2.0, 2.2), (2.2, 2.9)]);
        assert!(times(&mut [segment(0.0, 1.0, &[])], 0.0).is_empty());
    }
}
