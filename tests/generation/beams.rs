//! Beam search against transformers, against tables that can be searched whole, and against itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sconce::generation::{
    Advance, CancelHandle, Constraint, DisjunctiveConstraint, FinishReason, ForcedWords, Generated,
    GenerationConfig, GenerationMode, LogitsProcessor, PhrasalConstraint, Sequence, Stepper,
    complete, generate, generate_batch, generate_batch_until,
};
use sconce::models::{AutoModel, Autoregressive, CausalLm};
use sconce::tokenizer::Tokenizer;
use sconce::{Error, LoadOptions, ModelSource, Precision};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::table::Table;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    model: String,
    prompts: Vec<Vec<u32>>,
    options: Value,
    /// Of each prompt, the best first.
    answers: Vec<Vec<Answer>>,
}

#[derive(Deserialize)]
struct Answer {
    score: f32,
    ids: Vec<u32>,
    #[serde(default)]
    logprobs: Vec<f32>,
    #[serde(default)]
    beams: Vec<usize>,
}

#[test]
fn search_as_transformers() {
    check("search.json", 72);
}

#[test]
fn groups_as_transformers() {
    check("groups.json", 42);
}

#[test]
fn constraints_as_transformers() {
    check("constrained.json", 42);
}

/// Together and each prompt alone.
fn check(file: &str, count: usize) {
    let cases: File =
        serde_json::from_slice(&fs::read(golden("beams").join(file)).unwrap()).unwrap();
    assert_eq!(cases.cases.len(), count);
    let mut models = BTreeMap::new();
    for case in &cases.cases {
        let (model, tokenizer) = models.entry(&case.model).or_insert_with(|| {
            let options = LoadOptions::default().dtype(Precision::F32);
            let source = ModelSource::directory(golden(&case.model));
            let model = AutoModel::open::<dyn CausalLm>(&source, &options).unwrap();
            (model, Tokenizer::open(&source).unwrap())
        });
        let config = GenerationConfig::from_json(&case.options).unwrap();
        let together = generate_batch(model, Some(tokenizer), &case.prompts, &config).unwrap();
        let expected: Vec<_> = case.answers.iter().flatten().collect();
        compare(&case.options, &together, &expected);
        for (prompt, expected) in case.prompts.iter().zip(&case.answers) {
            let prompt = std::slice::from_ref(prompt);
            let alone = generate_batch(model, Some(tokenizer), prompt, &config).unwrap();
            compare(&case.options, &alone, &expected.iter().collect::<Vec<_>>());
        }
    }
}

fn compare(options: &Value, found: &[Generated], expected: &[&Answer]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.ids(), expected.ids, "{options}");
        let near =
            |found: f32, expected: f32| (found - expected).abs() < 1e-4 * expected.abs().max(1.0);
        let score = found.score.unwrap();
        assert!(near(score, expected.score), "{options}: {score}, not {}", expected.score);
        if !expected.beams.is_empty() {
            assert_eq!(found.beam_indices, expected.beams, "{options}");
        }
        assert_eq!(found.beam_indices.len(), found.tokens.len());
        for (token, &expected) in found.tokens.iter().zip(&expected.logprobs) {
            assert!(near(token.logprob, expected), "{options}: {token:?}, not {expected}");
        }
    }
}

/// A transition table: `rows[last]` are the probabilities of the next token.
fn table(rows: &[Vec<f32>]) -> Arc<Table> {
    let next = rows.iter().map(|row| row.iter().map(|it| it.ln()).collect()).collect();
    Arc::new(Table { next, context: 100, ..Table::default() })
}

fn search(
    table: &Arc<Table>,
    prompts: &[Vec<u32>],
    options: &Value,
) -> sconce::Result<Vec<Generated>> {
    let model: Arc<dyn CausalLm> = table.clone();
    generate_batch(&model, None, prompts, &GenerationConfig::from_json(options)?)
}

fn found(answers: &[Generated]) -> Vec<(Vec<u32>, f32)> {
    answers.iter().map(|answer| (answer.ids(), answer.score.unwrap())).collect()
}

/// Computed by transformers 4.57.6 and by an independent program of 20 lines: when searches end.
#[test]
fn early_stopping_and_length_penalty() {
    let common = vec![0.11, 0.12, 0.19, 0.21, 0.18, 0.19];
    let table = table(&[
        common.clone(),
        common,
        vec![0.02, 0.30, 0.03, 0.29, 0.21, 0.15],
        vec![0.02, 0.37, 0.03, 0.15, 0.19, 0.24],
        vec![0.02, 0.41, 0.03, 0.17, 0.14, 0.23],
        vec![0.02, 0.08, 0.03, 0.33, 0.23, 0.31],
    ]);
    let short = json!([[3, 1], [1], [3, 1], [5, 3, 1]]);
    let scores = json!([-1.116063, -1.203973, -1.051457, -1.091366]);
    let sums = (
        json!([[1], [3, 1], [3, 1], [5, 3, 1]]),
        json!([-1.203973, -2.232127, -2.102915, -3.274098]),
    );
    let worse = (sums.0.clone(), json!([-1.203973, -4.464253, -4.20583, -9.822293]));
    let cases = json!([
        [true, 1.0, 3, short, scores],
        [false, 1.0, 3, short, scores],
        [
            "never",
            1.0,
            5,
            [[3, 1], [3, 5, 5, 3, 1], [3, 1], [5, 3, 1]],
            [-1.116063, -1.187818, -1.051457, -1.091366]
        ],
        [true, 0.0, 3, sums.0, sums.1],
        [false, 0.0, 3, sums.0, sums.1],
        ["never", 0.0, 3, sums.0, sums.1],
        [
            true,
            2.0,
            3,
            [[3, 1], [4, 1], [5, 3, 1], [3, 1]],
            [-0.558032, -0.613061, -0.363789, -0.525729]
        ],
        [
            false,
            2.0,
            5,
            [[3, 1], [4, 1], [5, 5, 5, 3, 1], [5, 5, 5, 5, 3]],
            [-0.558032, -0.613061, -0.224659, -0.231736]
        ],
        [
            "never",
            2.0,
            5,
            [[3, 5, 5, 3, 1], [3, 5, 5, 5, 3], [5, 5, 5, 3, 1], [5, 5, 5, 5, 3]],
            [-0.237564, -0.244641, -0.224659, -0.231736]
        ],
        [true, -1.0, 3, worse.0, worse.1],
        [false, -1.0, 3, worse.0, worse.1],
        ["never", -1.0, 3, worse.0, worse.1],
    ]);
    type Case = (Value, f64, usize, Vec<Vec<u32>>, Vec<f32>);
    let cases: Vec<Case> = serde_json::from_value(cases).unwrap();
    for (early_stopping, length_penalty, steps, ids, scores) in cases {
        let options = json!({
            "num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 5, "eos_token_id": 1,
            "early_stopping": early_stopping, "length_penalty": length_penalty,
        });
        table.calls.lock().unwrap().clear();
        let answers = found(&search(&table, &[vec![2], vec![5]], &options).unwrap());
        for ((answer, ids), score) in answers.iter().zip(ids).zip(scores) {
            assert_eq!(answer.0, ids, "{options}");
            assert!((answer.1 - score).abs() < 1e-5, "{options}: {}", answer.1);
        }
        let calls = table.calls.lock().unwrap().clone();
        assert_eq!(calls.len(), steps, "{options}");
        // Prompts are computed once, and searches that are over leave the batch.
        assert_eq!(calls[0], (2, 1));
        assert!(calls[1..].iter().all(|&(rows, tokens)| rows <= 4 && tokens == 1));
    }
}

/// An end that is not among the best `num_beams` candidates makes no answer.
#[test]
fn only_likely_ends_count() {
    let common = vec![0.01, 0.2, 0.02, 0.39, 0.3, 0.08];
    let table = table(&[
        common.clone(),
        common.clone(),
        common.clone(),
        vec![0.01, 0.2, 0.02, 0.41, 0.27, 0.09],
        vec![0.01, 0.2, 0.02, 0.31, 0.37, 0.09],
        common,
    ]);
    let base = json!({"num_beams": 2, "num_return_sequences": 2, "eos_token_id": 1});
    let cases = json!([
        [{"max_new_tokens": 3}, [2], [[3, 3, 3], [3, 3, 4]], [-0.908268, -1.047513]],
        [{"max_new_tokens": 2}, [2, 3, 4], [[4, 4], [3, 3]], [-0.994252, -1.03139]],
        [
            {"max_new_tokens": 2, "forced_eos_token_id": 1},
            [2, 3, 4], [[4, 1], [3, 1]], [-0.497126, -0.585591],
        ],
    ]);
    type Case = (Value, Vec<u32>, Vec<Vec<u32>>, Vec<f32>);
    let cases: Vec<Case> = serde_json::from_value(cases).unwrap();
    for (options, prompt, ids, scores) in cases {
        let mut all = base.clone();
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let answers = search(&table, &[prompt], &all).unwrap();
        for ((answer, ids), score) in answers.iter().zip(ids).zip(scores) {
            assert_eq!(answer.ids(), ids, "{options}");
            assert!((answer.score.unwrap() - score).abs() < 1e-5, "{options}: {answer:?}");
        }
    }
}

#[derive(Deserialize)]
struct Sampled {
    rows: Vec<Vec<f32>>,
    cases: Vec<SampledCase>,
}

#[derive(Deserialize)]
struct SampledCase {
    prompt: Vec<u32>,
    options: Value,
    /// Best answers, and how probable each is.
    probabilities: Vec<(Vec<u32>, f64)>,
    /// What chi-square exceeds once in a million times.
    limit: f64,
}

#[test]
fn sampling_follows_the_distribution() {
    let path = golden("beams").join("sampled.json");
    let sampled: Sampled = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let table = table(&sampled.rows);
    for case in sampled.cases {
        let draws = 20_000;
        let prompts = vec![case.prompt; draws];
        let mut options = case.options;
        options["seed"] = json!(11);
        let mut counts: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
        for answer in search(&table, &prompts, &options).unwrap() {
            *counts.entry(answer.ids()).or_default() += 1.0;
        }
        let mut chi_square = 0.0;
        let (mut rare, mut rare_expected) = (0.0, 0.0);
        for (ids, probability) in case.probabilities {
            let (count, expected) =
                (counts.remove(&ids).unwrap_or(0.0), probability * draws as f64);
            if expected < 5.0 {
                rare += count;
                rare_expected += expected;
            } else {
                chi_square += (count - expected).powi(2) / expected;
            }
        }
        if rare_expected > 0.0 {
            chi_square += (rare - rare_expected).powi(2) / rare_expected;
        }
        assert!(counts.is_empty(), "{options}: {counts:?} cannot be");
        assert!(chi_square < case.limit, "{options}: {chi_square}, not below {}", case.limit);
    }
}

#[test]
fn a_seed_decides_what_is_drawn() {
    let table = table(&vec![vec![0.2, 0.1, 0.25, 0.15, 0.3]; 5]);
    let options = |seed: u64| json!({"num_beams": 3, "do_sample": true, "max_new_tokens": 8, "seed": seed, "num_return_sequences": 2});
    let prompts = [vec![1, 2], vec![4]];
    let draw = |seed| found(&search(&table, &prompts, &options(seed)).unwrap());
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    // The second prompt alone has the seed of its first answer.
    assert_eq!(found(&search(&table, &prompts[1..], &options(3)).unwrap()), draw(1)[2..]);
}

fn rows(vocab: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
    let row = proptest::collection::vec(0.01f32..1.0, vocab);
    proptest::collection::vec(row, vocab).prop_map(|rows| {
        let normal = |row: Vec<f32>| {
            let total: f32 = row.iter().sum();
            row.into_iter().map(|it| it / total).collect()
        };
        rows.into_iter().map(normal).collect()
    })
}

/// Every answer there can be, with its score.
fn enumerated(rows: &[Vec<f32>], last: u32, longest: usize, penalty: f64) -> Vec<(Vec<u32>, f64)> {
    let mut open = vec![(Vec::new(), 0.0, last)];
    let mut answers = Vec::new();
    while let Some((ids, sum, last)) = open.pop() {
        for (id, &probability) in rows[last as usize].iter().enumerate() {
            let sum = sum + f64::from(probability).ln();
            let ids = [ids.as_slice(), &[id as u32]].concat();
            match id == 1 || ids.len() == longest {
                true => answers.push((ids.clone(), sum / (ids.len() as f64).powf(penalty))),
                false => open.push((ids, sum, id as u32)),
            }
        }
    }
    answers.sort_by(|a, b| b.1.total_cmp(&a.1));
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// So many beams that nothing is dropped.
    #[test]
    fn wide_beams_find_the_best_answers_there_are(
        rows in rows(4), last in 2u32..4, longest in 1usize..4, penalty in -1f64..2.0,
    ) {
        let best = enumerated(&rows, last, longest, penalty);
        let options = json!({
            "num_beams": 64, "num_return_sequences": 3, "max_new_tokens": longest,
            "eos_token_id": 1, "early_stopping": "never", "length_penalty": penalty,
        });
        let answers = search(&table(&rows), &[vec![last]], &options).unwrap();
        for (answer, (_, score)) in answers.iter().zip(best) {
            prop_assert!((f64::from(answer.score.unwrap()) - score).abs() < 1e-4);
        }
    }

    /// The first of groups of one beam each takes no heed of the others.
    #[test]
    fn a_beam_of_one_is_greedy(
        rows in rows(6), prompt in proptest::collection::vec(0u32..6, 1..4), longest in 1usize..12,
        groups in 2usize..4,
    ) {
        let table = table(&rows);
        let model: Arc<dyn CausalLm> = table.clone();
        let config = GenerationConfig::default().max_new_tokens(longest).eos_token_id(vec![1]);
        let greedy = generate_batch(&model, None, std::slice::from_ref(&prompt), &config).unwrap();
        let options = json!({
            "num_beams": groups, "num_beam_groups": groups, "num_return_sequences": groups,
            "diversity_penalty": 0.7, "max_new_tokens": longest, "eos_token_id": 1,
        });
        let answers = search(&table, &[prompt], &options).unwrap();
        let same = answers.iter().find(|answer| answer.ids() == greedy[0].ids());
        let same = same.ok_or_else(|| TestCaseError::fail("no group is greedy"))?;
        prop_assert_eq!(same.finish_reason, greedy[0].finish_reason);
        let sum: f32 = greedy[0].tokens.iter().map(|token| token.logprob).sum();
        prop_assert!((same.score.unwrap() - sum / same.tokens.len() as f32).abs() < 1e-4);
    }

    /// Whatever the options, an answer is what it is alone, and its score is the sum of its tokens'.
    #[test]
    fn a_batch_is_each_alone(
        rows in rows(7),
        prompts in proptest::collection::vec(proptest::collection::vec(0u32..7, 1..5), 1..5),
        beams in 2usize..6, longest in 1usize..9, ends in proptest::collection::vec(0u32..7, 0..3),
        early_stopping in prop_oneof![Just(json!(true)), Just(json!(false)), Just(json!("never"))],
        penalty in -1f64..2.0, kind in 0..4,
    ) {
        let table = table(&rows);
        let mut options = json!({
            "num_beams": beams, "num_return_sequences": beams, "max_new_tokens": longest,
            "eos_token_id": ends, "early_stopping": early_stopping, "length_penalty": penalty,
            "repetition_penalty": 1.2,
        });
        match kind {
            0 => options["no_repeat_ngram_size"] = json!(2),
            1 => {
                options["num_beam_groups"] = json!(beams);
                options["diversity_penalty"] = json!(0.5);
            }
            2 => options["force_words_ids"] = json!([[3, 4], [[5], [6, 2]]]),
            _ => {}
        }
        // Where few answers are possible, all there are.
        let list = |prompts: &[Vec<u32>]| {
            let model: Arc<dyn Autoregressive> = table.clone();
            let config = GenerationConfig::from_json(&options).unwrap();
            let sequences = prompts.iter().map(|prompt| {
                Sequence::new(prompt, config.plan(prompt, model.limits(), None)?)
            });
            complete(&model, &table.new_cache(), sequences.collect::<Vec<_>>()).unwrap()
        };
        let together = list(&prompts);
        for (prompt, together) in prompts.iter().zip(&together) {
            let alone = list(std::slice::from_ref(prompt)).remove(0);
            let (Ok(together), Ok(alone)) = (together, alone) else {
                return Err(TestCaseError::fail("no answers"));
            };
            prop_assert_eq!(found(together), found(&alone));
            for answer in together {
                let sum: f32 = answer.tokens.iter().map(|token| token.logprob).sum();
                let expected = f64::from(sum) / (answer.tokens.len() as f64).powf(penalty);
                let error = (f64::from(answer.score.unwrap()) - expected).abs();
                prop_assert!(error < 1e-3 * expected.abs().max(1.0), "{:?}", answer);
                prop_assert!(answer.tokens.len() <= longest);
                let ends_well = answer.ids().last().is_some_and(|id| ends.contains(id));
                prop_assert_eq!(ends_well, answer.finish_reason == FinishReason::EndOfSequence);
            }
        }
    }

    /// The best answer holds the words if there is just the room: those that have come furthest go on.
    #[test]
    fn constraints_are_met(
        rows in rows(8), phrase in proptest::collection::vec(2u32..5, 1..4),
        other in proptest::collection::vec(5u32..8, 1..3), beams in 2usize..5,
    ) {
        let options = json!({
            "num_beams": beams, "max_new_tokens": phrase.len() + other.len(), "eos_token_id": 1,
            "force_words_ids": [phrase, [other]],
        });
        let answers = search(&table(&rows), &[vec![0]], &options).unwrap();
        let ids = answers[0].ids();
        for words in [&phrase, &other] {
            prop_assert!(ids.windows(words.len()).any(|window| window == words), "{:?} in {:?}", words, ids);
        }
    }
}

/// An id of a parity that comes again after the other.
#[derive(Debug, Clone)]
struct Alternating {
    wanted: usize,
    come: usize,
}

impl Constraint for Alternating {
    fn advance(&self) -> Vec<u32> {
        let parity = (self.come % 2) as u32;
        if self.come < self.wanted { vec![2 + parity, 4 + parity] } else { Vec::new() }
    }

    fn update(&mut self, id: u32) -> Advance {
        if !self.advance().contains(&id) {
            self.come = 0;
            return Advance::Lost;
        }
        self.come += 1;
        if self.come == self.wanted { Advance::Met } else { Advance::Step }
    }

    fn length(&self) -> usize {
        self.wanted
    }

    fn remaining(&self) -> usize {
        self.wanted - self.come
    }
}

#[test]
fn a_constraint_of_ones_own() {
    let table = table(&vec![vec![0.3, 0.3, 0.1, 0.1, 0.1, 0.1]; 6]);
    let model: Arc<dyn Autoregressive> = table.clone();
    let config = GenerationConfig::default().num_beams(3).max_new_tokens(4);
    let plan = config.plan(&[0], model.limits(), None).unwrap();
    assert_eq!(plan.mode(), GenerationMode::BeamSearch);
    let plan = plan.with_constraint(Box::new(Alternating { wanted: 4, come: 0 })).unwrap();
    assert_eq!((plan.mode(), plan.answers()), (GenerationMode::ConstrainedBeamSearch, 1));
    let sequence = Sequence::new(&[0], plan);
    let answers = complete(&model, &table.new_cache(), [sequence]).unwrap().remove(0).unwrap();
    let ids = answers[0].ids();
    assert!(ids.iter().all(|&id| id >= 2), "{ids:?}");
    assert_eq!(ids.iter().map(|id| id % 2).collect::<Vec<_>>(), [0, 1, 0, 1]);

    let outside = config.plan(&[0], model.limits(), None).unwrap();
    let outside = outside.with_constraint(Box::new(PhrasalConstraint::new(&[9]).unwrap())).unwrap();
    let sequences = [
        Sequence::new(&[0], outside),
        Sequence::new(&[0], config.plan(&[0], model.limits(), None).unwrap()),
    ];
    let answers = complete(&model, &table.new_cache(), sequences).unwrap();
    assert!(answers[0].as_ref().unwrap_err().to_string().contains("id 9"));
    assert_eq!(answers[1].as_ref().unwrap().len(), 1);
}

#[test]
fn constraints_are_checked() {
    assert!(PhrasalConstraint::new(&[]).is_err());
    for bad in [
        vec![],
        vec![vec![]],
        vec![vec![1], vec![]],
        vec![vec![1, 2], vec![3], vec![1]],
        vec![vec![1], vec![1]],
    ] {
        assert!(DisjunctiveConstraint::new(&bad).is_err(), "{bad:?}");
    }
    let words = [ForcedWords::Phrase(vec![1]), ForcedWords::AnyOf(vec![vec![1], vec![2, 3]])];
    assert!(words.iter().all(|words| words.constraint().is_ok()));
    let limits = Table::saying(&[1, 2], 3);
    let limits = sconce::models::TextModel::limits(&limits);
    let constraint = || Box::new(PhrasalConstraint::new(&[1]).unwrap());
    for (options, name) in [
        (json!({}), "num_beams"),
        (json!({"num_beams": 2, "do_sample": true}), "do_sample"),
        (
            json!({"num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 1.0}),
            "num_beam_groups",
        ),
    ] {
        let plan = GenerationConfig::from_json(&options).unwrap().plan(&[1], limits, None).unwrap();
        let error = plan.with_constraint(constraint()).unwrap_err();
        assert!(matches!(&error, Error::InvalidOption { option, .. } if option == name), "{error}");
    }
}

#[test]
fn beams_are_not_streamed() {
    let model = Table::saying(&[1, 2], 3).shared();
    let config = GenerationConfig::default().num_beams(2);
    assert!(generate(&model, &[1], &config).unwrap_err().to_string().contains("`num_beams`"));
    let mut plan = config.plan(&[1], model.limits(), None).unwrap();
    assert!(plan.next(&[1], &mut [0.0; 3]).unwrap_err().to_string().contains("`num_beams`"));
    let sequence = Sequence::new(&[1], plan).unwrap();
    let stepper = Stepper::new(model.clone(), model.new_cache(), vec![sequence]);
    assert!(stepper.unwrap_err().to_string().contains("`num_beams`"));
}

#[test]
fn cancelled_and_late_searches_give_what_they_have() {
    let rows = vec![vec![0.2, 0.1, 0.3, 0.4]; 4];
    let next = rows.iter().map(|row| row.iter().map(|it: &f32| it.ln()).collect()).collect();
    let delay = Duration::from_millis(20);
    let model = Table { next, context: 10_000, delay, ..Table::default() }.shared();
    let prompts = [vec![1], vec![2, 3]];
    for extra in [json!({}), json!({"num_beam_groups": 2, "diversity_penalty": 0.5})] {
        let mut options = json!({"num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 5000, "max_time": 0.1});
        options.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let late = GenerationConfig::from_json(&options).unwrap();
        let answers = generate_batch(&model, None, &prompts, &late).unwrap();
        assert_eq!(answers.len(), 4);
        for answer in answers {
            assert_eq!(answer.finish_reason, FinishReason::Time);
            assert!((1..=6).contains(&answer.tokens.len()), "{}", answer.tokens.len());
        }
        let handle = CancelHandle::default();
        let cancel = handle.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(70));
            cancel.cancel();
        });
        let config = late.clone().max_time(1e6);
        let answers = generate_batch_until(&model, None, &prompts, &config, &handle).unwrap();
        thread.join().unwrap();
        assert_eq!(answers.len(), 4);
        for answer in &answers {
            assert_eq!(answer.finish_reason, FinishReason::Cancelled);
            assert!((1..=20).contains(&answer.tokens.len()) && answer.score.is_some());
        }
        let answers = generate_batch_until(&model, None, &prompts, &config, &handle).unwrap();
        assert!(answers.iter().all(|answer| answer.tokens.is_empty() && answer.score.is_none()));
        assert_eq!(answers.len(), 4);
    }
}

/// Rules out all but what a list of answers allows: `prefix_allowed_tokens_fn`.
#[derive(Debug, Clone)]
struct Only(Vec<Vec<u32>>);

impl LogitsProcessor for Only {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> sconce::Result<()> {
        let new = &tokens[1..];
        for (id, logit) in logits.iter_mut().enumerate() {
            let next = [new, &[id as u32]].concat();
            if !self.0.iter().any(|allowed| allowed.starts_with(&next)) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }
}

#[test]
fn where_few_answers_are_possible_there_are_few() {
    let table = table(&vec![vec![0.2, 0.1, 0.3, 0.4]; 4]);
    let model: Arc<dyn Autoregressive> = table.clone();
    let config = GenerationConfig::default()
        .num_beams(4)
        .num_return_sequences(4)
        .eos_token_id(vec![1])
        .max_new_tokens(9);
    let run = |allowed: &[&[u32]]| {
        let only = Only(allowed.iter().map(|ids| ids.to_vec()).collect());
        let plan = config.plan(&[0], model.limits(), None).unwrap().with_processor(Box::new(only));
        complete(&model, &table.new_cache(), [Sequence::new(&[0], plan)]).unwrap().remove(0)
    };
    let answers = run(&[&[2, 3, 1], &[3, 1]]).unwrap();
    assert_eq!(answers.iter().map(Generated::ids).collect::<Vec<_>>(), [vec![2, 3, 1], vec![3, 1]]);
    assert!(run(&[]).unwrap_err().to_string().contains("no token to choose"));
    // The same by options, where each prompt is promised four.
    let options = json!({"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 1, "suppress_tokens": [0, 1]});
    let error = search(&table, &[vec![0]], &options).unwrap_err();
    assert!(error.to_string().contains("`num_return_sequences`"), "{error}");
}

#[test]
fn broken_logits_are_an_error() {
    let mut rows = vec![vec![0.2, 0.1, 0.3, 0.4]; 4];
    rows[3][0] = f32::NAN;
    for options in [
        json!({"num_beams": 2, "max_new_tokens": 4}),
        json!({"num_beams": 2, "max_new_tokens": 4, "repetition_penalty": 1.1}),
        json!({"num_beams": 2, "max_new_tokens": 4, "do_sample": true}),
    ] {
        let error = search(&table(&rows), &[vec![0]], &options).unwrap_err();
        assert!(error.to_string().contains("NaN"), "{options}: {error}");
    }
    let options = json!({"num_beams": 2, "max_new_tokens": 4, "remove_invalid_values": true});
    assert_eq!(search(&table(&rows), &[vec![0]], &options).unwrap().len(), 1);
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}
