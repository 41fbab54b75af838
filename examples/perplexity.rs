//! What quantizing costs: perplexity of a text, and how far each level's predictions are from f32's.
//!
//! ```text
//! cargo run --release --example perplexity -- MODEL --text FILE [--tokens 8192] [--levels q8_0,q4_k]
//! ```
//!
//! The text goes through the model in windows that do not overlap; the first token of each is not
//! predicted. `docs/quantization.md` holds the table it prints.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use clap::Parser;
use sconce::generation::{ScoreOptions, score_with};
use sconce::models::{AutoModel, CausalLm};
use sconce::tokenizer::Tokenizer;
use sconce::{CachePrecision, LoadOptions, ModelSource, Precision, QuantLevel};

#[derive(Parser)]
#[command(about = "Compare quantization levels by perplexity and KL divergence")]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file
    model: String,
    /// A text, of which the beginning is read: enwik8, say
    #[arg(long)]
    text: PathBuf,
    /// Of the text
    #[arg(long, default_value_t = 8192)]
    tokens: usize,
    /// Of a window
    #[arg(long, default_value_t = 512)]
    context: usize,
    /// By default bf16 and all levels; `file` is the model as it is stored
    #[arg(long, value_delimiter = ',')]
    levels: Vec<String>,
    /// Quantize the output head, too
    #[arg(long)]
    head: bool,
    /// What keys and values are kept in: f32, f16 or q8; not of the reference
    #[arg(long)]
    cache: Option<CachePrecision>,
    /// Print the token ids, one window a line, and stop
    #[arg(long)]
    ids: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let files = ModelSource::from(arguments.model.as_str()).open()?;
    // Enough for the tokens, and whole characters.
    let mut bytes = Vec::new();
    fs::File::open(&arguments.text)?.take(8 * arguments.tokens as u64).read_to_end(&mut bytes)?;
    let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let ids = Tokenizer::from_files(&files)?.encode(text)?.ids;
    let ids = &ids[..ids.len().min(arguments.tokens)];
    let windows: Vec<_> =
        ids.chunks(arguments.context.max(2)).filter(|ids| ids.len() > 1).collect();
    if arguments.ids {
        for window in windows {
            let words: Vec<_> = window.iter().map(ToString::to_string).collect();
            println!("{}", words.join(" "));
        }
        return Ok(());
    }

    let reference = AutoModel::from_files::<dyn CausalLm>(
        &files,
        &LoadOptions::default().dtype(Precision::F32),
    )?;
    let names: Vec<String> = if arguments.levels.is_empty() {
        let levels = QuantLevel::ALL.iter().map(|level| level.name());
        ["bf16"].into_iter().chain(levels).map(str::to_owned).collect()
    } else {
        arguments.levels.clone()
    };
    let mut rows = vec![Row::new("f32", reference)];
    for name in &names {
        let mut options = LoadOptions::default();
        if name != "file" {
            match name.parse::<Precision>() {
                Ok(dtype) => options.dtype = Some(dtype),
                Err(_) => options = options.dtype(Precision::F32).quantize(name.parse()?),
            }
        }
        options.cache = arguments.cache;
        if arguments.head {
            options.skip_modules = Some(Vec::new());
        }
        rows.push(Row::new(name, AutoModel::from_files::<dyn CausalLm>(&files, &options)?));
    }
    for (number, window) in windows.iter().enumerate() {
        eprint!("\rwindow {} of {}", number + 1, windows.len());
        measure(window, &mut rows)?;
    }
    eprintln!();
    print(&rows);
    Ok(())
}

/// A level's model and its sums over all predicted tokens.
struct Row {
    name: String,
    model: std::sync::Arc<dyn CausalLm>,
    tokens: usize,
    /// Of `-ln` of the probability of the token that came.
    surprise: f64,
    /// From f32's distribution to this one, in nats.
    divergence: f64,
    /// Tokens whose likeliest successor is f32's.
    agreed: usize,
}

impl Row {
    fn new(name: &str, model: std::sync::Arc<dyn CausalLm>) -> Self {
        let name = name.to_owned();
        Self { name, model, tokens: 0, surprise: 0.0, divergence: 0.0, agreed: 0 }
    }
}

fn measure(window: &[u32], rows: &mut [Row]) -> sconce::Result<()> {
    // f32's log-probabilities of all tokens at each place.
    let mut reference: Vec<Vec<f32>> = Vec::new();
    for row in rows {
        let Row { model, tokens, surprise, divergence, agreed, .. } = row;
        let is_reference = reference.is_empty();
        let window = [window.to_vec()];
        score_with(&**model, &window, &ScoreOptions::default(), |_, at, distribution| {
            *tokens += 1;
            *surprise -= f64::from(distribution.log_probability(window[0][at] as usize));
            let logs = (0..distribution.logits().len()).map(|id| distribution.log_probability(id));
            let logs: Vec<_> = logs.collect();
            if is_reference {
                *agreed += 1;
                reference.push(logs);
            } else {
                let expected = &reference[at - 1];
                let terms = expected.iter().zip(&logs);
                *divergence += terms.map(|(p, q)| f64::from(p.exp() * (p - q))).sum::<f64>();
                *agreed += usize::from(likeliest(expected) == likeliest(&logs));
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn likeliest(logs: &[f32]) -> Option<usize> {
    (0..logs.len()).max_by(|&a, &b| logs[a].total_cmp(&logs[b]))
}

fn print(rows: &[Row]) {
    println!(
        "| level | weights | bits per weight | perplexity | more than f32 | KL divergence | same first choice |"
    );
    println!("|---|---|---|---|---|---|---|");
    let perplexity = |row: &Row| (row.surprise / row.tokens.max(1) as f64).exp();
    for row in rows {
        let memory = row.model.memory();
        let tokens = row.tokens.max(1) as f64;
        println!(
            "| {} | {:.1} MB | {:.2} | {:.3} | {:+.2} % | {:.5} | {:.1} % |",
            row.name,
            memory.weights as f64 / 1e6,
            8.0 * memory.weights as f64 / memory.parameters as f64,
            perplexity(row),
            100.0 * (perplexity(row) / perplexity(&rows[0]) - 1.0),
            row.divergence / tokens,
            100.0 * row.agreed as f64 / tokens,
        );
    }
}
