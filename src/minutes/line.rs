//! The lines in which a model writes, read leniently.
//!
//! ```text
//! TITLE: Printers and parties
//! DECISION [01:00] A new printer is bought.
//! ACTION [01:04] Ben | Friday | Order the printer.
//! ```
//!
//! Small models vary this: they number lines, write them in bold, put the time last, or write a heading and a
//! list below it. What still cannot be read is kept as it is.

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Title,
    Date,
    Attendee,
    Summary,
    Topic,
    Decision,
    Action,
}

/// A line that could be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) text: String,
    /// In seconds.
    pub(super) time: Option<(f64, f64)>,
}

/// Reads the lines of an answer, one after the other.
#[derive(Debug, Default)]
pub(super) struct LineReader {
    /// The heading that the lines stand below.
    heading: Option<Kind>,
}

/// What a line gives.
#[derive(Debug, PartialEq)]
pub(super) enum Read {
    Line(Line),
    /// An empty line, a heading, or one that says that there is nothing.
    Nothing,
    /// What could not be read.
    Other(String),
}

impl LineReader {
    pub(super) fn read(&mut self, line: &str) -> Read {
        let bare = bare(line);
        // A rule between sections, say.
        if !bare.contains(char::is_alphanumeric) {
            return Read::Nothing;
        }
        let (kind, rest) = match keyword(&bare) {
            Some((kind, rest)) => (Some(kind), rest.to_owned()),
            None => (None, bare.clone()),
        };
        let (time, text) = take_time(&rest);
        let text =
            text.trim_matches(|c: char| c.is_whitespace() || ":-–—*_".contains(c)).to_owned();
        match kind {
            Some(kind) if text.is_empty() && time.is_none() => {
                self.heading = Some(kind);
                Read::Nothing
            }
            Some(_) if is_nothing(&text) => Read::Nothing,
            Some(kind) => Read::Line(Line { kind, text, time }),
            None => match self.heading {
                Some(_) if is_nothing(&text) => Read::Nothing,
                Some(kind) if is_item(line) || time.is_some() => {
                    Read::Line(Line { kind, text, time })
                }
                _ => Read::Other(bare),
            },
        }
    }
}

/// The line without list marks, numbers, heading marks and emphasis.
fn bare(line: &str) -> String {
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    let mut rest = line.trim();
    loop {
        let before = rest;
        rest = rest.trim_start_matches(['#', '>', '•', '*']).trim_start();
        rest = rest.strip_prefix("- ").unwrap_or(rest).trim_start();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if (1..=3).contains(&digits)
            && let Some(after) = rest[digits..].strip_prefix(['.', ')'])
            && after.starts_with(' ')
        {
            rest = after.trim_start();
        }
        if rest == before {
            break;
        }
    }
    rest.replace("**", "").replace("__", "").trim().to_owned()
}

fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with(['-', '*', '•']) || line.starts_with(|c: char| c.is_ascii_digit())
}

/// The kind that a line names, and what stands behind.
fn keyword(line: &str) -> Option<(Kind, &str)> {
    let end = line.find(|c: char| !(c.is_alphabetic() || c == ' ')).unwrap_or(line.len());
    let head = &line[..end];
    KEYWORDS.iter().find_map(|&(word, kind)| {
        let found = head.get(..word.len()).filter(|start| start.eq_ignore_ascii_case(word))?;
        let rest = &line[found.len()..];
        let mark = rest.trim_start().chars().next();
        // In capitals it may stand before anything; else it must be set off.
        let is_set_off = mark.is_none_or(|mark| ":[(-–—|".contains(mark));
        let is_capital =
            found.chars().all(|c| !c.is_lowercase()) && !rest.starts_with(char::is_alphabetic);
        (is_set_off || is_capital)
            .then(|| (kind, rest.trim_start().trim_start_matches(':').trim_start()))
    })
}

/// The first time in brackets, and the text without it.
fn take_time(text: &str) -> (Option<(f64, f64)>, String) {
    for (at, open) in text.char_indices().filter(|(_, c)| "[(".contains(*c)).take(MOST_BRACKETS) {
        let close = if open == '[' { ']' } else { ')' };
        let Some(length) = text[at..].find(close) else { continue };
        let Some(time) = span(&text[at + 1..at + length]) else { continue };
        let rest = format!("{} {}", text[..at].trim_end(), text[at + length + 1..].trim_start());
        return (Some(time), rest.trim().to_owned());
    }
    // Without brackets, at the beginning.
    let first = text.split_whitespace().next().unwrap_or_default();
    match span(first.trim_end_matches([':', ',', '-'])) {
        Some(time) => (Some(time), text.trim_start()[first.len()..].trim_start().to_owned()),
        None => (None, text.to_owned()),
    }
}

/// `1:02:03`, `02:03` or `02:03-02:10`, in seconds.
fn span(text: &str) -> Option<(f64, f64)> {
    let mut times = text.split(['-', '–', '—', ',']).map(str::trim).filter(|time| !time.is_empty());
    let start = seconds(times.next()?)?;
    let end = times.next_back().map_or(Some(start), seconds)?;
    Some((start, end.max(start)))
}

fn seconds(text: &str) -> Option<f64> {
    let parts: Vec<_> = text.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    parts.iter().try_fold(0.0, |sum, part| {
        let whole = part.split('.').next().unwrap_or(part);
        let is_number =
            (1..=4).contains(&whole.len()) && whole.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| whole.parse::<f64>().ok()).flatten().map(|number| sum * 60.0 + number)
    })
}

/// Whether a text says that there is nothing.
pub(super) fn is_nothing(text: &str) -> bool {
    let text = text.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    matches!(
        text.as_str(),
        "" | "none"
            | "n/a"
            | "na"
            | "nothing"
            | "not said"
            | "not mentioned"
            | "not specified"
            | "unknown"
            | "no decision"
            | "no decisions"
            | "no action"
            | "no actions"
            | "unspecified"
            | "tbd"
    )
}

/// Brackets of a line that are looked into for a time.
const MOST_BRACKETS: usize = 16;
const KEYWORDS: &[(&str, Kind)] = &[
    ("title", Kind::Title),
    ("date", Kind::Date),
    ("attendees", Kind::Attendee),
    ("attendee", Kind::Attendee),
    ("participants", Kind::Attendee),
    ("summary", Kind::Summary),
    ("topics", Kind::Topic),
    ("topic", Kind::Topic),
    ("decisions", Kind::Decision),
    ("decision", Kind::Decision),
    ("action items", Kind::Action),
    ("action item", Kind::Action),
    ("actions", Kind::Action),
    ("action", Kind::Action),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Read> {
        let mut reader = LineReader::default();
        text.lines().map(|line| reader.read(line)).filter(|read| *read != Read::Nothing).collect()
    }

    fn line(kind: Kind, text: &str, time: Option<(f64, f64)>) -> Read {
        Read::Line(Line { kind, text: text.to_owned(), time })
    }

    #[test]
    fn lines_however_they_are_written() {
        let expected = line(Kind::Decision, "We buy a printer.", Some((62.0, 62.0)));
        for text in [
            "DECISION [01:02] We buy a printer.",
            "DECISION: [1:02] We buy a printer.",
            "Decision [01:02]: We buy a printer.",
            "- **Decision** [01:02] We buy a printer.",
            "* **DECISION:** We buy a printer. [01:02]",
            "3. decision: We buy a printer. (0:01:02)",
            "## Decision - [01:02.75] We buy a printer.",
            "DECISION 01:02 We buy a printer.",
            "## Decisions\n\n- [01:02] We buy a printer.",
            "Decisions:\n1. We buy a printer. (01:02)",
            "DECISIONS\n[01:02] We buy a printer.",
        ] {
            assert_eq!(
                read(text),
                [line(Kind::Decision, "We buy a printer.", Some((62.0, 62.0)))],
                "{text}"
            );
        }
        drop(expected);
        let spans = "TOPIC [01:02-1:00:00] Printers";
        assert_eq!(read(spans), [line(Kind::Topic, "Printers", Some((62.0, 3600.0)))]);
        let action = "ACTION [00:05] Ben | Friday | Order the printer (two)";
        assert_eq!(
            read(action),
            [line(Kind::Action, "Ben | Friday | Order the printer (two)", Some((5.0, 5.0)))]
        );
    }

    #[test]
    fn what_says_nothing_is_nothing_and_what_cannot_be_read_is_kept() {
        for text in [
            "",
            "   ",
            "DECISION: none",
            "ACTION [] -",
            "- Decisions: N/A",
            "Actions:\n- None.",
            "---",
            "***",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
        for text in [
            "Decision makers met in the hall.",
            "Sure, here are the minutes.",
            "Dated 3 May.",
            "[99:99:99:1] x",
        ] {
            assert_eq!(read(text), [Read::Other(text.to_owned())], "{text}");
        }
        // Below a heading, a sentence that is no item and has no time is still its own.
        let text = "Decisions:\nI hope this helps.";
        assert_eq!(read(text), [Read::Other("I hope this helps.".to_owned())]);
    }

    #[test]
    fn hostile_lines() {
        for text in [
            "DECISION [",
            "DECISION (((([[[[",
            "[9999999:99] x",
            "DECISION [-]",
            "é",
            "ACTION\u{0}\u{7} x",
            "DÉCISION: x",
        ] {
            let found = read(text);
            assert!(found.len() <= 1, "{text}: {found:?}");
        }
        let long = format!("DECISION {}", "(x".repeat(20_000));
        assert_eq!(read(&long).len(), 1);
    }
}
