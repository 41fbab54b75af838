//! Tokens per second of a model: prompt processing (pp) and generation (tg).
//!
//! ```text
//! cargo run --release --example bench_llm -- MODEL.gguf [--prompt 256] [--generate 64] [--depth 0] [--cache f16] [--batch 1] [--repeats 3]
//! ```
//!
//! The prompt's ids are arbitrary and generation is greedy, so that another engine can be given the
//! same work. The best repeat is printed: other work on the machine only ever slows one down.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use clap::Parser;

use sconce::models::{AutoModel, LogitsAt};
use sconce::{CachePrecision, Device, LoadOptions, Precision, QuantLevel, TokenBatch};

#[derive(Parser)]
struct Arguments {
    /// A GGUF file, a folder or a Hub id.
    model: String,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 256)]
    prompt: usize,
    /// Tokens generated.
    #[arg(long, default_value_t = 64)]
    generate: usize,
    /// Tokens in the cache before the prompt.
    #[arg(long, default_value_t = 0)]
    depth: usize,
    /// Sequences at once.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Measurements, of which the best counts.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// The dtype of dense weights.
    #[arg(long)]
    dtype: Option<Precision>,
    /// Quantize the weights while loading.
    #[arg(long)]
    quantize: Option<QuantLevel>,
    /// What keys and values are kept in: f32, f16 or q8.
    #[arg(long)]
    cache: Option<CachePrecision>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let Arguments { prompt, generate, depth, batch, .. } = arguments;
    let mut options = LoadOptions::default().device(Device::Cpu);
    options.dtype = arguments.dtype;
    options.quantize = arguments.quantize;
    options.cache = arguments.cache;
    let started = Instant::now();
    let model = AutoModel::causal_lm(arguments.model.as_str(), &options)?;
    let loaded = started.elapsed();
    let vocab = model.limits().vocab;
    let ids = |tokens: usize, repeat: usize| -> Vec<u32> {
        (0..batch * tokens).map(|i| ((i * 7919 + 13 * repeat) % vocab) as u32).collect()
    };
    let rows = |ids: Vec<u32>| {
        let mask = vec![1; ids.len()];
        TokenBatch::new(batch, ids, mask)
    };
    let (mut processed, mut generated) = (0.0_f64, 0.0_f64);
    for repeat in 0..arguments.repeats {
        let mut cache = model.new_cache();
        cache.reserve(depth + prompt + generate);
        if depth > 0 {
            model.forward(&rows(ids(depth, repeat))?, &mut cache, LogitsAt::LastToken)?;
        }
        let started = Instant::now();
        let prompt_rows = rows(ids(prompt, repeat))?;
        let mut logits = model.forward(&prompt_rows, &mut cache, LogitsAt::LastToken)?;
        processed = processed.max((batch * prompt) as f64 / started.elapsed().as_secs_f64());
        let started = Instant::now();
        for _ in 0..generate {
            let next = rows(logits.argmax(1)?.to_vec1::<u32>()?)?;
            logits = model.forward(&next, &mut cache, LogitsAt::LastToken)?;
        }
        generated = generated.max((batch * generate) as f64 / started.elapsed().as_secs_f64());
    }
    println!(
        "sconce {} depth {depth} batch {batch}: pp{prompt} {processed:.1} tok/s  tg{generate} {generated:.1} tok/s  loaded in {:.2} s, resident {} MB",
        Path::new(&arguments.model).file_name().unwrap_or_default().display(),
        loaded.as_secs_f64(),
        resident().map_or_else(|| "?".to_owned(), |kilobytes| (kilobytes / 1000).to_string()),
    );
    Ok(())
}

/// `VmRSS` of this process in kB; `None` where there is no `/proc`.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
