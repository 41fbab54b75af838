//! Codecs against the reference: `tests/goldens/codecs`, by `make_codecs.py`.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sconce::models::AutoModel;
use sconce::models::codecs::{CodeChunk, Codec, Codes};
use sconce::{Device, LoadOptions, ModelSource, Tensor};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    bandwidth: Option<f64>,
    #[serde(default)]
    books: Option<usize>,
    scales: Vec<Option<f32>>,
}

fn folders() -> Vec<PathBuf> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/codecs");
    let mut folders: Vec<_> = fs::read_dir(goldens).unwrap().map(|it| it.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

fn open(folder: &Path) -> Arc<dyn Codec> {
    let options = LoadOptions::default().device(Device::Cpu);
    let files = ModelSource::directory(folder).open().unwrap();
    AutoModel::from_files::<dyn Codec>(&files, &options).unwrap()
}

fn tensors(folder: &Path) -> impl Fn(&str) -> Tensor + use<> {
    let path = folder.join("expected.safetensors");
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    move |name| tensors.get(name).unwrap_or_else(|| panic!("no {name}")).clone()
}

#[test]
fn codes_are_exact_and_samples_are_those_of_the_reference() {
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read(folder.join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_slice(&text).unwrap();
        let (codec, tensor) = (open(&folder), tensors(&folder));
        for (case, how) in expected.cases {
            let samples = tensor(&format!("{case}.samples")).to_vec2::<f32>().unwrap();
            let channels: Vec<&[f32]> = samples.iter().map(Vec::as_slice).collect();
            let books = how.bandwidth.map(|it| codec.codebooks_for(it).unwrap()).or(how.books);
            let codes = codec.encode(&channels, books).unwrap();
            assert_eq!(codes.chunks.len(), how.scales.len(), "{name}, {case}");
            for (number, (chunk, scale)) in codes.chunks.iter().zip(&how.scales).enumerate() {
                let expected = tensor(&format!("{case}.codes.{number}")).to_vec2::<i64>().unwrap();
                let expected: Vec<Vec<u32>> = expected
                    .iter()
                    .map(|book| book.iter().map(|&it| it as u32).collect())
                    .collect();
                assert_eq!(chunk.books, expected, "{name}, {case}, chunk {number}");
                match (chunk.scale, scale) {
                    (None, None) => {}
                    (Some(found), Some(scale)) => assert!((found - scale).abs() < 1e-5 * scale),
                    other => panic!("{name}, {case}: {other:?}"),
                }
            }
            let expected = tensor(&format!("{case}.decoded")).to_vec2::<f32>().unwrap();
            let found = codec.decode(&codes).unwrap();
            assert_eq!(found.len(), expected.len(), "{name}, {case}");
            let largest = expected.iter().flatten().fold(1.0_f32, |most, it| most.max(it.abs()));
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.len(), expected.len(), "{name}, {case}");
                let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
                let most = apart.fold(0.0_f32, f32::max);
                assert!(most < 1e-4 * largest, "{name}, {case}: {most} of {largest}");
            }
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for folder in folders() {
        let codec = open(&folder);
        let layout = codec.layout();
        let refused = |outcome: sconce::Result<Codes>, part: &str| {
            let error = outcome.unwrap_err();
            assert!(error.is_caller_error() && error.to_string().contains(part), "{error}");
        };
        let silence = vec![0.0; 300];
        let channels = vec![silence.as_slice(); layout.channels];
        refused(codec.encode(&vec![&[][..]; layout.channels], None), "no samples");
        refused(codec.encode(&[silence.as_slice(); 3], None), "channels");
        refused(codec.encode(&channels, Some(0)), "codebooks");
        refused(codec.encode(&channels, Some(layout.codebooks + 1)), "codebooks");
        let broken = vec![f32::NAN; 300];
        refused(codec.encode(&vec![broken.as_slice(); layout.channels], None), "is NaN");
        assert!(codec.codebooks_for(0.123).is_err_and(|error| error.is_caller_error()));
        let scale = codec.encode(&channels, None).unwrap().chunks[0].scale;
        let decode = |books: Vec<Vec<u32>>| {
            let mut codes = Codes::new(Vec::new());
            codes.chunks = vec![CodeChunk::new(books).with_scale(scale)];
            codec.decode(&codes).map(|_| codes)
        };
        assert!(decode(vec![vec![1, 2]; layout.codebooks]).is_ok());
        refused(decode(Vec::new()), "no codes");
        refused(decode(vec![vec![]]), "no codes");
        refused(decode(vec![vec![1]; layout.codebooks + 1]), "codebooks");
        refused(decode(vec![vec![1], vec![1, 2]]), "codebook 1");
        refused(decode(vec![vec![layout.codebook_size as u32]]), "code");
    }
}

/// Silence and a single sample are sound, too.
#[test]
fn the_shortest_sound_is_encoded() {
    for folder in folders() {
        let codec = open(&folder);
        let layout = codec.layout();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("dac") {
            continue; // Convolutions without padding for what is left over: a frame at least.
        }
        let one = vec![[0.0_f32].as_slice(); layout.channels];
        let codes = codec.encode(&one, None).unwrap();
        assert_eq!(codes.chunks[0].books[0].len(), 1, "{name}");
        let samples = codec.decode(&codes).unwrap();
        assert!(
            samples[0].len() >= layout.hop_length && samples[0].iter().all(|it| it.is_finite())
        );
    }
}

/// Sound, and pieces of several lengths.
fn sound(samples: usize) -> Vec<f32> {
    (0..samples).map(|at| ((at * at % 97) as f32 / 97.0 - 0.5) * 0.8).collect()
}

#[test]
fn pieces_give_what_the_whole_gives() {
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let codec = open(&folder);
        let channels = codec.layout().channels;
        let one = vec![[0.1_f32].as_slice(); channels];
        let mut first = codec.begin_encoding(None).unwrap();
        assert!(codec.finish_encoding(&mut first).unwrap().is_empty());
        assert!(codec.encode_piece(&one, &mut first).is_err(), "{name} has ended");
        for (samples, step) in
            [(701, 1), (701, 7), (640, 64), (333, 300), (13, 5), (640, 1000), (2900, 130)]
        {
            let sound = sound(samples + channels);
            let rows: Vec<&[f32]> = (0..channels).map(|at| &sound[at..at + samples]).collect();
            let books = codec.layout().codebooks;
            let whole = codec.encode(&rows, Some(books)).unwrap();
            let mut state = codec.begin_encoding(Some(books)).unwrap();
            let mut pieces = Vec::new();
            for start in (0..samples).step_by(step) {
                let piece = start..samples.min(start + step);
                let piece: Vec<&[f32]> = rows.iter().map(|it| &it[piece.clone()]).collect();
                pieces.extend(codec.encode_piece(&piece, &mut state).unwrap());
            }
            pieces.extend(codec.finish_encoding(&mut state).unwrap());
            let mut state = codec.begin_decoding().unwrap();
            let mut found = vec![Vec::new(); channels];
            let mut add = |piece: Vec<Vec<f32>>| {
                found.iter_mut().zip(piece).for_each(|(found, piece)| found.extend(piece));
            };
            let what = format!("{name}: {samples} samples by {step}");
            if whole.chunks.len() > 1 || whole.chunks[0].scale.is_some() {
                assert_eq!(pieces, whole.chunks, "{what}");
                for chunk in &pieces {
                    add(codec.decode_piece(chunk, &mut state).unwrap());
                }
            } else {
                let mut codes = vec![Vec::new(); books];
                for CodeChunk { books, .. } in pieces {
                    codes.iter_mut().zip(books).for_each(|(codes, book)| codes.extend(book));
                }
                assert_eq!(codes, whole.chunks[0].books, "{what}");
                let frames = codes[0].len();
                for start in (0..frames).step_by(step) {
                    let piece = start..frames.min(start + step);
                    let piece = codes.iter().map(|book| book[piece.clone()].to_vec()).collect();
                    add(codec.decode_piece(&CodeChunk::new(piece), &mut state).unwrap());
                }
            }
            add(codec.finish_decoding(&mut state).unwrap());
            let expected = codec.decode(&whole).unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.len(), expected.len(), "{what}");
                let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
                let most = apart.fold(0.0_f32, f32::max);
                assert!(most < 1e-4, "{what}: {most}");
            }
        }
        let longer = sound(300);
        let longer = vec![longer.as_slice(); channels];
        let scale = codec.encode(&longer, None).unwrap().chunks[0].scale;
        let codes = |books: usize| CodeChunk::new(vec![vec![1]; books]).with_scale(scale);
        let mut state = codec.begin_decoding().unwrap();
        assert!(codec.encode_piece(&one, &mut state).is_err());
        codec.decode_piece(&codes(codec.layout().codebooks), &mut state).unwrap();
        assert!(codec.decode_piece(&codes(1), &mut state).is_err());
        let other = CodeChunk::new(vec![vec![1]; codec.layout().codebooks]);
        let other = other.with_scale(scale.xor(Some(2.0)));
        assert!(codec.decode_piece(&other, &mut state).is_err(), "{name}: {:?}", other.scale);
    }
}
