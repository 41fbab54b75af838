//! Tokenizer, model, cache, sampler and a loop of one's own:
//! `cargo run --release --example low_level -- MODEL QUESTION`

use std::error::Error;
use std::io::{Write, stdout};

use sconce::generation::GenerationConfig;
use sconce::models::{AutoModel, CausalLm, LogitsAt};
use sconce::tokenizer::Tokenizer;
use sconce::tokenizer::chat::{ChatOptions, Message};
use sconce::{LoadOptions, ModelSource, TokenBatch};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(question)) = (arguments.next(), arguments.next()) else {
        return Err("usage: low_level MODEL QUESTION".into());
    };
    let files = ModelSource::from(model).open()?;
    let tokenizer = Tokenizer::from_files(&files)?;
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &LoadOptions::default())?;

    let options = ChatOptions::default().add_generation_prompt(true);
    let prompt = tokenizer.encode_chat(&[Message::user(question)], &options)?.encoding.ids;
    let config = GenerationConfig::from_files(&files, &tokenizer)?.max_new_tokens(200);
    let mut plan = config.plan(&prompt, model.limits(), None)?;
    let mut text = tokenizer.decode_stream(true);

    let mut cache = model.new_cache();
    let mut tokens = prompt.clone();
    let mut fresh = prompt;
    while plan.finished(&tokens)?.is_none() {
        let batch = TokenBatch::single(&fresh)?;
        let logits = model.forward(&batch, &mut cache, LogitsAt::LastToken)?;
        let mut logits = logits.squeeze(0)?.to_vec1::<f32>()?;
        let token = plan.next(&tokens, &mut logits)?;
        tokens.push(token.id);
        fresh = vec![token.id];
        print!("{}", text.push(token.id)?.unwrap_or_default());
        stdout().flush()?;
    }
    println!("{}", text.finish()?.unwrap_or_default());
    Ok(())
}
