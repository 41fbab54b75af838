//! Finds the passages of a folder's text files that are about what a query asks.
//!
//! ```text
//! cargo run --release --example semantic_search -- index ./docs ./docs-index
//! cargo run --release --example semantic_search -- query ./docs-index "how is memory kept low?"
//! ```
//!
//! An index is a folder: the vectors in `vectors.safetensors`, the passages in `passages.json`.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{Device, Tensor, safetensors};
use clap::{Parser, Subcommand};
use sconce::LoadOptions;
use sconce::embeddings::{EmbedOptions, SentenceEmbedder, semantic_search};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file
    #[arg(long, global = true, default_value = "sentence-transformers/all-MiniLM-L6-v2")]
    model: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reads the .txt and .md files of a folder, and of those in it, and writes an index of them
    Index { folder: PathBuf, index: PathBuf },
    /// Answers queries from an index
    Query {
        index: PathBuf,
        #[arg(required = true)]
        queries: Vec<String>,
        /// How many passages for each
        #[arg(long, default_value_t = 3)]
        top_k: usize,
    },
}

/// A paragraph.
#[derive(Serialize, Deserialize)]
struct Passage {
    file: PathBuf,
    line: usize,
    text: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { model, command } = Arguments::parse();
    let embedder = SentenceEmbedder::open(model, &LoadOptions::default())?;
    match command {
        Command::Index { folder, index } => build(&embedder, &folder, &index),
        Command::Query { index, queries, top_k } => search(&embedder, &index, &queries, top_k),
    }
}

fn build(embedder: &SentenceEmbedder, folder: &Path, index: &Path) -> Result<(), Box<dyn Error>> {
    let mut passages = Vec::new();
    read(folder, &mut passages)?;
    if passages.is_empty() {
        return Err(format!("{} has no text in .txt or .md files", folder.display()).into());
    }
    let started = Instant::now();
    let texts: Vec<&str> = passages.iter().map(|passage| passage.text.as_str()).collect();
    let embedded = embedder.embed(&texts, &EmbedOptions::default().prompt_name("document"))?;
    fs::create_dir_all(index)?;
    let vectors = Tensor::new(embedded.vectors, &Device::Cpu)?;
    let named = HashMap::from([("vectors".to_owned(), vectors)]);
    safetensors::save(&named, index.join("vectors.safetensors"))?;
    fs::write(index.join("passages.json"), serde_json::to_vec(&passages)?)?;
    let (count, seconds) = (passages.len(), started.elapsed().as_secs_f64());
    println!("{count} passages in {seconds:.1} s, written to {}", index.display());
    if !embedded.truncated.is_empty() {
        let (cut, limit) = (embedded.truncated.len(), embedder.max_seq_length());
        println!("of {cut} longer ones only the first {limit} tokens are looked at");
    }
    Ok(())
}

fn search(
    embedder: &SentenceEmbedder,
    index: &Path,
    queries: &[String],
    top_k: usize,
) -> Result<(), Box<dyn Error>> {
    let passages = index.join("passages.json");
    let passages =
        fs::read(&passages).map_err(|error| format!("{}: {error}", passages.display()))?;
    let passages: Vec<Passage> = serde_json::from_slice(&passages)?;
    let stored = safetensors::load(index.join("vectors.safetensors"), &Device::Cpu)?;
    let vectors = stored.get("vectors").ok_or("the index has no vectors")?.to_vec2::<f32>()?;
    let asked = embedder.embed(queries, &EmbedOptions::default().prompt_name("query"))?.vectors;
    let found = semantic_search(&asked, &vectors, top_k, embedder.similarity())?;
    for (query, hits) in queries.iter().zip(found) {
        println!("{query}");
        for hit in hits {
            let Passage { file, line, text } = &passages[hit.index];
            println!("{:>7.3} {}:{line}", hit.score, file.display());
            println!("        {}", shortened(text));
        }
    }
    Ok(())
}

/// The paragraphs of the text files below a folder, in the order of the files' names.
fn read(folder: &Path, passages: &mut Vec<Passage>) -> Result<(), Box<dyn Error>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let is_text = path.extension().is_some_and(|ending| ending == "txt" || ending == "md");
        if path.is_dir() {
            read(&path, passages)?;
        } else if is_text {
            passages.extend(paragraphs(&path, &fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

fn paragraphs(file: &Path, text: &str) -> Vec<Passage> {
    let mut found: Vec<Passage> = Vec::new();
    let mut goes_on = false;
    for (number, line) in text.lines().enumerate() {
        match found.last_mut() {
            _ if line.trim().is_empty() => goes_on = false,
            Some(passage) if goes_on => {
                passage.text.push(' ');
                passage.text.push_str(line.trim());
            }
            _ => {
                let (file, text) = (file.to_owned(), line.trim().to_owned());
                found.push(Passage { file, line: number + 1, text });
                goes_on = true;
            }
        }
    }
    found
}

fn shortened(text: &str) -> String {
    let short: String = text.chars().take(150).collect();
    if short.len() < text.len() { short + " …" } else { short }
}
