//! What a model has written so far, checked line by line.

use crate::minutes::Minutes;
use crate::minutes::check::{Heard, content_words};
use crate::minutes::claim::{Action, Claim, Doubt, Evidence};
use crate::minutes::line::{Kind, Line, LineReader, Read, is_nothing};
use crate::minutes::options::MinutesOptions;

/// Minutes in the making.
pub(super) struct Draft<'a> {
    options: &'a MinutesOptions,
    pub(super) minutes: Minutes,
    /// Whether title, date and attendees were given out, so that they cannot change.
    pub(super) is_told: bool,
}

/// One answer of the model, which is read while it comes.
#[derive(Debug, Default)]
pub(super) struct Answer {
    reader: LineReader,
    /// A line that is not complete.
    line: String,
}

impl Answer {
    /// Takes a piece, and gives the lines that it completes.
    pub(super) fn push(&mut self, piece: &str) -> Vec<Read> {
        self.line += piece;
        let mut lines = Vec::new();
        while let Some(end) = self.line.find(['\n', '\r']) {
            let rest = self.line.split_off(end + 1);
            let line = std::mem::replace(&mut self.line, rest);
            lines.push(self.reader.read(&line));
        }
        lines
    }

    pub(super) fn end(&mut self) -> Read {
        let line = std::mem::take(&mut self.line);
        self.reader.read(&line)
    }
}

impl<'a> Draft<'a> {
    pub(super) fn new(options: &'a MinutesOptions) -> Self {
        let minutes = Minutes {
            title: options.title.clone(),
            date: options.date.clone(),
            attendees: options.attendees.clone().unwrap_or_default(),
            ..Minutes::default()
        };
        Self { options, minutes, is_told: false }
    }

    /// Takes a line about what was heard. Summaries go to `summary`, as those of parts are no end yet. Returns
    /// whether it was a line of the summary.
    pub(super) fn take(&mut self, read: Read, heard: &Heard<'_>, summary: &mut Vec<Claim>) -> bool {
        let line = match read {
            Read::Nothing => return false,
            Read::Other(text) => {
                self.minutes.notes.push(text);
                return false;
            }
            Read::Line(line) => line,
        };
        match line.kind {
            Kind::Date | Kind::Attendee if self.is_told => {
                let name = if line.kind == Kind::Date { "Date" } else { "Attendee" };
                self.minutes.notes.push(format!("{name}: {}", line.text));
            }
            Kind::Title => {
                let title = line.text.trim_matches(['"', '\'', '.']).to_owned();
                self.minutes.title.get_or_insert(title);
            }
            Kind::Date => {
                if self.minutes.date.is_none() && self.is_named(&line.text, heard) {
                    self.minutes.date = Some(line.text);
                }
            }
            Kind::Attendee => {
                for name in line.text.split([',', ';', '|']).map(str::trim) {
                    self.add_attendee(name, heard);
                }
            }
            Kind::Summary => {
                let claim = self.claim(&line.text, line.time, heard);
                let is_new = claim.as_ref().is_some_and(|claim| !is_said_already(summary, claim));
                summary.extend(claim.filter(|_| is_new));
                return is_new;
            }
            Kind::Topic | Kind::Decision => {
                let Some(claim) = self.claim(&line.text, line.time, heard) else { return false };
                let minutes = &mut self.minutes;
                let list = if line.kind == Kind::Topic {
                    &mut minutes.topics
                } else {
                    &mut minutes.decisions
                };
                if !is_said_already(list, &claim) {
                    list.push(claim);
                }
            }
            Kind::Action => self.take_action(&line, heard),
        }
        false
    }

    /// `owner | due | task`, `owner | task` or the task alone.
    fn take_action(&mut self, line: &Line, heard: &Heard<'_>) {
        let fields: Vec<_> = line.text.split('|').map(str::trim).collect();
        let (owner, due, task) = match fields[..] {
            [task] => (None, None, task.to_owned()),
            [owner, task] => (Some(owner), None, task.to_owned()),
            [owner, due, ref task @ ..] => {
                (Some(owner), Some(due), task.join(" ").trim().to_owned())
            }
            [] => return,
        };
        let said = |field: Option<&str>, labels: &[&str]| {
            let field = field?;
            let bare = labels.iter().find_map(|label| strip_label(field, label)).unwrap_or(field);
            Some(bare.trim()).filter(|field| !is_nothing(field)).map(str::to_owned)
        };
        let mut owner = said(owner, &["owner", "who"]);
        let mut due = said(due, &["due", "by when", "by"]);
        let task = ["task", "what"]
            .iter()
            .find_map(|label| strip_label(&task, label))
            .unwrap_or(&task)
            .trim();
        if is_nothing(task) {
            if owner.is_some() || due.is_some() {
                self.minutes.notes.push(line.text.clone());
            }
            return;
        }
        // Who does it is often who says it, and is no part of the words.
        let Some(claim) = self.claim(task, line.time, heard) else { return };
        if let Some(name) = owner.take_if(|name| !heard.names(name) && !self.attends(name)) {
            self.minutes.doubts.push(Doubt::Owner(name));
        }
        if let Some(date) = due.take_if(|date| !heard.names(date)) {
            self.minutes.doubts.push(Doubt::Due(date));
        }
        let same = |known: &Action| is_same(&known.claim, &claim) && known.owner == owner;
        if !self.minutes.actions.iter().any(same) {
            self.minutes.actions.push(Action { claim, owner, due });
        }
    }

    /// Who speaks takes part.
    pub(super) fn add_speaker(&mut self, name: &str) {
        if self.options.attendees.is_none() && !self.attends(name) {
            self.minutes.attendees.push(name.to_owned());
        }
    }

    fn add_attendee(&mut self, name: &str, heard: &Heard<'_>) {
        if self.options.attendees.is_some() || is_nothing(name) || self.attends(name) {
            return;
        }
        if self.is_named(name, heard) {
            self.minutes.attendees.push(name.to_owned());
        }
    }

    fn attends(&self, name: &str) -> bool {
        self.minutes.attendees.iter().any(|known| known.to_lowercase() == name.to_lowercase())
    }

    fn is_named(&mut self, text: &str, heard: &Heard<'_>) -> bool {
        let is_named = heard.names(text);
        if !is_named {
            self.minutes.doubts.push(Doubt::Named(text.to_owned()));
        }
        is_named
    }

    fn claim(&mut self, text: &str, time: Option<(f64, f64)>, heard: &Heard<'_>) -> Option<Claim> {
        if is_nothing(text) {
            return None;
        }
        let found = heard.find(text, time, self.options.least_evidence);
        let doubts = &mut self.minutes.doubts;
        match found.evidence {
            Evidence::Said => {}
            Evidence::Moved => doubts.push(Doubt::Moved(text.to_owned())),
            Evidence::NotFound => doubts.push(Doubt::NotFound(text.to_owned())),
        }
        let is_kept = found.evidence != Evidence::NotFound || self.options.keep_not_found;
        let (start, end, evidence) = (found.start, found.end, found.evidence);
        is_kept.then(|| Claim { text: text.to_owned(), start, end, evidence })
    }
}

fn strip_label<'a>(field: &'a str, label: &str) -> Option<&'a str> {
    let start = field.get(..label.len()).filter(|start| start.eq_ignore_ascii_case(label))?;
    field[start.len()..].trim_start().strip_prefix(':')
}

fn is_said_already(claims: &[Claim], claim: &Claim) -> bool {
    claims.iter().any(|known| is_same(known, claim))
}

/// Whether two claims say the same in other order or endings, as parts that meet within a topic do.
fn is_same(one: &Claim, other: &Claim) -> bool {
    let (a, b) = (content_words(&one.text), content_words(&other.text));
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if few.is_empty() {
        return one.text == other.text;
    }
    let shared = few.intersection(&many).count();
    shared == few.len() && many.len() <= few.len() + few.len() / 3
}
