//! Answers a question from a text of any length.
//!
//! ```text
//! cargo run --release --example question_answering -- "Where does Wolfgang live?" --context @letter.txt
//! ```

use std::error::Error;
use std::fs;
use std::ops::Range;

use clap::Parser;
use sconce::Pipeline;
use sconce::pipeline::{Question, QuestionAnsweringOptions};

#[derive(Parser)]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file
    #[arg(long, default_value = MODEL)]
    model: String,
    /// The text, or @FILE
    #[arg(long, default_value = CONTEXT)]
    context: String,
    /// How many answers
    #[arg(long, default_value_t = 3)]
    top_k: usize,
    #[arg(default_value = "Where does Wolfgang live?")]
    question: String,
}

/// DistilBERT trained on SQuAD.
const MODEL: &str = "distilbert/distilbert-base-cased-distilled-squad";

const CONTEXT: &str = "Angela Merkel lives in Berlin. Wolfgang has moved: he lives in Paris, the capital of \
                       France, since 1999, and loves the light of the candle on his wall.";

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { model, context, top_k, question } = Arguments::parse();
    let context = match context.strip_prefix('@') {
        Some(file) => fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?,
        None => context,
    };
    let reader = Pipeline::question_answering(model).build()?;
    let options = QuestionAnsweringOptions::default().top_k(top_k);
    let answers = reader.run_with(Question::new(question.as_str(), context.as_str()), &options)?;
    println!("{question}");
    if answers.is_empty() {
        println!("        no words of the text can answer it");
    }
    for answer in answers {
        println!("{:>5.1} % {}", 100.0 * answer.score, surrounded(&context, answer.bytes));
    }
    Ok(())
}

/// The answer, in brackets, with the words around it.
fn surrounded(context: &str, answer: Range<usize>) -> String {
    let (before, after) = (&context[..answer.start], &context[answer.end..]);
    let from = before.char_indices().rev().nth(AROUND).map_or(0, |(at, _)| at);
    let to = after.char_indices().nth(AROUND).map_or(after.len(), |(at, _)| at);
    format!("{}[{}]{}", &before[from..], &context[answer], &after[..to])
}

/// Characters on either side.
const AROUND: usize = 20;
