//! Orders documents by how well they answer a query, with a cross-encoder that reads both together.
//!
//! ```text
//! cargo run --release --example rerank -- "How many people live in Berlin?" --documents @texts.txt
//! ```

use std::error::Error;
use std::fs;

use clap::Parser;
use sconce::Pipeline;
use sconce::pipeline::TextRankingOptions;

#[derive(Parser)]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file
    #[arg(long, default_value = MODEL)]
    model: String,
    /// Documents, one a line, or @FILE
    #[arg(long, default_value = DOCUMENTS)]
    documents: String,
    /// How many, best first
    #[arg(long)]
    top_k: Option<usize>,
    #[arg(default_value = "Where does Wolfgang live?")]
    query: String,
}

/// MiniLM trained on MS MARCO.
const MODEL: &str = "cross-encoder/ms-marco-MiniLM-L6-v2";

const DOCUMENTS: &str = "Paris is the capital of France.\nWolfgang lives in Paris since 1999.\nI hate that film.\nThe light of the candle is on the wall.";

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { model, documents, top_k, query } = Arguments::parse();
    let documents = match documents.strip_prefix('@') {
        Some(file) => fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?,
        None => documents,
    };
    let documents = documents.lines().filter(|line| !line.trim().is_empty());
    let ranker = Pipeline::text_ranking(model).build()?;
    let mut options = TextRankingOptions::default().return_documents(true);
    options.top_k = top_k;
    println!("{query}");
    for ranked in ranker.rank(query.as_str(), documents, &options)? {
        let text = ranked.text.unwrap_or_default();
        println!("{:>9.4} document {}: {text}", ranked.score, ranked.corpus_id);
    }
    Ok(())
}
