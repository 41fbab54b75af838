//! Whole generations by a model whose logits depend on the last token only, against transformers.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sconce::generation::{
    FinishReason, GenerationConfig, Sequence, TextStream, TokenStream, generate, generate_batch,
    generate_from, generate_text,
};
use sconce::models::{Autoregressive, CausalLm, LogitsAt, Model, ModelLimits, TextModel};
use sconce::nn::cache::KvCache;
use sconce::tokenizer::Tokenizer;
use sconce::weights::Inventory;
use sconce::{DType, Device, Error, ModelSource, Result, Tensor, TokenBatch};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(crate) struct Table {
    /// For each token the logits of the next.
    pub(crate) next: Vec<Vec<f32>>,
    pub(crate) context: usize,
    /// Rows and tokens of each forward pass.
    pub(crate) calls: Mutex<Vec<(usize, usize)>>,
    /// Takes this long for each.
    pub(crate) delay: Duration,
    pub(crate) fails_at: Option<usize>,
}

impl TextModel for Table {
    fn limits(&self) -> ModelLimits {
        ModelLimits::new(self.next.len(), self.context)
    }
}

impl Model for Table {
    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn inventory(&self) -> &Inventory {
        unreachable!("nobody asks a table what it is made of")
    }
}

impl CausalLm for Table {
    fn new_cache(&self) -> KvCache {
        KvCache::new([], DType::F32)
    }
}

impl Autoregressive for Table {
    fn rounding_border(&self) -> Option<usize> {
        None
    }

    fn forward(&self, batch: &TokenBatch, cache: &mut KvCache, at: LogitsAt) -> Result<Tensor> {
        assert!(cache.rows() == 0 || cache.rows() == batch.rows());
        let mut calls = self.calls.lock().unwrap();
        if self.fails_at == Some(calls.len()) {
            return Err(Error::from(candle_core::Error::Msg("the model fails".to_owned())));
        }
        calls.push((batch.rows(), batch.tokens()));
        thread::sleep(self.delay);
        cache.extend(batch)?;
        assert!(cache.row_lengths().into_iter().all(|length| length <= self.context));
        let (rows, tokens, vocab) = (batch.rows(), batch.tokens(), self.next.len());
        let logits = |ids: &[u32]| -> Vec<f32> {
            ids.iter().flat_map(|&id| self.next[id as usize].clone()).collect()
        };
        let last = batch.ids().chunks(tokens).map(|row| row[tokens - 1]);
        Ok(match at {
            LogitsAt::LastToken => {
                Tensor::from_vec(logits(&last.collect::<Vec<_>>()), (rows, vocab), &Device::Cpu)?
            }
            LogitsAt::EveryToken => {
                Tensor::from_vec(logits(batch.ids()), (rows, tokens, vocab), &Device::Cpu)?
            }
        })
    }
}

impl Table {
    /// A model that says `tokens` one after the other, whatever the seed, and then starts again.
    pub(crate) fn saying(tokens: &[u32], vocab: usize) -> Self {
        let mut next = vec![vec![0.0; vocab]; vocab];
        for (from, to) in tokens.iter().zip(tokens[1..].iter().chain(&tokens[..1])) {
            next[*from as usize][*to as usize] = 50.0;
        }
        Self { next, context: 1000, ..Self::default() }
    }

    pub(crate) fn shared(self) -> Arc<dyn CausalLm> {
        Arc::new(self)
    }
}

#[derive(Deserialize)]
pub(crate) struct Goldens {
    pub(crate) table: Vec<Vec<f32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    options: Value,
    prompt: Vec<u32>,
    answer: Vec<u32>,
    text: String,
}

#[test]
fn answers_as_transformers() {
    let goldens = goldens();
    let model = Table { next: goldens.table, context: 1000, ..Table::default() }.shared();
    let tokenizer = tokenizer();
    assert!(goldens.cases.len() > 60);
    let mut reasons = BTreeSet::new();
    for case in &goldens.cases {
        let config = GenerationConfig::from_json(&case.options).unwrap();
        let mut stream = generate_text(&model, &tokenizer, &case.prompt, &config).unwrap();
        let text: String = stream.by_ref().map(Result::unwrap).collect();
        assert_eq!(stream.token_stream().unwrap().generated(), case.answer, "{}", case.options);
        assert_eq!(text, case.text, "{}", case.options);
        let reason = stream.finish_reason().unwrap();
        reasons.insert(format!("{reason:?}"));

        let prompts = [vec![7, 7, 7, 7], case.prompt.clone(), vec![9]];
        if prompts.iter().all(|prompt| prompt.len() < config.max_length.unwrap_or(1000)) {
            let batch = generate_batch(&model, Some(&tokenizer), &prompts, &config).unwrap();
            assert_eq!((batch[1].ids(), batch[1].finish_reason), (case.answer.clone(), reason));
        }
    }
    assert_eq!(Vec::from_iter(reasons), ["EndOfSequence", "Length", "StopString"]);
}

#[test]
fn a_batch_drops_the_rows_that_are_over() {
    let goldens = goldens();
    let table = Arc::new(Table { next: goldens.table, context: 1000, ..Table::default() });
    let model: Arc<dyn CausalLm> = table.clone();
    let prompts = [vec![3, 4, 5], vec![11], vec![3, 4], vec![20, 9, 8, 7]];
    for options in [
        json!({"max_length": 6}),
        json!({"max_new_tokens": 9, "eos_token_id": [10, 16, 22]}),
        json!({"max_new_tokens": 9, "do_sample": true, "seed": 5, "eos_token_id": [10, 16, 22]}),
        json!({"max_new_tokens": 9, "do_sample": true, "seed": 5, "num_return_sequences": 3,
               "eos_token_id": [10, 16, 22, 1, 9]}),
    ] {
        let config = GenerationConfig::from_json(&options).unwrap();
        table.calls.lock().unwrap().clear();
        let batch = generate_batch(&model, None, &prompts, &config).unwrap();
        let calls = table.calls.lock().unwrap().clone();
        let several = config.num_return_sequences.unwrap_or(1);
        assert_eq!(batch.len(), 4 * several);
        assert_eq!(calls[0], (4, 4));
        assert_eq!(calls.len(), batch.iter().map(|answer| answer.tokens.len()).max().unwrap());
        for (step, call) in calls.iter().enumerate().skip(1) {
            let running = batch.iter().filter(|answer| answer.tokens.len() > step).count();
            assert_eq!(*call, (running, 1));
        }
        for (row, answer) in batch.iter().enumerate() {
            let alone = config.clone().num_return_sequences(1).seed(5 + row as u64);
            let mut stream = generate(&model, &prompts[row / several], &alone).unwrap();
            let tokens: Vec<_> = stream.by_ref().map(Result::unwrap).collect();
            assert_eq!(tokens, answer.tokens, "{options}, row {row}");
            assert_eq!(stream.finish_reason(), Some(answer.finish_reason));
        }
    }
    assert_eq!(generate_batch(&model, None, &[], &GenerationConfig::default()).unwrap(), []);
    assert!(
        generate_batch(&model, None, &[vec![1], vec![]], &GenerationConfig::default()).is_err()
    );
}

#[test]
fn a_seed_decides_the_answer() {
    let model = Table { next: goldens().table, context: 1000, ..Table::default() }.shared();
    let config = GenerationConfig::default().do_sample(true).temperature(3.0).max_new_tokens(30);
    let answer = |seed| ids(generate(&model, &[3], &config.clone().seed(seed)).unwrap());
    assert_eq!(answer(1), answer(1));
    assert_ne!(answer(1), answer(2));
    let without = || ids(generate(&model, &[3], &config).unwrap());
    assert_ne!(without(), without());
}

#[test]
fn the_context_ends_an_answer() {
    let model = Table { context: 7, ..Table::saying(&[1, 2, 3], 5) }.shared();
    let config = GenerationConfig::default().max_new_tokens(100);
    for (prompt, new) in [(1, 6), (6, 1), (7, 1)] {
        let mut stream = generate(&model, &vec![1; prompt], &config).unwrap();
        assert_eq!(stream.by_ref().map(Result::unwrap).count(), new);
        assert_eq!(stream.finish_reason(), Some(FinishReason::Length));
    }
    let error = generate(&model, &[1; 8], &config).unwrap_err();
    assert!(matches!(error, Error::ContextOverflow { tokens: 8, limit: 7 }));
}

#[test]
fn a_conversation_goes_on_from_its_cache() {
    let table = Arc::new(Table::saying(&[1, 2, 3, 4], 6));
    let model: Arc<dyn CausalLm> = table.clone();
    let config = GenerationConfig::default().max_new_tokens(3);
    let mut stream = generate(&model, &[4, 4, 1], &config).unwrap();
    assert_eq!(stream.by_ref().map(Result::unwrap).count(), 3);
    let (cache, tokens) = stream.into_parts();
    assert_eq!(tokens, [4, 4, 1, 2, 3, 4]);
    assert_eq!(cache.tokens(), 5);

    for (prompt, cached) in [
        (vec![4, 4, 1, 2, 3, 4, 2], 5),
        (vec![4, 4, 1, 2, 5, 1], 4),
        (vec![4, 4], 1),
        (vec![4, 4, 1, 2, 3], 4),
        (vec![1, 2], 0),
    ] {
        table.calls.lock().unwrap().clear();
        let stream = generate_from(&model, cache.fork().unwrap(), &tokens, &prompt, &config);
        let mut stream = stream.unwrap();
        assert_eq!(
            (stream.timings().cached_tokens, stream.timings().prompt_tokens),
            (cached, prompt.len() - cached)
        );
        assert_eq!(stream.by_ref().count(), 3);
        assert_eq!(table.calls.lock().unwrap()[0], (1, prompt.len() - cached));
        assert_eq!(stream.into_parts().0.tokens(), prompt.len() + 2);
    }
    let short = generate_from(&model, cache, &tokens[..4], &[4, 4], &config);
    assert!(short.unwrap_err().to_string().contains("only 4"));
}

#[test]
fn a_plan_belongs_to_its_prompt() {
    let model = Table::saying(&[1, 2], 3).shared();
    let plan = GenerationConfig::default().plan(&[1, 2], model.limits(), None).unwrap();
    assert!(Sequence::new(&[1], plan).is_err());
}

#[test]
fn cancelled_from_another_thread() {
    let delay = Duration::from_millis(1);
    let model = Table { delay, context: 1_000_000, ..Table::saying(&[1, 2], 4) }.shared();
    let config = GenerationConfig::default().max_new_tokens(100_000);
    let mut stream = generate(&model, &[1], &config).unwrap();
    let handle = stream.cancel_handle();
    assert!(stream.next().is_some());
    thread::spawn(move || handle.cancel()).join().unwrap();
    assert!(stream.next().is_none());
    assert_eq!(stream.finish_reason(), Some(FinishReason::Cancelled));
    assert_eq!(stream.generated(), [2]);

    // A stream can be consumed elsewhere, and ended from here.
    let stream = generate(&model, &[1], &config).unwrap();
    let handle = stream.cancel_handle();
    let consumer = thread::spawn(move || stream.map(Result::unwrap).count());
    handle.cancel();
    assert!(consumer.join().unwrap() < 100_000);
}

#[test]
fn an_error_ends_the_stream() {
    let tokenizer = tokenizer();
    let model = Table { fails_at: Some(2), ..Table::saying(&[3, 4, 5], 42) }.shared();
    let mut stream = generate(&model, &[3], &GenerationConfig::default()).unwrap();
    assert_eq!(stream.by_ref().map(|token| token.is_ok()).collect::<Vec<_>>(), [true, true, false]);
    assert!(stream.next().is_none());
    assert_eq!(stream.finish_reason(), None);

    let model = Table { fails_at: Some(2), ..Table::saying(&[3, 4, 5], 42) }.shared();
    let config = GenerationConfig::default();
    let mut stream = generate_text(&model, &tokenizer, &[3], &config).unwrap();
    assert_eq!(
        stream.by_ref().map(Result::ok).collect::<Vec<_>>(),
        [Some("b".into()), Some("c".into()), None]
    );
    assert!(stream.next().is_none());

    let mut next = vec![vec![0.0; 42]; 42];
    next[3][5] = f32::NAN;
    let model = Table { next, context: 10, ..Table::default() }.shared();
    let mut stream = generate(&model, &[3], &GenerationConfig::default()).unwrap();
    assert!(stream.next().unwrap().unwrap_err().to_string().contains("NaN"));
    assert!(stream.next().is_none());
    let config = GenerationConfig::default().remove_invalid_values(true);
    assert_eq!(generate(&model, &[3], &config).unwrap().count(), 9);
}

#[test]
fn time_is_up() {
    let model = Table { delay: Duration::from_millis(20), ..Table::saying(&[1, 2], 4) }.shared();
    let config = GenerationConfig::default().max_new_tokens(500).max_time(0.05);
    let mut stream = generate(&model, &[1], &config).unwrap();
    let count = stream.by_ref().map(Result::unwrap).count();
    assert!((1..=3).contains(&count), "{count}");
    assert_eq!(stream.finish_reason(), Some(FinishReason::Time));
    let timings = stream.timings();
    assert_eq!((timings.prompt_tokens, timings.generated_tokens), (1, count));
    assert!(timings.time_to_first_token >= Duration::from_millis(20));
    assert!(timings.total >= timings.time_to_first_token);
}

/// The stop string "stop" in every division into the tokens there are, with text on both sides.
#[test]
fn stop_strings_at_every_split() {
    let tokenizer = tokenizer();
    let pieces: Vec<(u32, String)> =
        (3..36).map(|id| (id, tokenizer.decode(&[id], false).unwrap())).collect();
    let mut splits = Vec::new();
    for before in ["", "a", "s", "st", "\n\né"] {
        for after in ["", "a", "per", "era", "ped"] {
            divide(&format!("{before}stop{after}"), &pieces, &mut Vec::new(), &mut splits);
        }
    }
    splits.retain(|split| BTreeSet::from_iter(split).len() == split.len() && !split.contains(&6));
    assert!(splits.len() > 40, "{}", splits.len());
    for split in splits {
        let said: Vec<u32> = [6].into_iter().chain(split.iter().copied()).collect();
        let model = Table::saying(&said, 42).shared();
        let config = GenerationConfig::default()
            .max_new_tokens(split.len())
            .stop_strings(vec!["stop".into(), "nowhere".into()]);
        let stream = || generate_text(&model, &tokenizer, &[6], &config).unwrap();
        let ended = split.iter().scan(String::new(), |text, id| {
            text.push_str(&tokenizer.decode(&[*id], false).unwrap());
            Some(text.clone())
        });
        let kept = ended.into_iter().find(|text| text.contains("stop")).unwrap();
        let cut = &kept[..kept.find("stop").unwrap()];

        let mut whole = stream();
        assert_eq!(whole.by_ref().map(Result::unwrap).collect::<String>(), kept);
        assert_eq!(whole.finish_reason(), Some(FinishReason::StopString));
        let mut trimmed = stream().trim_stop_strings();
        let mut text = String::new();
        for piece in trimmed.by_ref() {
            text += &piece.unwrap();
            assert!(cut.starts_with(&text), "{text:?} was given out of {cut:?}");
        }
        assert_eq!(text, cut);
        assert_eq!(
            trimmed.token_stream().unwrap().generated(),
            whole.token_stream().unwrap().generated()
        );
    }
}

#[test]
fn what_only_begins_like_a_stop_string_is_given_out() {
    let tokenizer = tokenizer();
    let model = Table::saying(&[6, 14, 15, 4, 9], 42).shared(); // d | s to b st
    let config = GenerationConfig::default().max_new_tokens(4).stop_strings(vec!["stop".into()]);
    let stream = generate_text(&model, &tokenizer, &[6], &config).unwrap().trim_stop_strings();
    let pieces: Vec<_> = stream.map(Result::unwrap).collect();
    assert_eq!(pieces, ["stob", "st"]);
}

#[test]
fn characters_come_whole() {
    let tokenizer = tokenizer();
    // An emoji in three tokens, an é in two, and half of one at the end.
    let model = Table::saying(&[3, 37, 38, 39, 40, 41, 5], 42).shared();
    let text = |new: usize| {
        let config = GenerationConfig::default().max_new_tokens(new);
        let stream = generate_text(&model, &tokenizer, &[3], &config).unwrap();
        stream.map(Result::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(text(6), ["😀", "é", "c"]);
    assert_eq!(text(4), ["😀", "\u{fffd}"]);
    let config = GenerationConfig::default().max_new_tokens(6);
    let tokens = generate(&model, &[3], &config).unwrap();
    let stream = TextStream::new(tokens, tokenizer.decode_stream(false)).unwrap();
    assert_eq!(stream.into_text().unwrap(), "😀éc");
}

#[test]
fn one_stream_is_one_answer() {
    let model = Table::saying(&[1, 2], 3).shared();
    let config = GenerationConfig::default().do_sample(true).num_return_sequences(2);
    assert!(generate(&model, &[1], &config).unwrap_err().to_string().contains("generate_batch"));
    let config = GenerationConfig::default().stop_strings(vec!["x".into()]);
    assert!(generate(&model, &[1], &config).unwrap_err().to_string().contains("tokenizer"));
}

#[test]
fn streams_are_sent_and_kept() {
    fn can<T: Send + 'static>() {}
    can::<TokenStream>();
    can::<TextStream>();
}

fn divide(text: &str, pieces: &[(u32, String)], so_far: &mut Vec<u32>, found: &mut Vec<Vec<u32>>) {
    if text.is_empty() {
        found.push(so_far.clone());
    }
    for (id, piece) in pieces {
        if let Some(rest) = text.strip_prefix(piece.as_str()) {
            so_far.push(*id);
            divide(rest, pieces, so_far, found);
            so_far.pop();
        }
    }
}

pub(crate) fn ids(stream: TokenStream) -> Vec<u32> {
    stream.map(|token| token.unwrap().id).collect()
}

pub(crate) fn goldens() -> Goldens {
    serde_json::from_slice(&std::fs::read(golden("generate.json")).unwrap()).unwrap()
}

fn tokenizer() -> Tokenizer {
    Tokenizer::open(ModelSource::directory(golden(""))).unwrap()
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/logits").join(name)
}
