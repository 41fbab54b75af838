//! Streams short rows through feature-extraction and prints the resident memory on the way: it stays
//! what it is however many there are.
//!
//! ```text
//! cargo run --release --example stream_rows -- [MODEL] --rows 100000
//! ```

use std::error::Error;
use std::fs;
use std::time::Instant;

use clap::Parser;
use sconce::Pipeline;
use sconce::pipeline::{FeatureExtractionOptions, Pooling};

#[derive(Parser)]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file
    #[arg(default_value = "sentence-transformers/all-MiniLM-L6-v2")]
    model: String,
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { model, rows } = Arguments::parse();
    let extractor = Pipeline::feature_extraction(model).build()?;
    let words = ["light", "candle", "Paris", "film", "wall", "company", "good", "bad"];
    let texts = (0..rows).map(|row| {
        let word = |place: usize| words[(row * 31 + place * 7) % words.len()];
        (0..3 + row % 9).map(word).collect::<Vec<_>>().join(" ")
    });
    let options = FeatureExtractionOptions::default().pooling(Pooling::Mean);
    let step = rows.div_ceil(10).max(1);
    let started = Instant::now();
    for (row, features) in extractor.stream(texts, &options)?.enumerate() {
        features?;
        if row % step == 0 || row + 1 == rows {
            let resident = resident()
                .map_or_else(|| "?".to_owned(), |kb| format!("{:.1}", kb as f64 / 1000.0));
            let seconds = started.elapsed().as_secs_f64();
            println!("{:>9} rows  {seconds:>7.1} s  {resident:>7} MB resident", row + 1);
        }
    }
    Ok(())
}

/// `VmRSS` of this process in kB; `None` where there is no `/proc`.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
