//! What `generate` of transformers returned with Whisper, as `make_whisper.py` writes it down, and how
//! ours is compared with it.
#![allow(dead_code, unreachable_pub, reason = "no user of this module uses all of it")]

use serde::Deserialize;
use serde_json::{Map, Value};

use sconce::speech::whisper::Transcription;

#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub recordings: Vec<Value>,
    /// Of `generate`.
    pub options: Map<String, Value>,
    /// Fields of generation_config.json; null removes one.
    pub fields: Map<String, Value>,
    /// One for each recording.
    pub rows: Vec<Row>,
}

#[derive(Deserialize)]
pub struct Row {
    pub ids: Vec<u32>,
    pub segments: Vec<Part>,
    pub windows: Vec<Read>,
}

#[derive(Deserialize)]
pub struct Part {
    pub start: f64,
    pub end: f64,
    pub ids: Vec<u32>,
    #[serde(default)]
    pub token_times: Vec<f64>,
    /// `None` without times of tokens, and where Python fails.
    pub words: Option<Vec<Timed>>,
}

#[derive(Deserialize)]
pub struct Timed {
    pub text: String,
    pub start: f64,
    pub end: f64,
}

#[derive(Deserialize)]
pub struct Read {
    pub prompt: Vec<u32>,
    /// By temperature.
    pub tried: Vec<Tried>,
}

#[derive(Deserialize)]
pub struct Tried {
    pub temperature: f64,
    pub ids: Vec<u32>,
    pub compression_ratio: f64,
    pub avg_logprob: Option<f32>,
    pub no_speech_prob: Option<f32>,
    #[serde(default)]
    pub skipped: bool,
}

impl Row {
    /// What differs, and how. Token and word times may be `apart` seconds apart.
    pub fn compare(&self, found: &Transcription, apart: f64) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut check = |what: &str, holds: bool, values: &dyn std::fmt::Debug| {
            if !holds {
                wrong.push(format!("{what}: {values:?}"));
            }
        };
        let near = |one: f64, other: f64, apart: f64| (one - other).abs() <= apart;
        for (number, (read, window)) in self.windows.iter().zip(&found.windows).enumerate() {
            let last = read.tried.last().unwrap();
            let name = |field: &str| format!("window {number}, {field}");
            let (prompt, ids) = ((&window.prompt, &read.prompt), (&window.ids, &last.ids));
            check(&name("prompt"), prompt.0 == prompt.1, &prompt);
            check(&name("ids"), ids.0 == ids.1, &ids);
            let temperature = (window.temperature, last.temperature);
            check(&name("temperature"), temperature.0 == temperature.1, &temperature);
            // Two libraries compress, and lengths are small.
            let ratio = (window.compression_ratio, last.compression_ratio);
            check(&name("ratio"), (ratio.0 / ratio.1 - 1.0).abs() < 0.1, &ratio);
            if let Some(expected) = last.avg_logprob {
                let logprob = (window.avg_logprob, expected);
                check(&name("avg_logprob"), (logprob.0 - expected).abs() < 1e-3, &logprob);
            }
            let silence = (window.no_speech_prob, last.no_speech_prob);
            let apart = silence.0.zip(silence.1).map(|(found, expected)| (found - expected).abs());
            let same = apart.map_or(silence.0 == silence.1, |apart| apart < 1e-4);
            check(&name("no_speech_prob"), same, &silence);
            check(&name("skipped"), window.skipped == last.skipped, &window.skipped);
        }
        let windows = (found.windows.len(), self.windows.len());
        check("windows", windows.0 == windows.1, &windows);
        let ids = (found.ids(), &self.ids);
        check("ids", ids.0 == *ids.1, &ids);
        let segments = (found.segments.len(), self.segments.len());
        check("segments", segments.0 == segments.1, &segments);
        for (number, (part, segment)) in self.segments.iter().zip(&found.segments).enumerate() {
            let name = |field: &str| format!("segment {number}, {field}");
            let times = (segment.start, part.start, segment.end, part.end);
            let same = near(times.0, times.1, 1e-6) && near(times.2, times.3, 1e-6);
            check(&name("times"), same, &times);
            let ids = (&segment.ids, &part.ids);
            check(&name("ids"), ids.0 == ids.1, &ids);
            let times = (&segment.token_times, &part.token_times);
            let same = times.0.iter().zip(times.1).all(|(&one, &other)| near(one, other, apart));
            check(&name("token times"), same && times.0.len() == times.1.len(), &times);
            let Some(words) = &part.words else { continue };
            let counts = (&segment.words, words.len());
            check(&name("words"), counts.0.len() == counts.1, &counts);
            for (word, timed) in segment.words.iter().zip(words) {
                let same = near(word.start, timed.start, apart) && near(word.end, timed.end, apart);
                let shown = (word, &timed.text, timed.start, timed.end);
                check(&name("word"), same && word.text == timed.text, &shown);
                check(&name("probability"), (0.0..=1.0).contains(&word.probability), word);
            }
        }
        wrong
    }
}
