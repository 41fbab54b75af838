//! The best answers to a prompt by beam search, with their scores:
//! `cargo run --release --example beam_search -- MODEL TEXT [--groups 2] [--words "a phrase"]`

use std::error::Error;

use clap::Parser;

use sconce::generation::{EarlyStopping, ForcedWords, GenerationConfig, generate_batch};
use sconce::models::{AutoModel, CausalLm};
use sconce::tokenizer::{EncodeOptions, Tokenizer};
use sconce::{LoadOptions, ModelSource};

#[derive(Parser)]
struct Arguments {
    /// A GGUF file, a folder or a Hub id.
    model: String,
    /// What is continued.
    text: String,
    /// Beginnings that are followed at once.
    #[arg(long, default_value_t = 4)]
    beams: usize,
    /// Groups of beams that are made to differ.
    #[arg(long, default_value_t = 1)]
    groups: usize,
    /// Words that the answers hold.
    #[arg(long)]
    words: Vec<String>,
    /// The most tokens of an answer.
    #[arg(long, default_value_t = 30)]
    tokens: usize,
    /// Above 0 favours long answers.
    #[arg(long, default_value_t = 1.0)]
    length_penalty: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let files = ModelSource::from(arguments.model.as_str()).open()?;
    let tokenizer = Tokenizer::from_files(&files)?;
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &LoadOptions::default())?;

    let mut config = GenerationConfig::from_files(&files, &tokenizer)?
        .do_sample(false)
        .max_new_tokens(arguments.tokens)
        .num_beams(arguments.beams)
        .num_return_sequences(arguments.beams)
        .length_penalty(arguments.length_penalty)
        .early_stopping(EarlyStopping::Never);
    if arguments.groups > 1 {
        config = config.num_beam_groups(arguments.groups).diversity_penalty(1.0);
    }
    let plain = EncodeOptions::default().add_special_tokens(false);
    let words = arguments.words.iter().map(|words| {
        // In the middle of a text, a word begins with its space.
        let ids = tokenizer.encode_with(format!(" {words}").as_str(), &plain)?.ids;
        Ok(ForcedWords::Phrase(ids))
    });
    config = config.force_words_ids(words.collect::<sconce::Result<_>>()?);

    let prompt = tokenizer.encode(arguments.text.as_str())?.ids;
    for answer in generate_batch(&model, Some(&tokenizer), &[prompt], &config)? {
        let score = answer.score.unwrap_or_default();
        let text = tokenizer.decode(&answer.ids(), true)?;
        println!("{score:8.4}  {text:?} ({})", answer.finish_reason);
    }
    Ok(())
}
