//! How likely a model finds a text, token by token, and which of several continuations it prefers:
//! `cargo run --release --example logprobs -- MODEL TEXT [CHOICE…]`

use std::error::Error;

use sconce::generation::{ScoreOptions, perplexity, score, score_choices};
use sconce::models::{AutoModel, CausalLm};
use sconce::tokenizer::Tokenizer;
use sconce::{LoadOptions, ModelSource};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(text)) = (arguments.next(), arguments.next()) else {
        return Err("usage: logprobs MODEL TEXT [CHOICE…]".into());
    };
    let choices: Vec<_> = arguments.collect();
    let files = ModelSource::from(model).open()?;
    let tokenizer = Tokenizer::from_files(&files)?;
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &LoadOptions::default())?;

    let ids = tokenizer.encode(text.as_str())?.ids;
    let options = ScoreOptions::default().top_logprobs(3);
    let scored = score(&*model, &[ids], &options)?.remove(0);
    let shown = |id: u32| tokenizer.decode(&[id], false).map(|text| format!("{text:?}"));
    for token in &scored {
        print!("{:<16} {:8.3}   likeliest:", shown(token.id)?, token.logprob);
        for other in &token.top_logprobs {
            print!(" {} {:.3}", shown(other.id)?, other.logprob);
        }
        println!();
    }
    println!("perplexity {:.3}", perplexity(&scored));

    // The text is computed once for all of them.
    for (choice, scored) in
        choices.iter().zip(score_choices(&*model, &tokenizer, &text, &choices, &options)?)
    {
        println!("{choice:?}: {:.3}, {:.3} per character", scored.logprob, scored.logprob_per_char);
    }
    Ok(())
}
