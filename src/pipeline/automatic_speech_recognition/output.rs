//! What comes out, in the shape of the Python pipeline.

use serde_json::{Map, Value, json};

use crate::pipeline::automatic_speech_recognition::options::ReturnTimestamps;
use crate::speech::transcript::{Transcript, Word};

/// `text`, and `chunks` where times or the language are asked for.
pub(super) fn record(
    transcript: &Transcript,
    timestamps: ReturnTimestamps,
    has_language: bool,
) -> Value {
    let mut record = json!({ "text": transcript.text });
    if timestamps == ReturnTimestamps::No && !has_language {
        return record;
    }
    let chunk = |text: &str,
                 times: [Option<f64>; 2],
                 language: Option<&String>,
                 speaker: Option<&String>| {
        let mut chunk = Map::new();
        chunk.insert("text".to_owned(), text.into());
        if timestamps != ReturnTimestamps::No {
            chunk.insert("timestamp".to_owned(), json!(times));
        }
        if has_language {
            chunk.insert("language".to_owned(), json!(language));
        }
        if let Some(speaker) = speaker {
            chunk.insert("speaker".to_owned(), json!(speaker));
        }
        Value::Object(chunk)
    };
    let mut chunks = Vec::new();
    for segment in &transcript.segments {
        let language = segment.language.as_ref();
        match timestamps {
            ReturnTimestamps::Word | ReturnTimestamps::Char => {
                let word = segment.words.iter();
                let of_word = |word: &Word| {
                    chunk(&word.text, [word.start, word.end], language, word.speaker.as_ref())
                };
                chunks.extend(word.map(of_word));
            }
            ReturnTimestamps::No | ReturnTimestamps::Segments => {
                let times = [segment.start, segment.end];
                chunks.push(chunk(&segment.text, times, language, segment.speaker.as_ref()));
            }
        }
    }
    record["chunks"] = Value::Array(chunks);
    record
}
