//! Drafting: whatever is guessed, answers stay the same.

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use sconce::generation::{
    Draft, DraftModel, Drafter, Drafting, Event, FinishReason, GenerationConfig, LogitsProcessor,
    Plan, PromptLookup, Sequence, Stepper, Token, TokenStream, generate, generate_batch,
    generate_from, generate_text,
};
use sconce::models::{AutoModel, CausalLm};
use sconce::tokenizer::Tokenizer;
use sconce::{CachePrecision, Error, LoadOptions, ModelSource, QuantLevel, Result};
use serde::Deserialize;
use serde_json::json;

use crate::table::{Table, goldens, ids};

/// Knows the answer, and is wrong now and then.
#[derive(Debug, Clone)]
struct Oracle {
    /// The prompt and the answer.
    knows: Vec<u32>,
    /// The lengths of its drafts by turns, and after how many tokens it is wrong.
    lengths: Vec<usize>,
    wrong: usize,
    asked: usize,
}

impl Drafter for Oracle {
    fn draft(&mut self, tokens: &[u32], _plan: &Plan, most: usize) -> Result<Draft> {
        let length = self.lengths[self.asked % self.lengths.len()].min(most);
        self.asked += 1;
        let known = self.knows[tokens.len().min(self.knows.len())..].iter().copied();
        let said = known.chain([7, 7, u32::MAX, 7]).enumerate().map(|(number, id)| {
            match (tokens.len() + number) % self.wrong {
                0 => (id ^ 1).wrapping_add(3),
                _ => id,
            }
        });
        Ok(Draft { tokens: said.take(length).collect(), kind: self.asked % 3 })
    }
}

fn tiny(name: &str, options: &LoadOptions) -> Arc<dyn CausalLm> {
    AutoModel::open::<dyn CausalLm>(golden(name), options).unwrap()
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn sequence(model: &Arc<dyn CausalLm>, prompt: &[u32], config: &GenerationConfig) -> Sequence {
    Sequence::new(prompt, config.plan(prompt, model.limits(), None).unwrap()).unwrap()
}

fn run(model: &Arc<dyn CausalLm>, sequences: Vec<Sequence>) -> (Vec<Sequence>, usize) {
    let mut stepper = Stepper::new(model.clone(), model.new_cache(), sequences).unwrap();
    let mut steps = 0;
    while !stepper.is_over() {
        stepper.step().unwrap();
        steps += 1;
    }
    (stepper.sequences().to_vec(), steps)
}

#[derive(Deserialize)]
struct Assisted {
    model: String,
    assistant: String,
    schedule: String,
    prompt: Vec<u32>,
    generated: Vec<u32>,
    lookup_passes: usize,
    passes: usize,
}

/// The same tokens, and as many passes: so the candidates are the same, and as many are accepted.
#[test]
fn assisted_as_transformers() {
    let text = std::fs::read(golden("drafts/assisted.json")).unwrap();
    let cases: Vec<Assisted> = serde_json::from_slice(&text).unwrap();
    assert!(cases.len() > 30);
    for case in cases {
        let options = LoadOptions::default();
        let (model, assistant) = (tiny(&case.model, &options), tiny(&case.assistant, &options));
        let config = GenerationConfig::default().max_new_tokens(40).eos_token_id(vec![7]);
        let of_assistant = GenerationConfig::from_json(&json!({
            "num_assistant_tokens": 5,
            "num_assistant_tokens_schedule": case.schedule,
        }));
        let small = DraftModel::new(&assistant, &*model, &of_assistant.unwrap()).unwrap();
        let lookup = PromptLookup::new(6, 3).unwrap();
        for (drafting, passes) in
            [(Drafting::from(lookup), case.lookup_passes), (Drafting::from(small), case.passes)]
        {
            let sequence = sequence(&model, &case.prompt, &config).with_drafter(drafting.whole());
            let (sequences, steps) = run(&model, vec![sequence]);
            assert_eq!(sequences[0].generated(), case.generated, "{}", case.model);
            assert_eq!(steps, passes, "{} {}", case.model, case.assistant);
            let timings = sequences[0].timings();
            assert_eq!(timings.generated_tokens, steps + timings.accepted_tokens);
            assert!(timings.accepted_tokens <= timings.drafted_tokens);
        }
    }
}

#[derive(Deserialize)]
struct EarlyExit {
    model: String,
    layers: usize,
    prompt: Vec<u32>,
    generated: Vec<u32>,
    passes: usize,
}

/// The first layers draft what transformers lets them draft, or the passes would differ.
#[test]
fn early_exits_as_transformers() {
    let text = std::fs::read(golden("drafts/early_exit.json")).unwrap();
    let cases: Vec<EarlyExit> = serde_json::from_slice(&text).unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let model = tiny(&case.model, &LoadOptions::default());
        let config = GenerationConfig::default()
            .max_new_tokens(40)
            .eos_token_id(vec![7])
            .num_assistant_tokens(5)
            .assistant_confidence_threshold(0.0);
        let early = DraftModel::early_exit(&*model, case.layers, &config).unwrap();
        let drafted =
            sequence(&model, &case.prompt, &config).with_drafter(Drafting::from(early).whole());
        let (sequences, steps) = run(&model, vec![drafted]);
        assert_eq!(sequences[0].generated(), case.generated, "{}", case.model);
        assert_eq!(steps, case.passes, "{} {:?}", case.model, case.prompt);
        // As an option it drafts as far as it pays.
        let option = config.assistant_early_exit(case.layers);
        let (sequences, _) = run(&model, vec![sequence(&model, &case.prompt, &option)]);
        assert_eq!(sequences[0].generated(), case.generated);
    }
    let model = tiny("llama-tiny", &LoadOptions::default());
    for layers in [0, 99] {
        let config = GenerationConfig::default().assistant_early_exit(layers);
        let error = generate(&model, &[5], &config).unwrap_err().to_string();
        assert!(error.contains("assistant_early_exit"), "{error}");
    }
}

/// Quantized weights round the numbers they are multiplied with, so the least difference grows: a pass with a
/// draft must round as a pass without.
#[test]
fn drafts_with_quantized_weights_round_alike() {
    let model = tiny("mistral-tiny", &LoadOptions::default().quantize(QuantLevel::Q8_0));
    assert!(model.rounding_border().is_some_and(|border| border >= 4));
    assert_eq!(tiny("llama-tiny", &LoadOptions::default()).rounding_border(), None);
    let prompt: Vec<u32> = (10..22).collect();
    for sampled in [false, true] {
        let config = GenerationConfig::default().max_new_tokens(40).do_sample(sampled).seed(5);
        let plain = run(&model, vec![sequence(&model, &prompt, &config)]).0.remove(0);
        let (knows, lengths) = (plain.tokens().to_vec(), vec![3, 0, 9, 1, 8]);
        let oracle = Oracle { knows, lengths, wrong: 7, asked: 0 };
        let drafting = Drafting::from(oracle).whole();
        let drafted = sequence(&model, &prompt, &config).with_drafter(drafting);
        let drafted = run(&model, vec![drafted]).0.remove(0);
        assert_eq!(plain.tokens(), drafted.tokens());
        for (plain, drafted) in plain.answer().iter().zip(drafted.answer()) {
            // The head is in f32, and sums in another order.
            assert!((plain.logprob - drafted.logprob).abs() < 5e-6, "{plain:?} {drafted:?}");
        }
        assert!(drafted.timings().accepted_tokens > 5);
    }
}

/// Whole drafts and such as pay, of all lengths, right and wrong, in batches of which some rows draft; with
/// sliding windows, quantized caches and keys that depend on the length.
#[test]
fn families_give_what_they_give_without() {
    let q8 = LoadOptions::default().cache(CachePrecision::Q8);
    for (name, options) in [
        ("llama-tiny", LoadOptions::default()),
        ("llama-tiny", q8.clone()),
        ("mistral-tiny", LoadOptions::default()),
        ("gemma3-tiny", q8),
        ("gemma2-tiny", LoadOptions::default()),
        ("gpt2-tiny", LoadOptions::default()),
        ("falcon-rw-tiny", LoadOptions::default()),
        ("qwen3-moe-tiny", LoadOptions::default()),
        ("llama-rope-dynamic-tiny", LoadOptions::default()),
        ("phi3-longrope-tiny", LoadOptions::default()),
    ] {
        let model = tiny(name, &options);
        let prompts: [Vec<u32>; 4] =
            [(10..22).collect(), vec![40, 41], vec![9, 8, 7, 9, 8, 7, 9, 8], vec![100]];
        for sampled in [false, true] {
            let config = GenerationConfig::default()
                .max_new_tokens(30)
                .do_sample(sampled)
                .repetition_penalty(1.2)
                .no_repeat_ngram_size(5)
                .temperature(0.7)
                .seed(5);
            let plain = |prompt: &Vec<u32>| run(&model, vec![sequence(&model, prompt, &config)]).0;
            let plain: Vec<_> = prompts.iter().map(|prompt| plain(prompt)[0].clone()).collect();
            for whole in [true, false] {
                let drafted = plain.iter().enumerate().map(|(number, plain)| {
                    let sequence = sequence(&model, &prompts[number], &config);
                    let oracle = Oracle {
                        knows: plain.tokens().to_vec(),
                        lengths: vec![3, 0, 5, 1, 8],
                        wrong: 4 + number,
                        asked: 0,
                    };
                    let drafting: Drafting = match number {
                        0 => return sequence,
                        1 => PromptLookup::new(4, 2).unwrap().into(),
                        _ => oracle.into(),
                    };
                    sequence.with_drafter(if whole { drafting.whole() } else { drafting })
                });
                let (drafted, _) = run(&model, drafted.collect());
                for (plain, drafted) in plain.iter().zip(&drafted) {
                    assert_eq!(plain.tokens(), drafted.tokens(), "{name}, sampled: {sampled}");
                    assert_eq!(plain.finish_reason(), drafted.finish_reason());
                }
                let accepted = |sequence: &Sequence| sequence.timings().accepted_tokens;
                assert_eq!(accepted(&drafted[0]), 0);
                if whole && !name.contains("rope") {
                    assert!(accepted(&drafted[2]) > 5 && accepted(&drafted[3]) > 5, "{name}");
                }
            }
        }
    }
}

/// A model that drafts for itself with the same random numbers is always right.
#[test]
fn a_draft_model_draws_as_its_target_does() {
    let model = tiny("llama-tiny", &LoadOptions::default());
    let config = GenerationConfig::default()
        .max_new_tokens(41)
        .do_sample(true)
        .temperature(1.5)
        .repetition_penalty(1.3)
        .seed(3);
    let of_assistant =
        GenerationConfig::default().num_assistant_tokens(7).assistant_confidence_threshold(0.0);
    let drafter = DraftModel::new(&model, &*model, &of_assistant).unwrap();
    let prompt = [20, 21, 22];
    let expected = ids(generate(&model, &prompt, &config).unwrap());
    let drafting = Drafting::from(drafter).whole();
    let drafted = sequence(&model, &prompt, &config).with_drafter(drafting.clone());
    let (drafted, steps) = run(&model, vec![drafted]);
    // The prompt's pass, and five times seven tokens and the one after them.
    assert_eq!((drafted[0].generated(), steps), (&expected[..], 6));
    // And a clone of the drafter goes on from where it is.
    let other = sequence(&model, &prompt, &config.seed(4)).with_drafter(drafting);
    assert_eq!(run(&model, vec![other]).1, 6);
}

#[test]
fn a_draft_model_has_the_vocabulary_or_another_tokenizer() {
    let options = LoadOptions::default();
    let model = tiny("llama-tiny", &options);
    let table = Table::saying(&[1, 2, 3], 6).shared();
    let config = GenerationConfig::default();
    let error = DraftModel::new(&table, &*model, &config).unwrap_err().to_string();
    assert!(error.contains("vocabulary of 6 tokens for a model with 272"), "{error}");
    for (name, value) in [
        ("num_assistant_tokens", json!(0)),
        ("assistant_confidence_threshold", json!(1.5)),
        ("assistant_confidence_threshold", json!(-0.5)),
    ] {
        let config = GenerationConfig::from_json(&json!({name: value})).unwrap();
        let error = DraftModel::new(&model, &*model, &config).unwrap_err();
        assert!(matches!(&error, Error::InvalidOption { option, .. } if option == name), "{error}");
    }
    let tokenizer = |name: &str| Tokenizer::open(ModelSource::directory(golden(name))).unwrap();
    let prompt = tokenizer("llama-tiny").encode("the cat and the hat").unwrap().ids;
    let config = config.max_new_tokens(25);
    let expected = ids(generate(&model, &prompt, &config).unwrap());
    for lookbehind in [0, 1, 10] {
        let of_assistant = GenerationConfig::default()
            .assistant_lookbehind(lookbehind)
            .target_lookbehind(lookbehind)
            .assistant_confidence_threshold(0.0);
        // A table of 42 tokens, whose tokenizer is another.
        let table =
            Table { next: vec![vec![0.5; 42]; 42], context: 60, ..Table::default() }.shared();
        for (small, own) in [(&table, "logits"), (&model, "llama-tiny")] {
            let (own, target) = (tokenizer(own), tokenizer("llama-tiny"));
            let drafter = DraftModel::with_tokenizers(small, &own, &target, &of_assistant).unwrap();
            let stream = generate(&model, &prompt, &config).unwrap();
            let drafting = Drafting::from(drafter).whole();
            assert_eq!(ids(stream.with_drafter(drafting)), expected);
        }
    }
}

fn sampling(table: &[Vec<f32>]) -> impl Strategy<Value = (Vec<Vec<u32>>, GenerationConfig)> {
    let vocab = table.len() as u32;
    let prompts = prop::collection::vec(prop::collection::vec(0..vocab, 1..9), 1..4);
    let options =
        (1_usize..25, any::<bool>(), any::<u64>(), 0_usize..4, prop::option::of(0..vocab));
    (prompts, options).prop_map(|(prompts, (new, sample, seed, ngram, eos))| {
        let config = GenerationConfig::default()
            .max_new_tokens(new)
            .do_sample(sample)
            .temperature(2.0)
            .seed(seed)
            .no_repeat_ngram_size(ngram)
            .eos_token_id(eos.into_iter().collect())
            .top_logprobs(2);
        (prompts, config)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Tokens with their log-probabilities, and why they end.
    #[test]
    fn drafted_is_plain(
        (prompts, config) in sampling(&goldens().table),
        lengths in prop::collection::vec(0_usize..9, 1..5),
        (wrong, whole, lookup) in (1_usize..9, any::<bool>(), any::<bool>()),
    ) {
        let table = Arc::new(Table { next: goldens().table, context: 25, ..Table::default() });
        let model: Arc<dyn CausalLm> = table.clone();
        let plain = generate_batch(&model, None, &prompts, &config).unwrap();
        let passes = table.calls.lock().unwrap().len();
        table.calls.lock().unwrap().clear();
        let seed = config.seed.unwrap();
        let sequences = prompts.iter().zip(&plain).enumerate().map(|(number, (prompt, plain))| {
            let config = config.clone().seed(seed.wrapping_add(number as u64));
            let knows = [prompt.clone(), plain.ids()].concat();
            let drafting: Drafting = match lookup {
                true => PromptLookup::new(3, 2).unwrap().into(),
                false => Oracle { knows, lengths: lengths.clone(), wrong, asked: 0 }.into(),
            };
            let drafting = if whole { drafting.whole() } else { drafting };
            sequence(&model, prompt, &config).with_drafter(drafting)
        });
        let (drafted, _) = run(&model, sequences.collect());
        prop_assert!(table.calls.lock().unwrap().len() <= passes);
        for (plain, drafted) in plain.iter().zip(&drafted) {
            prop_assert_eq!(&plain.tokens, drafted.answer());
            prop_assert_eq!(Some(plain.finish_reason), drafted.finish_reason());
        }
    }
}

fn right(model: &Arc<dyn CausalLm>, prompt: &[u32], config: &GenerationConfig) -> TokenStream {
    let knows = [prompt, &ids(generate(model, prompt, config).unwrap())].concat();
    let oracle = Oracle { knows, lengths: vec![6], wrong: usize::MAX, asked: 0 };
    generate(model, prompt, config).unwrap().with_drafter(Drafting::from(oracle).whole())
}

#[test]
fn a_stream_gives_tokens_one_by_one_and_can_be_left_in_between() {
    let table = Arc::new(Table { next: goldens().table, context: 1000, ..Table::default() });
    let model: Arc<dyn CausalLm> = table.clone();
    let config = GenerationConfig::default().max_new_tokens(20).do_sample(true).seed(1);
    let expected = ids(generate(&model, &[3, 4], &config).unwrap());
    for taken in 0..=20 {
        table.calls.lock().unwrap().clear();
        let mut stream = right(&model, &[3, 4], &config);
        table.calls.lock().unwrap().clear();
        for (number, id) in expected[..taken].iter().enumerate() {
            let token: Token = stream.next().unwrap().unwrap();
            assert_eq!((token.id, stream.generated().len()), (*id, number + 1));
            let over = number == 19;
            assert_eq!(stream.finish_reason(), over.then_some(FinishReason::Length));
        }
        if taken == 20 {
            assert_eq!(table.calls.lock().unwrap().len(), 4);
        }
        let cancel = stream.cancel_handle();
        cancel.cancel();
        assert!(stream.next().is_none() && stream.next().is_none());
        let reason = if taken == 20 { FinishReason::Length } else { FinishReason::Cancelled };
        assert_eq!(
            (stream.finish_reason(), stream.generated()),
            (Some(reason), &expected[..taken])
        );
        assert_eq!(stream.timings().generated_tokens, taken);

        // The cache holds what was given out, and goes on.
        let mut stream = right(&model, &[3, 4], &config);
        assert_eq!(stream.by_ref().take(taken).count(), taken);
        let (cache, tokens) = stream.into_parts();
        assert_eq!(tokens, [&[3, 4], &expected[..taken]].concat());
        assert!(cache.tokens() <= tokens.len());
        let again = generate_from(&model, cache, &tokens, &[3, 4], &config).unwrap();
        assert_eq!(ids(again), expected);
    }
}

#[test]
fn stop_strings_end_where_they_end() {
    let folder = ModelSource::directory(golden("logits"));
    let tokenizer = Tokenizer::open(folder).unwrap();
    // d | s to p er st
    let model = Table::saying(&[6, 14, 15, 4, 9], 42).shared();
    for stop in ["sto", "tob", "b", "obst", "nowhere"] {
        let config =
            GenerationConfig::default().max_new_tokens(9).stop_strings(vec![stop.to_owned()]);
        let text = |config: &GenerationConfig| {
            let mut stream =
                generate_text(&model, &tokenizer, &[6], config).unwrap().trim_stop_strings();
            let text: String = stream.by_ref().map(Result::unwrap).collect();
            (text, stream.finish_reason(), stream.token_stream().unwrap().generated().to_vec())
        };
        let expected = text(&config);
        assert_eq!(text(&config.clone().prompt_lookup_num_tokens(4)), expected, "{stop}");
    }
}

#[test]
fn an_option_looks_up() {
    let table = Arc::new(Table::saying(&[1, 2, 3, 4, 5], 8));
    let model: Arc<dyn CausalLm> = table.clone();
    let config = GenerationConfig::from_json(&json!({
        "max_new_tokens": 21, "prompt_lookup_num_tokens": 4, "max_matching_ngram_size": 3,
    }));
    let config = config.unwrap();
    let prompts = [vec![1, 2, 3, 4, 5, 1], vec![5, 1, 2, 3, 4, 5, 1, 2]];
    let mut plain = config.clone();
    plain.prompt_lookup_num_tokens = None;
    let expected = generate_batch(&model, None, &prompts, &plain).unwrap();
    table.calls.lock().unwrap().clear();
    let found = generate_batch(&model, None, &prompts, &config).unwrap();
    let calls = table.calls.lock().unwrap().clone();
    assert!(calls.len() < 12 && calls[0] == (2, 8), "{calls:?}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.tokens, expected.tokens);
        assert!(found.timings.accepted_tokens >= 10, "{}", found.timings);
        assert!(found.timings.to_string().contains("drafted accepted"));
    }
    for (name, value) in [("prompt_lookup_num_tokens", 0), ("max_matching_ngram_size", 0)] {
        let mut options = json!({"prompt_lookup_num_tokens": 3});
        options[name] = json!(value);
        let config = GenerationConfig::from_json(&options).unwrap();
        let error = generate(&model, &[1], &config).unwrap_err();
        assert!(matches!(&error, Error::InvalidOption { option, .. } if option == name), "{error}");
    }
}

/// Fails with its second draft.
#[derive(Debug, Clone)]
struct Fails(usize);

impl Drafter for Fails {
    fn draft(&mut self, _: &[u32], _: &Plan, _: usize) -> Result<Draft> {
        self.0 += 1;
        match self.0 {
            1 => Ok(Draft { tokens: vec![9; 3], kind: 99 }),
            _ => Err(Error::InvalidInput { reason: "no more drafts".to_owned() }),
        }
    }
}

/// Rules everything out once an answer has three tokens.
#[derive(Debug, Clone)]
struct Exhausted;

impl LogitsProcessor for Exhausted {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if tokens.len() == 4 {
            logits.fill(f32::NEG_INFINITY);
        }
        Ok(())
    }
}

#[test]
fn what_fails_is_one_sequences_own() {
    let model = Table::saying(&[1, 2, 3, 4], 10).shared();
    let config = GenerationConfig::default().max_new_tokens(6);
    let with = |drafter| sequence(&model, &[1], &config).with_drafter(drafter);
    let exhausted = config.plan(&[1], model.limits(), None).unwrap();
    let exhausted = exhausted.with_processor(Box::new(Exhausted));
    let knows = [1, 2, 3, 4].repeat(5);
    let oracle = Oracle { knows, lengths: vec![5], wrong: usize::MAX, asked: 0 };
    let oracle = || Drafting::from(oracle.clone()).whole();
    let exhausted = Sequence::new(&[1], exhausted).unwrap().with_drafter(oracle());
    let sequences = vec![with(Drafting::from(Fails(0))), exhausted, with(oracle())];
    let mut stepper = Stepper::new(model.clone(), model.new_cache(), sequences).unwrap();
    let mut failed = Vec::new();
    while !stepper.is_over() {
        for event in stepper.step().unwrap() {
            if let Event::Failed { sequence, error } = event {
                failed.push((sequence, error.to_string()));
            }
        }
    }
    failed.sort();
    let [(0, first), (1, second)] = &failed[..] else { panic!("{failed:?}") };
    assert!(first.contains("no more drafts") && second.contains("no token"), "{failed:?}");
    let [first, second, third] = stepper.sequences() else { panic!("three") };
    assert_eq!((first.generated(), second.generated()), (&[2, 3][..], &[2, 3, 4][..]));
    assert_eq!(third.generated(), [2, 3, 4, 1, 2, 3]);
}
