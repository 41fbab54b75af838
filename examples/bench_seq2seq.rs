//! Tokens per second of an encoder-decoder: beam search over batches of lines.
//!
//! ```text
//! cargo run --release --example bench_seq2seq -- MODEL LINES.txt [--batch 32] [--beams 4] [--quantize q8_0] [--repeats 3] [--ids IDS.json]
//! ```
//!
//! The best repeat is printed: other work on the machine only ever slows one down. `--ids` writes what came, for a
//! comparison with another engine.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use sconce::generation::{CancelHandle, Generated, GenerationConfig, generate_seq2seq};
use sconce::models::{AutoModel, Seq2SeqLm};
use sconce::tokenizer::Tokenizer;
use sconce::{LoadOptions, ModelSource, Precision, QuantLevel};

#[derive(Parser)]
struct Arguments {
    /// A folder (`./folder`) or a Hub id.
    model: String,
    /// Texts, one in each line.
    lines: PathBuf,
    /// Lines at once.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// No more lines than this.
    #[arg(long, default_value_t = usize::MAX)]
    most: usize,
    /// Beams; by default as many as the model's configuration says.
    #[arg(long)]
    beams: Option<usize>,
    /// The dtype of dense weights.
    #[arg(long)]
    dtype: Option<Precision>,
    /// Quantize the weights while loading.
    #[arg(long)]
    quantize: Option<QuantLevel>,
    /// Modules to leave unquantized; by default the output head, with `none` no module.
    #[arg(long, value_delimiter = ',')]
    skip: Option<Vec<String>>,
    /// Measurements, of which the best counts.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// A file for texts and ids.
    #[arg(long)]
    ids: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut options = LoadOptions::default();
    options.dtype = arguments.dtype;
    options.quantize = arguments.quantize;
    options.skip_modules = arguments.skip.map(|mut modules| {
        modules.retain(|module| module != "none");
        modules
    });
    let files = ModelSource::from(&arguments.model).open()?;
    let tokenizer = Tokenizer::from_files(&files)?;
    let model = AutoModel::from_files::<dyn Seq2SeqLm>(&files, &options)?;
    let mut config = GenerationConfig::from_files(&files, &tokenizer)?;
    if let Some(beams) = arguments.beams {
        config = config.num_beams(beams);
    }
    let start = [model.start_id().ok_or("the model has no decoder_start_token_id")?];
    let text = fs::read_to_string(&arguments.lines)?;
    let lines: Vec<&str> = text.lines().take(arguments.most).collect();
    let sources = lines.iter().map(|line| Ok(tokenizer.encode(line)?.ids));
    let sources = sources.collect::<sconce::Result<Vec<_>>>()?;

    let (mut best, mut answers) = (f64::MAX, Vec::new());
    for _ in 0..arguments.repeats {
        let started = Instant::now();
        answers.clear();
        for sources in sources.chunks(arguments.batch) {
            let cancel = CancelHandle::default();
            answers.extend(generate_seq2seq(&model, None, sources, &start, &config, &cancel)?);
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    let tokens: usize = answers.iter().map(|answer| answer.tokens.len()).sum();
    println!(
        "{} lines, batches of {}: {:.1} tok/s, {tokens} tokens in {best:.2} s",
        lines.len(),
        arguments.batch,
        tokens as f64 / best
    );
    if let Some(path) = arguments.ids {
        let ids: Vec<_> = answers.iter().map(Generated::ids).collect();
        fs::write(path, serde_json::to_string(&ids)?)?;
    }
    Ok(())
}
