//! Logits processors against transformers, what plans refuse, and what ends an answer while its prompt is
//! read, through the public API.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod beams;
mod contrasts;
mod drafts;
mod fields;
mod guidance;
mod outputs;
mod processors;
mod properties;
mod score;
mod stepper;
mod table;

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sconce::generation::{
    CancelHandle, DraftModel, Drafting, DropGuard, FinishReason, GenerationConfig, LogitsProcessor,
    Sequence, TokenStream, complete, generate, generate_batch, generate_batch_until,
};
use sconce::models::{
    AutoModel, Autoregressive, CausalLm, Checkpoint, LogitsAt, Model, ModelLimits, TextModel,
};
use sconce::nn::cache::KvCache;
use sconce::weights::Inventory;
use sconce::{Device, Error, LoadOptions, Tensor, TokenBatch};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    options: Value,
    prompt: Vec<u32>,
    new: Vec<u32>,
    user: bool,
    logits: Vec<Value>,
    expected: Vec<Value>,
}

/// A caller's own processor, the same as in `make_logits.py`.
#[derive(Debug, Clone)]
struct Users;

impl LogitsProcessor for Users {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> sconce::Result<()> {
        logits.iter_mut().step_by(2).for_each(|logit| *logit += 1.5);
        Ok(())
    }
}

#[test]
fn processors_as_transformers() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/logits");
    let text = std::fs::read(path.join("processors.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&text).unwrap();
    assert!(cases.len() > 200);
    for (number, case) in cases.iter().enumerate() {
        let mut logits: Vec<f32> = case.logits.iter().map(logit).collect();
        let limits = ModelLimits::new(logits.len(), 1000);
        let config = GenerationConfig::from_json(&case.options).unwrap();
        let mut plan = config.plan(&case.prompt, limits, None).unwrap();
        if case.user {
            plan = plan.with_processor(Box::new(Users));
        }
        plan.process(&[case.prompt.as_slice(), &case.new].concat(), &mut logits).unwrap();
        for (index, (&found, expected)) in logits.iter().zip(&case.expected).enumerate() {
            let expected = logit(expected);
            assert!(
                found == expected || (found - expected).abs() <= 1e-5 * expected.abs().max(1.0),
                "case {number}, {}, logit {index}: {found}, not {expected}",
                case.options
            );
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let sampling = [
        ("temperature", json!(0.0)),
        ("temperature", json!(-1)),
        ("temperature", json!(1e-300)),
        ("top_p", json!(-0.1)),
        ("top_p", json!(1.1)),
        ("min_p", json!(-0.1)),
        ("min_p", json!(1.5)),
        ("typical_p", json!(0)),
        ("typical_p", json!(1.5)),
        ("epsilon_cutoff", json!(1)),
        ("top_h", json!(0)),
        ("top_h", json!(1.1)),
        ("top_n_sigma", json!(-2)),
        ("xtc_probability", json!(1.5)),
        ("dynatemp_range", json!(-0.5)),
        ("mirostat", json!(1)),
        ("eta_cutoff", json!(-0.5)),
    ];
    for (option, value) in &sampling {
        refused(option, json!({"do_sample": true, *option: value}));
        // As in transformers, nobody looks at them otherwise.
        plan(&json!({*option: value})).unwrap();
    }
    for (option, value) in [
        ("max_new_tokens", json!(0)),
        ("max_length", json!(0)),
        ("max_length", json!(3)),
        ("repetition_penalty", json!(0)),
        ("repetition_penalty", json!(-2)),
        ("encoder_repetition_penalty", json!(0)),
        ("num_return_sequences", json!(2)),
        ("num_return_sequences", json!(0)),
        ("max_time", json!(-1)),
        ("stop_strings", json!("end")),
        ("stop_strings", json!([""])),
        ("sequence_bias", json!([[[], 1.0]])),
        ("sequence_bias", json!([[[10], 1.0]])),
        ("bad_words_ids", json!([[]])),
        ("bad_words_ids", json!([[1, 10]])),
        ("forced_bos_token_id", json!(10)),
        ("forced_eos_token_id", json!([1, 10])),
        ("exponential_decay_length_penalty", json!([1, 1.5])),
        ("num_beams", json!(0)),
        ("num_beams", json!(257)),
        ("num_beam_groups", json!(2)),
        ("diversity_penalty", json!(0.5)),
        ("force_words_ids", json!([[1]])),
        ("penalty_alpha", json!(1.5)),
        ("prompt_lookup_num_tokens", json!(0)),
        ("frequency_penalty", json!(1e300)),
        ("dry_multiplier", json!(-1)),
        ("negative_prompt_ids", json!([1])),
        ("watermarking_config", json!({"greenlist_ratio": 1.0})),
        ("watermarking_config", json!({"seeding_scheme": "righthash"})),
        ("watermarking_config", json!({"ngram_len": 5, "keys": []})),
        ("watermarking_config", json!({"ngram_len": u64::MAX, "keys": [1]})),
        ("max_new_token", json!(5)),
        ("constraints", json!([])),
        ("assistant_early_exit", json!(0)),
    ] {
        refused(option, json!({option: value}));
    }
    for (option, more) in [
        ("num_return_sequences", json!({"num_return_sequences": 5})),
        ("num_beam_groups", json!({"num_beam_groups": 3, "diversity_penalty": 1.0})),
        ("num_beam_groups", json!({"num_beam_groups": 0})),
        (
            "num_beam_groups",
            json!({"num_beam_groups": 2, "diversity_penalty": 1.0, "do_sample": true}),
        ),
        ("diversity_penalty", json!({"num_beam_groups": 2})),
        ("diversity_penalty", json!({"num_beam_groups": 2, "diversity_penalty": -1.0})),
        ("diversity_penalty", json!({"diversity_penalty": 1.0})),
        ("force_words_ids", json!({"force_words_ids": [[1, 10]]})),
        ("force_words_ids", json!({"force_words_ids": [[]]})),
        ("force_words_ids", json!({"force_words_ids": [[[1, 2], [1]]]})),
        ("force_words_ids", json!({"force_words_ids": [[1]], "do_sample": true})),
        (
            "force_words_ids",
            json!({"force_words_ids": [[1]], "num_beam_groups": 2, "diversity_penalty": 1.0}),
        ),
    ] {
        let mut options = json!({"num_beams": 4});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(option, options);
    }
    let error = plan(&json!({"do_sample": true, "temperature": 1e-300})).unwrap_err().to_string();
    assert!(error.contains("is 1e-300, but"), "{error}");
    let nan = GenerationConfig::default().num_beams(2).length_penalty(f64::NAN);
    assert!(nan.plan(&[1], LIMITS, None).is_err());
    let nan = GenerationConfig::default().do_sample(true).temperature(f64::NAN);
    assert!(nan.plan(&[1], LIMITS, None).is_err());
    let nan = GenerationConfig::default().repetition_penalty(f64::NAN);
    assert!(nan.plan(&[1], LIMITS, None).is_err());
}

#[test]
fn what_asks_for_nothing_is_accepted() {
    plan(&json!({
        "num_beams": 1, "num_beam_groups": 1, "penalty_alpha": null, "guidance_scale": 1.0,
        "diversity_penalty": 0.0, "token_healing": false, "watermarking_config": null,
        "length_penalty": 2.0, "early_stopping": true, "use_cache": true, "bad_words_ids": [],
        "max_time": 1e9, "max_new_tokens": 18446744073709551615u64, "top_k": 1u64 << 60,
        "do_sample": true, "min_new_tokens": 1u64 << 63, "no_repeat_ngram_size": 1u64 << 60,
        "stop_strings": null, "exponential_decay_length_penalty": null, "xtc_threshold": 0.3,
        "guidance_scale": null, "top_h": null, "mirostat": null, "transformers_version": "4.57.6",
    }))
    .unwrap();
}

#[test]
fn prompts_that_cannot_be_continued() {
    let config = GenerationConfig::default();
    assert!(matches!(config.plan(&[], LIMITS, None), Err(Error::InvalidInput { .. })));
    assert!(matches!(config.plan(&[1, 10], LIMITS, None), Err(Error::InvalidInput { .. })));
    assert!(matches!(
        config.plan(&[1; 101], LIMITS, None),
        Err(Error::ContextOverflow { tokens: 101, limit: 100 })
    ));
    config.plan(&[1; 100], LIMITS, None).unwrap();
}

/// A model of 8,192 tokens of context that counts the pieces a prompt is read in.
struct Counting {
    model: Arc<dyn CausalLm>,
    pieces: AtomicUsize,
    /// Called after the third piece.
    then: Mutex<Box<dyn FnMut() + Send>>,
}

impl Counting {
    fn new(then: impl FnMut() + Send + 'static) -> Arc<Self> {
        let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/llama-tiny");
        let folder = tempfile::tempdir().unwrap();
        fs::copy(golden.join("model.safetensors"), folder.path().join("model.safetensors"))
            .unwrap();
        let config = fs::read(golden.join("config.json")).unwrap();
        let mut config: Value = serde_json::from_slice(&config).unwrap();
        config["max_position_embeddings"] = json!(8192);
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let model =
            AutoModel::open::<dyn CausalLm>(folder.path(), &LoadOptions::default()).unwrap();
        Arc::new(Self { model, pieces: AtomicUsize::new(0), then: Mutex::new(Box::new(then)) })
    }

    fn pieces(&self) -> usize {
        self.pieces.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counting")
    }
}

impl Model for Counting {
    fn device(&self) -> &Device {
        self.model.device()
    }

    fn inventory(&self) -> &Inventory {
        self.model.inventory()
    }
}

impl TextModel for Counting {
    fn limits(&self) -> ModelLimits {
        self.model.limits()
    }
}

impl CausalLm for Counting {
    fn new_cache(&self) -> KvCache {
        self.model.new_cache()
    }
}

impl Autoregressive for Counting {
    fn forward(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        at: LogitsAt,
    ) -> sconce::Result<Tensor> {
        self.model.forward(batch, cache, at)
    }

    fn forward_with(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        at: LogitsAt,
        checkpoint: &Checkpoint<'_>,
    ) -> sconce::Result<Tensor> {
        let counting = || {
            if self.pieces.fetch_add(1, Ordering::SeqCst) + 1 == 3 {
                (self.then.lock().unwrap())();
            }
            checkpoint()
        };
        let logits = self.model.forward_with(batch, cache, at, &counting)?;
        self.pieces.fetch_add(1, Ordering::SeqCst);
        Ok(logits)
    }
}

fn prompt(tokens: usize) -> Vec<u32> {
    (0..tokens).map(|at| (at * at % 200) as u32 + 10).collect()
}

/// However it is told: by the handle, by a guard that whoever asked lets go of, or by the clock.
#[test]
fn an_answer_ends_within_512_tokens_of_its_prompt() {
    let check = |counting: &Counting, mut stream: TokenStream, pieces, reason| {
        assert!(stream.next().is_none());
        assert_eq!((counting.pieces(), stream.finish_reason()), (pieces, Some(reason)));
        assert!(stream.next().is_none() && stream.generated().is_empty());
        assert_eq!(stream.into_parts().0.tokens(), 0);
    };
    let start = |counting: &Arc<Counting>, config: &GenerationConfig| {
        let model: Arc<dyn CausalLm> = Arc::clone(counting) as _;
        generate(&model, &prompt(6000), config).unwrap()
    };
    let config = GenerationConfig::default();

    let handle = CancelHandle::default();
    let cancelling = handle.clone();
    let counting = Counting::new(move || cancelling.cancel());
    let stream = start(&counting, &config).with_cancel_handle(handle);
    check(&counting, stream, 3, FinishReason::Cancelled);

    let guard = Arc::new(Mutex::new(None::<DropGuard>));
    let held = Arc::clone(&guard);
    let counting = Counting::new(move || drop(held.lock().unwrap().take()));
    let stream = start(&counting, &config);
    *guard.lock().unwrap() = Some(stream.cancel_handle().drop_guard());
    check(&counting, stream, 3, FinishReason::Cancelled);

    let counting = Counting::new(|| {});
    let stream = start(&counting, &config.max_time(1e-9));
    check(&counting, stream, 1, FinishReason::Time);
}

#[test]
fn all_answers_of_a_batch_end_within_512_tokens_of_their_prompts() {
    let handle = CancelHandle::default();
    let cancelling = handle.clone();
    let counting = Counting::new(move || cancelling.cancel());
    let model: Arc<dyn CausalLm> = Arc::clone(&counting) as _;
    let prompts = [prompt(6000), prompt(4000)];
    let config = GenerationConfig::default();
    let late = config.clone().max_time(1e-9);
    for (config, pieces, reason) in
        [(&late, 1, FinishReason::Time), (&config, 3, FinishReason::Cancelled)]
    {
        let answers = generate_batch_until(&model, None, &prompts, config, &handle).unwrap();
        assert_eq!(counting.pieces(), pieces);
        assert_eq!(answers.len(), 2);
        for answer in answers {
            assert_eq!((answer.ids(), answer.finish_reason), (vec![], reason));
        }
    }
    // And what comes after is not begun.
    let answers = generate_batch_until(&model, None, &prompts, &config, &handle).unwrap();
    assert_eq!((answers.len(), counting.pieces()), (2, 3));
}

/// The draft model reads the prompt when the first token has come.
#[test]
fn a_draft_model_is_given_up_while_it_reads_the_prompt() {
    let handle = CancelHandle::default();
    let cancelling = handle.clone();
    let small = Counting::new(move || cancelling.cancel());
    let assistant: Arc<dyn CausalLm> = Arc::clone(&small) as _;
    let config = GenerationConfig::default();
    let drafter = DraftModel::new(&assistant, &*small.model, &config).unwrap();
    let stream = generate(&small.model, &prompt(6000), &config).unwrap();
    let drafting = Drafting::from(drafter).whole();
    let mut stream = stream.with_drafter(drafting).with_cancel_handle(handle);
    assert_eq!((stream.by_ref().count(), small.pieces()), (1, 3));
    assert_eq!(stream.finish_reason(), Some(FinishReason::Cancelled));
}

/// A model of the same shapes is told apart by its numbers.
#[test]
fn a_cache_of_other_weights_is_refused() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/llama-tiny");
    let open = |folder: &std::path::Path| {
        AutoModel::open::<dyn CausalLm>(folder, &LoadOptions::default()).unwrap()
    };
    let changed = |by: u8| {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(golden.join("config.json"), folder.path().join("config.json")).unwrap();
        let mut weights = fs::read(golden.join("model.safetensors")).unwrap();
        let last = weights.len() - 2; // within the last number of the last tensor
        weights[last] ^= by;
        fs::write(folder.path().join("model.safetensors"), weights).unwrap();
        folder
    };
    let model = open(&golden);
    let mut cache = model.new_cache();
    let batch = TokenBatch::single(&[5, 6, 7]).unwrap();
    model.forward(&batch, &mut cache, LogitsAt::LastToken).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    cache.save(file.path()).unwrap();
    let (same, other) = (changed(0), changed(1));
    let mut restored = open(same.path()).new_cache();
    restored.load(file.path()).unwrap();
    assert_eq!(restored.tokens(), 3);
    let error = open(other.path()).new_cache().load(file.path()).unwrap_err();
    assert!(error.to_string().contains("another model"), "{error}");
}

/// Takes note of the threads that it may have.
#[derive(Debug, Clone)]
struct CountsThreads(Arc<AtomicUsize>);

impl LogitsProcessor for CountsThreads {
    fn process(&mut self, _tokens: &[u32], _logits: &mut [f32]) -> sconce::Result<()> {
        self.0.fetch_max(rayon::current_num_threads(), Ordering::SeqCst);
        Ok(())
    }
}

/// What is done to the rows of beams keeps to the threads of the model, too.
#[test]
fn beams_keep_to_the_threads_of_the_model() {
    for threads in [1, 3] {
        let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/llama-tiny");
        let options = LoadOptions::default().threads(threads);
        let model = AutoModel::open::<dyn CausalLm>(golden, &options).unwrap();
        let config = GenerationConfig::default().num_beams(2).max_new_tokens(2);
        let found = Arc::new(AtomicUsize::new(0));
        let plan = config.plan(&[5, 6], model.limits(), None).unwrap();
        let plan = plan.with_processor(Box::new(CountsThreads(Arc::clone(&found))));
        let decoder: Arc<dyn Autoregressive> = model.clone();
        complete(&decoder, &model.new_cache(), [Sequence::new(&[5, 6], plan)]).unwrap();
        assert_eq!(found.load(Ordering::SeqCst), threads);
    }
}

/// As in transformers, beams are plain beams, whatever else would draft or contrast.
#[test]
fn beams_are_searched_without_drafts() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/llama-tiny");
    let model = AutoModel::open::<dyn CausalLm>(golden, &LoadOptions::default()).unwrap();
    let beams = GenerationConfig::default().num_beams(3).max_new_tokens(8);
    let ids = |config: &GenerationConfig| {
        let answers = generate_batch(&model, None, &[vec![5, 6, 5, 6, 5]], config).unwrap();
        assert_eq!(answers[0].timings.drafted_tokens, 0);
        answers[0].ids()
    };
    let plain = ids(&beams);
    for more in [
        json!({"prompt_lookup_num_tokens": 4}),
        json!({"assistant_early_exit": 1}),
        json!({"dola_layers": "low"}),
    ] {
        let config = beams.clone().overlaid(&GenerationConfig::from_json(&more).unwrap());
        assert_eq!(ids(&config), plain, "{more}");
    }
}

#[test]
fn a_prompt_that_is_not_given_up_is_read_as_ever() {
    let counting = Counting::new(|| {});
    let model: Arc<dyn CausalLm> = Arc::clone(&counting) as _;
    let batch = TokenBatch::single(&prompt(1100)).unwrap();
    let logits = |model: &dyn CausalLm, checkpoint: &Checkpoint<'_>| -> Vec<f32> {
        let (mut cache, at) = (model.new_cache(), LogitsAt::LastToken);
        let logits = model.forward_with(&batch, &mut cache, at, checkpoint).unwrap();
        logits.flatten_all().unwrap().to_vec1().unwrap()
    };
    let watched = logits(&*model, &|| Ok(()));
    assert_eq!(counting.pieces(), 3);
    let alone = counting.model.forward(&batch, &mut model.new_cache(), LogitsAt::LastToken);
    assert_eq!(watched, alone.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap());

    // A caller's own error is given back, and the cache is as it was.
    let mut cache = model.new_cache();
    let refuse = || Err(Error::Interrupted);
    let refused = counting.model.forward_with(&batch, &mut cache, LogitsAt::LastToken, &refuse);
    assert!(matches!(refused, Err(Error::Interrupted)));
    assert_eq!((cache.tokens(), cache.rows()), (0, 0));
}

/// The options of a processor beside one that makes it matter.
#[test]
fn options_of_one_kind_are_refused_together() {
    for (name, options) in [
        ("dry_base", json!({"dry_multiplier": 1, "dry_base": 0.5, "dry_sequence_breakers": []})),
        ("dry_penalty_last_n", json!({"dry_multiplier": 1, "dry_penalty_last_n": -2})),
        ("dry_sequence_breakers", json!({"dry_multiplier": 1})),
        ("negative_prompt_ids", json!({"guidance_scale": 2, "negative_prompt_ids": [10]})),
        ("negative_prompt_ids", json!({"guidance_scale": 2, "negative_prompt_ids": []})),
        ("mirostat_tau", json!({"do_sample": true, "mirostat": 2, "mirostat_tau": 0})),
        ("mirostat_eta", json!({"do_sample": true, "mirostat": 2, "mirostat_eta": -1})),
        ("xtc_threshold", json!({"do_sample": true, "xtc_probability": 1, "xtc_threshold": -1})),
        (
            "dynatemp_exponent",
            json!({"do_sample": true, "dynatemp_range": 1, "dynatemp_exponent": 0}),
        ),
    ] {
        refused(name, options);
    }
}

fn plan(options: &Value) -> sconce::Result<sconce::generation::Plan> {
    GenerationConfig::from_json(options)?.plan(&[1, 2, 3], LIMITS, None)
}

fn refused(name: &str, options: Value) {
    let error = plan(&options).unwrap_err();
    assert!(
        matches!(&error, Error::InvalidOption { option, .. } if option == name),
        "{options}: {error}"
    );
}

fn logit(value: &Value) -> f32 {
    match value {
        Value::Null => f32::NEG_INFINITY,
        Value::String(name) => name.parse().unwrap(),
        number => number.as_f64().unwrap() as f32,
    }
}

const LIMITS: ModelLimits = ModelLimits::new(10, 100);
