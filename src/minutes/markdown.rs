//! Minutes as Markdown.

use crate::minutes::Minutes;
use crate::minutes::claim::{Action, Claim, Evidence};
use crate::minutes::part::clock;

impl Minutes {
    /// The minutes as Markdown. `recording` is the address or path that times link to.
    #[must_use]
    pub fn to_markdown(&self, recording: Option<&str>) -> String {
        let mut text = head(self.title.as_deref(), self.date.as_deref(), &self.attendees);
        let section = |title: &str, claims: &[Claim], one: &dyn Fn(&Claim) -> String| match claims {
            [] => String::new(),
            claims => format!("\n## {title}\n\n{}", claims.iter().map(one).collect::<String>()),
        };
        let plain = |claim: &Claim| item(claim, recording);
        text += &section("Summary", &self.summary, &plain);
        text += &section("Topics", &self.topics, &plain);
        text += &section("Decisions", &self.decisions, &plain);
        if !self.actions.is_empty() {
            text += "\n## Actions\n\n";
            text.extend(self.actions.iter().map(|action| action_item(action, recording)));
        }
        if !self.notes.is_empty() {
            text += "\n## Notes\n\nWhat else the model wrote:\n\n";
            text.extend(self.notes.iter().map(|note| format!("- {}\n", escaped(note))));
        }
        text
    }
}

/// Title, date and attendees.
fn head(title: Option<&str>, date: Option<&str>, attendees: &[String]) -> String {
    let mut text = format!("# {}\n", escaped(title.unwrap_or("Minutes")));
    if date.is_some() || !attendees.is_empty() {
        text += "\n";
    }
    if let Some(date) = date {
        text += &format!("- **Date:** {}\n", escaped(date));
    }
    if !attendees.is_empty() {
        let names: Vec<_> = attendees.iter().map(|name| escaped(name)).collect();
        text += &format!("- **Attendees:** {}\n", names.join(", "));
    }
    text
}

fn item(claim: &Claim, recording: Option<&str>) -> String {
    format!("- {} {}{}\n", escaped(&claim.text), link(claim, recording), mark(claim))
}

fn action_item(action: &Action, recording: Option<&str>) -> String {
    let Action { claim, owner, due } = action;
    let owner = owner.as_ref().map(|owner| format!("**{}:** ", escaped(owner))).unwrap_or_default();
    let due = due.as_ref().map(|due| format!(" (due: {})", escaped(due))).unwrap_or_default();
    let (text, link, mark) = (escaped(&claim.text), link(claim, recording), mark(claim));
    format!("- [ ] {owner}{text}{due} {link}{mark}\n")
}

/// A link as in media fragments (W3C): `recording.wav#t=62,75`.
fn link(claim: &Claim, recording: Option<&str>) -> String {
    let time = clock(claim.start);
    let Some(recording) = recording else { return format!("({time})") };
    let address: String = recording
        .chars()
        .map(|c| match c {
            ' ' | '(' | ')' | '<' | '>' | '\\' | '"' | '#' => format!("%{:02X}", u32::from(c)),
            c if c.is_control() => String::new(),
            c => c.to_string(),
        })
        .collect();
    let (start, end) = (claim.start.max(0.0) as u64, claim.end.max(0.0).ceil() as u64);
    match end > start {
        true => format!("([{time}]({address}#t={start},{end}))"),
        false => format!("([{time}]({address}#t={start}))"),
    }
}

fn mark(claim: &Claim) -> &'static str {
    match claim.evidence {
        Evidence::NotFound => " *(not found in the recording)*",
        Evidence::Said | Evidence::Moved => "",
    }
}

/// The text on one line, and nothing in it that means something in Markdown.
fn escaped(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let mut escaped = String::new();
    for (at, c) in words.join(" ").chars().enumerate() {
        let is_mark = matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~')
            || (at == 0 && matches!(c, '#' | '-' | '+'));
        if is_mark {
            escaped.push('\\');
        }
        if !c.is_control() {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(text: &str, start: f64, end: f64, evidence: Evidence) -> Claim {
        Claim { text: text.to_owned(), start, end, evidence }
    }

    #[test]
    fn minutes_as_they_are_read() {
        let minutes = Minutes {
            title: Some("Printers & parties".to_owned()),
            date: Some("3 May 2025".to_owned()),
            attendees: vec!["Anna".to_owned(), "Ben_2".to_owned()],
            summary: vec![claim("The printer is broken.", 3.2, 8.0, Evidence::Said)],
            topics: vec![],
            decisions: vec![
                claim("A new printer is bought.", 60.0, 64.5, Evidence::Moved),
                claim("The <b>budget</b>\nis doubled.", 3700.0, 3700.0, Evidence::NotFound),
            ],
            actions: vec![
                Action {
                    claim: claim("Order the printer.", 64.0, 68.0, Evidence::Said),
                    owner: Some("Ben".to_owned()),
                    due: Some("Friday".to_owned()),
                },
                Action {
                    claim: claim("Book a hall", 120.0, 123.0, Evidence::Said),
                    owner: None,
                    due: None,
                },
            ],
            notes: vec!["# I hope [this](http://x) helps".to_owned()],
            ..Minutes::default()
        };
        let expected = "\
# Printers & parties

- **Date:** 3 May 2025
- **Attendees:** Anna, Ben\\_2

## Summary

- The printer is broken. ([00:03](our%20call.wav#t=3,8))

## Decisions

- A new printer is bought. ([01:00](our%20call.wav#t=60,65))
- The \\<b\\>budget\\</b\\> is doubled. ([1:01:40](our%20call.wav#t=3700)) *(not found in the recording)*

## Actions

- [ ] **Ben:** Order the printer. (due: Friday) ([01:04](our%20call.wav#t=64,68))
- [ ] Book a hall ([02:00](our%20call.wav#t=120,123))

## Notes

What else the model wrote:

- \\# I hope \\[this\\](http://x) helps
";
        assert_eq!(minutes.to_markdown(Some("our call.wav")), expected);
        let plain = minutes.to_markdown(None);
        assert!(plain.contains("- The printer is broken. (00:03)\n"), "{plain}");
        assert_eq!(Minutes::default().to_markdown(None), "# Minutes\n");
    }
}
