//! Asks a model a question, streams its answer and prints how fast it was:
//! `cargo run --release --example quickstart -- [MODEL]`
//!
//! MODEL is a Hub id, a folder (`./folder`) or a GGUF file, by default SmolLM2-135M-Instruct.

use std::error::Error;
use std::io::{Write, stdout};

use sconce::Pipeline;
use sconce::tokenizer::chat::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let model = std::env::args().nth(1);
    let model = model.unwrap_or_else(|| "HuggingFaceTB/SmolLM2-135M-Instruct".to_owned());
    let chat = Pipeline::text_generation(model).build()?;

    let question = "Why is the sky blue?";
    println!("> {question}\n");
    let mut answer = chat.stream_text(&[Message::user(question)])?;
    for piece in &mut answer {
        print!("{}", piece?);
        stdout().flush()?;
    }
    println!("\n\n{}", answer.timings());
    Ok(())
}
