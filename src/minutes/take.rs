//! From a transcript to minutes: part by part, and together.

use crate::error::{Error, Result};
use crate::generation::CancelHandle;
use crate::minutes::Minutes;
use crate::minutes::check::Heard;
use crate::minutes::claim::{Claim, Doubt};
use crate::minutes::draft::{Answer, Draft};
use crate::minutes::options::MinutesOptions;
use crate::minutes::part::{lines, split};
use crate::minutes::prompt::{of_part, of_summaries, summary_lines};
use crate::minutes::utterance::{Utterance, in_order};
use crate::minutes::writer::Writer;
use crate::tokenizer::chat::Message;

/// What happens while minutes are taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum MinutesEvent<'a> {
    /// The model begins to read a part, counted from 0.
    Part {
        /// Which.
        number: usize,
        /// How many there are.
        count: usize,
        /// How far the recording is read by then, in seconds.
        time: f64,
    },
    /// The parts are read, and their summaries are put together.
    Joining,
    /// The model writes: a piece of its answer, as it comes and before it is checked.
    Writes(&'a str),
    /// More of the minutes' [Markdown](Minutes::to_markdown), in order: all pieces together are all of it. A
    /// piece comes as soon as nothing before it can change.
    Markdown(&'a str),
}

/// Takes the minutes of a meeting.
///
/// A transcript of more than `max_part_tokens`, or than the model's context allows, is cut between utterances.
/// The model reads each part once and writes what it says: topics, decisions and actions, each with its time.
/// Each is checked against the words around that time. Then the model makes one summary of those of the
/// parts, in several rounds if they are many. Nothing that a part says is lost by that: topics, decisions and
/// actions are put together without the model.
///
/// # Errors
///
/// When nothing was said, an option is out of range, the context is too small for any part, the model fails, or
/// the call is cancelled ([`Error::Interrupted`]).
pub fn take_minutes(
    utterances: &[Utterance],
    writer: &dyn Writer,
    options: &MinutesOptions,
    event: &mut dyn FnMut(MinutesEvent<'_>),
) -> Result<Minutes> {
    if !(0.0..=1.0).contains(&options.least_evidence) {
        return Err(Error::option("least_evidence", "should be between 0 and 1"));
    }
    let said = in_order(utterances);
    if said.is_empty() {
        return Err(Error::input("nothing was said in this recording"));
    }
    let language = options.language.as_deref();
    let most = room(writer, options, &of_part("", 99, 99, language))?;
    let parts = split(said, most, &|text| writer.count_tokens(text))?;
    let count = parts.len();
    let mut taking =
        Taking { writer, options, draft: Draft::new(options), told: String::new(), event };
    taking.draft.minutes.parts = count;
    for speaker in parts.iter().flatten().filter_map(|utterance| utterance.speaker.as_deref()) {
        taking.draft.add_speaker(speaker);
    }
    let mut summary = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let time = part.first().map_or(0.0, |utterance| utterance.start);
        (taking.event)(MinutesEvent::Part { number, count, time });
        let question = of_part(&lines(part), number + 1, count, language);
        let heard = Heard::new(part);
        let is_only = count == 1;
        taking.ask(&question, number, &heard, &mut summary, is_only)?;
    }
    if count > 1 {
        let heard = parts.concat();
        summary = taking.join(summary, &Heard::new(&heard))?;
    }
    taking.draft.minutes.summary = summary;
    let whole = taking.draft.minutes.to_markdown(options.recording.as_deref());
    taking.tell(&whole);
    Ok(taking.draft.minutes)
}

/// The tokens of a part that leave room for the question and the answer.
fn room(writer: &dyn Writer, options: &MinutesOptions, around: &[Message]) -> Result<usize> {
    if options.max_part_tokens == 0 {
        return Err(Error::option("max_part_tokens", "should be at least 1"));
    }
    let Some(context) = writer.context() else { return Ok(options.max_part_tokens) };
    let mut taken = options.generation.max_new_tokens.unwrap_or(800);
    for message in around {
        // And what the chat template puts around it.
        taken += writer.count_tokens(&message.text())? + 16;
    }
    let left = context.saturating_sub(taken);
    if left < LEAST_PART {
        let reason = format!(
            "the model's context of {context} tokens leaves {left} for the transcript beside question and \
             answer ({taken}); lower `max_new_tokens`, or use a model with a longer context"
        );
        return Err(Error::option("generation", reason));
    }
    Ok(options.max_part_tokens.min(left))
}

struct Taking<'a> {
    writer: &'a dyn Writer,
    options: &'a MinutesOptions,
    draft: Draft<'a>,
    /// The Markdown that was given out.
    told: String,
    event: &'a mut dyn FnMut(MinutesEvent<'_>),
}

impl Taking<'_> {
    /// Asks the model, and takes its lines as they come; `is_last` where its summary is that of the minutes.
    fn ask(
        &mut self,
        question: &[Message],
        number: usize,
        heard: &Heard<'_>,
        summary: &mut Vec<Claim>,
        is_last: bool,
    ) -> Result<()> {
        let Self { writer, options, .. } = *self;
        let check = || match options.cancel.as_ref().is_some_and(CancelHandle::is_cancelled) {
            true => Err(Error::Interrupted),
            false => Ok(()),
        };
        check()?;
        let mut answer = Answer::default();
        let written = writer.write(question, &options.generation, &mut |piece| {
            (self.event)(MinutesEvent::Writes(piece));
            for read in answer.push(piece) {
                if self.draft.take(read, heard, summary) && is_last {
                    self.tell_summary(summary);
                }
            }
        })?;
        check()?;
        if self.draft.take(answer.end(), heard, summary) && is_last {
            self.tell_summary(summary);
        }
        if written.is_cut {
            self.draft.minutes.doubts.push(Doubt::CutAnswer(number));
        }
        Ok(())
    }

    /// One summary of those of the parts, in as many rounds as it takes. A model that does not make it shorter
    /// does not make it better either: then it stays.
    fn join(&mut self, mut summary: Vec<Claim>, heard: &Heard<'_>) -> Result<Vec<Claim>> {
        (self.event)(MinutesEvent::Joining);
        let language = self.options.language.as_deref();
        let most = room(self.writer, self.options, &of_summaries(&[], language))?;
        // The title of the whole is better than that of its first part.
        let of_first = self.draft.minutes.title.take_if(|_| self.options.title.is_none());
        let joined = self.join_rounds(&mut summary, heard, most);
        self.draft.minutes.title = self.draft.minutes.title.take().or(of_first);
        joined.map(|()| summary)
    }

    fn join_rounds(
        &mut self,
        summary: &mut Vec<Claim>,
        heard: &Heard<'_>,
        most: usize,
    ) -> Result<()> {
        let language = self.options.language.as_deref();
        loop {
            let groups = groups(summary, most, self.writer)?;
            let is_last = groups.len() <= 1;
            let mut joined = Vec::new();
            for group in &groups {
                let mut of_group = Vec::new();
                let question = of_summaries(group, language);
                self.ask(&question, self.draft.minutes.parts, heard, &mut of_group, is_last)?;
                // What the model left out of it entirely.
                if of_group.is_empty() {
                    of_group = group.to_vec();
                }
                joined.extend(of_group);
            }
            let is_shorter = joined.len() < summary.len();
            if is_last || is_shorter {
                *summary = joined;
            }
            if is_last || !is_shorter {
                return Ok(());
            }
            // Names of groups are not those of the whole.
            self.draft.minutes.title.take_if(|_| self.options.title.is_none());
        }
    }

    /// Gives out the Markdown up to the end of the summary so far.
    fn tell_summary(&mut self, summary: &[Claim]) {
        let minutes = &self.draft.minutes;
        // A title or a date may still come; both stand before the summary.
        if self.told.is_empty() && minutes.title.is_none() {
            return;
        }
        self.draft.is_told = true;
        let minutes = &self.draft.minutes;
        let so_far = Minutes {
            title: minutes.title.clone(),
            date: minutes.date.clone(),
            attendees: minutes.attendees.clone(),
            summary: summary.to_vec(),
            ..Minutes::default()
        };
        let text = so_far.to_markdown(self.options.recording.as_deref());
        self.tell(&text);
    }

    /// Gives out what is new in `text`.
    fn tell(&mut self, text: &str) {
        let Some(new) = text.strip_prefix(self.told.as_str()).filter(|new| !new.is_empty()) else {
            return;
        };
        (self.event)(MinutesEvent::Markdown(new));
        self.told = text.to_owned();
    }
}

/// Claims in groups that the model can read at once.
fn groups<'a>(claims: &'a [Claim], most: usize, writer: &dyn Writer) -> Result<Vec<&'a [Claim]>> {
    let (mut groups, mut start, mut taken) = (Vec::new(), 0, 0);
    for (at, claim) in claims.iter().enumerate() {
        let tokens = writer.count_tokens(&summary_lines(std::slice::from_ref(claim)))? + 1;
        if taken + tokens > most && at > start {
            groups.push(&claims[start..at]);
            (start, taken) = (at, 0);
        }
        taken += tokens;
    }
    if start < claims.len() {
        groups.push(&claims[start..]);
    }
    Ok(groups)
}

/// Fewer tokens of a transcript say nothing.
const LEAST_PART: usize = 64;
