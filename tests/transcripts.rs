//! Whisper's tokens put together, texts made alike, and transcripts written, against Python
//! (`tests/goldens/make_transcripts.py`).
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use sconce::ModelSource;
use sconce::speech::normalizer::{EnglishNormalizer, basic_normalize};
use sconce::speech::transcript::{
    Segment, Transcript, TranscriptFormat, TranscriptOptions, TranscriptWriter, Word,
};
use sconce::speech::{
    AsrMerge, AsrOutput, Stride, TimestampLevel, WhisperTask, WhisperTokenizer,
    character_error_rate, word_error_rate,
};
use sconce::tokenizer::Tokenizer;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/transcripts")
}

fn golden(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn tokenizer() -> WhisperTokenizer {
    let source = ModelSource::directory(folder().join("tokenizer"));
    WhisperTokenizer::new(Tokenizer::open(source).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn output(value: &Value) -> AsrOutput {
    let stride = value.get("stride").map(|stride| {
        let seconds = |at: usize| stride[at].as_f64().unwrap();
        Stride { length: seconds(0), left: seconds(1), right: seconds(2) }
    });
    let token_timestamps = serde_json::from_value(value["token_timestamps"].clone()).unwrap();
    AsrOutput { tokens: ids(&value["tokens"]), token_timestamps, stride }
}

/// A transcript in the shape of Python's pipeline.
fn chunks(transcript: &Transcript, level: TimestampLevel) -> Value {
    let chunk = |text: &str, start: Option<f64>, end: Option<f64>, language: &Option<String>| {
        let mut chunk = json!({ "text": text, "language": language });
        if level != TimestampLevel::None {
            chunk["timestamp"] = json!([start, end]);
        }
        chunk
    };
    let chunks: Vec<_> = transcript
        .segments
        .iter()
        .flat_map(|segment| match level {
            TimestampLevel::Words => {
                let word = |word: &Word| chunk(&word.text, word.start, word.end, &segment.language);
                segment.words.iter().map(word).collect()
            }
            _ => vec![chunk(&segment.text, segment.start, segment.end, &segment.language)],
        })
        .collect();
    json!({ "text": transcript.text, "chunks": chunks })
}

#[test]
fn windows_are_put_together_as_in_python() {
    let tokenizer = tokenizer();
    let levels = [TimestampLevel::None, TimestampLevel::Segments, TimestampLevel::Words];
    for (number, case) in list(&golden("decode_asr.json")).iter().enumerate() {
        let outputs: Vec<_> = list(&case["outputs"]).iter().map(output).collect();
        for (level, expected) in levels.into_iter().zip(list(&case["expected"])) {
            let transcript = tokenizer.decode_asr(&outputs, level, 0.02).unwrap();
            if !expected.is_null() {
                let found = chunks(&transcript, level);
                assert_eq!(&found, expected, "case {number}, {level:?}: {}", case["outputs"]);
            }
            // Window by window, nothing that has come out changes.
            let mut merge = AsrMerge::new(&tokenizer, level, 0.02);
            let mut segments = Vec::new();
            for output in &outputs {
                segments.extend(merge.push(output).unwrap());
            }
            segments.extend(merge.finish().unwrap());
            assert_eq!(segments, transcript.segments);
        }
    }
}

#[test]
fn words_need_times() {
    let output = AsrOutput { tokens: vec![70, 71], ..AsrOutput::default() };
    let error = tokenizer().decode_asr(&[output], TimestampLevel::Words, 0.02).unwrap_err();
    assert!(error.to_string().contains("token 0 has no time"), "{error}");
}

#[test]
fn ids_are_decoded_with_and_without_timestamps() {
    let tokenizer = tokenizer();
    for row in list(&golden("decode.json")["decode"]) {
        let ids = ids(&row["ids"]);
        for (skip, name) in [(false, "False"), (true, "True")] {
            let text = tokenizer.decode(&ids, skip).unwrap();
            assert_eq!(row[&format!("text_{name}")], text, "{ids:?}");
            let text = tokenizer.decode_with_timestamps(&ids, skip, 0.02).unwrap();
            assert_eq!(row[&format!("timestamps_{name}")], text, "{ids:?}");
        }
        let offsets = tokenizer.offsets(&ids, 0.02).unwrap();
        let expected = list(&row["offsets"]);
        assert_eq!(offsets.len(), expected.len(), "{ids:?}");
        for (found, expected) in offsets.iter().zip(expected) {
            assert_eq!(expected["text"], found.text);
            for (found, expected) in
                [found.start, found.end].into_iter().zip(list(&expected["timestamp"]))
            {
                assert!((found.unwrap() - expected.as_f64().unwrap()).abs() < 1e-9, "{ids:?}");
            }
        }
    }
}

#[test]
fn prefixes_and_prompts_are_pythons() {
    let golden = golden("decode.json");
    for row in list(&golden["prefixes"]) {
        let task = row["task"].as_str().map(|task| task.parse::<WhisperTask>().unwrap());
        let (language, timestamps) = (row["language"].as_str(), row["timestamps"].as_bool());
        let prefixed = tokenizer().with_prefix(language, task, timestamps);
        match row["ids"].is_null() {
            true => assert!(prefixed.unwrap_err().to_string().contains("klingon")),
            false => {
                assert_eq!(prefixed.unwrap().encode("Hello there.").unwrap(), ids(&row["ids"]))
            }
        }
    }
    for row in list(&golden["prompts"]) {
        let found = tokenizer().prompt_ids(row["text"].as_str().unwrap());
        match row["ids"].is_null() {
            true => assert!(found.unwrap_err().to_string().contains("special token")),
            false => assert_eq!(found.unwrap(), ids(&row["ids"])),
        }
    }
}

#[test]
fn texts_are_normalized_as_in_python() {
    let golden = golden("normalizers.json");
    let spellings = serde_json::from_value(golden["spellings"].clone()).unwrap();
    let english = EnglishNormalizer::new(spellings);
    let mut wrong = Vec::new();
    for row in list(&golden["rows"]) {
        let text = row[0].as_str().unwrap();
        let found =
            [english.normalize(text), basic_normalize(text, false), basic_normalize(text, true)];
        for (found, expected) in found.iter().zip(&list(row)[1..]) {
            if expected != found {
                wrong.push(format!("{text:?} gives {found:?}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn error_rates_are_jiwers() {
    for row in list(&golden("error_rates.json")) {
        let (reference, hypothesis) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
        let words = word_error_rate(reference, hypothesis).rate();
        let characters = character_error_rate(reference, hypothesis).rate();
        for (found, expected) in [(words, &row[2]), (characters, &row[3])] {
            let expected = expected.as_f64().unwrap();
            assert!((found - expected).abs() < 1e-12, "{row}: {found}");
        }
    }
}

#[test]
fn files_are_those_of_openais_whisper() {
    for (number, row) in list(&golden("writers.json")).iter().enumerate() {
        let transcript: Transcript = serde_json::from_value(row["transcript"].clone()).unwrap();
        for file in list(&row["files"]) {
            let format: TranscriptFormat = file["format"].as_str().unwrap().parse().unwrap();
            let options: TranscriptOptions =
                serde_json::from_value(file["options"].clone()).unwrap();
            let found = transcript.to_text(format, &options).unwrap();
            let expected = file["text"].as_str().unwrap();
            if format == TranscriptFormat::Json {
                let read: Transcript = serde_json::from_str(&found).unwrap();
                assert_eq!(read, serde_json::from_str(expected).unwrap());
            } else {
                assert_eq!(found, expected, "transcript {number}, {format}, {options:?}");
            }
        }
    }
}

fn written(format: TranscriptFormat, segments: &[Segment]) -> String {
    let options = TranscriptOptions::default();
    let mut writer = TranscriptWriter::new(Vec::new(), format, options).unwrap();
    for segment in segments {
        writer.write(segment).unwrap();
    }
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

#[test]
fn times_that_are_missing_or_impossible_are_written_as_possible_ones() {
    let open = |text: &str, start: Option<f64>| {
        let mut segment = Segment::new(text);
        segment.start = start;
        segment
    };
    let segments = [
        Segment::new("a").between(-1.0, 1.0),
        Segment::new("b").between(3.0, 2.0),
        open("c", Some(4.0)),
        open("d", None),
        open("e", Some(f64::NAN)),
    ];
    let tsv = written(TranscriptFormat::Tsv, &segments);
    let expected =
        "start\tend\ttext\n0\t1000\ta\n3000\t3000\tb\n4000\t4000\tc\n4000\t4000\td\n0\t2000\te\n";
    assert_eq!(tsv, expected);
    let last = TranscriptOptions::default().duration(7.5);
    let transcript = Transcript::of([open("c", Some(4.0))]);
    let srt = transcript.to_text(TranscriptFormat::Srt, &last).unwrap();
    assert_eq!(srt, "1\n00:00:04,000 --> 00:00:07,500\nc\n\n");
}

#[test]
fn what_a_format_takes_for_its_own_is_escaped() {
    let segments = [Segment::new(" a <b> & c --> d\n\n e\tf").between(0.0, 1.0)];
    for (format, expected) in [
        (TranscriptFormat::Srt, "1\n00:00:00,000 --> 00:00:01,000\na <b> & c -> d\n e\tf\n\n"),
        (
            TranscriptFormat::Vtt,
            "WEBVTT\n\n00:00.000 --> 00:01.000\na &lt;b> &amp; c -> d\n e\tf\n\n",
        ),
        (TranscriptFormat::Tsv, "start\tend\ttext\n0\t1000\ta <b> & c --> d   e f\n"),
        (TranscriptFormat::Markdown, "**00:00** a \\<b\\> \\& c --\\> d   e\tf\n\n"),
    ] {
        assert_eq!(written(format, &segments), expected);
    }
}

#[test]
fn markdown_links_to_times() {
    let options = TranscriptOptions::default().title("A *talk*").media("my talk (1).mp3");
    let transcript = Transcript::of([
        Segment::new(" Hello_there.").between(1.25, 2.0),
        Segment::new(" Later").between(3725.0, 3726.0),
        Segment::new(" whenever"),
    ]);
    let expected = "# A \\*talk\\*\n\n[00:01](my%20talk%20%281%29.mp3#t=1.25) Hello\\_there.\n\n\
                    [1:02:05](my%20talk%20%281%29.mp3#t=3725) Later\n\nwhenever\n\n";
    assert_eq!(transcript.to_text(TranscriptFormat::Markdown, &options).unwrap(), expected);
}

#[test]
fn segments_are_written_as_they_come() {
    let mut writer =
        TranscriptWriter::new(Vec::new(), TranscriptFormat::Vtt, TranscriptOptions::default())
            .unwrap();
    let word = |text: &str, start: f64| Word::new(text, start, start + 0.5);
    let segment = Segment::new(" a b").with_words([word(" a", 0.0), word(" b", 0.5)]);
    writer.write(&segment).unwrap();
    writer.write(&segment.delayed(2.0)).unwrap();
    let text = String::from_utf8(writer.finish().unwrap()).unwrap();
    assert_eq!(text, "WEBVTT\n\n00:00.000 --> 00:01.000\na b\n\n00:02.000 --> 00:03.000\na b\n\n");
}

#[test]
fn options_that_mean_nothing_are_refused() {
    for options in [
        TranscriptOptions::default().max_line_count(2),
        TranscriptOptions::default().max_line_width(0),
        TranscriptOptions::default().duration(f64::NAN),
    ] {
        assert!(Transcript::default().to_text(TranscriptFormat::Srt, &options).is_err());
        assert!(TranscriptWriter::new(Vec::new(), TranscriptFormat::Srt, options).is_err());
    }
}
