//! Prompts of different lengths, answered together: each ends by itself and leaves the batch.
//! `cargo run --release --example batch -- MODEL PROMPT…`

use std::error::Error;

use sconce::generation::{GenerationConfig, generate_batch};
use sconce::models::{AutoModel, CausalLm};
use sconce::tokenizer::Tokenizer;
use sconce::{LoadOptions, ModelSource};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("usage: batch MODEL PROMPT…")?;
    let files = ModelSource::from(model).open()?;
    let tokenizer = Tokenizer::from_files(&files)?;
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &LoadOptions::default())?;

    let texts: Vec<_> = arguments.collect();
    let prompts = texts.iter().map(|text| Ok(tokenizer.encode(text.as_str())?.ids));
    let prompts = prompts.collect::<sconce::Result<Vec<_>>>()?;
    let config = GenerationConfig::from_files(&files, &tokenizer)?.max_new_tokens(40);
    let answers = generate_batch(&model, Some(&tokenizer), &prompts, &config)?;
    for (text, answer) in texts.iter().zip(answers) {
        let usage = answer.timings.usage();
        println!("{text}{}", tokenizer.decode(&answer.ids(), true)?);
        println!(
            "  {}: {} tokens of prompt, {} of answer",
            answer.finish_reason, usage.prompt_tokens, usage.completion_tokens
        );
    }
    Ok(())
}
