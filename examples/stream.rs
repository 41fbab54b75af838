//! Streams the continuation of a prompt, from a Hub id, folder or GGUF file:
//! `cargo run --release --example stream -- MODEL PROMPT`

use std::error::Error;
use std::io::{Write, stdout};

use sconce::Pipeline;
use sconce::generation::GenerationConfig;
use sconce::pipeline::TextGenerationOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(prompt)) = (arguments.next(), arguments.next()) else {
        return Err("usage: stream MODEL PROMPT".into());
    };
    let writer = Pipeline::text_generation(model).build()?;
    let config = GenerationConfig::default().max_new_tokens(128).temperature(0.8).seed(7);
    let mut text =
        writer.stream_text_with(prompt.as_str(), &TextGenerationOptions::from(config))?;
    print!("{prompt}");
    for piece in &mut text {
        print!("{}", piece?);
        stdout().flush()?;
    }
    println!("\n\n{:?}. {}", text.finish_reason(), text.timings());
    Ok(())
}
