//! Files that are empty, cut off, something else, or lie about themselves.

use std::fs;
use std::io::Cursor;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sconce::Error;
use sconce::audio::{Audio, AudioReader, Resampler, read, read_bytes};

use crate::golden;
use crate::wav::wav;

fn expect_error(name: &str, result: Result<Audio, Error>, words: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(words), "{name}: {error}");
}

#[test]
fn what_is_no_sound_is_an_error_that_says_so() {
    let film = fs::read(golden("no_sound.mp4")).unwrap();
    let text = "No file of sound, but a text. ".repeat(500);
    let loud: Vec<u8> =
        [0.5_f32, f32::INFINITY].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let quiet: Vec<u8> =
        [0.5_f32, 0.1, f32::NAN].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    for (name, bytes, words) in [
        ("empty", vec![], "the file is empty"),
        ("one byte", vec![b'R'], "no audio file"),
        ("a text", text.into_bytes(), "no audio file"),
        ("a film without sound", film, "no audio track"),
        ("no channels", wav(1, 0, 8_000, 16, 100, &[0; 100]), "0 channels"),
        ("255 channels", wav(1, 255, 8_000, 16, 5_100, &[0; 5_100]), "channel"),
        ("0 Hz", wav(1, 1, 0, 16, 100, &[0; 100]), "0 Hz"),
        ("infinite", wav(3, 1, 8_000, 32, 8, &loud), "sample 1 of the audio is inf"),
        ("no number", wav(3, 1, 8_000, 32, 12, &quiet), "sample 2 of the audio is NaN"),
        ("40 bits", wav(1, 1, 8_000, 40, 100, &[0; 100]), "40 bits"),
        ("another format", wav(0x31, 1, 8_000, 16, 100, &[0; 100]), "unsupported wave format"),
        ("a header alone", wav(1, 1, 8_000, 16, 0, &[])[..20].to_vec(), "breaks off"),
    ] {
        expect_error(name, read_bytes(&bytes), words);
        // With a name, it is the file's fault.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sound.wav");
        fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err();
        assert!(
            !error.is_caller_error() && error.to_string().contains("sound.wav"),
            "{name}: {error}"
        );
    }
    assert!(read("no such file.wav").is_err());
    assert!(read(env!("CARGO_MANIFEST_DIR")).is_err());
}

#[test]
fn what_is_missing_is_reported_and_the_rest_is_read() {
    let data: Vec<u8> = (0..1_000_i16).flat_map(|n| (n * 16).to_le_bytes()).collect();
    let samples: Vec<f32> = (0..1_000).map(|n| n as f32 * 16.0 / 32_768.0).collect();
    for (name, stated, damage) in [
        ("true", 2_000, None),
        ("too long", 2_000_000, Some("it has 1000 of the 1000000 samples")),
        ("not known", u32::MAX, None),
        ("not written", 0, None),
    ] {
        let wav = wav(1, 1, 16_000, 16, stated, &data);
        let mut reader = AudioReader::new(Cursor::new(&wav)).unwrap();
        let found: Vec<f32> = (&mut reader).flat_map(|block| block.unwrap().samples).collect();
        assert_eq!(found, samples, "{name}");
        match damage {
            None => assert_eq!(reader.damage(), None, "{name}"),
            Some(words) => {
                assert!(reader.damage().unwrap().contains(words), "{name}: {:?}", reader.damage())
            }
        }
        assert_eq!(read_bytes(&wav).unwrap().samples, samples, "{name}");
    }
    // Half of a frame at the end is none.
    let odd = wav(1, 2, 16_000, 16, 2_000, &data[..1_998]);
    assert_eq!(read_bytes(&odd).unwrap().samples.len(), 499);
    // What the header leaves out is another chunk's.
    let short = wav(1, 1, 16_000, 16, 500, &data);
    assert_eq!(read_bytes(&short).unwrap().samples, samples[..250]);
    // A length of the whole that is too short, samples of 12 bits, a header of telephone systems, a long recording.
    let mut wrong = wav(1, 1, 16_000, 12, 2_000, &data);
    wrong[4..8].fill(0);
    assert_eq!(read_bytes(&wrong).unwrap().samples, samples);
    assert_eq!(read_bytes(&wav(7, 1, 8_000, 8, 2_000, &data)).unwrap().samples.len(), 2_000);
    let mut long = wav(1, 1, 16_000, 16, u32::MAX, &[&data[..], b"LIST\x04\0\0\0more"].concat());
    long[..4].copy_from_slice(b"RF64");
    let sizes =
        [&b"ds64\x1c\0\0\0"[..], &2_072_u64.to_le_bytes(), &2_000_u64.to_le_bytes(), &[0; 12]]
            .concat();
    long.splice(12..12, sizes);
    assert_eq!(read_bytes(&long).unwrap().samples, samples);
    // An mp3 in a wav.
    let mp3 = fs::read(golden("mono_8000.mp3")).unwrap();
    let wrapped = wav(0x55, 1, 8_000, 0, mp3.len() as u32, &mp3);
    assert_eq!(read_bytes(&wrapped).unwrap(), read_bytes(&mp3).unwrap());
    // No samples at all are sound, too.
    assert!(read_bytes(&wav(1, 1, 16_000, 16, 0, &[])).unwrap().samples.is_empty());
}

#[test]
fn strange_sampling_rates() {
    let second = |rate| wav(1, 1, rate, 16, 2_000, &[1; 2_000]);
    for rate in [1, 7, 4_000_000_000] {
        assert_eq!(read_bytes(&second(rate)).unwrap().sampling_rate, rate);
    }
    let resampled = |rate: u32| {
        let wav = second(rate);
        AudioReader::new(Cursor::new(&wav)).and_then(|reader| reader.mono(16_000))
    };
    expect_error("1 Hz", resampled(1), "is 1 Hz the right sampling rate?");
    assert_eq!(resampled(4_000_000_000).unwrap().samples.len(), 1);
    expect_error("prime", resampled(4_000_000_007), "no large common factor");
    for (from, to) in [(0, 16_000), (16_000, 0), (1, 65), (4_294_967_291, 4_294_967_279)] {
        assert!(Resampler::new(from, to).is_err(), "{from} {to}");
    }
    assert!(Resampler::new(44_101, 16_001).is_ok());
}

#[test]
fn six_channels_and_samples_beyond_one() {
    let frames: Vec<u8> = (0..60).flat_map(|n| (n as f32).to_le_bytes()).collect();
    let wav = wav(3, 6, 8_000, 32, 240, &frames);
    let found = read_bytes(&wav).unwrap();
    let means: Vec<f32> = (0..10).map(|frame| frame as f32 * 6.0 + 2.5).collect();
    assert_eq!(found.samples, means);
    let channels = AudioReader::new(Cursor::new(&wav)).unwrap().split().unwrap();
    assert_eq!(channels.len(), 6);
    assert_eq!(
        channels[4].samples,
        (0..10).map(|frame| frame as f32 * 6.0 + 4.0).collect::<Vec<_>>()
    );
}

#[test]
fn sound_that_changes_in_the_middle_goes_on_as_it_began() {
    let all = |bytes: &[u8]| {
        let mut reader = AudioReader::new(Cursor::new(bytes)).unwrap();
        let samples: Vec<f32> = (&mut reader).flat_map(|block| block.unwrap().samples).collect();
        assert_eq!(reader.damage(), None);
        samples
    };
    // Two channels of 44,100 Hz after one of 22,050, and back.
    let [mono, stereo] = ["mono.ogg", "stereo.ogg"].map(|name| fs::read(golden(name)).unwrap());
    let of_stereo = AudioReader::new(Cursor::new(&stereo)).unwrap().mono(22_050).unwrap().samples;
    let expected = [all(&mono), of_stereo, all(&mono)].concat();
    let found = all(&[&mono[..], &stereo, &mono].concat());
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-6, "{worst}");
    // One channel after two.
    let [mono, stereo] = ["no_tag.mp3", "stereo.mp3"].map(|name| fs::read(golden(name)).unwrap());
    let copied: Vec<f32> = all(&mono).into_iter().flat_map(|sample| [sample; 2]).collect();
    assert_eq!(all(&[&stereo[..], &mono].concat()), [all(&stereo), copied].concat());
}

#[test]
fn what_cannot_be_read_is_named() {
    for (start, name) in [
        (&b"RIFF\0\0\0\0AVI LIST"[..], "an AVI film"),
        (b"FLV\x01\x05\0\0\0\x09\0\0\0\0", "a Flash film"),
        (b"#!AMR\n\x3c\0\0\0\0\0\0", "an AMR recording"),
        (b"caff\0\x01\0\0desc\0", "a CAF file"),
    ] {
        // What follows looks like mp3, as it does in such films.
        let bytes = [start, &fs::read(golden("no_tag.mp3")).unwrap()].concat();
        expect_error(name, read_bytes(&bytes), name);
        expect_error(name, read_bytes(&bytes), "ffmpeg");
    }
    let gsm = wav(0x31, 1, 8_000, 0, 100, &[0; 100]);
    expect_error("GSM", read_bytes(&gsm), "unsupported wave format 0x31 (GSM 6.10): convert");
    // What lies where is at the end, which is not there.
    let film = fs::read(golden("stereo.m4a")).unwrap();
    expect_error("no index", read_bytes(&film[..film.len() / 2]), "breaks off before its list");
}

#[test]
fn wavs_with_24_bits_in_four_bytes() {
    let numbers: Vec<i32> = (0..500).map(|n| (n * 7_919 % 65_536 - 32_768) << 16).collect();
    let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut bytes = wav(1, 1, 16_000, 24, 2_000, &data);
    bytes[32..34].copy_from_slice(&4_u16.to_le_bytes());
    let expected: Vec<f32> =
        numbers.iter().map(|&number| number as f32 / 2_147_483_648.0).collect();
    assert_eq!(read_bytes(&bytes).unwrap().samples, expected);
}

#[test]
fn of_he_aac_the_core_is_read() {
    let plain = fs::read(golden("mono_16000.m4a")).unwrap();
    // The decoder's configuration: AAC-LC of 16 kHz, and that of HE-AAC of 32 kHz around the same.
    let [lc, he] = [[0x14, 0x08, 0x56, 0xE5, 0x00], [0x2C, 0x0A, 0x88, 0x00, 0x00]];
    let at = plain.windows(5).position(|bytes| bytes == lc).unwrap();
    let mut core = plain.clone();
    core[at..at + 5].copy_from_slice(&he);
    assert_eq!(read_bytes(&core).unwrap(), read_bytes(&plain).unwrap());
    // Main profile.
    core[at] = 0x0C;
    expect_error("AAC Main", read_bytes(&core), "convert the file");
}

#[test]
fn padding_without_a_number_is_none() {
    let mut webm = fs::read(golden("opus.webm")).unwrap();
    let at = webm.windows(2).rposition(|bytes| bytes == [0x75, 0xA2]).unwrap();
    let padded = read_bytes(&webm).unwrap().samples.len();
    // A length of 0; what was the number is an element of no meaning.
    let length = webm[at + 2] & 0x7F;
    webm[at + 2] = 0x80;
    webm[at + 3] = 0xEC;
    webm[at + 4] = 0x80 | (length - 2);
    assert!(read_bytes(&webm).unwrap().samples.len() > padded);
}

/// One change of a file.
#[derive(Debug, Clone)]
enum Change {
    Byte(Index, u8),
    Number(Index, u32),
    Cut(Index),
    Double(Index, usize),
    LeaveOut(Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let numbers = select(vec![0, 1, 255, 65_536, 1 << 24, (1 << 31) - 1, 1 << 31, u32::MAX]);
    prop_oneof![
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        2 => (any::<Index>(), numbers).prop_map(|(at, number)| Change::Number(at, number)),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => (any::<Index>(), 1..64_usize).prop_map(|(at, length)| Change::Double(at, length)),
        1 => (any::<Index>(), 1..64_usize).prop_map(|(at, length)| Change::LeaveOut(at, length)),
    ]
}

fn apply(change: &Change, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let end = |at: usize, length: usize| (at + length).min(bytes.len());
    match *change {
        Change::Byte(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        Change::Number(at, number) => {
            let at = at.index(bytes.len());
            let end = end(at, 4);
            // Both orders of bytes occur.
            let number =
                if at.is_multiple_of(2) { number.to_le_bytes() } else { number.to_be_bytes() };
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Change::Double(at, length) => {
            let at = at.index(bytes.len());
            let part = bytes[at..end(at, length)].to_vec();
            bytes.splice(at..at, part);
        }
        Change::LeaveOut(at, length) => {
            let at = at.index(bytes.len());
            bytes.drain(at..end(at, length));
        }
    }
}

/// Every file here, damaged: samples that are numbers, or an error; nothing else. `tests/fuzz` does the same with
/// limits of memory and time.
#[test]
fn damaged_files_are_read_or_refused() {
    let mut files: Vec<_> =
        fs::read_dir(golden("")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension != "json"));
    files.sort();
    let files: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(files.len() > 40);
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner
        .run(&(select(files), vec(change(), 1..4)), |(mut bytes, changes)| {
            for change in &changes {
                apply(change, &mut bytes);
            }
            match read_bytes(&bytes) {
                Ok(audio) => prop_assert!(audio.samples.iter().all(|sample| sample.is_finite())),
                Err(error) => prop_assert!(error.to_string().len() < 400, "{error}"),
            }
            Ok(())
        })
        .unwrap();
}
