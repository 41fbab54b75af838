//! Minutes, by models that answer as told.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::cell::RefCell;
use std::fs;

use sconce::generation::{CancelHandle, GenerationConfig};
use sconce::minutes::{
    Doubt, Evidence, Minutes, MinutesEvent, MinutesOptions, Utterance, Writer, Written,
    take_minutes,
};
use sconce::tokenizer::chat::Message;
use sconce::{Error, Result};

/// Gives its answers in order, in small pieces, and keeps the questions. A token is a word.
struct Scripted {
    answers: RefCell<Vec<String>>,
    questions: RefCell<Vec<String>>,
    context: Option<usize>,
}

impl Scripted {
    fn new(answers: &[&str]) -> Self {
        let answers = RefCell::new(answers.iter().rev().map(|&answer| answer.to_owned()).collect());
        Self { answers, questions: RefCell::default(), context: None }
    }
}

impl Writer for Scripted {
    fn count_tokens(&self, text: &str) -> Result<usize> {
        Ok(text.split_whitespace().count())
    }

    fn context(&self) -> Option<usize> {
        self.context
    }

    fn write(
        &self,
        messages: &[Message],
        _: &GenerationConfig,
        piece: &mut dyn FnMut(&str),
    ) -> Result<Written> {
        self.questions.borrow_mut().push(messages[1].text().into_owned());
        let answer = self.answers.borrow_mut().pop().unwrap();
        let is_cut = answer.ends_with('…');
        let letters: Vec<char> = answer.chars().collect();
        letters.chunks(3).for_each(|letters| piece(&letters.iter().collect::<String>()));
        Ok(Written::new(answer, is_cut))
    }
}

/// Takes minutes, and checks that what is streamed is what comes out.
fn take(said: &[Utterance], model: &Scripted, options: &MinutesOptions) -> (Minutes, Vec<String>) {
    let (mut pieces, mut written) = (Vec::new(), String::new());
    let minutes = take_minutes(said, model, options, &mut |event| match event {
        MinutesEvent::Markdown(piece) => pieces.push(piece.to_owned()),
        MinutesEvent::Writes(piece) => written += piece,
        _ => {}
    });
    let minutes = minutes.unwrap();
    assert_eq!(pieces.concat(), minutes.to_markdown(options.recording.as_deref()));
    assert!(model.answers.borrow().is_empty(), "{:?}", model.answers);
    (minutes, pieces)
}

fn meeting() -> Vec<Utterance> {
    vec![
        Utterance::new("Good morning, today is the third of May.", 0.0, 4.0).by("Anna"),
        Utterance::new("The printer on the second floor is broken again.", 4.0, 9.0).by("Ben"),
        Utterance::new("Then we buy a new printer.", 62.0, 65.0).by("Anna"),
        Utterance::new("I will order the printer by Friday.", 65.0, 69.0).by("Ben"),
        Utterance::new("The summer party is in the garden this year.", 130.0, 134.0).by("Anna"),
        Utterance::new("Clara cannot come.", 134.0, 136.0).by("Ben"),
    ]
}

const GOOD: &str = "\
TITLE: Printer and party
DATE: third of May
ATTENDEE: Clara
SUMMARY [00:04] The printer on the second floor is broken.
SUMMARY [02:10] The summer party is in the garden.
TOPIC [00:04] The broken printer
DECISION [01:02] A new printer is bought.
ACTION [01:05] Ben | by Friday | Order the printer.";

#[test]
fn one_part_is_streamed_as_it_is_written() {
    let model = Scripted::new(&[GOOD]);
    let options = MinutesOptions::default().recording("call.wav");
    let (minutes, pieces) = take(&meeting(), &model, &options);
    let expected = "\
# Printer and party

- **Date:** third of May
- **Attendees:** Anna, Ben, Clara

## Summary

- The printer on the second floor is broken. ([00:04](call.wav#t=4))
- The summer party is in the garden. ([02:10](call.wav#t=130))

## Topics

- The broken printer ([00:04](call.wav#t=4))

## Decisions

- A new printer is bought. ([01:02](call.wav#t=62))

## Actions

- [ ] **Ben:** Order the printer. (due: by Friday) ([01:05](call.wav#t=65))
";
    assert_eq!(minutes.to_markdown(Some("call.wav")), expected);
    assert_eq!((minutes.doubts, minutes.notes, minutes.parts), (vec![], vec![], 1));
    // Head and first sentence, second sentence, the rest.
    assert_eq!(pieces.len(), 3, "{pieces:?}");
    let question = &model.questions.borrow()[0];
    assert!(question.contains("[01:05] Ben: I will order the printer by Friday.\n"), "{question}");
}

#[test]
fn what_was_not_said_is_marked_or_left_out_and_told() {
    let answer = "\
TITLE: Printer
ATTENDEE: Zoltan
DATE: 24 December
SUMMARY [00:04] The printer is broken.
DECISION [01:02] The company doubles all salaries tomorrow.
DECISION [45:00] A new printer is bought.
DECISION A new printer is bought.
ACTION [01:05] Zoltan | next Christmas | Order the printer.
ACTION [01:05] Ben | - | Order a thousand elephants immediately.
I hope this helps!";
    let (minutes, _) = take(&meeting(), &Scripted::new(&[answer]), &MinutesOptions::default());
    let text = minutes.to_markdown(None);
    assert!(text.contains("salaries tomorrow. (01:02) *(not found in the recording)*\n"), "{text}");
    // Once, at the time at which it was said.
    assert_eq!(text.matches("A new printer is bought. (01:02)").count(), 1, "{text}");
    assert_eq!(minutes.decisions[1].evidence, Evidence::Moved);
    assert!(text.contains("- [ ] Order the printer. (01:05)\n"), "{text}");
    assert_eq!(
        (minutes.attendees, minutes.date),
        (vec!["Anna".to_owned(), "Ben".to_owned()], None)
    );
    assert_eq!(minutes.notes, ["I hope this helps!"]);
    for doubt in [
        Doubt::Named("Zoltan".to_owned()),
        Doubt::Named("24 December".to_owned()),
        Doubt::NotFound("The company doubles all salaries tomorrow.".to_owned()),
        Doubt::Moved("A new printer is bought.".to_owned()),
        Doubt::Owner("Zoltan".to_owned()),
        Doubt::Due("next Christmas".to_owned()),
        Doubt::NotFound("Order a thousand elephants immediately.".to_owned()),
    ] {
        assert!(minutes.doubts.contains(&doubt), "{doubt:?} in {:?}", minutes.doubts);
    }
    let strict = MinutesOptions::default().keep_not_found(false);
    let (minutes, _) = take(&meeting(), &Scripted::new(&[answer]), &strict);
    assert_eq!((minutes.decisions.len(), minutes.actions.len()), (1, 1));
    assert!(
        minutes
            .doubts
            .contains(&Doubt::NotFound("Order a thousand elephants immediately.".to_owned()))
    );
}

#[test]
fn long_transcripts_are_read_in_parts_and_put_together() {
    let parts = [
        "TITLE: Part one\nSUMMARY [00:04] The printer is broken.\nDECISION [01:02] A new printer is bought.",
        "TITLE: Part two\nSUMMARY [01:05] Ben will order the printer.\nSUMMARY [02:10] The party is in the garden.\n\
         DECISION [01:02] A new printer is bought.\nACTION [01:05] Ben | Friday | Order the printer.",
        "TITLE: Printer and party\nSUMMARY [01:02] A new printer is bought.\nSUMMARY [02:10] The party is in the garden.",
    ];
    let model = Scripted::new(&parts);
    // Lines of 10, 11, 8, 9, 11 and 5 words, and a token for each end.
    let (minutes, pieces) =
        take(&meeting(), &model, &MinutesOptions::default().max_part_tokens(33));
    assert_eq!(minutes.parts, 2);
    let questions = model.questions.borrow();
    assert!(
        questions[0].contains("part 1 of 2") && questions[0].contains("Then we buy a new printer.")
    );
    assert!(
        questions[1].contains("part 2 of 2") && questions[1].contains("[01:05] Ben: I will order")
    );
    assert!(!questions[1].contains("Then we buy"));
    let notes = "[00:04] The printer is broken.\n[01:05] Ben will order the printer.\n[02:10] The party is in the garden.\n";
    assert!(questions[2].starts_with(notes), "{}", questions[2]);
    assert_eq!(minutes.title.as_deref(), Some("Printer and party"));
    assert_eq!(minutes.summary.len(), 2);
    // The second part read no decision at that time: its own words are checked, and it is said already.
    let decisions: Vec<_> =
        minutes.decisions.iter().map(|claim| (&*claim.text, claim.start)).collect();
    assert_eq!(decisions[0], ("A new printer is bought.", 62.0));
    assert_eq!((minutes.decisions.len(), minutes.actions.len()), (1, 1));
    assert!(pieces[0].starts_with("# Printer and party\n"), "{pieces:?}");
}

#[test]
fn many_summaries_are_joined_in_rounds() {
    let said: Vec<_> = (0..6)
        .map(|number| {
            let topic = ["apples", "bananas", "cherries", "dates", "elderberries", "figs"][number];
            Utterance::new(
                format!("we talked about {topic} at length"),
                number as f64 * 60.0,
                number as f64 * 60.0 + 5.0,
            )
        })
        .collect();
    let of_part =
        |minute: usize, topic: &str| format!("SUMMARY [{minute:02}:00] Talk of {topic} at length");
    let topics = ["apples", "bananas", "cherries", "dates", "elderberries", "figs"];
    let mut answers: Vec<String> =
        topics.iter().enumerate().map(|(at, topic)| of_part(at, topic)).collect();
    // Three groups of two, each of which becomes one; of these two and one; then one group.
    let of_group =
        |at: usize| format!("TITLE: Group\nSUMMARY [{at:02}:00] Talk of {} at length", topics[at]);
    answers.extend([0, 2, 4, 0, 4].map(of_group));
    answers.push("TITLE: Fruit\nSUMMARY [00:00] Talk of apples and elderberries".to_owned());
    let answers: Vec<_> = answers.iter().map(String::as_str).collect();
    let model = Scripted::new(&answers);
    // 8 tokens a line of the transcript, 7 for a line of a summary.
    let (minutes, _) = take(&said, &model, &MinutesOptions::default().max_part_tokens(15));
    assert_eq!((minutes.parts, minutes.title.as_deref()), (6, Some("Fruit")));
    assert_eq!(minutes.summary.len(), 1);
    assert_eq!(model.questions.borrow().len(), 12);

    // A model that makes nothing shorter does not go on for ever, and loses nothing.
    let mut answers: Vec<String> =
        topics.iter().enumerate().map(|(at, topic)| of_part(at, topic)).collect();
    answers.extend(["I cannot do that.", "", "no\nno"].map(str::to_owned));
    let answers: Vec<_> = answers.iter().map(String::as_str).collect();
    let (minutes, _) =
        take(&said, &Scripted::new(&answers), &MinutesOptions::default().max_part_tokens(15));
    assert_eq!(minutes.summary.len(), 6);
    assert_eq!(minutes.notes, ["I cannot do that.", "no", "no"]);
}

#[test]
fn hostile_answers_do_no_harm() {
    for answer in [
        "",
        "\n\n\n",
        "DECISION",
        "ACTION [00:00] | | | | |",
        "ACTION: ||",
        "[[[[((((",
        "TITLE: # <script>alert(1)</script>\nSUMMARY [00:04] [click](javascript:x) printer broken floor",
        "SUMMARY [99:99:99] x\nTOPIC [-1:00] y\nDATE:\nATTENDEE: ,,,;",
        "\u{0}\u{1b}[31mDECISION [00:04] The printer\r\nis broken…",
        "a very long line a very long line a very long line",
    ] {
        let (minutes, _) = take(&meeting(), &Scripted::new(&[answer]), &MinutesOptions::default());
        let text = minutes.to_markdown(None);
        assert!(
            !text.contains("<script>") && !text.contains('\u{1b}') && !text.contains("[click]("),
            "{text}"
        );
        assert_eq!(minutes.doubts.contains(&Doubt::CutAnswer(0)), answer.ends_with('…'));
    }
}

#[test]
fn late_names_do_not_change_what_was_given_out() {
    let answer = "TITLE: Printer\nSUMMARY [00:04] The printer is broken.\nDATE: third of May\nATTENDEE: Clara";
    let (minutes, _) = take(&meeting(), &Scripted::new(&[answer]), &MinutesOptions::default());
    assert_eq!(minutes.notes, ["Date: third of May", "Attendee: Clara"]);
    // Without a title, nothing can be given out before the end.
    let answer = "SUMMARY [00:04] The printer is broken.\nATTENDEE: Clara";
    let (minutes, pieces) = take(&meeting(), &Scripted::new(&[answer]), &MinutesOptions::default());
    assert_eq!((minutes.attendees.len(), pieces.len()), (3, 1));
}

#[test]
fn what_is_known_before_is_not_asked() {
    let options = MinutesOptions::default()
        .title("Monday")
        .date("2025-05-03")
        .attendees(vec!["Eve".to_owned()]);
    let (minutes, _) = take(&meeting(), &Scripted::new(&[GOOD]), &options);
    assert_eq!(
        (minutes.title.as_deref(), minutes.date.as_deref()),
        (Some("Monday"), Some("2025-05-03"))
    );
    assert_eq!(minutes.attendees, ["Eve"]);
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let fails = |said: &[Utterance], model: &Scripted, options: &MinutesOptions| {
        take_minutes(said, model, options, &mut |_| {}).unwrap_err()
    };
    let model = || Scripted::new(&[]);
    let options = MinutesOptions::default();
    assert!(fails(&[], &model(), &options).to_string().contains("nothing was said"));
    assert!(fails(&[Utterance::new("  ", 0.0, 1.0)], &model(), &options).is_caller_error());
    let small = Scripted { context: Some(900), ..model() };
    let error = fails(&meeting(), &small, &options).to_string();
    assert!(error.contains("context of 900"), "{error}");
    for options in [options.clone().least_evidence(f64::NAN), options.clone().max_part_tokens(0)] {
        assert!(fails(&meeting(), &model(), &options).is_caller_error());
    }
    let cancel = CancelHandle::default();
    cancel.cancel();
    let cancelled = options.clone().cancel(cancel);
    assert!(matches!(fails(&meeting(), &model(), &cancelled), Error::Interrupted));
    // A context that is small lets less into a part.
    let fits = Scripted { context: Some(1300), ..Scripted::new(&[GOOD]) };
    take(&meeting(), &fits, &options);
}

#[test]
fn times_that_make_no_sense_are_put_in_order() {
    let said = [
        Utterance::new("first words about printers", 5.0, 1.0),
        Utterance::new("second\nwords", f64::NAN, f64::INFINITY),
        Utterance::new("third words", 2.0, 3.0),
    ];
    let model = Scripted::new(&["TITLE: x\nTOPIC [00:05] printers"]);
    let (minutes, _) = take(&said, &model, &MinutesOptions::default());
    assert_eq!(minutes.topics[0].start, 5.0);
    let question = &model.questions.borrow()[0];
    assert!(question.contains(
        "[00:05] first words about printers\n[00:05] second words\n[00:05] third words\n"
    ));
}

/// The meeting that comes with the examples, its known decisions and actions found in what a model writes.
#[test]
fn the_meeting_of_the_examples_fits_its_list() {
    let script = fs::read_to_string("examples/meeting/script.txt").unwrap();
    let mut said = Vec::new();
    let mut time = 0.0;
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (speaker, text) = line.split_once(": ").unwrap();
        let length = text.split_whitespace().count() as f64 / 2.4;
        said.push(Utterance::new(text, time, time + length).by(speaker));
        time += length;
    }
    assert!((480.0..780.0).contains(&time), "{time} seconds");
    let speakers: std::collections::BTreeSet<_> =
        said.iter().filter_map(|u| u.speaker.clone()).collect();
    assert_eq!(speakers.len(), 4);
    let known = fs::read_to_string("examples/meeting/expected.txt").unwrap();
    let (minutes, _) =
        take(&said, &Scripted::new(&[&known]), &MinutesOptions::default().max_part_tokens(10_000));
    assert_eq!((minutes.decisions.len(), minutes.actions.len()), (4, 6));
    let all_said =
        minutes.decisions.iter().chain(minutes.actions.iter().map(|action| &action.claim));
    assert!(all_said.clone().all(|claim| claim.evidence != Evidence::NotFound), "{minutes:?}");
    assert!(
        minutes.actions.iter().all(|action| action.owner.is_some() && action.due.is_some()),
        "{:?}",
        minutes.doubts
    );
    assert!(minutes.notes.is_empty(), "{:?}", minutes.notes);
}
