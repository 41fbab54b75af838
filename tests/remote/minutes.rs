//! Minutes whose transcript and whose model are those of a service.

use sconce::Pipeline;
use sconce::minutes::{MinutesOptions, Utterance, take_minutes};
use sconce::remote::{Recording, Service, TranscriptionOptions};
use sconce::speech::transcript::{Transcript, TranscriptFormat};
use serde_json::json;

use crate::fake_service::{Reply, Server, finish, said};
use crate::model;

#[test]
fn a_recording_becomes_minutes() {
    let server = Server::start(|_, request| match request.path.as_str() {
        "/v1/audio/transcriptions" => Reply::json(&json!({"text": "", "segments": [
            {"start": 0.0, "end": 4.0, "text": " The printer is broken.", "speaker": "Anna"},
            {"start": 4.0, "end": 5.0, "text": " "},
            {"start": 5.5, "end": 9.0, "text": " I will order a new printer by Friday.", "speaker": "Ben"},
        ]})),
        _ => {
            let text = "TITLE: Printers\nSUMMARY [00:00] The printer is broken.\n\
                        ACTION [00:05] Ben | Friday | Order a new printer.";
            let pieces: Vec<_> =
                text.split_inclusive(' ').map(said).chain([finish("stop")]).collect();
            Reply::events(&pieces).done()
        }
    });
    let service = Service::open(&model(&server)).unwrap();
    let recording = Recording::bytes("call.wav", &b"RIFF"[..]);
    let found = service.transcribe(&recording, &TranscriptionOptions::default()).unwrap();
    let spoken: Vec<Utterance> = (&found).into();
    assert_eq!(spoken.len(), 2);
    let subtitles =
        Transcript::from(&found).to_text(TranscriptFormat::Srt, &Default::default()).unwrap();
    assert!(subtitles.contains("00:00:05,500 --> 00:00:09,000\nI will order"), "{subtitles}");
    let writer = Pipeline::text_generation(model(&server)).build().unwrap();
    let minutes = take_minutes(&spoken, &writer, &MinutesOptions::default(), &mut |_| {}).unwrap();
    let expected = "\
# Printers

- **Attendees:** Anna, Ben

## Summary

- The printer is broken. (00:00)

## Actions

- [ ] **Ben:** Order a new printer. (due: Friday) (00:05)
";
    assert_eq!(minutes.to_markdown(None), expected);
    let body = server.log()[1].json();
    assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0), &json!(800)));
    let question = body["messages"][1]["content"].as_str().unwrap();
    assert!(
        question.contains("[00:05] Ben: I will order a new printer by Friday.\n"),
        "{question}"
    );
}
