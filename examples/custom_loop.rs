//! A generation loop of one's own, of a plan made of parts: the answer branches where the model is unsure.
//! `cargo run --release --example custom_loop -- MODEL PROMPT`

use std::error::Error;

use sconce::generation::processors::{FrequencyPresencePenalty, Temperature, TopP};
use sconce::generation::{Distribution, GenerationConfig, Multinomial, Plan};
use sconce::models::{AutoModel, CausalLm, LogitsAt};
use sconce::nn::cache::KvCache;
use sconce::tokenizer::Tokenizer;
use sconce::{LoadOptions, ModelSource, TokenBatch};

/// One answer in the making.
struct Branch {
    tokens: Vec<u32>,
    /// Tokens that are not in the cache yet.
    fresh: Vec<u32>,
    cache: KvCache,
    plan: Plan,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(prompt)) = (arguments.next(), arguments.next()) else {
        return Err("usage: custom_loop MODEL PROMPT".into());
    };
    let files = ModelSource::from(model).open()?;
    let tokenizer = Tokenizer::from_files(&files)?;
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &LoadOptions::default())?;
    let prompt = tokenizer.encode(&prompt)?.ids;

    // The model's own config says only what ends an answer; all else is our choice.
    let eos = GenerationConfig::from_files(&files, &tokenizer)?.eos_token_id.unwrap_or_default();
    let plan = Plan::new(&prompt, 40)
        .with_processor(Box::new(FrequencyPresencePenalty::new(0.3, 0.2, prompt.len())?))
        .with_filter(Box::new(Temperature::new(0.8)?))
        .with_filter(Box::new(TopP::new(0.95)?))
        .with_sampler(Box::new(Multinomial::seeded(7)))
        .with_eos_token_id(eos);

    let mut branches = vec![Branch {
        tokens: prompt.clone(),
        fresh: prompt.clone(),
        cache: model.new_cache(),
        plan,
    }];
    let mut seed = 7;
    let mut finished = Vec::new();
    while let Some(mut branch) = branches.pop() {
        let batch = TokenBatch::single(&branch.fresh)?;
        let logits = model.forward(&batch, &mut branch.cache, LogitsAt::LastToken)?;
        let mut logits = logits.squeeze(0)?.to_vec1::<f32>()?;
        let distribution = Distribution::of(&logits)?;
        let is_unsure = distribution.probability(distribution.likeliest()) < 0.2;
        if is_unsure && branches.len() + finished.len() < 3 {
            // Keys and values are shared; the other branch draws other numbers.
            seed += 1;
            let (tokens, mut plan) = (branch.tokens.clone(), branch.plan.clone().with_seed(seed));
            let other = plan.next(&tokens, &mut logits.clone())?.id;
            let (tokens, cache) = ([tokens, vec![other]].concat(), branch.cache.fork()?);
            match plan.finished(&tokens)? {
                None => branches.push(Branch { tokens, fresh: vec![other], cache, plan }),
                Some(reason) => finished.push((tokens, reason)),
            }
        }
        let token = branch.plan.next(&branch.tokens, &mut logits)?.id;
        branch.tokens.push(token);
        branch.fresh = vec![token];
        match branch.plan.finished(&branch.tokens)? {
            None => branches.push(branch),
            Some(reason) => finished.push((branch.tokens, reason)),
        }
    }
    for (tokens, reason) in finished {
        println!("{}\n[{reason}]\n", tokenizer.decode(&tokens[prompt.len()..], true)?);
    }
    Ok(())
}
