//! Says which of any labels fits a text.
//!
//! ```text
//! cargo run --release --example zero_shot -- "The train was late again." --labels travel,food,politics
//! ```

use std::error::Error;

use clap::Parser;
use sconce::Pipeline;
use sconce::pipeline::ZeroShotClassificationOptions;

#[derive(Parser)]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file
    #[arg(long, default_value = MODEL)]
    model: String,
    /// The labels, with commas between them
    #[arg(long, value_delimiter = ',', default_value = "film,company,capital of France")]
    labels: Vec<String>,
    /// Judge each label by itself
    #[arg(long)]
    multi_label: bool,
    #[arg(default_value = "Paris is big, and the light on the wall is good.")]
    text: String,
}

/// DeBERTa v3 trained on inference.
const MODEL: &str = "MoritzLaurer/deberta-v3-base-zeroshot-v1.1-all-33";

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { model, labels, multi_label, text } = Arguments::parse();
    let judge = Pipeline::zero_shot_classification(model).build()?;
    let options =
        ZeroShotClassificationOptions::default().candidate_labels(labels).multi_label(multi_label);
    let judged = judge.run_with(text.as_str(), &options)?;
    println!("{text}");
    let width = judged.labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    for (label, score) in judged.labels.iter().zip(&judged.scores) {
        let bar = "#".repeat((40.0 * score).round() as usize);
        println!("{:>5.1} % {label:<width$} {bar}", 100.0 * score);
    }
    Ok(())
}
