//! Quantizes a model and saves it: a folder or repository as GGUF, which llama.cpp loads, or as a folder
//! of our own; a GGUF file as GGUF.
//!
//! ```text
//! cargo run --release --example quantize -- ./my-model my-model-q4_k.gguf q4_k
//! cargo run --release --example quantize -- ./my-model my-model-bf16.gguf
//! ```

use std::cell::Cell;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use sconce::models::{AutoModel, CausalLm, save_with};
use sconce::{LoadOptions, ModelSource, QuantLevel};

#[derive(Parser)]
#[command(about = "Quantize a language model and save it")]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file
    model: String,
    /// A file that ends in .gguf, or of a folder another folder
    to: PathBuf,
    /// q8_0, q6_k, q5_k, q4_k, q4_0, int8, int4, …; without it nothing is quantized
    level: Option<QuantLevel>,
    /// Modules to leave as they are; by default the output head
    #[arg(long, value_delimiter = ',')]
    skip: Option<Vec<String>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut options = LoadOptions::default();
    options.quantize = arguments.level;
    options.skip_modules = arguments.skip;
    let start = Instant::now();
    let files = ModelSource::from(&arguments.model).open()?;
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &options)?;
    let loaded = start.elapsed();
    let inventory = model.inventory();
    println!("{} parameters, loaded in {:.1} s", inventory.parameters(), loaded.as_secs_f64());
    for (precision, bytes) in inventory.bytes_by_precision() {
        println!("{precision:>8} {:>10.1} MB", megabytes(bytes as u64));
    }
    let start = Instant::now();
    let (tensors, done) = (inventory.items().len(), Cell::new(0));
    save_with(&files, inventory, &arguments.to, &|name| {
        done.set(done.get() + 1);
        let filled = (BAR * done.get() / tensors.max(1)).min(BAR);
        eprint!("\r[{:<BAR$}] {name:<40}", "#".repeat(filled));
    })?;
    eprintln!();
    let seconds = start.elapsed().as_secs_f64();
    let written = megabytes(size(&arguments.to)?);
    println!("{}: {written:.1} MB, written in {seconds:.1} s", arguments.to.display());
    Ok(())
}

/// The width of the progress bar.
const BAR: usize = 40;

/// The bytes of a file, or of a folder's weights.
fn size(path: &Path) -> std::io::Result<u64> {
    let path = if path.is_dir() { &path.join("model.safetensors") } else { path };
    Ok(fs::metadata(path)?.len())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
