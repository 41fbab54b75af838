//! What a model is made of: its modules as `print(model)` shows them in Python, its parameters and its
//! memory, at any precision.
//!
//! ```text
//! cargo run --release --example inspect -- [MODEL] [--dtype bf16] [--quantize q4_k]
//! ```

use std::error::Error;

use clap::Parser;
use sconce::models::{AutoModel, CausalLm};
use sconce::{LoadOptions, ModelSource, Precision, QuantLevel};

#[derive(Parser)]
#[command(about = "Print what a language model is made of")]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file
    #[arg(default_value = "HuggingFaceTB/SmolLM2-135M-Instruct")]
    model: String,
    /// The dtype of dense weights: auto, f32, bf16, f16
    #[arg(long)]
    dtype: Option<Precision>,
    /// Quantize while loading: q8_0, q4_k, int8, int4, …
    #[arg(long)]
    quantize: Option<QuantLevel>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut options = LoadOptions::default();
    options.dtype = arguments.dtype;
    options.quantize = arguments.quantize;
    let files = ModelSource::from(arguments.model).open()?;
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &options)?;
    println!("{}\n", model.inventory());
    println!("{}", model.memory());
    println!("context          {:>14} tokens", model.limits().context);
    Ok(())
}
