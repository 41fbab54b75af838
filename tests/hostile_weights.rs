//! Files that are truncated, lie about themselves or hold nonsense: each is an error that names the
//! file and the reason; never a panic, a hang, or memory that the file merely claims.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![expect(unsafe_code, reason = "an allocator that watches how much is asked for")]

#[path = "support/checkpoint_files.rs"]
mod checkpoint_files;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Device;
use checkpoint_files::{
    GgufBytes, array, entry, f32_bytes, safetensors, scratch, text, with_header,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sconce::models::{AutoModel, CausalLm};
use sconce::source::gguf::{GgufFile, GgufValue};
use sconce::weights::{Bias, NameTable, Weights};
use sconce::{Error, LoadOptions, ModelSource, Precision, QuantLevel, Result};

/// The largest single piece of memory that anything here may ask for: no file is larger than 70 kB.
const LARGEST: usize = 8 << 20;

struct Watched;

static LARGEST_REQUEST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Watched = Watched;

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST_REQUEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST_REQUEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST_REQUEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn assert_modest() {
    let largest = LARGEST_REQUEST.load(Ordering::Relaxed);
    assert!(largest <= LARGEST, "asked for {largest} bytes at once");
}

fn options() -> LoadOptions {
    LoadOptions::default().device(Device::Cpu)
}

/// Opens files, given as `(name, bytes)`, as one folder, or as a GGUF file where that is the name.
fn open_with(files: &[(&str, &[u8])], options: &LoadOptions) -> Result<Weights> {
    let folder = scratch();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let source = match files {
        [(name, _)] if name.ends_with(".gguf") => ModelSource::gguf(folder.path().join(name)),
        _ => ModelSource::directory(folder.path()),
    };
    Weights::open(&source.open()?, NameTable::stored_names(), options)
}

fn open(name: &str, bytes: &[u8]) -> Result<Weights> {
    open_with(&[(name, bytes)], &options())
}

/// The file is refused with its name and these words.
#[track_caller]
fn refused(name: &str, bytes: &[u8], words: &str) {
    let error = open(name, bytes).expect_err(words);
    let Error::Malformed { path, reason } = &error else {
        panic!("{error:?} instead of {words:?}");
    };
    assert!(path.ends_with(name), "{path:?}");
    assert!(reason.contains(words), "{reason:?} lacks {words:?}");
    assert_modest();
}

const SAFETENSORS: &str = "model.safetensors";
const GGUF: &str = "model.gguf";
const TORCH: &str = "pytorch_model.bin";

/// What Git leaves where it did not fetch a large file, and what is left of one that was cut off.
#[test]
fn files_that_did_not_come_whole_say_what_to_do() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4567\n";
    for name in [SAFETENSORS, GGUF, TORCH, "model.safetensors.index.json"] {
        refused(name, pointer.as_bytes(), "`git lfs pull`");
        refused(name, pointer.as_bytes(), "4567 bytes");
    }
    let golden = |name: &str| fs::read(Path::new("tests/goldens").join(name)).unwrap();
    for (name, bytes) in [
        (SAFETENSORS, golden("llama-tiny/model.safetensors")),
        (TORCH, golden("llama-bin-tiny/pytorch_model.bin")),
        (GGUF, golden("llama-tiny/model.gguf")),
    ] {
        for length in [5, 200, bytes.len() / 2, bytes.len() - 1] {
            refused(name, &bytes[..length], if length > 5 { "download it again" } else { "" });
        }
    }
}

#[test]
fn lying_safetensors_headers() {
    let refuse = |header: &str, data: &[u8], words| {
        refused(SAFETENSORS, &with_header(header, data), words);
    };
    let entry = |shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    refused(SAFETENSORS, b"", "too short");
    refused(SAFETENSORS, b"GGUF", "too short");
    refused(SAFETENSORS, &[0xff; 64], "truncated or no safetensors file");
    refused(SAFETENSORS, &[&u64::MAX.to_le_bytes()[..], b"{}"].concat(), "truncated");
    refused(SAFETENSORS, &[&(1_u64 << 40).to_le_bytes()[..], b"{}"].concat(), "truncated");
    refuse("", b"", "header");
    refuse("{", b"", "header");
    refuse(&"[".repeat(50_000), b"", "header");
    refuse(r#"{"a":{"dtype":"F32","shape":"x","data_offsets":[0,4]}}"#, &[0; 4], "header");
    refuse(r#"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, &[0; 4], "F33");
    refuse(&entry("[1]", "[0,4]"), &[0; 3], "promises 4 bytes of tensors and 3 are there");
    refuse(&entry("[1]", "[0,4]"), &[0; 8], "promises 4 bytes of tensors and 8 are there");
    refuse(&entry("[2]", "[0,4]"), &[0; 4], "header");
    refuse(&entry("[1]", "[4,8]"), &[0; 8], "header");
    refuse(&entry("[1]", "[4,0]"), &[0; 4], "header");
    refuse(&entry("[1]", "[-4,0]"), &[0; 4], "header");
    refuse(&entry("[4294967296,4294967296]", "[0,4]"), &[0; 4], "header");
    refuse(&entry("[4611686018427387903]", "[0,18446744073709551612]"), &[0; 4], "header");
    // Offsets whose sum is beyond what fits a number.
    let size = 1_u64 << 60;
    let huge = |name: usize| {
        let (start, end) = (name as u64 * size, (name as u64 + 1) * size);
        format!(r#""{name}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{start},{end}]}}"#)
    };
    let most: Vec<_> = (0..15).map(huge).collect();
    refuse(&format!("{{{}}}", most.join(",")), &[0; 4], "promises");
    // The same name twice: whichever counts, the other leaves a hole.
    let one = r#""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let two = r#""a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#;
    refuse(&format!("{{{one},{two}}}"), &[0; 8], "header");
}

#[test]
fn types_without_arithmetic_are_named() {
    let file = safetensors(&[("a.weight", "I8", &[1, 2], &[0; 2])]);
    let weights = open(SAFETENSORS, &file).unwrap();
    let error = weights.linear("a", 2, 1, Bias::Absent).unwrap_err().to_string();
    assert!(error.contains("a.weight") && error.contains("I8"), "{error}");
    for (ggml_type, name) in [(24, "I8"), (26, "I32"), (99, "number 99")] {
        let mut file = GgufBytes::honest();
        file.tensors[0].ggml_type = ggml_type;
        file.tensors[0].shape = vec![0, 256];
        let weights = open(GGUF, &file.bytes()).unwrap();
        let error = weights.tensor("a.weight", &[0, 256]).unwrap_err().to_string();
        assert!(error.contains("a.weight") && error.contains(name), "{error}");
    }
}

#[test]
fn lying_gguf_headers() {
    let refuse = |change: fn(&mut GgufBytes), words| {
        let mut file = GgufBytes::honest();
        change(&mut file);
        refused(GGUF, &file.bytes(), words);
    };
    refused(GGUF, b"", "truncated");
    refused(GGUF, b"GGML\x03\0\0\0", "does not begin with the letters GGUF");
    refuse(|file| file.version = 1, "version 1");
    refuse(|file| file.version = 4, "version 4");
    refuse(|file| file.version = 3_u32.swap_bytes(), "big-endian");
    // What follows the directory is read as more of it, until that makes no sense.
    refuse(|file| file.tensor_count = u64::MAX, "gives tensor");
    refuse(|file| file.metadata_count = u64::MAX, "truncated");
    refuse(|file| file.tensor_count = 3, "gives tensor");
    refuse(|file| file.metadata = entry("x", 13, &[]), "unknown type 13");
    refuse(|file| file.metadata = entry("x", 9, &array(4, u64::MAX, &[])), "truncated");
    refuse(|file| file.metadata = entry("x", 9, &array(99, 1, &[])), "unknown type 99");
    refuse(|file| file.metadata = (u64::MAX / 2).to_le_bytes().to_vec(), "truncated");
    refuse(
        |file| {
            let nested = |inner: Vec<u8>, _| array(9, 1, &inner);
            file.metadata = entry("x", 9, &(0..10_000).fold(array(0, 0, &[]), nested)[..64]);
        },
        "nests arrays",
    );
    refuse(
        |file| {
            file.metadata = [entry("x", 0, &[1]), entry("x", 0, &[2])].concat();
            file.metadata_count = 2;
        },
        "metadata key \"x\" twice",
    );
    refuse(|file| file.tensors[1].name = "a.weight", "\"a.weight\" twice");
    refuse(|file| file.tensors[0].shape = vec![1; 5], "5 dimensions");
    refuse(|file| file.tensors[0].shape = vec![u64::MAX, 2], "impossible shape");
    refuse(|file| file.tensors[0].shape = vec![1 << 61, 4], "not whole blocks");
    refuse(|file| file.tensors[0].shape = vec![1 << 40], "beyond the file");
    refuse(|file| file.tensors[0].offset = u64::MAX - 31, "beyond the file");
    refuse(|file| file.tensors[0].offset = 1 << 20, "beyond the file");
    refuse(|file| file.tensors[0].offset = 4, "not a multiple of 32");
    refuse(|file| file.tensors[1].shape = vec![32, 1], "not whole blocks");
    refuse(|file| file.data.truncate(65), "beyond the file");
    for offset in [0, 32] {
        let mut file = GgufBytes::honest();
        file.tensors[1].offset = offset;
        file.tensors[0].shape = vec![4, 3];
        file.data.resize(128, 0);
        refused(GGUF, &file.bytes(), "\"a.weight\" and \"b.weight\" overlap");
    }
    refuse(|file| file.metadata = entry("x", 9, &array(10, u64::MAX, &[0; 64])), "truncated");
    let aligned = |alignment: u32| {
        let mut file = GgufBytes::honest();
        file.metadata.extend(entry("general.alignment", 4, &alignment.to_le_bytes()));
        file.metadata_count += 1;
        file.bytes()
    };
    for alignment in [0, 1, 3, 48] {
        refused(GGUF, &aligned(alignment), "general.alignment");
    }
    refused(GGUF, &aligned(1 << 31), "beyond the file");
    let mut file = GgufBytes::honest();
    file.metadata = [&file.metadata[..], &entry("split.count", 2, &3_u16.to_le_bytes())].concat();
    file.metadata_count += 1;
    refused(GGUF, &file.bytes(), "one of 3 parts");
}

/// Lists take what they take in the file, of however small elements they are.
#[test]
fn long_lists_of_small_elements() {
    for (kind, width) in [(0, 1), (7, 1), (3, 2), (6, 4)] {
        let length = LARGEST / 8;
        let mut file = GgufBytes::honest();
        let list = array(kind, (length / width) as u64, &vec![1; length]);
        file.metadata.extend(entry("x", 9, &list));
        file.metadata_count += 1;
        let folder = scratch();
        let path = folder.path().join(GGUF);
        fs::write(&path, file.bytes()).unwrap();
        let file = GgufFile::open(&[path]).unwrap();
        let Some(GgufValue::Numbers(numbers)) = file.metadata().get("x") else { panic!() };
        assert_eq!(numbers.len(), length / width);
        assert_eq!(numbers.iter().count(), numbers.len());
        assert_modest();
    }
}

/// What metadata say is read as it is meant or refused, never taken for nothing.
#[test]
fn metadata_of_another_type_are_no_default() {
    let config = |key: &str, kind: u32, value: &[u8]| {
        let mut file = GgufBytes::honest();
        let uint = |key: &str, value: u32| entry(key, 4, &value.to_le_bytes());
        let mut entries = vec![
            ("general.architecture", entry("general.architecture", 8, &text("llama"))),
            ("llama.block_count", uint("llama.block_count", 1)),
            ("llama.context_length", uint("llama.context_length", 8)),
            ("llama.embedding_length", uint("llama.embedding_length", 32)),
            ("llama.feed_forward_length", uint("llama.feed_forward_length", 32)),
            ("llama.attention.head_count", uint("llama.attention.head_count", 2)),
        ];
        entries.retain(|(name, _)| *name != key);
        entries.push((key, entry(key, kind, value)));
        file.metadata_count = entries.len() as u64;
        file.metadata = entries.into_iter().flat_map(|(_, entry)| entry).collect();
        let folder = scratch();
        let path = folder.path().join(GGUF);
        fs::write(&path, file.bytes()).unwrap();
        AutoModel::open::<dyn CausalLm>(ModelSource::gguf(path), &options())
            .unwrap_err()
            .to_string()
    };
    let float = |value: f32| value.to_le_bytes();
    for (key, kind, value) in [
        ("llama.attention.layer_norm_rms_epsilon", 6, float(f32::NAN).to_vec()),
        ("llama.attention.layer_norm_rms_epsilon", 6, float(f32::INFINITY).to_vec()),
        ("llama.attention.layer_norm_rms_epsilon", 12, f64::NEG_INFINITY.to_le_bytes().to_vec()),
        ("llama.attention.layer_norm_rms_epsilon", 8, text("1e-6")),
        ("llama.rope.freq_base", 6, float(f32::NAN).to_vec()),
        ("llama.rope.freq_base", 7, vec![1]),
        ("llama.rope.scaling.factor", 6, float(f32::NAN).to_vec()),
        ("llama.attention.sliding_window", 6, float(f32::NAN).to_vec()),
        ("llama.attention.head_count_kv", 5, (-1_i32).to_le_bytes().to_vec()),
        ("llama.attention.head_count_kv", 9, array(0, 5000, &[1; 5000])),
        ("llama.context_length", 8, text("long")),
        ("general.architecture", 4, vec![1, 0, 0, 0]),
    ] {
        let error = config(key, kind, &value);
        assert!(error.contains(GGUF) && !error.contains("tensor"), "{key}: {error}");
    }
}

#[test]
fn every_truncation_is_noticed() {
    let honest = GgufBytes::honest().bytes();
    let tensors = safetensors(&[("a", "F32", &[2, 3], &f32_bytes(&[1.0; 6]))]);
    let (zip, legacy) = (golden("zip.bin"), golden("legacy.bin"));
    let files = [(GGUF, &honest), (SAFETENSORS, &tensors), (TORCH, &zip), (TORCH, &legacy)];
    for (name, bytes) in files {
        assert!(open(name, bytes).is_ok());
        for length in (0..bytes.len()).step_by(1 + bytes.len() / 400) {
            let error = open(name, &bytes[..length]).expect_err(name);
            assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
        }
    }
    assert_modest();
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new("tests/goldens/weights").join(name)).unwrap()
}

#[test]
fn shards_stay_in_their_folder_and_hold_what_the_index_says() {
    let index_name = "model.safetensors.index.json";
    let shard = safetensors(&[("a", "F32", &[1], &f32_bytes(&[1.0]))]);
    let open =
        |index: &str| open_with(&[(index_name, index.as_bytes()), ("shard", &shard)], &options());
    assert!(open(r#"{"weight_map":{"a":"shard"}}"#).is_ok());
    for outside in ["../shard", "/etc/passwd", "sub/shard", "..", ".", ""] {
        let error = open(&format!(r#"{{"weight_map":{{"a":"{outside}"}}}}"#)).unwrap_err();
        let Error::Malformed { path, reason } = error else { panic!("{error:?}") };
        assert!(path.ends_with(index_name) && reason.contains("not the file name of a shard"));
    }
    let error = open(r#"{"weight_map":{"a":"shard","b":"gone"}}"#).unwrap_err();
    assert!(matches!(&error, Error::MissingFile { file, .. } if file == "gone"), "{error:?}");
    // What nobody asks for may be missing.
    let weights = open(r#"{"weight_map":{"a":"shard","b":"shard"}}"#).unwrap();
    assert!(weights.tensor("a", &[1]).is_ok() && weights.contains("b"));
    let error = weights.tensor("b", &[1]).unwrap_err();
    let Error::Malformed { path, reason } = error else { panic!("{error:?}") };
    assert!(path.ends_with("shard") && reason.contains("lacks tensor \"b\""), "{reason}");
    for nonsense in ["", "{}", "[]", r#"{"weight_map":[]}"#, r#"{"weight_map":{"a":1}}"#] {
        assert!(matches!(open(nonsense).unwrap_err(), Error::Malformed { .. }), "{nonsense}");
    }
}

#[test]
fn a_folder_without_weights_says_what_it_looked_for() {
    let error = open_with(&[("config.json", b"{}")], &options()).unwrap_err();
    let Error::MissingFile { file, .. } = &error else { panic!("{error:?}") };
    assert!(file.contains(SAFETENSORS) && file.contains("pytorch_model.bin.index.json"));
}

#[test]
fn numbers_that_are_none_are_refused_wherever_they_lie() {
    let refuse = |weights: &Weights, words: &str| {
        let error = weights.linear("a", 256, 300, Bias::Absent).unwrap_err();
        let Error::Malformed { path, reason } = &error else { panic!("{error:?}") };
        assert!(path.ends_with(SAFETENSORS), "{path:?}");
        assert!(reason.contains("\"a.weight\"") && reason.contains(words), "{reason}");
    };
    for (at, bad) in [(0, f32::NAN), (76_799, f32::INFINITY), (40_000, f32::NEG_INFINITY)] {
        let mut values = vec![0.5; 300 * 256];
        values[at] = bad;
        let file = safetensors(&[("a.weight", "F32", &[300, 256], &f32_bytes(&values))]);
        for options in [
            options(),
            options().dtype(Precision::BF16),
            options().dtype(Precision::F16),
            options().quantize(QuantLevel::Q4K),
            options().quantize(QuantLevel::Q8_0),
        ] {
            refuse(&open_with(&[(SAFETENSORS, &file)], &options).unwrap(), "NaN");
        }
    }
    // A number that f16 cannot hold.
    let values = vec![70_000.0; 300 * 256];
    let file = safetensors(&[("a.weight", "F32", &[300, 256], &f32_bytes(&values))]);
    let half = open_with(&[(SAFETENSORS, &file)], &options().dtype(Precision::F16)).unwrap();
    refuse(&half, "range of f16");
    assert!(open(SAFETENSORS, &file).unwrap().linear("a", 256, 300, Bias::Absent).is_ok());
    // Blocks hold what f16 does.
    for level in QuantLevel::ALL {
        let options = options().quantize(*level);
        let open = |largest: f32| {
            let values: Vec<f32> =
                (0..300 * 256).map(|i| largest * ((i % 7 - 3) as f32 / 3.0)).collect();
            let file = safetensors(&[("a.weight", "F32", &[300, 256], &f32_bytes(&values))]);
            open_with(&[(SAFETENSORS, &file)], &options).unwrap()
        };
        for beyond in [66_000.0, 1e9, 3e38] {
            refuse(&open(beyond), &format!("range of {level}"));
        }
        assert!(open(65_504.0).linear("a", 256, 300, Bias::Absent).is_ok(), "{level}");
    }
    // The scale of a block.
    let mut file = GgufBytes::honest();
    file.data[32..34].copy_from_slice(&[0x00, 0x7e]);
    for options in
        [options(), options().dtype(Precision::F32), options().quantize(QuantLevel::Q4_0)]
    {
        let weights = open_with(&[(GGUF, &file.bytes())], &options).unwrap();
        let error = weights.linear("b", 32, 1, Bias::Absent).unwrap_err().to_string();
        assert!(error.contains("\"b.weight\"") && error.contains("NaN"), "{error}");
    }
}

#[test]
fn hostile_pickles() {
    let legacy = golden("legacy.bin");
    let magic = &legacy[..15];
    let refuse = |pickle: &[u8], words| refused(TORCH, &[magic, pickle].concat(), words);
    refused(TORCH, b"", "not a PyTorch checkpoint");
    refused(TORCH, b"PK\x03\x04 and nothing", "");
    refuse(b"", "truncated");
    refuse(b"t.", "more off its stack");
    refuse(b"R.", "more off its stack");
    refuse(b"h\x05.", "never memorized");
    refuse(b"\xee.", "0xee");
    refuse(b"X\xff\xff\xff\xff", "truncated");
    refuse(b"T\x00\x00\x00\x80", "truncated");
    refuse(b"cos\nsystem", "truncated");
    // A tuple of a tuple of a tuple ..., and a list in a list, each holding the last one twice.
    let deep = [&b"N"[..], &[0x85; 100_000], b"."].concat();
    refuse(&[&deep[..], &deep, &deep, &deep].concat(), "where a text belongs");
    let doubling = [&b")q\x00"[..], &b"h\x00h\x00\x86q\x00".repeat(10_000), b"."].concat();
    refuse(&[&doubling[..], &doubling, &doubling, &doubling].concat(), "belongs");
    // A list that holds itself as the arguments of a call.
    let cycle = b"]q\x00(ctorch._tensor\n_rebuild_from_type_v2\nq\x01h\x01Nh\x00eh\x01h\x00R.";
    refuse(&[&cycle[..], b"N.N.N."].concat(), "");
    // Objects whose attributes are objects, as in TorchScript.
    let objects = |depth: usize| {
        let open = b"cm\nC\n)\x81}(X\x05\x00\x00\x00inner".repeat(depth);
        [b"N.N.", &open[..], b"N", &b"ub".repeat(depth), b".]."].concat()
    };
    refuse(&objects(1), "something other than a dict of tensors");
    refuse(&objects(100_000), "objects within objects");
    assert_modest();
}

#[derive(Debug, Clone)]
struct Damage {
    bytes: Vec<(prop::sample::Index, u8)>,
    /// Eight bytes overwritten with a number that overflows one way or another.
    number: Option<(prop::sample::Index, u64)>,
    length: Option<prop::sample::Index>,
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        let number = prop_oneof![
            Just(u64::MAX),
            Just(1 << 63),
            Just(1 << 61),
            Just(1 << 32),
            Just(u64::from(u32::MAX)),
            0..1_u64 << 20
        ];
        let number = prop::option::weighted(0.4, (any::<prop::sample::Index>(), number));
        let length = prop::option::weighted(0.2, any::<prop::sample::Index>());
        (vec(any::<(prop::sample::Index, u8)>(), 0..6), number, length)
            .prop_map(|(bytes, number, length)| Self { bytes, number, length })
    }

    fn apply(&self, honest: &[u8]) -> Vec<u8> {
        let mut damaged = honest.to_vec();
        for (at, byte) in &self.bytes {
            let at = at.index(damaged.len());
            damaged[at] = *byte;
        }
        if let Some((at, number)) = &self.number {
            let at = at.index(damaged.len() - 8);
            damaged[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        if let Some(length) = &self.length {
            damaged.truncate(length.index(damaged.len()));
        }
        damaged
    }
}

/// Opens hundreds of damaged copies of an honest file and reads everything in them.
fn fuzz(name: &str, honest: &[u8], tensors: &[(&str, &[usize])]) {
    assert!(open(name, honest).is_ok());
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let folder = scratch();
    let path = folder.path().join(name);
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let source = match name {
            GGUF => ModelSource::gguf(&path),
            _ => ModelSource::directory(folder.path()),
        };
        let Ok(files) = source.open() else { return };
        let Ok(weights) = Weights::open(&files, NameTable::stored_names(), &options()) else {
            return;
        };
        for (tensor, shape) in tensors {
            let _ = weights.tensor(tensor, shape);
            if let ([out_features, in_features], Some(module)) =
                (shape, tensor.strip_suffix(".weight"))
            {
                let _ = weights.linear(module, *in_features, *out_features, Bias::IfStored);
            }
        }
    };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&(Damage::any(), vec(any::<u8>(), 0..64)), |(damage, random)| {
        read(&damage.apply(honest));
        // Random bytes behind the letters that let them in.
        read(&[&honest[..15], &random].concat());
        prop_assert!(LARGEST_REQUEST.load(Ordering::Relaxed) <= LARGEST);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn damaged_gguf_files() {
    let tensors: [(&str, &[usize]); 2] = [("a.weight", &[2, 3]), ("b.weight", &[1, 32])];
    fuzz(GGUF, &GgufBytes::honest().bytes(), &tensors);
}

#[test]
fn damaged_safetensors_files() {
    let file = safetensors(&[
        ("a.weight", "F32", &[2, 3], &f32_bytes(&[1.0; 6])),
        ("b.weight", "BF16", &[1, 32], &[1; 64]),
    ]);
    fuzz(SAFETENSORS, &file, &[("a.weight", &[2, 3]), ("b.weight", &[1, 32])]);
}

#[test]
fn damaged_pytorch_files() {
    let tensors: [(&str, &[usize]); 3] =
        [("1.weight", &[3, 4]), ("head.weight", &[5, 4]), ("rows", &[3, 4])];
    fuzz(TORCH, &golden("zip.bin"), &tensors);
    fuzz(TORCH, &golden("legacy.bin"), &tensors);
}
