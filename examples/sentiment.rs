//! Says whether texts are positive or negative.
//!
//! ```text
//! cargo run --release --example sentiment -- "What a lovely evening." "The soup was cold."
//! ```

use std::error::Error;

use clap::Parser;
use sconce::Pipeline;

#[derive(Parser)]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file
    #[arg(long, default_value = MODEL)]
    model: String,
    /// What to judge
    texts: Vec<String>,
}

/// DistilBERT trained on SST-2.
const MODEL: &str = "distilbert/distilbert-base-uncased-finetuned-sst-2-english";

const TEXTS: [&str; 3] = [
    "I love this movie, and so will you.",
    "It was bad, was it not?",
    "The light of the candle is on the wall.",
];

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { model, mut texts } = Arguments::parse();
    if texts.is_empty() {
        texts = TEXTS.map(str::to_owned).to_vec();
    }
    let classifier = Pipeline::text_classification(model).build()?;
    let labels = classifier.run_batch(texts.iter().map(String::as_str), &Default::default())?;
    for (text, labels) in texts.iter().zip(labels) {
        for best in labels {
            println!("{:>5.1} % {:<10} {text}", 100.0 * best.score, best.label);
        }
    }
    Ok(())
}
