//! What a model is asked.

use crate::minutes::claim::Claim;
use crate::minutes::part::clock;
use crate::tokenizer::chat::Message;

/// What is written about a part of a transcript.
pub(super) fn of_part(
    lines: &str,
    number: usize,
    count: usize,
    language: Option<&str>,
) -> Vec<Message> {
    let part = match count {
        1 => "the transcript of a meeting".to_owned(),
        _ => format!("part {number} of {count} of the transcript of a meeting"),
    };
    let system = format!("{PART}{}", in_language(language));
    let question = format!("This is {part}:\n\n{lines}\nWrite the minutes of it, one item a line.");
    vec![Message::system(system), Message::user(question)]
}

/// What is written about the summaries of parts.
pub(super) fn of_summaries(claims: &[Claim], language: Option<&str>) -> Vec<Message> {
    let system = format!("{WHOLE}{}", in_language(language));
    let question = format!("{}\nWrite the title and the summary.", summary_lines(claims));
    vec![Message::system(system), Message::user(question)]
}

pub(super) fn summary_lines(claims: &[Claim]) -> String {
    claims.iter().map(|claim| format!("[{}] {}\n", clock(claim.start), claim.text)).collect()
}

fn in_language(language: Option<&str>) -> String {
    match language {
        Some(language) => {
            format!("\nWrite in this language: {language}. Keep the words in capitals as they are.")
        }
        None => String::new(),
    }
}

const PART: &str = "\
You write the minutes of meetings. You are given lines of a transcript, each with its time. Answer with lines of \
these kinds only:
TITLE: what the meeting is about, in a few words
DATE: the date of the meeting, if it is said
ATTENDEE: the name of one person who takes part, if it is said
SUMMARY [time] one sentence on what was said
TOPIC [time] a topic that was talked about
DECISION [time] something that was decided
ACTION [time] who | by when | what is to be done

Copy the time from the line of the transcript that says it. Put - for who or by when if it is not said. Write only \
what the transcript says. Leave out kinds of which there is nothing.

An example:
TITLE: Printers
SUMMARY [00:10] The printer on the second floor is broken.
DECISION [01:05] A new printer is bought.
ACTION [01:12] Ben | Friday | Order the printer.";

const WHOLE: &str = "\
You write the minutes of meetings. You are given notes on the parts of a meeting, each with its time. Answer with \
lines of these kinds only:
TITLE: what the meeting is about, in a few words
SUMMARY [time] one sentence on what was said

Write at most six lines of SUMMARY. Copy the time from the note. Write only what the notes say.";
