//! Where recordings hold speech: Silero's network and `get_speech_timestamps` against the package silero-vad, and the
//! detector without weights on signals that are known.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde::Deserialize;

use sconce::speech::activity::{
    EnergyDetector, SileroVad, SpeechSpan, VoiceActivityDetector, VoiceActivityOptions,
    merged_spans, speech_probabilities, speech_timestamps, speech_windows,
    timestamps_of_probabilities,
};

#[path = "support/clips.rs"]
mod clips;
#[path = "support/packages.rs"]
mod packages;
#[path = "support/signal.rs"]
mod signal;

use signal::Signal;

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    /// Of the first windows of jfk.wav, with the weights of the safetensors file.
    of_safetensors: Vec<f32>,
    options: Vec<VoiceActivityOptions>,
    recordings: Vec<Recording>,
    curves: Vec<Curve>,
}

#[derive(Deserialize)]
struct Recording {
    name: String,
    sampling_rate: u32,
    pieces: Vec<Piece>,
    probabilities: Vec<f32>,
    /// For each of the options.
    spans: Vec<Vec<(usize, usize)>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Signal(Signal),
    /// Samples of jfk.wav.
    Speech {
        from: usize,
        to: usize,
        step: usize,
    },
}

/// Probabilities from a generator.
#[derive(Deserialize)]
struct Curve {
    seed: u32,
    sampling_rate: u32,
    samples: usize,
    count: usize,
    spans: Vec<Vec<(usize, usize)>>,
}

#[test]
fn spans_of_made_up_probabilities_are_those_of_the_reference() {
    let expected = expected();
    for curve in &expected.curves {
        let probabilities = curve.probabilities();
        let window = if curve.sampling_rate == 16_000 { 512 } else { 256 };
        for (number, (options, wanted)) in expected.options.iter().zip(&curve.spans).enumerate() {
            let (samples, rate) = (curve.samples, curve.sampling_rate);
            let found = timestamps_of_probabilities(&probabilities, window, samples, rate, options);
            assert_eq!(pairs(&found.unwrap()), *wanted, "seed {}, options {number}", curve.seed);
        }
    }
}

#[test]
fn silero_hears_what_the_reference_hears() {
    let (expected, silero, speech) = (expected(), silero(), jfk());
    for recording in &expected.recordings {
        let name = &recording.name;
        let samples: Vec<f32> =
            recording.pieces.iter().flat_map(|piece| piece.samples(&speech)).collect();
        let rate = recording.sampling_rate;
        let found = speech_probabilities(&silero, &samples, rate).unwrap();
        expect_close(name, &found, &recording.probabilities);
        for (number, (options, wanted)) in expected.options.iter().zip(&recording.spans).enumerate()
        {
            let found = speech_timestamps(&silero, &samples, rate, options).unwrap();
            assert_eq!(pairs(&found), *wanted, "{name}, options {number}");
        }
    }
    // Windows one by one, as they come from a microphone.
    let mut stream = silero.listen(16_000).unwrap();
    let windows = speech.chunks_exact(512).take(40);
    let found: Vec<_> = windows.map(|window| stream.hear(window).unwrap()[0]).collect();
    expect_close("one by one", &found, &expected.recordings[0].probabilities[..40]);

    let folder = packages::silero_vad().unwrap();
    let other = SileroVad::from_file(folder.join("silero_vad_16k.safetensors")).unwrap();
    let found = speech_probabilities(&other, &speech[..60 * 512], 16_000).unwrap();
    expect_close("safetensors", &found, &expected.of_safetensors);
    assert!(other.listen(8_000).is_err());
}

#[test]
fn bad_input_is_refused() {
    let silero = silero();
    let told = silero.listen(44_100).unwrap_err().to_string();
    assert!(told.contains("44100") && told.contains("16000 or 8000"), "{told}");
    let detectors: [&dyn VoiceActivityDetector; 2] = [&silero, &EnergyDetector::default()];
    for detector in detectors {
        let refused = |samples: &[f32], options: &VoiceActivityOptions| {
            speech_timestamps(detector, samples, 16_000, options).unwrap_err().to_string()
        };
        let defaults = VoiceActivityOptions::default();
        assert!(refused(&[0.0, f32::NAN], &defaults).contains("sample 1 of the audio is NaN"));
        let negative = VoiceActivityOptions::default().speech_pad_ms(-1.0);
        assert!(refused(&[0.0], &negative).contains("speech_pad_ms"));
        let none = VoiceActivityOptions::default().threshold(f64::NAN);
        assert!(refused(&[0.0], &none).contains("threshold"));
        assert!(speech_timestamps(detector, &[], 16_000, &defaults).unwrap().is_empty());
        assert!(detector.listen(16_000).unwrap().hear(&[0.0; 100]).is_err());
    }
    assert!(EnergyDetector::default().window(1).is_err());
    let folder = tempfile::tempdir().unwrap();
    let missing = SileroVad::from_source(folder.path()).unwrap_err().to_string();
    assert!(missing.contains("silero_vad.jit or silero_vad_16k.safetensors"), "{missing}");
    assert!(SileroVad::from_file("silero_vad.onnx").unwrap_err().is_caller_error());
}

#[test]
fn energy_tells_sound_from_silence_and_steady_noise() {
    let options = VoiceActivityOptions::default();
    let mut energy = EnergyDetector::default();
    energy.voiced = 0;
    let spans =
        |samples: &[f32], rate| speech_timestamps(&energy, samples, rate, &options).unwrap();
    let noise = |samples, amplitude| Signal::Noise { samples, seed: 5, amplitude }.samples();
    for steady in [vec![0.0; 40_000], vec![0.4; 40_000], noise(80_000, 0.01), noise(80_000, 1e-4)] {
        assert_eq!(spans(&steady, 16_000), []);
    }
    // Loud noise is found to be steady within a second.
    let loud = spans(&noise(160_000, 0.5), 16_000);
    assert!(loud.iter().all(|span| span.end < 18_000), "{loud:?}");
    for rate in [8_000, 16_000, 44_100] {
        // Three seconds of quiet noise, with a second of sound in the middle.
        let second = rate as usize;
        let mut samples = noise(3 * second, 0.003);
        let sound = Signal::Chirp {
            samples: second,
            from: 150.0,
            to: 900.0,
            amplitude: 0.2,
            rate: rate.into(),
        };
        let middle = samples[second..].iter_mut().zip(sound.samples());
        middle.for_each(|(sample, sound)| *sample += sound);
        let found = spans(&samples, rate);
        assert_eq!(found.len(), 1, "{found:?}");
        let (start, end) = found[0].seconds(rate);
        assert!((start - 1.0).abs() < 0.08 && (end - 2.0).abs() < 0.08, "{start} {end}");
    }
    // Real speech: four sentences, as Silero hears them. Pauses between words are silence here, which Silero
    // passes over: of the second sentence, a quarter of the time and a thousandth of the sound.
    let speech = jfk();
    let found = spans(&speech, 16_000);
    let power = |samples: &[f32]| samples.iter().map(|x| f64::from(x * x)).sum::<f64>();
    let sentences = [(5_152, 36_320), (52_256, 71_136), (86_048, 122_848), (130_592, 169_952)];
    let heard: usize = found.iter().map(SpeechSpan::samples).sum();
    for (start, end) in sentences {
        let within = |span: &SpeechSpan| span.start.max(start)..span.end.min(end).max(start);
        let parts = found.iter().map(within).filter(|part| part.start < part.end);
        let (time, sound) = parts.fold((0, 0.0), |(time, sound), part| {
            (time + part.len(), sound + power(&speech[part]))
        });
        assert!(time * 100 > (end - start) * 74, "{start}..{end} in {found:?}");
        let share = sound / power(&speech[start..end]);
        assert!(share > 0.9985, "{start}..{end}: {share} of the sound in {found:?}");
    }
    assert!(heard < 150_000, "{found:?}");
}

/// Of the ten clips without speech nothing is taken for speech, and of recordings with speech the same as by loudness
/// alone: what is left out there was noise before the first word.
#[test]
fn voices_are_told_from_noise_and_music() {
    let options = VoiceActivityOptions::default();
    let mut by_energy = EnergyDetector::default();
    by_energy.voiced = 0;
    let spans = |detector: &EnergyDetector, samples: &[f32]| {
        speech_timestamps(detector, samples, 16_000, &options).unwrap()
    };
    for (name, samples) in clips::clips() {
        assert_eq!(spans(&EnergyDetector::default(), &samples), [], "{name}");
    }
    let folder = packages::npm("@qvac/asr-ggml", "0.5.3").unwrap();
    let read = |name: &str| -> Vec<f32> {
        let path = folder.join(format!("package/test/mobile/testAssets/{name}.raw"));
        let bytes = fs::read(path).unwrap();
        let samples = bytes.as_chunks::<2>().0.iter();
        samples.map(|two| f32::from(i16::from_le_bytes(*two)) / 32_768.0).collect()
    };
    // Noise in which nobody speaks.
    assert_eq!(spans(&EnergyDetector::default(), &read("short_en")[..160_000]), []);
    // Where the first word begins.
    let recordings = [
        ("sample", read("sample"), 30_000),
        ("sample_de", read("sample_de"), 68_500),
        ("jfk", jfk(), 8_000),
    ];
    for (name, samples, begin) in recordings {
        let (found, all) =
            (spans(&EnergyDetector::default(), &samples), spans(&by_energy, &samples));
        let first = found.first().map_or(samples.len(), |span| span.start);
        let expected: Vec<_> = all.into_iter().filter(|span| span.start >= first).collect();
        assert_eq!(found, expected, "{name}");
        assert!(first <= begin, "{name}: {first}");
    }
}

#[test]
fn windows_hold_all_speech_and_know_where_it_was() {
    let span = |start, end| SpeechSpan { start, end };
    let spans = [span(10, 40), span(50, 80), span(100, 190), span(200, 420), span(500, 510)];
    let recording: Vec<f32> = (0..505).map(|at| at as f32).collect();
    let windows = speech_windows(&spans, 100).unwrap();
    let held: Vec<_> = windows.iter().map(|window| pairs(window.spans())).collect();
    assert_eq!(
        held,
        [
            vec![(10, 40), (50, 80)],
            vec![(100, 190)],
            vec![(200, 300)],
            vec![(300, 400)],
            vec![(400, 420), (500, 510)]
        ]
    );
    for window in &windows {
        assert!(window.samples() <= 100);
        for (at, sample) in window.collect(&recording).into_iter().enumerate() {
            assert_eq!(window.in_recording(at, false), sample as usize);
        }
    }
    let first = &windows[0];
    assert_eq!((first.in_recording(30, false), first.in_recording(30, true)), (50, 40));
    assert_eq!((first.in_recording(60, true), first.in_recording(65, true)), (80, 85));
    let merged = merged_spans(&spans, 200).unwrap();
    assert_eq!(pairs(&merged), [(10, 190), (200, 400), (400, 510)]);
    assert!(speech_windows(&[], 10).unwrap().is_empty() && speech_windows(&spans, 0).is_err());
}

impl Piece {
    fn samples(&self, speech: &[f32]) -> Vec<f32> {
        match self {
            Self::Signal(signal) => signal.samples(),
            Self::Speech { from, to, step } => {
                speech[*from..*to].iter().step_by(*step).copied().collect()
            }
        }
    }
}

impl Curve {
    /// `made_up` of `make_voice_activity.py`.
    fn probabilities(&self) -> Vec<f32> {
        let mut state = self.seed;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        let mut values = Vec::new();
        while values.len() < self.count {
            let (height, length) = (draw(100), 1 + draw(24));
            values.resize(values.len() + length as usize, (f64::from(height) / 100.0) as f32);
        }
        values.truncate(self.count);
        values
    }
}

fn expected() -> Expected {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/voice_activity/expected.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn silero() -> SileroVad {
    SileroVad::from_source(packages::silero_vad().unwrap()).unwrap()
}

fn expect_close(name: &str, found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len(), "{name}");
    for (window, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!((found - wanted).abs() < 1e-4, "{name}, window {window}: {found}, not {wanted}");
    }
}

fn jfk() -> Vec<f32> {
    let mut file = hound::WavReader::open(packages::jfk_wav().unwrap()).unwrap();
    let samples: Vec<_> =
        file.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32768.0).collect();
    assert_eq!(samples.len(), 176_000);
    samples
}

fn pairs(spans: &[SpeechSpan]) -> Vec<(usize, usize)> {
    spans.iter().map(|span| (span.start, span.end)).collect()
}
