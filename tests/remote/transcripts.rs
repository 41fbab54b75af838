//! Transcripts of services.

use sconce::Error;
use sconce::generation::CancelHandle;
use sconce::remote::{Recording, Service, TranscriptionOptions};
use serde_json::json;

use crate::fake_service::{Reply, Server};
use crate::{KEY, failure, model};

#[test]
fn a_recording_is_sent_as_a_form_and_comes_back_in_pieces() {
    let server = Server::start(|number, _| match number {
        0 => Reply::error(500, "Again."),
        _ => Reply::json(&json!({
            "task": "transcribe", "language": "english", "duration": 2.5, "text": "Ask not. What?",
            "segments": [
                {"id": 0, "start": 0.0, "end": 1.0, "text": " Ask not.", "avg_logprob": -0.25, "no_speech_prob": 0.01},
                {"id": 1, "start": 1.0, "end": 2.5, "text": " What?", "speaker": "A"},
            ],
            "words": [{"word": "Ask", "start": 0.0, "end": 0.4}, {"word": "What", "start": 1.1, "end": 2.6}],
        })),
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let content: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let service = Service::open(&model(&server).extra_field("vad_filter", true)).unwrap();
    let options =
        TranscriptionOptions::default().language("en").temperature(0.0).word_timestamps(true);
    let found = service.transcribe(&Recording::file(&path), &options).unwrap();
    assert_eq!(
        (found.text.as_str(), found.language.as_deref()),
        ("Ask not. What?", Some("english"))
    );
    assert_eq!(found.duration, Some(2.5));
    assert_eq!(
        (found.segments.len(), found.segments[1].start, found.segments[1].end),
        (2, 1.0, 2.5)
    );
    assert_eq!(found.segments[1].speaker.as_deref(), Some("A"));
    assert_eq!(found.segments[0].avg_logprob, Some(-0.25));
    assert_eq!(found.words[0].word, "Ask");
    #[cfg(feature = "audio")]
    {
        let transcript = sconce::speech::transcript::Transcript::from(&found);
        assert_eq!((transcript.text.as_str(), transcript.segments.len()), ("Ask not. What?", 2));
        let words: Vec<_> = transcript.segments.iter().map(|segment| segment.words.len()).collect();
        assert_eq!((words, transcript.segments[1].end), (vec![1, 1], Some(2.5)));
    }

    let log = server.log();
    assert_eq!(log.len(), 2);
    for request in &log {
        assert_eq!(request.path, "/v1/audio/transcriptions");
        assert_eq!(request.header("authorization"), Some(&*format!("Bearer {KEY}")));
        let kind = request.header("content-type").unwrap();
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
        let fields = fields(&request.body, boundary);
        let text = |name: &str| -> Vec<_> {
            let named =
                fields.iter().filter(|(head, _)| head.contains(&format!("name=\"{name}\"")));
            named.map(|(_, value)| String::from_utf8(value.clone()).unwrap()).collect()
        };
        assert_eq!(text("model"), ["frontier-1"]);
        assert_eq!(text("response_format"), ["verbose_json"]);
        assert_eq!(text("language"), ["en"]);
        assert_eq!(text("temperature"), ["0"]);
        assert_eq!(text("timestamp_granularities[]"), ["segment", "word"]);
        assert_eq!(text("vad_filter"), ["true"]);
        let (head, bytes) = fields.last().unwrap();
        assert!(head.contains("name=\"file\"; filename=\"call.wav\""), "{head}");
        assert!(*bytes == content);
    }
}

/// Heads and values of a form.
fn fields(body: &[u8], boundary: &str) -> Vec<(String, Vec<u8>)> {
    let line = format!("--{boundary}");
    let starts: Vec<_> = body
        .windows(line.len())
        .enumerate()
        .filter(|(_, part)| *part == line.as_bytes())
        .map(|(at, _)| at)
        .collect();
    let parts = starts.windows(2).map(|pair| &body[pair[0] + line.len() + 2..pair[1] - 2]);
    let split = parts.map(|part| {
        let end = part.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        (String::from_utf8(part[..end].to_vec()).unwrap(), part[end + 4..].to_vec())
    });
    split.collect()
}

#[test]
fn what_is_no_transcript_is_an_error() {
    let recording = || Recording::bytes("a.mp3", &b"ID3"[..]);
    let options = TranscriptionOptions::default();
    for (reply, part) in [
        (Reply::of(200, "text/plain").piece("Ask not."), "no transcript"),
        (Reply::json(&json!({"segments": []})), "no transcript"),
        (Reply::json(&json!({"error": {"message": "No speech."}})), "No speech."),
        (Reply::error(413, "Too large."), "Too large."),
    ] {
        let server = Server::always(reply);
        let error =
            Service::open(&model(&server)).unwrap().transcribe(&recording(), &options).unwrap_err();
        assert!(failure(&error).reason.contains(part), "{error}");
    }
    let server = Server::always(Reply::json(&json!({"text": "Ask not.", "segments": null})));
    let service = Service::open(&model(&server)).unwrap();
    assert!(service.transcribe(&recording(), &options).unwrap().segments.is_empty());
    let missing = service.transcribe(&Recording::file("/nothing.wav"), &options).unwrap_err();
    assert!(matches!(missing, Error::Read { .. }), "{missing:?}");
    let mut cancelled = TranscriptionOptions::default();
    let handle = CancelHandle::default();
    handle.cancel();
    cancelled.cancel = Some(handle);
    assert!(matches!(service.transcribe(&recording(), &cancelled), Err(Error::Interrupted)));
}

#[cfg(feature = "audio")]
#[test]
fn the_pipeline_asks_a_service() {
    use sconce::Pipeline;
    use sconce::audio::Audio;
    use sconce::pipeline::{AutomaticSpeechRecognitionOptions, ReturnTimestamps};

    let server = Server::always(Reply::json(&json!({
        "language": "english", "text": "Ask not.",
        "segments": [{"start": 0.0, "end": 1.0, "text": " Ask not."}],
        "words": [{"word": "Ask", "start": 0.0, "end": 0.4}, {"word": "not.", "start": 0.5, "end": 0.9}],
    })));
    let pipeline = Pipeline::automatic_speech_recognition(model(&server)).build().unwrap();
    let asked = AutomaticSpeechRecognitionOptions::default;
    let options = asked().return_timestamps(ReturnTimestamps::Segments).language("en");
    let audio = Audio::new(vec![0.0; 1600], 16_000).unwrap();
    let found = pipeline.run_with(audio, &options).unwrap();
    assert_eq!((found.text.as_str(), found.segments[0].end), ("Ask not.", Some(1.0)));
    let sent = String::from_utf8_lossy(&server.log()[0].body).into_owned();
    for part in ["filename=\"audio.wav\"", "RIFF", "name=\"language\"\r\n\r\nen\r\n"] {
        assert!(sent.contains(part), "{part}");
    }
    let kwargs = json!({"return_timestamps": "word"}).as_object().unwrap().clone();
    let output =
        Pipeline::from(pipeline.clone()).call(json!([[0.0, 0.1], [0.2, 0.3]]), kwargs).unwrap();
    let record = json!({"text": "Ask not.", "chunks": [
        {"text": " Ask", "timestamp": [0.0, 0.4]}, {"text": " not.", "timestamp": [0.5, 0.9]},
    ]});
    assert_eq!(output.json, json!([record.clone(), record]));
    let before = server.log().len();
    for (name, options) in [
        ("chunk_length_s", asked().chunk_length_s(30.0)),
        ("return_timestamps", asked().return_timestamps(ReturnTimestamps::Char)),
    ] {
        let error = pipeline.run_with("a.wav", &options).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains(name), "{error}");
    }
    assert!(pipeline.tokenizer().is_none() && pipeline.feature_extractor().is_none());
    assert!(pipeline.whisper().is_none());
    // Segments come all at once, when the first is asked for.
    let audio = Audio::new(vec![0.0; 1600], 16_000).unwrap();
    let words = asked().return_timestamps(ReturnTimestamps::Word);
    let mut stream = pipeline.stream_segments(audio.clone(), &words).unwrap();
    assert_eq!(server.log().len(), before);
    let segment = stream.next().unwrap().unwrap();
    assert_eq!((segment.text.as_str(), segment.words.len()), (" Ask not.", 2));
    assert!(stream.next().is_none());
    assert_eq!(server.log().len(), before + 1);
    let mut stream = pipeline.stream_segments(audio, &asked()).unwrap();
    stream.cancel_handle().cancel();
    assert!(matches!(stream.next(), Some(Err(Error::Interrupted))));
    assert!(stream.next().is_none());
    assert!(pipeline.stream_segments("a.wav", &asked().chunk_length_s(3.0)).is_err());
    assert_eq!(server.log().len(), before + 1);
}
