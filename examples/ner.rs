//! Marks the people, places and organizations of a text: in colour on a terminal (unless `NO_COLOR`
//! is set), in brackets elsewhere.
//!
//! ```text
//! cargo run --release --example ner -- "Angela Merkel lives in Berlin."
//! ```

use std::env;
use std::error::Error;
use std::io::{IsTerminal, stdout};

use clap::Parser;
use sconce::Pipeline;
use sconce::pipeline::{AggregationStrategy, Entity, TokenClassificationOptions};

#[derive(Parser)]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file
    #[arg(long, default_value = MODEL)]
    model: String,
    /// The text
    #[arg(
        default_value = "Angela Merkel lives in Berlin, and Hugging Face Inc. is a company in New York City!"
    )]
    text: String,
}

/// BERT trained on CoNLL-2003.
const MODEL: &str = "dbmdz/bert-large-cased-finetuned-conll03-english";

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { model, text } = Arguments::parse();
    let tagger = Pipeline::token_classification(model).build()?;
    let options =
        TokenClassificationOptions::default().aggregation_strategy(AggregationStrategy::Average);
    let entities = tagger.run_with(text.as_str(), &options)?;
    let is_coloured = stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    println!("{}\n", marked(&text, &entities, is_coloured));
    for entity in &entities {
        println!("{:>5.1} % {:<6} {}", 100.0 * entity.score, entity.label, entity.word);
    }
    Ok(())
}

/// The text with its entities marked.
fn marked(text: &str, entities: &[Entity], is_coloured: bool) -> String {
    let mut marked = String::new();
    let mut at = 0;
    for Entity { bytes, label, .. } in entities {
        // Entities are in the order of the text.
        let words = &text[bytes.clone()];
        marked += &text[at..bytes.start];
        marked += &match is_coloured {
            true => format!("\x1b[{}m{words}\x1b[0m", colour(label)),
            false => format!("[{words}]({label})"),
        };
        at = bytes.end;
    }
    marked + &text[at..]
}

/// Black on a background of its own for each kind.
fn colour(label: &str) -> &'static str {
    match label {
        "PER" => "30;46",
        "LOC" => "30;42",
        "ORG" => "30;43",
        _ => "30;45",
    }
}
