//! How much memory loading takes: resident and peak, for every dtype and quantization level.
//!
//! ```text
//! cargo run --release --example memory
//! ```
//!
//! Makes a folder of random bf16 weights in the shape of a small Llama, then loads it once per row
//! of the table, each time in a process of its own, and asks Linux what that took. The table in
//! `docs/loading.md` is its output.

use std::env;
use std::error::Error;
use std::fs;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use sconce::weights::{Bias, Linear, NameTable, Weights};
use sconce::{Device, LoadOptions, ModelSource, Precision, QuantLevel};

const LAYERS: usize = 6;
const HIDDEN: usize = 2048;
const INTERMEDIATE: usize = 5632;
const VOCAB: usize = 32_000;
/// The layers of one block: name, features in, features out.
const LINEARS: [(&str, usize, usize); 5] = [
    ("qkv", HIDDEN, 3 * HIDDEN),
    ("o", HIDDEN, HIDDEN),
    ("gate", HIDDEN, INTERMEDIATE),
    ("up", HIDDEN, INTERMEDIATE),
    ("down", INTERMEDIATE, HIDDEN),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [folder, choice] = arguments.as_slice() {
        return load(Path::new(folder), choice);
    }
    let folder = env::temp_dir().join(format!("sconce-memory-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let outcome = table(&folder);
    fs::remove_dir_all(&folder)?;
    outcome
}

fn table(folder: &Path) -> Result<(), Box<dyn Error>> {
    let weights = write_weights(&folder.join("model.safetensors"))?;
    let largest = VOCAB * HIDDEN * 2;
    println!(
        "{} million weights in bf16, the largest tensor {} MB\n",
        weights / 1_000_000,
        mb(largest)
    );
    println!("| loaded as | weights | resident | peak | peak over resident |");
    println!("|---|---|---|---|---|");
    let levels = QuantLevel::ALL.iter().map(|level| level.name());
    for choice in ["f32", "bf16", "f16"].into_iter().chain(levels) {
        let status = Command::new(env::current_exe()?).arg(folder).arg(choice).status()?;
        if !status.success() {
            return Err(format!("loading as {choice} failed: {status}").into());
        }
    }
    Ok(())
}

/// Loads the folder and prints one row of the table.
fn load(folder: &Path, choice: &str) -> Result<(), Box<dyn Error>> {
    let options = LoadOptions::default().device(Device::Cpu);
    let options = match choice.parse::<Precision>() {
        Ok(dtype) => options.dtype(dtype),
        // What is not quantized, the embedding, stays as small as it is stored.
        Err(_) => options.dtype(Precision::BF16).quantize(choice.parse::<QuantLevel>()?),
    };
    let before = status("VmRSS")?;
    let files = ModelSource::directory(folder).open()?;
    let weights = Weights::open(&files, NameTable::stored_names(), &options)?;
    let embedding = weights.embedding("embed", VOCAB, HIDDEN)?;
    let mut linears = Vec::new();
    for layer in 0..LAYERS {
        let layer = weights.scope("layers").scope(layer);
        for (name, inputs, outputs) in LINEARS {
            linears.push(layer.linear(name, inputs, outputs, Bias::Absent)?);
        }
    }
    drop(weights);
    let bytes = embedding.bytes() + linears.iter().map(Linear::bytes).sum::<usize>();
    let (resident, peak) = (status("VmRSS")? - before, status("VmHWM")? - before);
    println!(
        "| {choice} | {} MB | {} MB | {} MB | {} MB |",
        mb(bytes),
        mb(resident),
        mb(peak),
        mb(peak - resident)
    );
    Ok(())
}

fn write_weights(path: &Path) -> Result<usize, Box<dyn Error>> {
    let mut shapes = vec![("embed".to_owned(), VOCAB, HIDDEN)];
    for layer in 0..LAYERS {
        let name = |linear| format!("layers.{layer}.{linear}");
        shapes.extend(LINEARS.map(|(linear, inputs, outputs)| (name(linear), outputs, inputs)));
    }
    let mut end = 0;
    let entries: Vec<_> = shapes
        .iter()
        .map(|(name, rows, columns)| {
            let start = end;
            end += rows * columns * 2;
            format!(
                r#""{name}.weight":{{"dtype":"BF16","shape":[{rows},{columns}],"data_offsets":[{start},{end}]}}"#
            )
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    // xorshift: sign and mantissa at random, values between 2^-7 and 2^-5.
    let mut state = 1_u32;
    for _ in 0..end / 2 {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let bits = (state as u16 & 0x80ff) | 0x3c00;
        file.write_all(&bits.to_le_bytes())?;
    }
    file.into_inner()?.sync_all()?;
    Ok(end / 2)
}

/// A line of `/proc/self/status`, in bytes.
fn status(field: &str) -> Result<usize, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("this example needs Linux: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).ok_or("no such line")?;
    Ok(kilobytes.parse::<usize>()? * 1024)
}

fn mb(bytes: usize) -> usize {
    (bytes + 500_000) / 1_000_000
}
