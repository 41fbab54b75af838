//! Letters, texts and searches against those of the reference: `tests/goldens/ctc_decoding.json`, by
//! `make_ctc_decoding.py`.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;

use candle_core::{Device, Tensor};
use serde::Deserialize;

use sconce::ModelSource;
use sconce::speech::ctc::{
    ChunkStride, CtcBeamOptions, CtcOffset, CtcTokenizer, greedy_ids, join_chunks,
};
use sconce::tokenizer::Tokenizer;

#[derive(Deserialize)]
struct Golden {
    folders: Vec<Folder>,
}

#[derive(Deserialize)]
struct Folder {
    name: String,
    files: BTreeMap<String, String>,
    blank: u32,
    delimiter: u32,
    decoded: Vec<Decoded>,
    encoded: Vec<Encoded>,
    searches: Vec<Search>,
}

#[derive(Deserialize)]
struct Decoded {
    ids: Vec<u32>,
    skip_special_tokens: bool,
    text: String,
    chars: Vec<(String, usize, usize)>,
    words: Vec<(String, usize, usize)>,
}

#[derive(Deserialize)]
struct Encoded {
    text: String,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Search {
    frames: usize,
    seed: usize,
    beam_width: usize,
    beam_prune_logp: f64,
    token_min_logp: f64,
    beams: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    text: String,
    score: f64,
    words: Vec<(String, usize, usize)>,
}

fn each(check: impl Fn(&Folder, &CtcTokenizer)) {
    let golden: Golden = serde_json::from_str(include_str!("goldens/ctc_decoding.json")).unwrap();
    for folder in &golden.folders {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in &folder.files {
            fs::write(place.path().join(name), text).unwrap();
        }
        let files = ModelSource::directory(place.path()).open().unwrap();
        check(folder, &CtcTokenizer::open(&files).unwrap());
    }
}

fn offsets(offsets: &[CtcOffset]) -> Vec<(String, usize, usize)> {
    offsets.iter().map(|offset| (offset.text.clone(), offset.start, offset.end)).collect()
}

#[test]
fn texts_and_offsets_are_those_of_the_reference() {
    each(|folder, tokenizer| {
        assert_eq!(tokenizer.blank_id(), Some(folder.blank));
        assert_eq!(tokenizer.delimiter_id(), Some(folder.delimiter));
        for case in &folder.decoded {
            let found = tokenizer.decode(&case.ids, case.skip_special_tokens);
            let said = format!("{}: {:?}", folder.name, case.ids);
            assert_eq!(found.text, case.text, "{said}");
            assert_eq!(offsets(&found.chars), case.chars, "{said}");
            assert_eq!(offsets(&found.words), case.words, "{said}");
        }
    });
}

#[test]
fn ids_of_texts_are_those_of_the_reference() {
    each(|folder, tokenizer| {
        for Encoded { text, ids } in &folder.encoded {
            assert_eq!(&tokenizer.encode(text), ids, "{}: {text:?}", folder.name);
        }
    });
}

/// The same repositories, opened as any other tokenizer.
#[test]
fn tokenizers_of_letters_are_as_others() {
    let golden: Golden = serde_json::from_str(include_str!("goldens/ctc_decoding.json")).unwrap();
    for folder in &golden.folders {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in &folder.files {
            fs::write(place.path().join(name), text).unwrap();
        }
        let tokenizer = Tokenizer::open(place.path()).unwrap();
        for Encoded { text, ids } in &folder.encoded {
            let found = tokenizer.encode(text.as_str()).unwrap().ids;
            assert_eq!(&found, ids, "{}: {text:?}", folder.name);
        }
        for case in &folder.decoded {
            let found = tokenizer.decode(&case.ids, case.skip_special_tokens).unwrap();
            assert_eq!(found, case.text, "{}: {:?}", folder.name, case.ids);
        }
        assert!(tokenizer.vocab_size() > 4);
    }
}

#[test]
fn searches_find_what_those_of_the_reference_find() {
    each(|folder, tokenizer| {
        for search in &folder.searches {
            let vocab = 6;
            let value = |at: usize| {
                let noise = (at * 7919 + search.seed * 104_729) % 1009;
                (noise as f64 / 1009.0 * 9.0 - 4.0) as f32
            };
            let values: Vec<f32> = (0..search.frames * vocab).map(value).collect();
            let logits = Tensor::from_vec(values, (search.frames, vocab), &Device::Cpu).unwrap();
            let options = CtcBeamOptions::default()
                .beam_width(search.beam_width)
                .beam_prune_logp(search.beam_prune_logp)
                .token_min_logp(search.token_min_logp);
            let found = tokenizer.beams(&logits, &options).unwrap();
            for (found, expected) in found.iter().zip(&search.beams) {
                assert_eq!(found.text, expected.text, "seed {}", search.seed);
                assert!((found.score - expected.score).abs() < 1e-4, "seed {}", search.seed);
                assert_eq!(offsets(&found.words), expected.words, "seed {}", search.seed);
            }
            assert!(found.len() >= search.beams.len());
            // A search that keeps one letter of each frame is greedy.
            let narrow = CtcBeamOptions::default().beam_width(1).token_min_logp(0.0);
            let narrow = narrow.beam_prune_logp(0.0);
            let greedy = tokenizer.decode(&greedy_ids(&logits).unwrap(), false).text;
            let words: Vec<_> = greedy.split_whitespace().collect();
            assert_eq!(tokenizer.beams(&logits, &narrow).unwrap()[0].text, words.join(" "));
        }
    });
}

#[test]
fn wrong_files_and_options_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let open = |language: Option<&str>| {
        let files = ModelSource::directory(place.path()).open().unwrap();
        match language {
            Some(language) => CtcTokenizer::open_language(&files, language),
            None => CtcTokenizer::open(&files),
        }
    };
    assert!(open(None).is_err());
    fs::write(place.path().join("vocab.json"), r#"{"eng": {"a": 0}, "fra": {"b": 0}}"#).unwrap();
    assert!(open(None).unwrap_err().to_string().contains("choose one"));
    assert!(open(Some("deu")).unwrap_err().to_string().contains("eng, fra"));
    let tokenizer = open(Some("fra")).unwrap();
    assert_eq!(tokenizer.token(0), Some("b"));
    let logits = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
    let none = CtcBeamOptions::default().beam_width(0);
    assert!(tokenizer.beams(&logits, &none).is_err());
    assert!(greedy_ids(&logits.flatten_all().unwrap()).is_err());
}

/// As transformers 4.57.6 does: `rescale_stride([(16000, 2667, 2667)], 1 / 320)` is `(50, 8, 8)`.
#[test]
fn chunks_are_joined_without_their_strides() {
    let stride = |length, left, right| ChunkStride { length, left, right };
    assert_eq!(stride(16000, 2667, 2667).in_frames(320), stride(50, 8, 8));
    assert_eq!(stride(5336, 2667, 0).in_frames(320), stride(17, 8, 0));
    assert_eq!(stride(0, 0, 0).in_frames(320), stride(0, 0, 0));
    let chunks = [(vec![1, 2, 3, 4], stride(4, 0, 1)), (vec![5, 6, 7], stride(4, 1, 0))];
    assert_eq!(join_chunks(&chunks), [1, 2, 3, 6, 7]);
}
