//! Every feature extractor in `tests/goldens/audio_features` against the numbers of the Python reference.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::Deserialize;

use sconce::ModelSource;
use sconce::audio::{
    AudioFeatures, FeatureExtractor, WhisperFeatureConfig, WhisperFeatureExtractor,
};

#[path = "support/packages.rs"]
mod packages;
#[path = "support/signal.rs"]
mod signal;

use signal::Signal;

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// Whether the batch is padded to its longest row.
    longest: bool,
    /// By how much the reference's two ways of computing differ.
    noise: f32,
    signals: Vec<Signal>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    frames: usize,
    length: usize,
    /// The frames that the reference's values are there for.
    picked: Vec<usize>,
}

#[test]
fn features_are_those_of_the_reference() {
    let mut failed = Vec::new();
    for folder in folders() {
        let (extractor, expected, arrays) = open(&folder);
        for case in &expected.cases {
            let signals: Vec<_> = case.signals.iter().map(Signal::samples).collect();
            let found = extract(&extractor, &signals, case.longest);
            for (number, (row, found)) in case.rows.iter().zip(&found).enumerate() {
                let name = format!("{}.{number}", case.name);
                let wanted = arrays[&name].to_vec2().unwrap();
                let place = format!("{}/{name}", folder.file_name().unwrap().display());
                if let Some(wrong) = differs(row, &wanted, found, TOLERANCE + case.noise) {
                    failed.push(format!("{place}: {wrong}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

fn folders() -> Vec<PathBuf> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/audio_features");
    let mut folders: Vec<_> =
        fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

fn open(folder: &Path) -> (FeatureExtractor, Expected, std::collections::HashMap<String, Tensor>) {
    let files = ModelSource::directory(folder).open().unwrap();
    let expected = fs::read_to_string(folder.join("expected.json")).unwrap();
    let arrays =
        candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
    (
        FeatureExtractor::from_files(&files).unwrap(),
        serde_json::from_str(&expected).unwrap(),
        arrays,
    )
}

fn extract(
    extractor: &FeatureExtractor,
    signals: &[Vec<f32>],
    longest: bool,
) -> Vec<AudioFeatures> {
    let rate = extractor.sampling_rate();
    if longest {
        let rows: Vec<_> = signals.iter().map(Vec::as_slice).collect();
        return extractor.extract_batch(&rows, rate).unwrap();
    }
    signals.iter().map(|samples| extractor.extract(samples, rate).unwrap()).collect()
}

/// What is wrong with a row, if anything is.
fn differs(
    row: &Row,
    wanted: &[Vec<f32>],
    found: &AudioFeatures,
    tolerance: f32,
) -> Option<String> {
    if (found.frames(), found.length()) != (row.frames, row.length) {
        let (frames, length) = (found.frames(), found.length());
        return Some(format!(
            "{frames} frames, {length} of them real, not {} and {}",
            row.frames, row.length
        ));
    }
    let width = found.width();
    let mut worst = (0.0, 0, 0);
    for (frame, wanted) in row.picked.iter().zip(wanted) {
        let values = &found.values()[frame * width..][..width];
        assert_eq!(wanted.len(), width);
        for (band, (wanted, value)) in wanted.iter().zip(values).enumerate() {
            let error = (wanted - value).abs();
            if error.is_nan() || error > worst.0 {
                worst = (error, *frame, band);
            }
        }
    }
    let (error, frame, band) = worst;
    (error.is_nan() || error > tolerance)
        .then(|| format!("frame {frame}, band {band}: off by {error}"))
}

#[test]
fn features_of_real_speech_are_those_of_the_reference() {
    #[derive(Deserialize)]
    struct Expected {
        length: usize,
        frames: Vec<Vec<f32>>,
    }

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/audio_features_jfk.json");
    let expected: Expected = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let mut file = hound::WavReader::open(packages::jfk_wav().unwrap()).unwrap();
    let samples = file.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32768.0);
    let samples: Vec<_> = samples.collect();
    let extractor = WhisperFeatureExtractor::new(WhisperFeatureConfig::default()).unwrap();
    let found = extractor.extract(&samples, 16_000).unwrap();
    let picked: Vec<_> = (0..found.frames()).step_by(100).collect();
    let row = Row { frames: 3000, length: expected.length, picked };
    assert_eq!(differs(&row, &expected.frames, &found, TOLERANCE), None);
}

#[test]
fn pieces_give_what_the_whole_gives() {
    let extractor = WhisperFeatureExtractor::new(WhisperFeatureConfig::default()).unwrap();
    let samples = Signal::Noise { samples: 150_000, seed: 4, amplitude: 0.2 }.samples();
    for at_least in [0, 480_000] {
        let whole = extractor.extract_padded(&samples, 16_000, at_least).unwrap();
        for piece in [1_000, 77, 65_537] {
            let mut stream = extractor.stream();
            samples.chunks(piece).for_each(|piece| stream.push(piece).unwrap());
            assert_eq!(stream.samples(), samples.len());
            assert_eq!(stream.finish(at_least).unwrap(), whole, "pieces of {piece}");
        }
    }
}

#[test]
fn bad_recordings_are_refused() {
    for folder in folders() {
        let (extractor, ..) = open(&folder);
        let rate = extractor.sampling_rate();
        let error = |samples: &[f32], rate| extractor.extract(samples, rate).unwrap_err();
        let samples = vec![0.1; 4_000];
        let wrong_rate = error(&samples, 44_100);
        assert!(wrong_rate.is_caller_error());
        let told = wrong_rate.to_string();
        assert!(told.contains("44100") && told.contains(&rate.to_string()), "{told}");
        for value in [f32::NAN, f32::INFINITY] {
            let mut samples = samples.clone();
            samples[1_234] = value;
            let told = error(&samples, rate).to_string();
            assert!(told.contains(&format!("sample 1234 of the audio is {value}")), "{told}");
        }
        if !matches!(extractor, FeatureExtractor::Whisper(_)) {
            assert!(error(&[], rate).is_caller_error());
        }
        assert!(
            extractor.extract_batch(&[&samples[..], &[]], rate).is_err()
                || matches!(extractor, FeatureExtractor::Whisper(_))
        );
    }
    let whisper = WhisperFeatureExtractor::new(WhisperFeatureConfig::default()).unwrap();
    let short = whisper.extract_padded(&[0.5; 200], 16_000, 0).unwrap_err().to_string();
    assert!(short.contains("200 samples") && short.contains("201 or more"), "{short}");
}

#[test]
fn files_are_read_as_the_reference_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let read = |files: &[(&str, &str)]| {
        for name in ["preprocessor_config.json", "processor_config.json", "config.json"] {
            let _ = fs::remove_file(folder.path().join(name));
        }
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        FeatureExtractor::from_files(&ModelSource::directory(folder.path()).open().unwrap())
    };
    let preprocessor = |text: &str| read(&[("preprocessor_config.json", text)]);
    let whisper = r#"{"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 128, "new_field": [1]}"#;
    let nested =
        format!(r#"{{"feature_extractor": {whisper}, "processor_class": "WhisperProcessor"}}"#);
    for files in [
        [("preprocessor_config.json", whisper), ("processor_config.json", "{}")],
        [("processor_config.json", nested.as_str()), ("config.json", "{}")],
    ] {
        let Ok(FeatureExtractor::Whisper(extractor)) = read(&files) else { panic!("{files:?}") };
        assert_eq!(extractor.config().feature_size, 128);
    }
    // As the first Wav2Vec2 repositories have it.
    let old = r#"{"do_normalize": false, "feature_size": 1, "return_attention_mask": null}"#;
    let files = [("preprocessor_config.json", old), ("config.json", r#"{"model_type": "hubert"}"#)];
    let Ok(FeatureExtractor::Wav2Vec2(extractor)) = read(&files) else { panic!() };
    assert!(!extractor.config().do_normalize);

    let wrong = |field: &str| {
        let text = format!(r#"{{"feature_extractor_type": "WhisperFeatureExtractor", {field}}}"#);
        preprocessor(&text).unwrap_err().to_string()
    };
    for (field, expected) in [
        (r#""hop_length": "160""#, "`hop_length`: the text \"160\" where a whole number"),
        (r#""hop_length": 0"#, "`hop_length`: 0 is not between 1 and"),
        (r#""chunk_length": 1000000000000"#, "`chunk_length`: 1000000000000 is not between 1 and"),
        (r#""feature_size": -1"#, "`feature_size`: -1 where a whole number"),
        (r#""n_fft": 1"#, "`n_fft`: 1 is not between 2 and"),
        (r#""dither": 0.1"#, "`dither`: 0.1 is not supported"),
        (r#""padding_side": "left""#, "`padding_side`: \"left\" is not supported"),
    ] {
        let told = wrong(field);
        assert!(told.contains("preprocessor_config.json") && told.contains(expected), "{told}");
    }
    for (files, expected) in [
        (&[][..], "has no preprocessor_config.json"),
        (&[("preprocessor_config.json", "{}")], "`feature_extractor_type` is missing"),
        (
            &[(
                "preprocessor_config.json",
                r#"{"feature_extractor_type": "ParakeetFeatureExtractor"}"#,
            )],
            "\"ParakeetFeatureExtractor\" is not supported; known are ASTFeatureExtractor",
        ),
        (
            &[("processor_config.json", r#"{"feature_extractor": 3}"#)],
            "`feature_extractor`: 3 is no object",
        ),
    ] {
        let told = read(files).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
}

const TOLERANCE: f32 = 1e-5;
