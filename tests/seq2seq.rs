//! Every tiny encoder-decoder in `tests/goldens/seq2seq` against the numbers the Python reference
//! computed with the same weights, and against itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;

use candle_core::{Device, Tensor};
use serde::Deserialize;

use sconce::batch::{PaddingSide, TokenBatch};
use sconce::generation::{CancelHandle, generate_seq2seq};
use sconce::models::heads::{Encoder, QuestionAnswerer, SequenceClassifier, TokenClassifier};
use sconce::models::{AutoModel, CausalLm, LogitsAt, Seq2SeqLm, save};
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
    arrays: HashMap<String, Tensor>,
    model: OnceLock<Arc<dyn Seq2SeqLm>>,
}

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    encoder_alone: bool,
    /// Which head the model has in place of that of words: `sequence`, `spans` or `token`.
    head: Option<String>,
    padding_id: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    sources: Vec<Vec<u32>>,
    /// Places of the tokens of each source that all others attend to.
    #[serde(default)]
    globals: Vec<Vec<usize>>,
    /// Of the decoder.
    #[serde(default)]
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

/// Which folders a check is for.
#[derive(Clone, Copy)]
enum Kind {
    /// Those with another head than that of words.
    Heads,
    /// Those of encoder-decoders, and of encoders alone.
    Encoders,
    /// Those of encoder-decoders.
    Seq2Seq,
}

/// Rows of logits for each text of a batch.
type Run = Box<dyn Fn(&TokenBatch) -> sconce::Result<Vec<Logits>>>;

/// Runs a check on every folder of a kind.
fn each(kind: Kind, check: fn(&Golden) -> Outcome) {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/seq2seq");
    let mut folders: Vec<_> =
        fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let goldens = folders.into_iter().map(Golden::open);
    let is_of_kind = |golden: &Golden| match kind {
        Kind::Heads => golden.expected.head.is_some(),
        Kind::Encoders => golden.expected.head.is_none(),
        Kind::Seq2Seq => golden.expected.head.is_none() && !golden.expected.encoder_alone,
    };
    let goldens: Vec<_> = goldens.filter(is_of_kind).collect();
    assert!(!goldens.is_empty(), "tests/goldens/seq2seq is empty");
    let failed = goldens.iter().filter_map(|golden| {
        // Shown where an assertion fails.
        eprintln!("{}", golden.folder.display());
        let error = check(golden).err()?;
        Some(format!("{}: {}", golden.folder.display(), error.message().unwrap_or_default()))
    });
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn encoder_states_are_those_of_the_reference() {
    each(Kind::Encoders, encoder_states);
}

#[test]
fn heads_are_those_of_the_reference() {
    each(Kind::Heads, heads);
}

#[test]
fn marked_tokens_are_refused_where_nothing_attends_to_them() {
    each(Kind::Encoders, marked);
}

#[test]
fn a_model_is_opened_as_what_it_is() {
    each(Kind::Encoders, kinds);
}

#[test]
fn sources_are_as_long_as_positions_allow() {
    each(Kind::Encoders, long_sources);
}

#[test]
fn logits_are_those_of_the_reference() {
    each(Kind::Seq2Seq, logits);
}

#[test]
fn greedy_ids_are_those_of_the_reference() {
    each(Kind::Seq2Seq, greedy);
}

#[test]
fn beams_are_those_of_the_reference() {
    each(Kind::Seq2Seq, expected_beams);
}

#[test]
fn gguf_files_hold_the_same_model() {
    each(Kind::Encoders, gguf);
}

#[test]
fn cached_logits_are_uncached_ones() {
    each(Kind::Seq2Seq, cached_is_uncached);
}

#[test]
fn a_row_in_a_padded_batch_is_the_row_alone() {
    each(Kind::Seq2Seq, padded_row_is_row_alone);
}

#[test]
fn rows_of_one_source_share_it() {
    each(Kind::Seq2Seq, rows_share_their_source);
}

#[test]
fn rows_are_admitted_selected_truncated_and_cleared() {
    each(Kind::Seq2Seq, rows_come_and_go);
}

#[test]
fn a_saved_cache_goes_on() {
    each(Kind::Seq2Seq, saved_cache);
}

#[test]
fn a_trace_tells_what_is_attended_to() {
    each(Kind::Seq2Seq, traces);
}

#[test]
fn eight_threads_use_one_model() {
    each(Kind::Seq2Seq, threads);
}

#[test]
fn weights_may_be_quantized() {
    each(Kind::Seq2Seq, quantized);
}

#[test]
fn a_saved_model_is_the_same() {
    each(Kind::Seq2Seq, saved);
}

/// As repositories of before safetensors have them.
#[test]
fn torch_files_hold_the_same_model() -> Outcome {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut names = Vec::new();
    for entry in fs::read_dir(goldens.join("seq2seq_bin"))? {
        let file = entry?.path();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let golden = Golden::open(goldens.join("seq2seq").join(&name));
        let folder = tempfile::tempdir()?;
        fs::copy(golden.folder.join("config.json"), folder.path().join("config.json"))?;
        fs::copy(file, folder.path().join("pytorch_model.bin"))?;
        let case = golden.case("plain");
        for options in [exact(), exact().quantize(QuantLevel::Q8_0)] {
            let model = AutoModel::open::<dyn Seq2SeqLm>(folder.path(), &options)?;
            let expected = golden.open_with(&options)?;
            let logits =
                |model: &dyn Seq2SeqLm| golden.alone(model, &case.sources[0], &case.rows[0]);
            expect_close(&name, &logits(&*model)?, &logits(&*expected)?, 0.0)?;
        }
        names.push(name);
    }
    names.sort();
    assert_eq!(names, ["bart-tiny", "marian-tiny", "t5-tiny"]);
    Ok(())
}

#[test]
fn refused_input_leaves_the_cache_as_it_was() {
    each(Kind::Seq2Seq, refusals);
}

impl Golden {
    fn open(folder: PathBuf) -> Self {
        let text = fs::read_to_string(folder.join("expected.json")).unwrap();
        let arrays = folder.join("expected.safetensors");
        Self {
            expected: serde_json::from_str(&text).unwrap(),
            arrays: candle_core::safetensors::load(arrays, &Device::Cpu).unwrap(),
            folder,
            model: OnceLock::new(),
        }
    }

    fn open_with(&self, options: &LoadOptions) -> sconce::Result<Arc<dyn Seq2SeqLm>> {
        AutoModel::open::<dyn Seq2SeqLm>(self.folder.as_path(), options)
    }

    fn model(&self) -> &dyn Seq2SeqLm {
        &**self.model.get_or_init(|| self.open_with(&exact()).unwrap())
    }

    /// Whether there is a class of the encoder alone.
    fn has_encoder(&self) -> bool {
        self.folder.file_name().unwrap().to_string_lossy().contains("t5-")
    }

    fn case(&self, name: &str) -> &Case {
        self.expected.cases.iter().find(|case| case.name == name).unwrap()
    }

    fn array(&self, case: &Case, row: usize, what: &str) -> Vec<Vec<f32>> {
        self.arrays[&format!("{}.{row}.{what}", case.name)].to_vec2().unwrap()
    }

    fn padded(&self, rows: &[Vec<u32>], side: PaddingSide) -> sconce::Result<TokenBatch> {
        TokenBatch::padded(rows, self.expected.padding_id, side)
    }

    /// The sources of a case, with their marks.
    fn sources(&self, case: &Case, side: PaddingSide) -> sconce::Result<TokenBatch> {
        let batch = self.padded(&case.sources, side)?;
        if case.globals.is_empty() {
            return Ok(batch);
        }
        let mut mask = vec![0; batch.ids().len()];
        for (row, (source, places)) in case.sources.iter().zip(&case.globals).enumerate() {
            let padding = if side == PaddingSide::Left { batch.tokens() - source.len() } else { 0 };
            places.iter().for_each(|place| mask[row * batch.tokens() + padding + place] = 1);
        }
        batch.with_global_attention_mask(mask)
    }

    /// Logits of a row of the decoder after its source, both alone.
    fn alone(&self, model: &dyn Seq2SeqLm, source: &[u32], ids: &[u32]) -> Outcome<Logits> {
        let mut cache = model.encode(&TokenBatch::single(source)?)?;
        advance(model, &mut cache, ids)
    }

    /// The decoder's first token.
    fn start(&self) -> u32 {
        self.case("plain").rows[0][0]
    }
}

/// All in f32.
fn exact() -> LoadOptions {
    LoadOptions::default().dtype(Precision::F32).cache(CachePrecision::F32)
}

/// Logits of what a cache of one row goes on with.
fn advance(model: &dyn Seq2SeqLm, cache: &mut KvCache, ids: &[u32]) -> Outcome<Logits> {
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
    let alone = golden
        .has_encoder()
        .then(|| AutoModel::open::<dyn Encoder>(golden.folder.as_path(), &exact()))
        .transpose()?;
    let half = (!golden.expected.encoder_alone).then(|| golden.model().encoder());
    for encoder in alone.as_deref().into_iter().chain(half) {
        for case in &golden.expected.cases {
            for side in [PaddingSide::Left, PaddingSide::Right] {
                let states = encoder.encode(&golden.sources(case, side)?)?;
                for (row, source) in case.sources.iter().enumerate() {
                    let what = format!("{}, row {row}, padded {side:?}", case.name);
                    let found = of_row(&states, row, source.len(), side)?;
                    expect_close(&what, &found, &golden.array(case, row, "encoder"), TOLERANCE)?;
                }
            }
        }
    }
    Ok(())
}

fn heads(golden: &Golden) -> Outcome {
    let folder = golden.folder.as_path();
    let labels = ["LABEL_0", "LABEL_1", "LABEL_2"];
    // One row of logits for a text, or one for each token.
    let rows = |logits: Tensor| -> sconce::Result<Vec<Logits>> { Ok(logits.to_vec3()?) };
    let head = golden.expected.head.as_deref().unwrap();
    let run: Run = match head {
        "sequence" => {
            let model = AutoModel::open::<dyn SequenceClassifier>(folder, &exact())?;
            assert_eq!(model.labels().names, labels);
            let error = model.classify(&TokenBatch::single(&[5, 6])?).unwrap_err();
            assert!(
                error.is_caller_error() && error.to_string().contains("ends a text"),
                "{error}"
            );
            Box::new(move |batch| rows(model.classify(batch)?.unsqueeze(1)?))
        }
        "token" => {
            let model = AutoModel::open::<dyn TokenClassifier>(folder, &exact())?;
            assert_eq!(model.labels().names, labels);
            Box::new(move |batch| rows(model.classify_tokens(batch)?))
        }
        _ => {
            let model = AutoModel::open::<dyn QuestionAnswerer>(folder, &exact())?;
            Box::new(move |batch| {
                let (first, last) = model.spans(batch)?;
                rows(Tensor::stack(&[first, last], 2)?)
            })
        }
    };
    for case in &golden.expected.cases {
        for side in [PaddingSide::Left, PaddingSide::Right] {
            let batch = golden.padded(&case.sources, side)?;
            for (row, mut found) in run(&batch)?.into_iter().enumerate() {
                if head != "sequence" {
                    let mask = batch.attention_mask().chunks(batch.tokens()).nth(row).unwrap();
                    let mut mask = mask.iter();
                    found.retain(|_| mask.next() == Some(&1));
                }
                let expected = golden.array(case, row, "head");
                expect_close(&format!("{}, row {row}", case.name), &found, &expected, TOLERANCE)?;
            }
        }
    }
    let other = golden.folder.with_file_name("bart-tiny");
    let other = other.as_path();
    let error = AutoModel::open::<dyn SequenceClassifier>(other, &exact()).unwrap_err();
    assert!(error.to_string().contains("no sequence-classification head"), "{error}");
    let error = AutoModel::open::<dyn QuestionAnswerer>(other, &exact()).unwrap_err();
    assert!(error.to_string().contains("no question-answering head"), "{error}");
    Ok(())
}

fn marked(golden: &Golden) -> Outcome {
    let encoder = match golden.expected.encoder_alone {
        true => &*AutoModel::open::<dyn Encoder>(golden.folder.as_path(), &exact())?,
        false => golden.model().encoder(),
    };
    let batch = golden.padded(&[vec![5, 6, 7], vec![8]], PaddingSide::Left)?;
    let first = batch.clone().with_global_first_tokens();
    assert_eq!(first.global_attention_mask(), [1, 0, 0, 0, 0, 1]);
    let found = encoder.encode(&first);
    if golden.folder.ends_with("led-tiny") {
        found?;
    } else {
        let error = found.unwrap_err();
        assert!(
            error.is_caller_error() && error.to_string().contains("no global attention"),
            "{error}"
        );
    }
    for wrong in [vec![1; 5], vec![0, 0, 0, 1, 0, 0], vec![2; 6]] {
        assert!(batch.clone().with_global_attention_mask(wrong).is_err());
    }
    Ok(())
}

/// Each wrong kind is an error that names the right one.
fn kinds(golden: &Golden) -> Outcome {
    let folder = golden.folder.as_path();
    let error = AutoModel::open::<dyn CausalLm>(folder, &exact()).unwrap_err().to_string();
    assert!(error.contains("an encoder-decoder: open it as `dyn Seq2SeqLm`"), "{error}");
    if !golden.has_encoder() {
        let error = AutoModel::open::<dyn Encoder>(folder, &exact()).unwrap_err().to_string();
        assert!(error.contains("an encoder-decoder: open it as `dyn Seq2SeqLm`"), "{error}");
    }
    if golden.expected.encoder_alone {
        let error = golden.open_with(&exact()).unwrap_err().to_string();
        assert!(error.contains("open it as `dyn Encoder`"), "{error}");
    }
    let decoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/llama-tiny");
    let error = AutoModel::open::<dyn Seq2SeqLm>(decoder, &exact()).unwrap_err().to_string();
    assert!(error.contains("a decoder alone: open it as `dyn CausalLm`"), "{error}");
    Ok(())
}

fn long_sources(golden: &Golden) -> Outcome {
    let encoder = match golden.expected.encoder_alone {
        true => &*AutoModel::open::<dyn Encoder>(golden.folder.as_path(), &exact())?,
        false => golden.model().encoder(),
    };
    let limit = encoder.limits().context;
    if limit < 1000 {
        encoder.encode(&TokenBatch::single(&vec![5; limit])?)?;
        let long = encoder.encode(&TokenBatch::single(&vec![5; limit + 1])?);
        assert!(matches!(long, Err(Error::ContextOverflow { .. })), "{long:?}");
    } else {
        encoder.encode(&TokenBatch::single(&vec![5; 1200])?)?;
    }
    let unknown = encoder.encode(&TokenBatch::single(&[encoder.limits().vocab as u32])?);
    assert!(matches!(unknown, Err(Error::InvalidInput { .. })), "{unknown:?}");
    Ok(())
}

fn logits(golden: &Golden) -> Outcome {
    let model = golden.model();
    for case in &golden.expected.cases {
        for [of_sources, side] in [
            [PaddingSide::Left, PaddingSide::Left],
            [PaddingSide::Right, PaddingSide::Right],
            [PaddingSide::Left, PaddingSide::Right],
        ] {
            let mut cache = model.encode(&golden.sources(case, of_sources)?)?;
            assert_eq!(cache.row_lengths(), vec![0; case.rows.len()]);
            let batch = golden.padded(&case.rows, side)?;
            let found = model.forward(&batch, &mut cache, LogitsAt::EveryToken)?;
            for (row, ids) in case.rows.iter().enumerate() {
                let what = format!("{}, row {row}, padded {side:?}", case.name);
                let found = of_row(&found, row, ids.len(), side)?;
                expect_close(&what, &found, &golden.array(case, row, "logits"), TOLERANCE)?;
                assert_eq!(cache.source_ids(row), Some(case.sources[row].as_slice()));
            }
        }
    }
    Ok(())
}

fn greedy(golden: &Golden) -> Outcome {
    let model = golden.model();
    if let Some(start) = model.start_id() {
        assert_eq!(start, golden.start());
    }
    for case in golden.expected.cases.iter().filter(|case| case.greedy.is_some()) {
        let expected = case.greedy.as_ref().unwrap();
        let mut cache = model.encode(&golden.padded(&case.sources, PaddingSide::Right)?)?;
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
        let (start, cancel) = ([golden.start()], CancelHandle::default());
        let found = generate_seq2seq(&model, None, &case.sources, &start, &config, &cancel)?;
        expect_beams(&case.name, &found, &case.beams, &case.beam_scores);
    }
    Ok(())
}

/// As llama.cpp's converter writes it, where there is such a file.
fn gguf(golden: &Golden) -> Outcome {
    let file = golden.folder.join("model.gguf");
    if !file.exists() {
        return Ok(());
    }
    let encoder = AutoModel::open::<dyn Encoder>(ModelSource::gguf(&file), &exact())?;
    for case in &golden.expected.cases {
        for (row, source) in case.sources.iter().enumerate() {
            let found = encoder.encode(&TokenBatch::single(source)?)?.to_vec3()?.remove(0);
            let expected = golden.array(case, row, "encoder");
            expect_close(&format!("{}, row {row}", case.name), &found, &expected, TOLERANCE)?;
        }
    }
    let model = AutoModel::open::<dyn Seq2SeqLm>(ModelSource::gguf(&file), &exact());
    if golden.expected.encoder_alone {
        let error = model.unwrap_err().to_string();
        assert!(error.contains("open it as `dyn Encoder`"), "{error}");
        return Ok(());
    }
    let model = model?;
    assert_eq!(model.start_id(), Some(golden.start()));
    for case in &golden.expected.cases {
        for (row, (source, ids)) in case.sources.iter().zip(&case.rows).enumerate() {
            let found = golden.alone(&*model, source, ids)?;
            let expected = golden.array(case, row, "logits");
            expect_close(&format!("{}, row {row}", case.name), &found, &expected, TOLERANCE)?;
        }
    }
    Ok(())
}

fn cached_is_uncached(golden: &Golden) -> Outcome {
    let (model, case) = (golden.model(), golden.case("long"));
    let whole = golden.array(case, 0, "logits");
    for part in [1, 7, 64] {
        let mut cache = model.encode(&TokenBatch::single(&case.sources[0])?)?;
        let mut found = Vec::new();
        for ids in case.rows[0].chunks(part) {
            found.extend(advance(model, &mut cache, ids)?);
        }
        expect_close(&format!("{part} at a time"), &found, &whole, TOLERANCE)?;
    }
    Ok(())
}

/// Padding in front, behind and between, whatever ids it has.
fn padded_row_is_row_alone(golden: &Golden) -> Outcome {
    let (model, case) = (golden.model(), golden.case("batch"));
    let scattered = |rows: &[Vec<u32>]| -> Outcome<TokenBatch> {
        let width = golden::width(rows) + 3;
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for row in rows {
            let (before, after) = row.split_at(row.len() / 2);
            let behind = vec![8; width - row.len() - 2];
            for (part, kept) in [(&[7][..], 0), (before, 1), (&[9], 0), (after, 1), (&behind, 0)] {
                ids.extend(part);
                mask.extend(vec![kept; part.len()]);
            }
        }
        Ok(TokenBatch::new(rows.len(), ids, mask)?)
    };
    let batch = scattered(&case.rows)?;
    let mut cache = model.encode(&scattered(&case.sources)?)?;
    let logits = model.forward(&batch, &mut cache, LogitsAt::EveryToken)?.to_vec3::<f32>()?;
    for (row, logits) in logits.into_iter().enumerate() {
        let mask = &batch.attention_mask()[row * batch.tokens()..];
        let kept = logits.into_iter().zip(mask).filter(|(_, mask)| **mask == 1);
        let kept: Vec<_> = kept.map(|(logits, _)| logits).collect();
        let alone = golden.alone(model, &case.sources[row], &case.rows[row])?;
        expect_close(&format!("row {row}"), &kept, &alone, 2e-5)?;
    }
    Ok(())
}

fn rows_share_their_source(golden: &Golden) -> Outcome {
    let (model, case) = (golden.model(), golden.case("batch"));
    let mut cache = model.encode(&golden.padded(&case.sources, PaddingSide::Right)?)?;
    let of_sources = cache.bytes();
    assert!(of_sources > 0);
    // Four beams of each source, and then some of them in another order.
    let beams: Vec<usize> = (0..case.sources.len()).flat_map(|row| [row; 4]).collect();
    cache.select_rows(&beams)?;
    let chosen = [0, 5, 4, 11, 8, 15, 13];
    cache.select_rows(&chosen)?;
    assert_eq!((cache.rows(), cache.bytes()), (chosen.len(), of_sources));
    let fork = cache.fork()?;
    for mut cache in [cache, fork] {
        for ids in [vec![golden.start()], vec![9, 6, 7]] {
            let batch = golden.padded(&vec![ids; chosen.len()], PaddingSide::Right)?;
            let found = model.forward(&batch, &mut cache, LogitsAt::EveryToken)?;
            if cache.tokens() == 1 {
                continue;
            }
            for (row, &beam) in chosen.iter().enumerate() {
                let source = &case.sources[beams[beam]];
                let alone = golden.alone(model, source, &[golden.start(), 9, 6, 7])?;
                let found = of_row(&found, row, 3, PaddingSide::Right)?;
                expect_close(&format!("beam {beam}"), &found, &alone[1..], 5e-5)?;
            }
        }
    }
    Ok(())
}

fn rows_come_and_go(golden: &Golden) -> Outcome {
    let (model, case) = (golden.model(), golden.case("batch"));
    let start = golden.start();
    let one = |row: usize| -> Outcome<KvCache> {
        let mut cache = model.encode(&TokenBatch::single(&case.sources[row])?)?;
        advance(model, &mut cache, &[start])?;
        Ok(cache)
    };
    let mut cache = model.new_cache();
    assert_eq!((cache.rows(), cache.bytes()), (0, 0));
    for row in 0..case.sources.len() {
        cache.admit(one(row)?)?;
    }
    // What nobody attends to any more is let go.
    let before = cache.bytes();
    cache.select_rows(&[3, 2])?;
    assert!(cache.bytes() < before);
    cache.admit(one(0)?)?;
    let rows = [3, 2, 0];
    let expect = |cache: &mut KvCache, what: &str| -> Outcome {
        let ids = [vec![9, 6], vec![6, 8], vec![7, 9]];
        let batch = golden.padded(&ids, PaddingSide::Right)?;
        let found = model.forward(&batch, cache, LogitsAt::EveryToken)?;
        for (row, ids) in ids.iter().enumerate() {
            let whole = [&[start], ids.as_slice()].concat();
            let alone = golden.alone(model, &case.sources[rows[row]], &whole)?;
            let found = of_row(&found, row, 2, PaddingSide::Right)?;
            expect_close(&format!("{what}, row {row}"), &found, &alone[1..], 2e-5)?;
        }
        Ok(())
    };
    expect(&mut cache, "admitted")?;
    cache.truncate(1)?;
    expect(&mut cache, "truncated")?;
    cache.truncate(0)?;
    assert_eq!(cache.row_lengths(), [0; 3]);
    let batch = golden.padded(&[vec![start], vec![start], vec![start]], PaddingSide::Right)?;
    model.forward(&batch, &mut cache, LogitsAt::LastToken)?;
    expect(&mut cache, "from the beginning")?;
    cache.clear();
    assert_eq!((cache.rows(), cache.bytes()), (0, 0));
    let error = model.forward(&batch, &mut cache, LogitsAt::LastToken).unwrap_err().to_string();
    assert!(error.contains("holds no sources"), "{error}");
    cache.admit(one(1)?)?;
    assert_eq!(cache.source_ids(0), Some(case.sources[1].as_slice()));
    Ok(())
}

fn saved_cache(golden: &Golden) -> Outcome {
    let case = golden.case("batch");
    let file = tempfile::NamedTempFile::new()?;
    for precision in [CachePrecision::F32, CachePrecision::F16, CachePrecision::Q8] {
        let model = golden.open_with(&exact().cache(precision))?;
        let mut cache = model.encode(&golden.padded(&case.sources, PaddingSide::Right)?)?;
        model.forward(
            &golden.padded(&case.rows, PaddingSide::Right)?,
            &mut cache,
            LogitsAt::LastToken,
        )?;
        cache.select_rows(&[2, 0, 0])?;
        cache.save(file.path())?;
        let mut loaded = model.new_cache();
        loaded.load(file.path())?;
        assert_eq!(loaded.bytes(), cache.bytes());
        let batch = golden.padded(&[vec![9], vec![6, 7], vec![8]], PaddingSide::Right)?;
        let [found, expected] = [&mut loaded, &mut cache].map(|cache| -> Outcome<_> {
            let logits = model.forward(&batch, cache, LogitsAt::LastToken)?;
            Ok(logits.to_vec2::<f32>()?)
        });
        expect_close("loaded", &found?, &expected?, 0.0)?;
    }
    Ok(())
}

fn traces(golden: &Golden) -> Outcome {
    let (model, case) = (golden.model(), golden.case("batch"));
    let mut cache = model.encode(&golden.padded(&case.sources, PaddingSide::Right)?)?;
    let batch = golden.padded(&case.rows, PaddingSide::Left)?;
    let trace = model.trace(&batch, &mut cache)?;
    let longest = golden::width(&case.sources);
    for (row, ids) in case.rows.iter().enumerate() {
        let found = of_row(&trace.logits, row, ids.len(), PaddingSide::Left)?;
        let expected = golden.array(case, row, "logits");
        expect_close(&format!("row {row}"), &found, &expected, TOLERANCE)?;
        for shares in &trace.source_attentions {
            let (rows, _, tokens, sources) = shares.dims4()?;
            assert_eq!((rows, tokens, sources), (case.rows.len(), batch.tokens(), longest));
            // All of a source, and nothing beyond its end.
            let of_row = shares.get(row)?.narrow(1, batch.tokens() - ids.len(), ids.len())?;
            let own = of_row.narrow(2, 0, case.sources[row].len())?.sum(2)?.flatten_all()?;
            assert!(own.to_vec1::<f32>()?.iter().all(|sum| (sum - 1.0).abs() < 1e-5));
        }
    }
    assert_eq!(trace.source_attentions.len(), trace.attentions.len());
    Ok(())
}

fn threads(golden: &Golden) -> Outcome {
    let (model, case) = (golden.model(), golden.case("long"));
    let part = |i: usize| golden.alone(model, &case.sources[0][..6 * i], &case.rows[0][..5 * i]);
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
        golden.alone(&*model, &case.sources[0], &case.rows[0])
    };
    let dense = run(&exact())?;
    for (options, bound) in [
        (LoadOptions::default().quantize(QuantLevel::Q8_0), 0.2),
        (LoadOptions::default().dtype(Precision::F16), 0.02),
        (LoadOptions::default().dtype(Precision::BF16), 0.2),
        (exact().cache(CachePrecision::Q8), 0.1),
    ] {
        let error = relative_error(&run(&options)?, &dense);
        // Tokens may get other experts.
        let is_mixture = golden.folder.to_string_lossy().contains("-moe-");
        let bound = if is_mixture { 2.0 * bound } else { bound };
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
        let model = AutoModel::from_files::<dyn Seq2SeqLm>(&files, &options)?;
        let there = tempfile::tempdir()?;
        let to = there.path().join("saved");
        save(&files, model.inventory(), &to)?;
        let plain = LoadOptions::default().cache(CachePrecision::F32);
        let again = AutoModel::open::<dyn Seq2SeqLm>(to.as_path(), &plain)?;
        assert_eq!(again.inventory().bytes_by_precision(), model.inventory().bytes_by_precision());
        let logits = |model: &dyn Seq2SeqLm| golden.alone(model, &case.sources[0], &case.rows[0]);
        expect_close("saved", &logits(&*again)?, &logits(&*model)?, 0.0)?;
        // There is no tokenizer, or no such format.
        let gguf = save(&files, model.inventory(), there.path().join("saved.gguf"));
        let error = gguf.unwrap_err().to_string();
        let family = golden.folder.file_name().unwrap().to_string_lossy();
        let has_format = ["t5-", "mt5-", "umt5-"].iter().any(|name| family.starts_with(name));
        assert_eq!(error.contains("only decoders"), !has_format, "{error}");
    }
    Ok(())
}

fn refusals(golden: &Golden) -> Outcome {
    let (model, case) = (golden.model(), golden.case("batch"));
    let (context, vocab) = (model.limits().context, model.limits().vocab as u32);
    let mut cache = model.encode(&golden.padded(&case.sources[..2], PaddingSide::Right)?)?;
    let first = golden.padded(&[vec![golden.start()], vec![golden.start()]], PaddingSide::Right)?;
    model.forward(&first, &mut cache, LogitsAt::LastToken)?;
    let before = cache.row_lengths();
    let mut refused =
        vec![TokenBatch::single(&[5])?, TokenBatch::new(2, vec![5, vocab], vec![1; 2])?];
    if context < 1000 {
        refused.push(TokenBatch::new(2, vec![5; 2 * context], vec![1; 2 * context])?);
    }
    for batch in refused {
        let error = model.forward(&batch, &mut cache, LogitsAt::LastToken).unwrap_err();
        assert!(error.is_caller_error(), "{error}");
        assert_eq!(cache.row_lengths(), before);
    }
    let batch = golden.padded(&[vec![9], vec![7]], PaddingSide::Right)?;
    let found = model.forward(&batch, &mut cache, LogitsAt::LastToken)?.to_vec2::<f32>()?;
    for (row, id) in [9, 7].into_iter().enumerate() {
        let alone = golden.alone(model, &case.sources[row], &[golden.start(), id])?;
        expect_close("after refusals", &found[row..=row], &alone[1..], 2e-5)?;
    }
    Ok(())
}
