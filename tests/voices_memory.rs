//! What voices keep in memory while they speak sentence after sentence, and what is computed before the first sound of a
//! stream, both counted by the allocator.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sconce::Pipeline;
use sconce::models::speech::SpeechRequest;
use sconce::pipeline::{TextToSpeechOptions, TextToSpeechPipeline};

#[path = "support/counted.rs"]
mod counted;

use counted::{asked_for, in_use};

/// Tests count one after the other.
static ALONE: Mutex<()> = Mutex::new(());

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

struct Voice {
    name: &'static str,
    pipeline: TextToSpeechPipeline,
    request: SpeechRequest,
    is_phonemes: bool,
}

impl Voice {
    fn options(&self, seed: u64) -> TextToSpeechOptions {
        let options = TextToSpeechOptions::default().forward_params(self.request.clone());
        options.phonemes(self.is_phonemes).seed(seed)
    }
}

fn voices() -> Vec<Voice> {
    let build = |name: &str| Pipeline::text_to_speech(golden(name).as_path());
    let request = SpeechRequest::default;
    let speecht5 = golden("voices/speecht5-tiny/vocoder");
    vec![
        Voice {
            name: "VITS",
            pipeline: build("voices/vits-tiny").build().unwrap(),
            request: request(),
            is_phonemes: false,
        },
        Voice {
            name: "Kokoro",
            pipeline: build("voices/kokoro-tiny").build().unwrap(),
            request: request().voice("af_one"),
            is_phonemes: true,
        },
        Voice {
            name: "SpeechT5",
            pipeline: build("voices/speecht5-tiny").vocoder(speecht5.as_path()).build().unwrap(),
            request: request().speaker_embeddings(vec![0.3, -1.0, 0.5, 2.0, 0.1]).maxlenratio(2.0),
            is_phonemes: false,
        },
        Voice {
            name: "XTTS",
            pipeline: build("xtts/tiny").build().unwrap(),
            request: request().language("en").voice("Claribel Dervla").stream_chunk_size(4),
            is_phonemes: false,
        },
    ]
}

/// Sentences of several lengths leave nothing behind. Each thread keeps what its largest product needed, and which thread
/// computes what is chance, so some rounds of them may take more than those before; what leaks would in every round.
#[test]
fn speech_never_grows_the_memory() {
    let _alone = ALONE.lock().unwrap();
    let sentences = ["hello.", "hello, hello hello hello.", "hello hello.", "hello hello, hello."];
    for voice in voices() {
        let speak = |number: usize| {
            let text = sentences[number % sentences.len()];
            let spoken = voice.pipeline.run_with(text, &voice.options(number as u64)).unwrap();
            assert!(!spoken.audio.samples.is_empty());
        };
        // XTTS makes as much sound of each as the others of dozens.
        let count = if voice.name == "XTTS" { 4 } else { 12 };
        let grown = (0..10).map(|_| {
            let before = in_use();
            (0..count).for_each(speak);
            in_use().saturating_sub(before)
        });
        let grown: Vec<_> = grown.collect();
        println!("{}: {grown:?} bytes more in use", voice.name);
        assert!(grown.iter().any(|bytes| *bytes < 1024), "{}: {grown:?} bytes", voice.name);
    }
}

/// The first sound comes after one sentence's share of the work, and with XTTS in pieces after a part of that.
#[test]
fn the_first_sound_of_a_stream_comes_after_a_sentence() {
    let _alone = ALONE.lock().unwrap();
    let sentences = 6;
    let text = "Oh hello hello. ".repeat(sentences);
    for voice in voices() {
        let options = voice.options(0);
        let run = || voice.pipeline.stream_audio(text.trim(), &options).unwrap();
        let share = || {
            let begin = asked_for();
            let mut stream = run();
            let heard = stream.next().unwrap().unwrap();
            assert!(!heard.audio.samples.is_empty());
            let first = asked_for() - begin;
            let spoken = stream.map(|sentence| sentence.unwrap().parts.len()).sum::<usize>();
            assert_eq!(spoken + heard.parts.len(), sentences, "{}", voice.name);
            first as f64 / (asked_for() - begin) as f64 * sentences as f64
        };
        // What is made once, by each thread, is made in one of them.
        let mut shares: Vec<f64> = (0..7).map(|_| share()).collect();
        shares.sort_by(f64::total_cmp);
        let share = shares[3];
        println!("{}: {share:.2} of a sentence's share before the first sound", voice.name);
        let most = if voice.name == "XTTS" { 0.8 } else { 1.3 };
        assert!(share < most, "{}: {share} of a sentence's share", voice.name);
    }
}
