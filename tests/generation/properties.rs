//! What holds for random prompts, options and families: how an answer is computed does not change it.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use sconce::generation::{
    Draft, DraftModel, Drafter, Drafting, EarlyStopping, Generated, GenerationConfig,
    LogitsProcessor, Plan, PromptLookup, Sequence, complete, generate, generate_batch,
    generate_from,
};
use sconce::models::{AutoModel, Autoregressive, CausalLm, LogitsAt};
use sconce::{LoadOptions, Result, TokenBatch};

/// Grouped heads, sliding windows, learned positions, activations with weights, layers without positions, ALiBi,
/// experts.
static FAMILIES: LazyLock<[Arc<dyn CausalLm>; 7]> = LazyLock::new(|| {
    [
        "llama-gqa-tiny",
        "gemma2-tiny",
        "gpt2-tiny",
        "apertus-tiny",
        "exaone4-window-tiny",
        "falcon-rw-tiny",
        "qwen3-moe-tiny",
    ]
    .map(|name| {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
        AutoModel::open::<dyn CausalLm>(path, &LoadOptions::default()).unwrap()
    })
});

const MOST_TOKENS: usize = 14;

fn family() -> impl Strategy<Value = Arc<dyn CausalLm>> {
    (0..FAMILIES.len()).prop_map(|family| FAMILIES[family].clone())
}

/// Repetitive, so that something can be looked up.
fn prompt() -> impl Strategy<Value = Vec<u32>> {
    (1usize..6, proptest::collection::vec(3u32..200, 1..16)).prop_map(|(period, ids)| {
        (0..ids.len()).map(|place| ids[place % period.min(ids.len())]).collect()
    })
}

fn options() -> impl Strategy<Value = GenerationConfig> {
    let chosen = (any::<bool>(), 0.5f64..2.0, 0i64..30, 0.5f64..1.0, 0u64..1000);
    let limits = (1usize..MOST_TOKENS, 1.0f64..1.5, 0usize..4, proptest::option::of(3u32..200));
    (chosen, limits).prop_map(|((samples, temperature, k, p, seed), (new, penalty, ngram, eos))| {
        GenerationConfig::default()
            .do_sample(samples)
            .temperature(temperature)
            .top_k(k)
            .top_p(p)
            .seed(seed)
            .max_new_tokens(new)
            .repetition_penalty(penalty)
            .no_repeat_ngram_size(ngram)
            .eos_token_id(eos.into_iter().collect())
    })
}

fn plain(model: &Arc<dyn CausalLm>, prompt: &[u32], config: &GenerationConfig) -> Vec<u32> {
    generate(model, prompt, config).unwrap().map(|token| token.unwrap().id).collect()
}

fn logits(model: &dyn CausalLm, parts: &[&[u32]]) -> Result<Vec<f32>> {
    let mut cache = model.new_cache();
    let mut logits = Vec::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let batch = TokenBatch::single(part)?;
        let last = model.forward(&batch, &mut cache, LogitsAt::LastToken)?;
        logits = last.flatten_all()?.to_vec1()?;
    }
    Ok(logits)
}

/// Guesses anything.
#[derive(Debug, Clone)]
struct Guesses(Vec<u32>);

impl Drafter for Guesses {
    fn draft(&mut self, tokens: &[u32], _: &Plan, most: usize) -> Result<Draft> {
        let from = tokens.len() % self.0.len();
        let tokens = self.0[from..].iter().copied().take(most).collect();
        Ok(Draft { tokens, kind: 0 })
    }
}

/// Of the probabilities that logits stand for, as beam search takes them before its processors.
#[derive(Debug, Clone)]
struct Logarithms;

impl LogitsProcessor for Logarithms {
    fn process(&mut self, _: &[u32], logits: &mut [f32]) -> Result<()> {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
        logits.iter_mut().for_each(|logit| *logit -= most + sum.ln());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_prompt_in_parts_is_the_whole(
        model in family(), prompt in proptest::collection::vec(3u32..200, 2..40),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(prompt.len())).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([prompt.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let parts: Vec<_> = starts.zip(ends).map(|(start, end)| &prompt[start..end]).collect();
        let (whole, split) = (logits(&*model, &[&prompt]).unwrap(), logits(&*model, &parts).unwrap());
        for (whole, split) in whole.iter().zip(&split) {
            prop_assert!((whole - split).abs() < 1e-4, "{whole} {split}");
        }
    }

    #[test]
    fn a_cache_that_was_saved_goes_on_as_if_it_never_was(
        model in family(), prompt in prompt(), more in prompt(), config in options(),
    ) {
        let mut stream = generate(&model, &prompt, &config).unwrap();
        while stream.next().transpose().unwrap().is_some() {}
        let (cache, tokens) = stream.into_parts();
        let file = tempfile::NamedTempFile::new().unwrap();
        cache.save(file.path()).unwrap();
        let mut restored = model.new_cache();
        restored.load(file.path()).unwrap();
        let prompt = [tokens.as_slice(), &more].concat();
        let go_on = |cache| -> Vec<_> {
            let stream = generate_from(&model, cache, &tokens, &prompt, &config).unwrap();
            assert_eq!(stream.timings().cached_tokens, tokens.len() - 1);
            stream.map(|token| token.unwrap()).collect()
        };
        prop_assert_eq!(go_on(restored), go_on(cache));
    }

    #[test]
    fn a_row_of_a_batch_is_what_it_is_alone(
        model in family(), prompts in proptest::collection::vec(prompt(), 1..4), config in options(),
    ) {
        let together = generate_batch(&model, None, &prompts, &config).unwrap();
        for (number, (prompt, together)) in prompts.iter().zip(&together).enumerate() {
            let seed = config.seed.unwrap() + number as u64;
            let alone = plain(&model, prompt, &config.clone().seed(seed));
            prop_assert_eq!(together.ids(), alone);
        }
    }

    #[test]
    fn drafts_change_nothing(
        model in family(), other in family(), prompt in prompt(), config in options(),
        guesses in proptest::collection::vec(3u32..200, 1..20), lookup in (1usize..8, 1usize..4),
    ) {
        let expected = plain(&model, &prompt, &config);
        let small = DraftModel::new(&other, &*model, &config);
        let mut drafters = vec![
            Drafting::from(PromptLookup::new(lookup.0, lookup.1).unwrap()),
            Drafting::from(Guesses(guesses)),
            Drafting::from(DraftModel::early_exit(&*model, 1, &config).unwrap()),
        ];
        drafters.extend(small.ok().map(Drafting::from));
        for drafting in drafters {
            for drafting in [drafting.clone().whole(), drafting] {
                let stream = generate(&model, &prompt, &config).unwrap().with_drafter(drafting);
                let drafted: Vec<_> = stream.map(|token| token.unwrap().id).collect();
                prop_assert_eq!(&drafted, &expected);
            }
        }
        // As options.
        let options = config.clone().prompt_lookup_num_tokens(lookup.0).max_matching_ngram_size(lookup.1);
        prop_assert_eq!(plain(&model, &prompt, &options), expected.clone());
        prop_assert_eq!(plain(&model, &prompt, &config.assistant_early_exit(1)), expected);
    }

    /// A group of one beam that no group comes before goes the greedy way.
    #[test]
    fn one_beam_is_greedy(model in family(), prompt in prompt(), config in options()) {
        let config = config.do_sample(false);
        let greedy = plain(&model, &prompt, &config);
        let one = generate_batch(&model, None, std::slice::from_ref(&prompt), &config.clone().num_beams(1));
        prop_assert_eq!(one.unwrap()[0].ids(), greedy.clone());
        // Beams process logarithms of probabilities, on which a penalty acts otherwise than on logits. Greedy
        // search that takes logarithms first goes the same way, with all processors.
        let mut plan = config.plan(&prompt, model.limits(), None).unwrap();
        plan.processors_mut().insert(0, Box::new(Logarithms));
        let decoder: Arc<dyn Autoregressive> = model.clone();
        let sequence = Sequence::new(&prompt, plan);
        let greedy = complete(&decoder, &model.new_cache(), [sequence]).unwrap().remove(0).unwrap();
        let greedy = greedy[0].ids();
        let beams = config
            .num_beams(2)
            .num_beam_groups(2)
            .diversity_penalty(50.0)
            .num_return_sequences(2)
            .early_stopping(EarlyStopping::Always);
        let found = generate_batch(&model, None, &[prompt], &beams).unwrap();
        let found: Vec<_> = found.iter().map(Generated::ids).collect();
        prop_assert!(found.contains(&greedy), "{found:?} {greedy:?}");
    }
}
