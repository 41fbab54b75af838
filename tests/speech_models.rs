//! Every tiny encoder-decoder that hears in `tests/goldens/speech` against the numbers the Python reference
//! computed with the same weights, and against itself.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;

use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use sconce::audio::AudioFeatures;
use sconce::batch::{PaddingSide, TokenBatch};
use sconce::generation::{Sequence, complete};
use sconce::models::heads::Encoder;
use sconce::models::speech::SpeechSeq2Seq;
use sconce::models::{
    AutoModel, Autoregressive, CausalLm, LogitsAt, Seq2SeqLm, TraceRequest, save,
};
use sconce::nn::cache::KvCache;
use sconce::{CachePrecision, Error, LoadOptions, ModelSource, Precision, QuantLevel};

#[path = "support/beams.rs"]
mod beams;
#[path = "support/golden.rs"]
mod golden;

use beams::{beams_of_config, expect_beams};
use golden::{Logits, Outcome, expect_close, relative_error};

const TOLERANCE: f32 = 1e-4;

/// One folder.
struct Golden {
    folder: PathBuf,
    expected: Expected,
    config: Config,
    arrays: HashMap<String, Tensor>,
    model: OnceLock<Arc<dyn SpeechSeq2Seq>>,
}

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

/// What a test has to know of `config.json`.
#[derive(Deserialize)]
struct Config {
    #[serde(default = "mel_bins")]
    num_mel_bins: usize,
    max_source_positions: usize,
    max_target_positions: usize,
    pad_token_id: u32,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// The number of each recording.
    sources: Vec<usize>,
    /// Of each.
    frames: usize,
    /// Of the decoder.
    rows: Vec<Vec<u32>>,
    /// What each row goes on with after the decoder's first token, by the largest logit.
    greedy: Option<Vec<Vec<u32>>>,
    /// Two of four beams of each source, with the first token and what they are filled up with, and their
    /// scores.
    #[serde(default)]
    beams: Vec<Vec<u32>>,
    #[serde(default)]
    beam_scores: Vec<f32>,
}

fn mel_bins() -> usize {
    80
}

/// Runs a check on every folder.
fn each(check: fn(&Golden) -> Outcome) {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/speech");
    let folders = fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> =
        folders.filter(|folder| folder.join("expected.safetensors").exists()).collect();
    folders.sort();
    assert!(folders.len() > 2, "tests/goldens/speech is empty");
    let failed = folders.into_iter().map(Golden::open).filter_map(|golden| {
        // Shown where an assertion fails.
        eprintln!("{}", golden.folder.display());
        let error = check(&golden).err()?;
        Some(format!("{}: {}", golden.folder.display(), error.message().unwrap_or_default()))
    });
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn encoder_states_are_those_of_the_reference() {
    each(encoder_states);
}

#[test]
fn a_model_is_opened_as_what_it_is() {
    each(kinds);
}

#[test]
fn logits_are_those_of_the_reference() {
    each(logits);
}

#[test]
fn greedy_ids_are_those_of_the_reference() {
    each(greedy);
}

#[test]
fn beams_are_those_of_the_reference() {
    each(expected_beams);
}

#[test]
fn cached_logits_are_uncached_ones() {
    each(cached_is_uncached);
}

#[test]
fn rows_of_one_recording_share_it() {
    each(rows_share_their_source);
}

#[test]
fn a_saved_cache_goes_on() {
    each(saved_cache);
}

#[test]
fn attention_to_the_recording_is_that_of_the_reference() {
    each(traces);
}

#[test]
fn eight_threads_use_one_model() {
    each(threads);
}

#[test]
fn weights_may_be_quantized() {
    each(quantized);
}

#[test]
fn a_saved_model_is_the_same() {
    each(saved);
}

#[test]
fn refused_input_leaves_the_cache_as_it_was() {
    each(refusals);
}

#[test]
fn any_config_is_read_or_refused() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/speech");
    hostile_configs(&Golden::open(goldens.join("whisper-tiny"))).unwrap();
}

#[test]
fn features_have_to_be_those_the_model_reads() {
    each(other_features);
}

impl Golden {
    fn open(folder: PathBuf) -> Self {
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let arrays = folder.join("expected.safetensors");
        Self {
            expected: serde_json::from_str(&text("expected.json")).unwrap(),
            config: serde_json::from_str(&text("config.json")).unwrap(),
            arrays: candle_core::safetensors::load(arrays, &Device::Cpu).unwrap(),
            folder,
            model: OnceLock::new(),
        }
    }

    fn open_with(&self, options: &LoadOptions) -> sconce::Result<Arc<dyn SpeechSeq2Seq>> {
        AutoModel::open::<dyn SpeechSeq2Seq>(self.folder.as_path(), options)
    }

    fn model(&self) -> &dyn SpeechSeq2Seq {
        &**self.model.get_or_init(|| self.open_with(&exact()).unwrap())
    }

    fn case(&self, name: &str) -> &Case {
        self.expected.cases.iter().find(|case| case.name == name).unwrap()
    }

    fn array(&self, case: &Case, row: usize, what: &str) -> Tensor {
        self.arrays[&format!("{}.{row}.{what}", case.name)].clone()
    }

    fn padded(&self, rows: &[Vec<u32>], side: PaddingSide) -> sconce::Result<TokenBatch> {
        TokenBatch::padded(rows, self.config.pad_token_id, side)
    }

    /// The recordings of a case.
    fn sounds(&self, case: &Case) -> Vec<AudioFeatures> {
        let sound = |&source: &usize| features(source, case.frames, self.config.num_mel_bins);
        case.sources.iter().map(sound).collect()
    }

    /// A cache with the recordings of a case.
    fn encode(&self, model: &dyn SpeechSeq2Seq, case: &Case) -> sconce::Result<KvCache> {
        model.encode(&self.sounds(case).iter().collect::<Vec<_>>())
    }

    /// Logits of a row of the decoder after one recording, both alone.
    fn alone(
        &self,
        model: &dyn SpeechSeq2Seq,
        case: &Case,
        row: usize,
        ids: &[u32],
    ) -> Outcome<Logits> {
        let mut cache = model.encode(&[&self.sounds(case)[row]])?;
        advance(model, &mut cache, ids)
    }

    /// The decoder's first token.
    fn start(&self) -> u32 {
        self.case("plain").rows[0][0]
    }
}

/// As `features` of `make_speech.py`.
fn features(source: usize, frames: usize, width: usize) -> AudioFeatures {
    let value = |frame: usize, value: usize| {
        let number =
            source * 29 + frame * 17 + value * 7 + frame * value * 3 + (frame / 5) * (value / 3);
        (number % 101) as f32 / 50.0 - 1.0
    };
    let values = (0..frames).flat_map(|frame| (0..width).map(move |at| value(frame, at)));
    AudioFeatures::new(values.collect(), width, frames).unwrap()
}

/// All in f32.
fn exact() -> LoadOptions {
    LoadOptions::default().dtype(Precision::F32).cache(CachePrecision::F32)
}

/// Logits of what a cache of one row goes on with.
fn advance(model: &dyn SpeechSeq2Seq, cache: &mut KvCache, ids: &[u32]) -> Outcome<Logits> {
    let batch = TokenBatch::single(ids)?;
    Ok(model.forward(&batch, cache, LogitsAt::EveryToken)?.to_vec3()?.remove(0))
}

/// The logits of a row of a batch, without padding.
fn of_row(logits: &Tensor, row: usize, length: usize, side: PaddingSide) -> Outcome<Logits> {
    let row = logits.get(row)?;
    let first = if side == PaddingSide::Left { row.dim(0)? - length } else { 0 };
    Ok(row.narrow(0, first, length)?.to_vec2()?)
}

fn encoder_states(golden: &Golden) -> Outcome {
    for case in &golden.expected.cases {
        let sounds = golden.sounds(case);
        let states = golden.model().hidden_states(&sounds.iter().collect::<Vec<_>>())?;
        assert_eq!(states.len(), sounds.len());
        for (row, states) in states.iter().enumerate() {
            let what = format!("{}, row {row}", case.name);
            let expected = golden.array(case, row, "encoder").to_vec2()?;
            expect_close(&what, &states.to_vec2()?, &expected, TOLERANCE)?;
        }
    }
    // Rows of other lengths beside each other.
    let short = features(6, 14, golden.config.num_mel_bins);
    let [plain, case] = [golden.case("plain"), golden.case("short")];
    let states = golden.model().hidden_states(&[&short, &golden.sounds(plain)[0], &short])?;
    for (states, case) in states.iter().zip([case, plain, case]) {
        let expected = golden.array(case, 0, "encoder").to_vec2()?;
        expect_close("together", &states.to_vec2()?, &expected, TOLERANCE)?;
    }
    Ok(())
}

/// Each wrong kind is an error that names the right one.
fn kinds(golden: &Golden) -> Outcome {
    let folder = golden.folder.as_path();
    for error in [
        AutoModel::open::<dyn CausalLm>(folder, &exact()).unwrap_err(),
        AutoModel::open::<dyn Seq2SeqLm>(folder, &exact()).unwrap_err(),
        AutoModel::open::<dyn Encoder>(folder, &exact()).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("that hears: open it as `dyn SpeechSeq2Seq`"), "{error}");
    }
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/seq2seq/bart-tiny");
    let error = AutoModel::open::<dyn SpeechSeq2Seq>(other, &exact()).unwrap_err().to_string();
    assert!(error.contains("an encoder-decoder: open it as `dyn Seq2SeqLm`"), "{error}");
    Ok(())
}

fn logits(golden: &Golden) -> Outcome {
    let model = golden.model();
    assert_eq!(model.limits().context, golden.config.max_target_positions);
    for case in &golden.expected.cases {
        for side in [PaddingSide::Left, PaddingSide::Right] {
            let mut cache = golden.encode(model, case)?;
            assert_eq!(cache.row_lengths(), vec![0; case.rows.len()]);
            let batch = golden.padded(&case.rows, side)?;
            let found = model.forward(&batch, &mut cache, LogitsAt::EveryToken)?;
            for (row, ids) in case.rows.iter().enumerate() {
                let what = format!("{}, row {row}, padded {side:?}", case.name);
                let found = of_row(&found, row, ids.len(), side)?;
                let expected = golden.array(case, row, "logits").to_vec2()?;
                expect_close(&what, &found, &expected, TOLERANCE)?;
            }
        }
    }
    Ok(())
}

fn greedy(golden: &Golden) -> Outcome {
    let model = golden.model();
    assert_eq!(model.start_id(), Some(golden.start()));
    for case in golden.expected.cases.iter().filter(|case| case.greedy.is_some()) {
        let expected = case.greedy.as_ref().unwrap();
        let mut cache = golden.encode(model, case)?;
        let mut found = vec![Vec::new(); expected.len()];
        let mut last = vec![vec![golden.start()]; expected.len()];
        for _ in 0..expected[0].len() {
            let batch = golden.padded(&last, PaddingSide::Right)?;
            let logits = model.forward(&batch, &mut cache, LogitsAt::LastToken)?;
            let ids = logits.argmax(1)?.to_vec1::<u32>()?;
            last = ids.iter().map(|&id| vec![id]).collect();
            found.iter_mut().zip(ids).for_each(|(found, id)| found.push(id));
        }
        assert_eq!(&found, expected, "{}", case.name);
    }
    Ok(())
}

fn expected_beams(golden: &Golden) -> Outcome {
    let model = golden.open_with(&exact())?;
    let text = fs::read_to_string(golden.folder.join("config.json")).unwrap();
    let config = beams_of_config(&text);
    let cases: Vec<_> =
        golden.expected.cases.iter().filter(|case| !case.beams.is_empty()).collect();
    assert!(!cases.is_empty());
    for case in cases {
        let cache = golden.encode(&*model, case)?;
        let start = [golden.start()];
        let sequences = case.sources.iter().map(|_| {
            Sequence::new(&start, config.plan_with_source(&start, &[], model.limits(), None)?)
        });
        let decoder: Arc<dyn Autoregressive> = model.clone();
        let mut found = Vec::new();
        for answers in complete(&decoder, &cache, sequences)? {
            found.extend(answers?);
        }
        expect_beams(&case.name, &found, &case.beams, &case.beam_scores);
    }
    Ok(())
}

fn cached_is_uncached(golden: &Golden) -> Outcome {
    let (model, case) = (golden.model(), golden.case("long"));
    let whole = golden.array(case, 0, "logits").to_vec2::<f32>()?;
    for step in [1, 7] {
        let mut cache = golden.encode(model, case)?;
        let mut found = Vec::new();
        for ids in case.rows[0].chunks(step) {
            found.extend(advance(model, &mut cache, ids)?);
        }
        expect_close(&format!("{step} at a time"), &found, &whole, TOLERANCE)?;
    }
    Ok(())
}

/// Beams of one recording, in another order than the recordings.
fn rows_share_their_source(golden: &Golden) -> Outcome {
    let (model, case) = (golden.model(), golden.case("batch"));
    let mut cache = golden.encode(model, case)?;
    let before = cache.bytes();
    let of_rows = [2, 0, 0, 2];
    cache.select_rows(&of_rows)?;
    assert!(cache.bytes() < before);
    let mut fork = cache.fork()?;
    for cache in [&mut cache, &mut fork] {
        let rows = vec![vec![golden.start(), 9, 6, 7]; of_rows.len()];
        let batch = golden.padded(&rows, PaddingSide::Right)?;
        let found = model.forward(&batch, cache, LogitsAt::EveryToken)?;
        for (row, &source) in of_rows.iter().enumerate() {
            let alone = golden.alone(model, case, source, &rows[row])?;
            let found = of_row(&found, row, 4, PaddingSide::Right)?;
            expect_close(&format!("row {row}"), &found, &alone, 2e-5)?;
        }
    }
    // The recording stays when its tokens go.
    cache.truncate(0)?;
    let mut admitted = model.new_cache();
    admitted.admit(cache)?;
    let batch = golden.padded(&vec![vec![golden.start(), 8]; 4], PaddingSide::Right)?;
    let found = model.forward(&batch, &mut admitted, LogitsAt::LastToken)?.to_vec2()?;
    let alone = golden.alone(model, case, 2, &[golden.start(), 8])?;
    expect_close("admitted", &found[..1], &alone[1..], 2e-5)
}

fn saved_cache(golden: &Golden) -> Outcome {
    let case = golden.case("batch");
    let file = tempfile::NamedTempFile::new()?;
    for precision in [CachePrecision::F32, CachePrecision::F16, CachePrecision::Q8] {
        let model = golden.open_with(&exact().cache(precision))?;
        let mut cache = golden.encode(&*model, case)?;
        let batch = golden.padded(&case.rows, PaddingSide::Right)?;
        model.forward(&batch, &mut cache, LogitsAt::LastToken)?;
        cache.select_rows(&[2, 0, 0])?;
        cache.save(file.path())?;
        let mut loaded = model.new_cache();
        loaded.load(file.path())?;
        let batch = golden.padded(&[vec![9], vec![6, 7], vec![8]], PaddingSide::Right)?;
        let [found, expected] = [&mut loaded, &mut cache].map(|cache| -> Outcome<_> {
            Ok(model.forward(&batch, cache, LogitsAt::LastToken)?.to_vec2::<f32>()?)
        });
        expect_close("loaded", &found?, &expected?, 0.0)?;
    }
    Ok(())
}

/// All heads of all layers in the reference's order, some of them in another, and both without a change of
/// logits.
fn traces(golden: &Golden) -> Outcome {
    let model = golden.model();
    let layers = model.depth().unwrap().layers;
    for name in ["plain", "batch"] {
        let case = golden.case(name);
        let batch = golden.padded(&case.rows, PaddingSide::Left)?;
        let all = model.trace(&batch, &mut golden.encode(model, case)?)?;
        let heads = all.source_attentions[0].dim(1)?;
        let mut chosen: Vec<_> =
            (0..layers).flat_map(|layer| (0..heads).map(move |head| (layer, head))).collect();
        chosen.reverse();
        chosen.push(chosen[0]);
        let request = TraceRequest {
            logits: LogitsAt::EveryToken,
            hidden_states: Vec::new(),
            hidden_at: LogitsAt::LastToken,
            attentions: false,
            source_heads: chosen.clone(),
        };
        let mut cache = golden.encode(model, case)?;
        let few = model.trace_with(&batch, &mut cache, &request, &|| Ok(()))?;
        assert_eq!((few.source_heads.len(), few.source_attentions.len()), (chosen.len(), 0));
        for (row, ids) in case.rows.iter().enumerate() {
            let what = format!("{name}, row {row}");
            let expected = golden.array(case, row, "logits").to_vec2()?;
            for logits in [&all.logits, &few.logits] {
                let found = of_row(logits, row, ids.len(), PaddingSide::Left)?;
                expect_close(&what, &found, &expected, TOLERANCE)?;
            }
            // `(layers * heads, tokens, source)`.
            let expected = golden.array(case, row, "cross");
            let of_all = Tensor::stack(&all.source_attentions, 0)?;
            for (&(layer, head), found) in chosen.iter().zip(&few.source_heads) {
                let expected = expected.get(layer * heads + head)?.to_vec2()?;
                let what = format!("{what}, layer {layer}, head {head}");
                let found = of_row(found, row, ids.len(), PaddingSide::Left)?;
                expect_close(&what, &found, &expected, 1e-5)?;
                let shares = of_all.get(layer)?.get(row)?.get(head)?.unsqueeze(0)?;
                let found = of_row(&shares, 0, ids.len(), PaddingSide::Left)?;
                expect_close(&format!("{what}, of all"), &found, &expected, 1e-5)?;
            }
        }
        for wrong in [(layers, 0), (0, heads)] {
            let request = TraceRequest { source_heads: vec![wrong], ..request.clone() };
            let refused = model.trace_with(&batch, &mut cache, &request, &|| Ok(()));
            assert!(refused.unwrap_err().is_caller_error());
        }
    }
    Ok(())
}

fn threads(golden: &Golden) -> Outcome {
    let (model, case) = (golden.model(), golden.case("long"));
    let part = |i: usize| golden.alone(model, case, 0, &case.rows[0][..5 * i]);
    let together: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (1..9).map(|i| scope.spawn(move || part(i))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (i, found) in (1..9).zip(together) {
        expect_close(&format!("thread {i}"), &found?, &part(i)?, 0.0)?;
    }
    Ok(())
}

fn quantized(golden: &Golden) -> Outcome {
    let case = golden.case("plain");
    let run = |options: &LoadOptions| -> Outcome<Logits> {
        let model = golden.open_with(options)?;
        golden.alone(&*model, case, 0, &case.rows[0])
    };
    let dense = run(&exact())?;
    for (options, bound) in [
        (LoadOptions::default().quantize(QuantLevel::Q8_0), 0.2),
        (LoadOptions::default().dtype(Precision::F16), 0.02),
        (LoadOptions::default().dtype(Precision::BF16), 0.2),
        (exact().cache(CachePrecision::Q8), 0.1),
    ] {
        let error = relative_error(&run(&options)?, &dense);
        if error == 0.0 || error.is_nan() || error > bound {
            return Err(format!("relative error {error} of {options:?}; allowed: {bound}").into());
        }
    }
    Ok(())
}

/// As it was loaded, quantized or not, it is the same model again.
fn saved(golden: &Golden) -> Outcome {
    let case = golden.case("plain");
    let files = ModelSource::directory(&golden.folder).open()?;
    for options in [exact(), exact().quantize(QuantLevel::Q8_0)] {
        let model = AutoModel::from_files::<dyn SpeechSeq2Seq>(&files, &options)?;
        let there = tempfile::tempdir()?;
        let to = there.path().join("saved");
        save(&files, model.inventory(), &to)?;
        let plain = LoadOptions::default().cache(CachePrecision::F32);
        let again = AutoModel::open::<dyn SpeechSeq2Seq>(to.as_path(), &plain)?;
        assert_eq!(again.inventory().bytes_by_precision(), model.inventory().bytes_by_precision());
        let logits = |model: &dyn SpeechSeq2Seq| golden.alone(model, case, 0, &case.rows[0]);
        expect_close("saved", &logits(&*again)?, &logits(&*model)?, 0.0)?;
        let gguf = save(&files, model.inventory(), there.path().join("saved.gguf"));
        let error = gguf.unwrap_err().to_string();
        assert!(error.contains("only decoders"), "{error}");
    }
    Ok(())
}

fn refusals(golden: &Golden) -> Outcome {
    let (model, case) = (golden.model(), golden.case("batch"));
    let (context, vocab) = (model.limits().context, model.limits().vocab as u32);
    let mut cache = golden.encode(model, case)?;
    cache.select_rows(&[0, 1])?;
    let first = golden.padded(&[vec![golden.start()], vec![golden.start()]], PaddingSide::Right)?;
    let mut empty = model.new_cache();
    let error = model.forward(&first, &mut empty, LogitsAt::LastToken).unwrap_err().to_string();
    assert!(error.contains("holds no sources"), "{error}");
    model.forward(&first, &mut cache, LogitsAt::LastToken)?;
    let before = cache.row_lengths();
    for batch in [
        TokenBatch::single(&[5])?,
        TokenBatch::new(2, vec![5, vocab], vec![1; 2])?,
        TokenBatch::new(2, vec![5; 2 * context], vec![1; 2 * context])?,
    ] {
        let error = model.forward(&batch, &mut cache, LogitsAt::LastToken).unwrap_err();
        assert!(error.is_caller_error(), "{error}");
        assert_eq!(cache.row_lengths(), before);
    }
    let batch = golden.padded(&[vec![9], vec![7]], PaddingSide::Right)?;
    let found = model.forward(&batch, &mut cache, LogitsAt::LastToken)?.to_vec2::<f32>()?;
    for (row, id) in [9, 7].into_iter().enumerate() {
        let alone = golden.alone(model, case, row, &[golden.start(), id])?;
        expect_close("after refusals", &found[row..=row], &alone[1..], 2e-5)?;
    }
    Ok(())
}

fn other_features(golden: &Golden) -> Outcome {
    let (model, width) = (golden.model(), golden.config.num_mel_bins);
    let most = 2 * golden.config.max_source_positions;
    let mut broken = features(1, most, width).values().to_vec();
    broken[width] = f32::NAN;
    for (features, reason) in [
        (features(1, most, width - 1), "feature extractor"),
        (features(1, most + 2, width), "into windows"),
        (features(1, 13, width), "multiple of 2"),
        (features(1, 0, width), "0 frames"),
        (AudioFeatures::new(broken, width, most)?, "frame 1 of the features holds NaN"),
    ] {
        let error = model.encode(&[&features]).unwrap_err();
        assert!(matches!(error, Error::InvalidInput { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert!(model.encode(&[]).unwrap_err().is_caller_error());
    Ok(())
}

/// Whatever a field says, opening and running the model gives numbers or one error, and no panic.
fn hostile_configs(golden: &Golden) -> Outcome {
    let there = tempfile::tempdir()?;
    let weights = "model.safetensors";
    fs::copy(golden.folder.join(weights), there.path().join(weights))?;
    let text = fs::read_to_string(golden.folder.join("config.json"))?;
    let config: Map<String, Value> = serde_json::from_str(&text)?;
    let fields = config.keys().map(String::as_str).chain(["num_mel_bins", "d_model"]);
    let fields: BTreeSet<&str> = fields.collect();
    let (mut opened, mut refused) = (0, 0);
    for field in fields {
        for value in [
            json!(null),
            json!(0),
            json!(3),
            json!(-1),
            json!(1_u64 << 40),
            json!("x"),
            json!([]),
            json!(true),
        ] {
            let mut config = config.clone();
            config.insert(field.to_owned(), value.clone());
            fs::write(there.path().join("config.json"), Value::Object(config).to_string())?;
            let model = AutoModel::open::<dyn SpeechSeq2Seq>(there.path(), &exact());
            match model.and_then(|model| golden.encode(&*model, golden.case("plain"))) {
                Ok(_) => opened += 1,
                Err(error) => {
                    let error = error.to_string();
                    assert!(!error.is_empty() && !error.contains("panicked"), "{field}: {error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(opened > 50 && refused > 50, "{opened} opened, {refused} refused");
    Ok(())
}
