//! The same answer in fewer passes: with a draft model, or copied from the prompt.
//!
//! ```text
//! cargo run --release --example speculative -- MODEL QUESTION [DRAFT_MODEL]
//! ```
//!
//! A draft model has the same tokenizer; without one, drafts are looked up in what was said. The example
//! answers twice, plainly and with drafts, and prints how long both took.

use std::error::Error;
use std::io::{Write, stdout};
use std::sync::Arc;

use sconce::generation::{
    DraftModel, Drafting, GenerationConfig, PromptLookup, Sequence, TextStream, TokenStream,
};
use sconce::models::{AutoModel, CausalLm};
use sconce::tokenizer::Tokenizer;
use sconce::tokenizer::chat::{ChatOptions, Message};
use sconce::{LoadOptions, ModelSource};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(question)) = (arguments.next(), arguments.next()) else {
        return Err("usage: speculative MODEL QUESTION [DRAFT_MODEL]".into());
    };
    let options = LoadOptions::default();
    let files = ModelSource::from(model).open()?;
    let tokenizer = Tokenizer::from_files(&files)?;
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &options)?;
    let drafting: Drafting = match arguments.next() {
        Some(small) => {
            let files = ModelSource::from(small).open()?;
            let small = AutoModel::from_files::<dyn CausalLm>(&files, &options)?;
            let config = GenerationConfig::from_files(&files, &tokenizer)?;
            DraftModel::new(&small, &*model, &config)?.into()
        }
        None => PromptLookup::new(10, 3)?.into(),
    };

    let chat = ChatOptions::default().add_generation_prompt(true);
    let prompt = tokenizer.encode_chat(&[Message::user(question)], &chat)?.encoding.ids;
    let config = GenerationConfig::from_files(&files, &tokenizer)?.max_new_tokens(200).seed(0);
    let plan = config.plan(&prompt, model.limits(), Some(&tokenizer))?;
    let plain = Sequence::new(&prompt, plan)?;
    let drafted = plain.clone().with_drafter(drafting);
    let answers = [("plain", plain), ("drafted", drafted)].map(|(name, sequence)| {
        let answer = answer(&model, &tokenizer, sequence);
        answer.inspect(|(_, timings)| println!("\n[{name}: {timings}]\n"))
    });
    let [plain, drafted] = answers;
    if plain?.0 != drafted?.0 {
        println!("The answers differ: two tokens were so close that rounding decided.");
    }
    Ok(())
}

/// Prints an answer as it comes, and returns it and how long it took.
fn answer(
    model: &Arc<dyn CausalLm>,
    tokenizer: &Tokenizer,
    sequence: Sequence,
) -> sconce::Result<(String, String)> {
    let tokens = TokenStream::new(model.clone(), model.new_cache(), sequence)?;
    let mut stream = TextStream::new(tokens, tokenizer.decode_stream(true))?;
    let mut text = String::new();
    for piece in stream.by_ref() {
        let piece = piece?;
        print!("{piece}");
        let _ = stdout().flush();
        text += &piece;
    }
    Ok((text, stream.timings().to_string()))
}
