//! A logits processor, a sampler and a stopping criterion of one's own, in a pipeline:
//! `cargo run --release --example custom_processor -- MODEL PROMPT`
//!
//! The answer has no word with an "e" in its tokens, prefers tokens that have not come yet, and ends with its second
//! sentence.

use std::collections::HashSet;
use std::error::Error;

use sconce::Pipeline;
use sconce::generation::{
    Distribution, GenerationConfig, LogitsProcessor, Sampler, StoppingCriterion,
};
use sconce::pipeline::TextGenerationOptions;
use sconce::tokenizer::Tokenizer;

/// Rules out every token whose text has the letter.
#[derive(Debug, Clone)]
struct Without {
    ids: Vec<u32>,
}

impl Without {
    fn letter(letter: char, tokenizer: &Tokenizer) -> sconce::Result<Self> {
        let mut ids = Vec::new();
        for id in 0..tokenizer.vocab_size() as u32 {
            if tokenizer.decode(&[id], false)?.contains(letter) {
                ids.push(id);
            }
        }
        Ok(Self { ids })
    }
}

impl LogitsProcessor for Without {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> sconce::Result<()> {
        for &id in &self.ids {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }
}

/// The likeliest token that has not come yet, if it is at least half as likely as the likeliest of all. It keeps
/// state: what it has chosen.
#[derive(Debug, Clone, Default)]
struct Fresh(HashSet<usize>);

impl Sampler for Fresh {
    fn sample(&mut self, distribution: &Distribution<'_>) -> sconce::Result<usize> {
        let best = distribution.likeliest();
        let likely = 0.5 * distribution.probability(best);
        let fresh = (0..distribution.logits().len()).filter(|index| !self.0.contains(index));
        let fresh = fresh.max_by(|&a, &b| {
            distribution.logits()[a].total_cmp(&distribution.logits()[b]).then(b.cmp(&a))
        });
        let chosen = fresh.filter(|&it| distribution.probability(it) >= likely).unwrap_or(best);
        self.0.insert(chosen);
        Ok(chosen)
    }
}

/// Met once so many of the tokens have come.
#[derive(Debug, Clone)]
struct Sentences {
    ends: Vec<u32>,
    left: usize,
}

impl StoppingCriterion for Sentences {
    fn is_met(&mut self, tokens: &[u32]) -> sconce::Result<bool> {
        if tokens.last().is_some_and(|last| self.ends.contains(last)) {
            self.left = self.left.saturating_sub(1);
        }
        Ok(self.left == 0)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(prompt)) = (arguments.next(), arguments.next()) else {
        return Err("usage: custom_processor MODEL PROMPT".into());
    };
    let pipeline = Pipeline::text_generation(model).build()?;
    let tokenizer = pipeline.tokenizer()?;
    let ends = ["."].iter().filter_map(|end| tokenizer.token_to_id(end)).collect();
    let options = TextGenerationOptions::from(GenerationConfig::default().max_new_tokens(100))
        .with_processor(Without::letter('e', tokenizer)?)
        .with_sampler(Fresh::default())
        .with_stopping_criterion(Sentences { ends, left: 2 });
    for piece in pipeline.stream_text_with(prompt.as_str(), &options)? {
        print!("{}", piece?);
    }
    println!();
    Ok(())
}
