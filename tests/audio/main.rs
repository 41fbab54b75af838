//! Audio files of every format against what ffmpeg decodes from them, and resampling against torchaudio:
//! `tests/goldens/audio`, made by `make_audio_files.py` and `make_resample.py`.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hostile;
#[path = "../support/packages.rs"]
mod packages;
#[path = "../support/wav.rs"]
mod wav;

use std::fs;
use std::path::{Path, PathBuf};

use sconce::audio::{AudioReader, Resampler};
use serde::Deserialize;

/// `files.json`.
#[derive(Deserialize)]
struct Files {
    files: Vec<Expected>,
}

/// What ffmpeg makes of a file.
#[derive(Deserialize)]
struct Expected {
    name: String,
    sampling_rate: u32,
    channels: usize,
    /// Samples of each channel.
    length: usize,
    mean_square: f64,
    places: Vec<usize>,
    /// The samples of all channels at these places.
    values: Vec<Vec<f32>>,
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/audio").join(name)
}

/// Files of which ffmpeg gives another number of samples: ours, until where they are the same samples, and why.
const DIFFERENT: &[(&str, usize, usize, &str)] = &[
    ("mono.ogg", 12_000, 12_000, "the last page says 12,000; ffmpeg gives the whole last packet"),
    ("stereo.ogg", 20_000, 19_872, "the last page says 20,000; ffmpeg loses half a short block"),
    ("sox.ogg", 16_000, 15_872, "the last page says 16,000; ffmpeg loses half a short block"),
    ("chained.ogg", 24_000, 12_000, "twice mono.ogg"),
    ("chained.opus", 50_000, 25_000, "ffmpeg does not skip the second stream's delay"),
    ("cut.mp3", 8_111, 8_111, "ffmpeg decodes the part of a frame at the end"),
];

#[test]
fn files_hold_what_ffmpeg_finds_in_them() {
    let text = fs::read_to_string(golden("files.json")).unwrap();
    let files: Files = serde_json::from_str(&text).unwrap();
    let complaints: Vec<_> = files
        .files
        .iter()
        .filter_map(|expected| complaint(expected, &golden(&expected.name)).err())
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Recordings that others made, in packages of npm.
#[test]
fn recordings_of_others_hold_what_ffmpeg_finds_in_them() {
    let text = fs::read_to_string(golden("others.json")).unwrap();
    let files: Files = serde_json::from_str(&text).unwrap();
    let folder = packages::npm("nodejs-whisper", "0.3.1").unwrap().join("package");
    for expected in &files.files {
        complaint(expected, &folder.join(&expected.name)).unwrap();
    }
}

fn complaint(expected: &Expected, path: &Path) -> Result<(), String> {
    let name = &expected.name;
    let mut reader = AudioReader::open(path).map_err(|error| format!("{name}: {error}"))?;
    let found = (reader.sampling_rate(), reader.channels());
    if found != (expected.sampling_rate, expected.channels) {
        return Err(format!(
            "{name}: {found:?}, not {:?}",
            (expected.sampling_rate, expected.channels)
        ));
    }
    let stated = reader
        .duration()
        .map(|duration| duration.as_secs_f64() * f64::from(expected.sampling_rate));
    let mut samples = Vec::new();
    for block in &mut reader {
        samples.extend(block.map_err(|error| format!("{name}: {error}"))?.samples);
    }
    let length = samples.len() / expected.channels;
    let different = DIFFERENT.iter().find(|(file, ..)| file == name);
    let (wanted, same_until) = different
        .map_or((expected.length, expected.length), |(_, length, until, _)| (*length, *until));
    if length != wanted || different.is_some() && wanted == expected.length {
        return Err(format!(
            "{name}: {length} samples, not {wanted} (ffmpeg: {})",
            expected.length
        ));
    }
    // Some do not say how long they are: short mp3 files without a tag, files in fragments, joined ones.
    let vague = "no_tag.mp3 cut.m4a cut.aiff layer2.mp2 fragments.mp4 mono.aac joined.mp3 cut.mp3 chained.ogg chained.opus no_length.wav";
    if !vague.contains(name.as_str()) {
        let stated = stated.ok_or_else(|| format!("{name}: no duration"))?;
        if (stated - wanted as f64).abs() > 2_500.0 {
            return Err(format!("{name}: {stated} samples announced, {wanted} found"));
        }
    }
    let is_damaged = reader.damage().is_some();
    if is_damaged != ["cut.mp3", "cut.m4a", "cut.aiff"].contains(&name.as_str()) {
        return Err(format!("{name}: {:?}", reader.damage()));
    }
    for (place, values) in
        expected.places.iter().zip(&expected.values).filter(|(place, _)| **place < same_until)
    {
        let found = &samples[place * expected.channels..][..expected.channels];
        let error = found
            .iter()
            .zip(values)
            .map(|(found, value)| (found - value).abs())
            .fold(0.0, f32::max);
        // libopus, as ffmpeg calls it, rounds to 16 bits, and symphonia's tables of layer 2 are not as exact.
        let allowed = match name.as_str() {
            "layer2.mp2" => 3e-5,
            name if name.contains("opus") => 2e-5,
            _ => 2e-6,
        };
        if error > allowed {
            return Err(format!("{name}: {found:?} at {place}, not {values:?}"));
        }
    }
    let mean_square =
        samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / samples.len() as f64;
    if different.is_none() && (mean_square - expected.mean_square).abs() > 1e-6 {
        return Err(format!(
            "{name}: a mean square of {mean_square}, not {}",
            expected.mean_square
        ));
    }
    Ok(())
}

/// `resample.json`.
#[derive(Deserialize)]
struct Resampled {
    cases: Vec<ResampleCase>,
}

#[derive(Deserialize)]
struct ResampleCase {
    from: u32,
    to: u32,
    samples: u64,
    length: usize,
    places: Vec<usize>,
    values: Vec<f32>,
}

#[test]
fn resampling_gives_what_torchaudio_gives() {
    let text = fs::read_to_string(golden("resample.json")).unwrap();
    let golden: Resampled = serde_json::from_str(&text).unwrap();
    for case in golden.cases {
        let noise = |n: u64| ((n * 7919 + n * n * 31) % 2001) as f32 - 1000.0;
        let samples: Vec<f32> = (0..case.samples).map(|n| noise(n) / 1000.0).collect();
        let name = format!("{} samples from {} to {} Hz", case.samples, case.from, case.to);
        let mut whole = Vec::new();
        let mut resampler = Resampler::new(case.from, case.to).unwrap();
        resampler.push(&samples, &mut whole).unwrap();
        resampler.finish(&mut whole).unwrap();
        assert_eq!(whole.len(), case.length, "{name}");
        for (place, value) in case.places.iter().zip(&case.values) {
            let error = (whole[*place] - value).abs();
            assert!(error < 1e-5, "{name}: {} at {place}, not {value}", whole[*place]);
        }
        // In blocks, with the resampler that has ended one stream.
        for size in [1, 13, 1_000] {
            let mut blocks = Vec::new();
            for block in samples.chunks(size) {
                resampler.push(block, &mut blocks).unwrap();
            }
            resampler.finish(&mut blocks).unwrap();
            assert!(blocks == whole, "{name} in blocks of {size}");
        }
    }
}

#[test]
fn readers_go_from_thread_to_thread() {
    fn check<T: Send + Sync>() {}
    check::<AudioReader<'static>>();
    check::<Resampler>();
}

/// torchaudio computes this length in f32, and gives 65,559 (`findings/torchaudio-resample-one-short.sh`).
#[test]
fn long_signals_have_their_last_sample() {
    let mut resampled = Vec::new();
    let mut resampler = Resampler::new(44_100, 16_000).unwrap();
    resampler.push(&[0.0; 180_697], &mut resampled).unwrap();
    resampler.finish(&mut resampled).unwrap();
    assert_eq!(resampled.len(), 65_560);
}
