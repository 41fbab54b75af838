//! Processors and samplers beyond those of `processors.json`, against transformers and llama.cpp.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use sconce::Result;
use sconce::generation::processors::{
    Dry, DynamicTemperature, EpsilonCutoff, EtaCutoff, FrequencyPresencePenalty, Guidance, MinP,
    PrefixAllowedTokens, SynthId, SynthIdConfig, SynthIdDetector, Temperature, TopH, TopK,
    TopNSigma, TopP, Typical, Watermark, WatermarkDetector, WatermarkingConfig, Xtc,
};
use sconce::generation::{
    Distribution, GenerationConfig, LogitsProcessor, Multinomial, Plan, Sampler, Sequence,
    complete, generate,
};
use sconce::models::{Autoregressive, CausalLm, ModelLimits};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::logit;
use crate::table::{Table, ids};

fn goldens<T: DeserializeOwned>(name: &str) -> T {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/logits");
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

fn row(values: &[Value]) -> Vec<f32> {
    values.iter().map(logit).collect()
}

fn assert_near(found: &[f32], expected: &[Value], tolerance: f32, case: &dyn std::fmt::Display) {
    for (index, (&found, expected)) in found.iter().zip(row(expected)).enumerate() {
        let near = (found - expected).abs() <= tolerance * expected.abs().max(1.0);
        // What transformers makes of -inf in SynthID.
        let ruled_out = found == f32::NEG_INFINITY && expected == f32::MIN;
        assert!(
            found == expected || near || ruled_out,
            "{case}, logit {index}: {found}, not {expected}"
        );
    }
}

#[derive(Deserialize)]
struct OfOptions {
    options: Value,
    prompt: Vec<u32>,
    new: Vec<u32>,
    logits: Vec<Value>,
    expected: Vec<Value>,
}

#[test]
fn options_as_transformers_5_and_llama_cpp() {
    let cases: Vec<OfOptions> = goldens("own_options.json");
    assert!(cases.len() > 70);
    for case in cases {
        let mut logits = row(&case.logits);
        let config = GenerationConfig::from_json(&case.options).unwrap();
        let limits = ModelLimits::new(logits.len(), 1000);
        let mut plan = config.plan(&case.prompt, limits, None).unwrap();
        assert_eq!(plan.processors().len() + plan.filters().len(), 1, "{}", case.options);
        plan.process(&[case.prompt, case.new].concat(), &mut logits).unwrap();
        assert_near(&logits, &case.expected, 1e-5, &case.options);
    }
}

#[derive(Deserialize)]
struct OfDry {
    multiplier: f64,
    base: f64,
    allowed_length: usize,
    last: usize,
    breakers: Vec<Vec<u32>>,
    tokens: Vec<u32>,
    logits: Vec<Value>,
    expected: Vec<Value>,
}

#[test]
fn dry_as_llama_cpp() {
    let cases: Vec<OfDry> = goldens("own_dry.json");
    let mut punished = 0;
    for (number, case) in cases.iter().enumerate() {
        let dry = Dry::new(case.multiplier, case.base, case.allowed_length).unwrap();
        let dry = dry.penalty_last_n(case.last).with_breakers(case.breakers.clone());
        let mut logits = row(&case.logits);
        dry.unwrap().process(&case.tokens, &mut logits).unwrap();
        assert_near(&logits, &case.expected, 1e-5, &number);
        punished += usize::from(case.logits != case.expected);
    }
    assert!(punished > 30, "{punished} of {}", cases.len());
}

#[derive(Deserialize)]
struct OfFilter {
    filter: String,
    value: f64,
    least: usize,
    logits: Vec<Value>,
    expected: Vec<Value>,
}

#[test]
fn filters_keep_at_least_some() {
    for case in goldens::<Vec<OfFilter>>("own_kept.json") {
        let (value, least) = (case.value, case.least);
        let mut filter: Box<dyn LogitsProcessor> = match case.filter.as_str() {
            "top_k" => Box::new(TopK::new(value as usize).unwrap().min_tokens_to_keep(least)),
            "top_p" => Box::new(TopP::new(value).unwrap().min_tokens_to_keep(least)),
            "min_p" => Box::new(MinP::new(value).unwrap().min_tokens_to_keep(least)),
            "typical_p" => Box::new(Typical::new(value).unwrap().min_tokens_to_keep(least)),
            "epsilon_cutoff" => {
                Box::new(EpsilonCutoff::new(value).unwrap().min_tokens_to_keep(least))
            }
            "eta_cutoff" => Box::new(EtaCutoff::new(value).unwrap().min_tokens_to_keep(least)),
            other => panic!("{other}"),
        };
        let mut logits = row(&case.logits);
        filter.process(&[1], &mut logits).unwrap();
        let name = format!("{} {value}, at least {least}", case.filter);
        assert_near(&logits, &case.expected, 1e-6, &name);
    }
}

#[derive(Deserialize)]
struct OfWatermark {
    config: WatermarkingConfig,
    vocab: usize,
    processed: Vec<Processed>,
    detected: Vec<Detected>,
}

#[derive(Deserialize)]
struct Processed {
    tokens: Vec<u32>,
    logits: Vec<Value>,
    expected: Vec<Value>,
}

#[derive(Deserialize)]
struct Detected {
    tokens: Vec<u32>,
    found: Value,
}

#[test]
fn watermarks_as_transformers() {
    let mut predictions = [0, 0];
    for case in goldens::<Vec<OfWatermark>>("own_watermark.json") {
        let mut watermark = Watermark::new(&case.config, case.vocab).unwrap();
        for step in case.processed {
            let mut logits = row(&step.logits);
            watermark.process(&step.tokens, &mut logits).unwrap();
            assert_near(&logits, &step.expected, 1e-6, &format!("{:?}", case.config));
        }
        let detector = WatermarkDetector::new(&case.config, case.vocab).unwrap().bos_token_id(0);
        for text in case.detected {
            let found = detector.detect(&text.tokens, 2.5).unwrap();
            predictions[usize::from(found.prediction)] += 1;
            let found = serde_json::to_value(found).unwrap();
            for (name, expected) in text.found.as_object().unwrap() {
                let (found, expected) = (&found[name], expected);
                let near = match (found.as_f64(), expected.as_f64()) {
                    (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
                    _ => found == expected,
                };
                assert!(near, "{name}: {found}, not {expected}");
            }
        }
        let short = detector.detect(&[0, 1], 3.0).unwrap_err().to_string();
        assert!(short.contains("too few"), "{short}");
    }
    assert!(predictions[0] > 4 && predictions[1] > 4, "{predictions:?}");
    let once = WatermarkDetector::new(&WatermarkingConfig::default(), 60).unwrap();
    let once = once.ignore_repeated_ngrams(true).detect(&[5; 12], 3.0).unwrap();
    assert_eq!(once.num_tokens_scored, 1);
}

#[derive(Deserialize)]
struct OfSynthId {
    config: SynthIdConfig,
    prompt: Vec<u32>,
    answer: Vec<u32>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    logits: Vec<Value>,
    expected: Vec<Value>,
}

#[test]
fn synth_id_as_transformers() {
    for case in goldens::<Vec<OfSynthId>>("own_synth_id.json") {
        let mut synth_id = SynthId::new(&case.config, case.prompt.len()).unwrap();
        for (number, step) in case.steps.iter().enumerate() {
            let tokens = [case.prompt.as_slice(), &case.answer[..number]].concat();
            let mut logits = row(&step.logits);
            synth_id.process(&tokens, &mut logits).unwrap();
            assert_near(&logits, &step.expected, 2e-4, &number);
        }
    }
}

#[derive(Deserialize)]
struct Guided {
    table: Vec<Vec<f32>>,
    cases: Vec<OfGuidance>,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct OfGuidance {
    scale: f64,
    negative: Option<Vec<u32>>,
    tokens: Vec<u32>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Answer {
    scale: f64,
    negative: Option<Vec<u32>>,
    answer: Vec<u32>,
}

#[test]
fn guidance_as_transformers() {
    let goldens: Guided = goldens("own_guidance.json");
    let table = Arc::new(Table { next: goldens.table, context: 1000, ..Table::default() });
    let model: Arc<dyn CausalLm> = table.clone();
    for case in goldens.cases {
        let negative = case.negative.as_deref();
        let mut guidance = Guidance::new(case.scale, model.clone(), negative).unwrap();
        for (number, step) in case.steps.iter().enumerate() {
            // A clone goes on from the same cache, and leaves it alone.
            for guidance in [&mut guidance.clone(), &mut guidance] {
                let mut logits = row(&step.logits);
                table.calls.lock().unwrap().clear();
                guidance.process(&case.tokens[..3 + number], &mut logits).unwrap();
                assert_near(&logits, &step.expected, 1e-5, &case.scale);
                let first = negative.map_or(1, <[u32]>::len);
                let fresh = if number == 0 { first } else { 1 };
                assert_eq!(table.calls.lock().unwrap()[..], [(1, fresh)]);
            }
        }
    }
    for expected in goldens.answers {
        let mut config =
            GenerationConfig::default().max_new_tokens(8).guidance_scale(expected.scale);
        config.negative_prompt_ids = expected.negative;
        assert_eq!(ids(generate(&model, &[1, 7, 2], &config).unwrap()), expected.answer);

        let plan = config.plan(&[1, 7, 2], model.limits(), None).unwrap();
        let mut tokens = vec![1, 7, 2];
        if expected.scale != 1.0 {
            let alone = plan.clone().next(&tokens, &mut table.next[2].clone()).unwrap_err();
            assert!(alone.to_string().contains("with_model"), "{alone}");
        }
        let mut plan = plan.with_model(&model);
        while plan.finished(&tokens).unwrap().is_none() {
            let mut logits = table.next[tokens[tokens.len() - 1] as usize].clone();
            tokens.push(plan.next(&tokens, &mut logits).unwrap().id);
        }
        assert_eq!(tokens[3..], expected.answer);
    }
}

#[derive(Deserialize)]
struct OfPrefix {
    allowed: Vec<u32>,
    logits: Vec<Value>,
    expected: Vec<Value>,
}

#[test]
fn only_allowed_tokens_come() {
    for case in goldens::<Vec<OfPrefix>>("own_prefix.json") {
        let mut logits = row(&case.logits);
        let allowed = case.allowed;
        let mut processor = PrefixAllowedTokens::new(move |_| Ok(allowed.clone()));
        processor.process(&[1, 2], &mut logits).unwrap();
        assert_near(&logits, &case.expected, 0.0, &"prefix");
    }
    for (allowed, message) in
        [(vec![], "allows no token"), (vec![4], "outside the vocabulary of 4")]
    {
        let mut processor = PrefixAllowedTokens::new(move |_| Ok(allowed.clone()));
        let error = processor.process(&[1], &mut [0.0; 4]).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    // In its place: a forced end wins over what is allowed.
    let config = GenerationConfig::default().max_new_tokens(1).forced_eos_token_id(vec![3]);
    let plan = config.suppress_tokens(vec![0]).plan(&[1], ModelLimits::new(4, 10), None).unwrap();
    let mut plan = plan.with_prefix_allowed_tokens(PrefixAllowedTokens::new(|_| Ok(vec![2])));
    assert_eq!(plan.next(&[1], &mut [0.0; 4]).unwrap().id, 3);
}

#[derive(Deserialize)]
struct OfSampling {
    options: Value,
    prompt: Vec<u32>,
    logits: Vec<Value>,
    probabilities: Vec<f64>,
    most: f64,
}

/// Chi-square over 20,000 draws, which a fair sampler exceeds once in ten thousand times. The seeds are fixed.
#[test]
fn draws_follow_the_probabilities_of_transformers() {
    for case in goldens::<Vec<OfSampling>>("own_sampling.json") {
        let config = GenerationConfig::from_json(&case.options).unwrap().seed(11);
        let logits = row(&case.logits);
        let limits = ModelLimits::new(logits.len(), 1000);
        let mut plan = config.plan(&case.prompt, limits, None).unwrap();
        let mut counts = vec![0.0; logits.len()];
        let draws = 20_000;
        for _ in 0..draws {
            let token = plan.next(&case.prompt, &mut logits.clone()).unwrap();
            counts[token.id as usize] += 1.0;
        }
        let mut chi_square = 0.0;
        for (&probability, count) in case.probabilities.iter().zip(counts) {
            let expected = probability * f64::from(draws);
            if probability > 0.0 {
                chi_square += (count - expected) * (count - expected) / expected;
            } else {
                assert_eq!(count, 0.0);
            }
        }
        assert!(chi_square < case.most, "{}: {chi_square} > {}", case.options, case.most);
    }
}

/// XTC draws by the seed: in the share of steps that it says, and again in the same.
#[test]
fn xtc_works_in_a_share_of_the_steps() {
    let logits = [2.0, 1.9, 1.8, -3.0];
    let worked = |xtc: &mut Xtc| {
        let mut changed = logits;
        xtc.process(&[1], &mut changed).unwrap();
        changed != logits
    };
    let mut xtc = Xtc::new(0.3, 0.1, 5).unwrap();
    let first: Vec<_> = (0..2000).map(|_| worked(&mut xtc)).collect();
    let share = first.iter().filter(|&&worked| worked).count();
    assert!((520..680).contains(&share), "{share}");
    xtc.reseed(5);
    assert_eq!((0..2000).map(|_| worked(&mut xtc)).collect::<Vec<_>>(), first);
}

/// Rules everything out after so many tokens.
#[derive(Debug, Clone)]
struct Nothing(usize);

impl LogitsProcessor for Nothing {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if tokens.len() >= self.0 {
            logits.fill(f32::NEG_INFINITY);
        }
        Ok(())
    }
}

/// The last token of the vocabulary, or what it is told.
#[derive(Debug, Clone)]
struct Stubborn(Option<usize>);

impl Sampler for Stubborn {
    fn sample(&mut self, distribution: &Distribution<'_>) -> Result<usize> {
        Ok(self.0.unwrap_or_else(|| distribution.logits().len() - 1))
    }
}

#[test]
fn a_processor_that_leaves_nothing_is_named() {
    let mut plan = Plan::new(&[1], 5)
        .with_processor(Box::new(Temperature::new(0.5).unwrap()))
        .with_filter(Box::new(Nothing(2)));
    assert_eq!(plan.next(&[1], &mut [0.0, 1.0]).unwrap().id, 1);
    let error = plan.next(&[1, 1], &mut [0.0, 1.0]).unwrap_err().to_string();
    assert!(error.contains("-inf after Nothing"), "{error}");
    let error = plan.next(&[1], &mut [f32::NEG_INFINITY; 2]).unwrap_err().to_string();
    assert!(error.ends_with("every logit is -inf"), "{error}");
    for sampler in [Stubborn(Some(2)), Stubborn(Some(0))] {
        let mut plan = Plan::new(&[1], 5).with_sampler(Box::new(sampler));
        let error = plan.next(&[1], &mut [f32::NEG_INFINITY, 1.0]).unwrap_err().to_string();
        assert!(error.contains("ruled out or outside the vocabulary of 2"), "{error}");
    }
}

/// A beam, or a token of it, that is not there.
#[test]
fn what_a_sampler_of_ones_own_draws_for_beams_is_checked() {
    let model = Table::saying(&[1, 2, 3], 5).shared();
    let config = GenerationConfig::default().do_sample(true).num_beams(2).max_new_tokens(3);
    for (chosen, message) in [(3, "beam 3, and there are 1"), (usize::MAX, "there are 1")] {
        let plan = config.plan(&[1], model.limits(), None).unwrap();
        let plan = plan.with_sampler(Box::new(Stubborn(Some(chosen))));
        let decoder: Arc<dyn Autoregressive> = model.clone();
        let found = complete(&decoder, &model.new_cache(), [Sequence::new(&[1], plan)]).unwrap();
        let error = found[0].as_ref().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    // The first beam, and its first token, which `top_k` rules out.
    let plan = config.top_k(2).plan(&[1], model.limits(), None).unwrap();
    let plan = plan.with_filter(Box::new(Nothing(0))).with_sampler(Box::new(Stubborn(Some(0))));
    let decoder: Arc<dyn Autoregressive> = model.clone();
    let found = complete(&decoder, &model.new_cache(), [Sequence::new(&[1], plan)]).unwrap();
    assert!(found[0].is_err());
}

#[test]
fn plans_are_edited() {
    let config = json!({"do_sample": true, "temperature": 2.0, "top_p": 0.9, "seed": 1});
    let config = GenerationConfig::from_json(&config).unwrap();
    let mut plan = config.plan(&[1], ModelLimits::new(4, 10), None).unwrap();
    assert!(plan.filters()[0].is::<Temperature>() && plan.filters()[2].is::<TopP>());
    let temperature = plan.filters_mut().remove(0);
    plan.filters_mut().push(temperature);
    plan.filters_mut()[0] = Box::new(TopK::new(1).unwrap());
    plan.processors_mut().insert(0, Box::new(Nothing(99)));
    let mut logits = [1.0, 3.0, 2.0, 0.0];
    plan.process(&[1], &mut logits).unwrap();
    assert_eq!(logits[1], 1.5);
    assert_eq!(logits.iter().filter(|logit| logit.is_finite()).count(), 1);
    assert!(plan.processors()[0].downcast_ref::<Nothing>().is_some_and(|it| it.0 == 99));

    let model = Table::saying(&[1, 2, 3], 4).shared();
    let plan = config.plan(&[1], model.limits(), None).unwrap();
    let mut plan = plan.with_sampler(Box::new(Stubborn(None)));
    assert_eq!(plan.next(&[1], &mut [0.0; 4]).unwrap().id, 3);
}

proptest! {
    /// Whatever the logits: no NaN, nothing comes back that was ruled out, something is left, and a clone does
    /// the same.
    #[test]
    fn processors_keep_a_distribution(
        logits in proptest::collection::vec(
            prop_oneof![Just(f32::NEG_INFINITY), -60f32..60.0], 2..60,
        ),
        tokens in proptest::collection::vec(0u32..60, 1..40),
        share in 0.01f64..0.99,
    ) {
        prop_assume!(logits.iter().any(|logit| logit.is_finite()));
        let watermark = WatermarkingConfig::default();
        let processors: Vec<Box<dyn LogitsProcessor>> = vec![
            Box::new(TopH::new(share).unwrap()),
            Box::new(TopNSigma::new(share * 3.0).unwrap()),
            Box::new(Xtc::new(1.0, share / 2.0, 3).unwrap()),
            Box::new(Xtc::new(share, 0.0, 3).unwrap()),
            Box::new(Dry::new(share, 1.0 + share, 1).unwrap().penalty_last_n(20)),
            Box::new(DynamicTemperature::new(share, share * 1.5, share).unwrap()),
            Box::new(FrequencyPresencePenalty::new(share, -share, 2).unwrap()),
            Box::new(Watermark::new(&watermark, logits.len()).unwrap()),
            Box::new(SynthId::new(&SynthIdConfig::new(3, vec![1, -5, 99]), 1).unwrap()),
            Box::new(MinP::new(share).unwrap().min_tokens_to_keep(2)),
            Box::new(TopP::new(share).unwrap().min_tokens_to_keep(2)),
        ];
        for mut processor in processors {
            let (mut once, mut twice) = (logits.clone(), logits.clone());
            processor.clone().process(&tokens, &mut twice).unwrap();
            processor.process(&tokens, &mut once).unwrap();
            prop_assert_eq!(&once, &twice, "{:?}", processor);
            prop_assert!(Distribution::of(&once).is_ok(), "{:?}: {:?}", processor, once);
            let came_back = logits.iter().zip(&once).any(|(before, after)| {
                *before == f32::NEG_INFINITY && *after > f32::NEG_INFINITY
            });
            prop_assert!(!came_back, "{:?}", processor);
        }
        let distribution = Distribution::of(&logits).unwrap();
        let mut sampler = Multinomial::seeded(tokens.len() as u64);
        prop_assert!(logits[sampler.sample(&distribution).unwrap()].is_finite());
    }
}

#[derive(Deserialize)]
struct Suspect {
    tokens: Vec<u32>,
    probability: f64,
}

#[test]
fn synth_id_is_detected_as_by_transformers() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/synthid_detector");
    let cases: Vec<Suspect> =
        serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let detector = SynthIdDetector::open(folder).unwrap().eos_token_id(7);
    let (mut low, mut high) = (0, 0);
    for Suspect { tokens, probability } in cases {
        let found = detector.detect(&tokens).unwrap();
        assert!((found - probability).abs() < 1e-5, "{tokens:?}: {found}, not {probability}");
        low += usize::from(probability < 0.3);
        high += usize::from(probability > 0.3);
    }
    assert!(low > 5 && high > 5, "{low} {high}");
    assert!(detector.detect(&[1, 2, 3]).is_err());
}
