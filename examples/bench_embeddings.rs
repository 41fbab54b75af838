//! Tokens per second of an encoder beside PyTorch and ONNX Runtime on the same texts, by turns.
//!
//! ```text
//! cargo run --release --example bench_embeddings -- --model FOLDER [--python venv/bin/python] [--threads 2]
//! ```
//!
//! `--python` names an interpreter with torch, transformers, onnx, onnxscript and onnxruntime; without
//! it only this crate is measured. Every engine gets the same texts in the same padded batches, once as
//! ids (the forward pass alone) and once as text (tokenization counted). In each round every engine
//! runs once; the best round counts, since other work on the machine only ever slows one down. The
//! other engines are `examples/support/embedding_engines.py`.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use sconce::models::AutoModel;
use sconce::models::heads::Encoder;
use sconce::tokenizer::{BatchOptions, TextInput, Tokenizer, Truncation};
use sconce::{Device, LoadOptions, ModelSource, Precision, QuantLevel};
use serde_json::json;

#[derive(Parser)]
struct Arguments {
    /// A folder: all-MiniLM-L6-v2, say
    #[arg(long)]
    model: PathBuf,
    /// A Python interpreter with the other engines
    #[arg(long)]
    python: Option<PathBuf>,
    /// Threads of the other engines; for this crate's, set RAYON_NUM_THREADS
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// The dtype of dense weights
    #[arg(long)]
    dtype: Option<Precision>,
    /// Quantize the weights while loading
    #[arg(long)]
    quantize: Option<QuantLevel>,
}

/// Words per text, texts per batch: as `embedding_bench` has always had them.
const SHAPES: [(usize, usize); 3] = [(16, 32), (90, 32), (200, 16)];
const MOST_TOKENS: usize = 256;
const KINDS: [&str; 2] = ["forward", "text"];

/// This crate's side.
struct Ours {
    tokenizer: Tokenizer,
    encoder: Arc<dyn Encoder>,
}

impl Ours {
    fn batching() -> BatchOptions {
        BatchOptions::default().truncation(Truncation::to(MOST_TOKENS))
    }

    /// Seconds of the forward pass, and with the tokenization before it; and the tokens.
    fn run(&self, texts: &[String]) -> Result<([f64; 2], usize), Box<dyn Error>> {
        let inputs: Vec<_> = texts.iter().map(TextInput::from).collect();
        let started = Instant::now();
        let batch = self.tokenizer.encode_batch_with(&inputs, &Self::batching())?;
        let tokenized = started.elapsed().as_secs_f64();
        let started = Instant::now();
        self.encoder.encode(&batch.tokens)?;
        let forward = started.elapsed().as_secs_f64();
        let tokens = batch.tokens.attention_mask().iter().filter(|mask| **mask == 1).count();
        Ok(([forward, tokenized + forward], tokens))
    }
}

/// The engines that Python has.
struct Others {
    _process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    names: Vec<String>,
}

impl Others {
    fn start(python: &Path, model: &Path, threads: usize) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(python)
            .args(["-c", include_str!("support/embedding_engines.py")])
            .arg(model)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", python.display()))?;
        let questions = process.stdin.take().ok_or("no stdin")?;
        let answers = BufReader::new(process.stdout.take().ok_or("no stdout")?);
        let mut others = Self { _process: process, questions, answers, names: Vec::new() };
        others.names = serde_json::from_str(&others.answer()?)?;
        Ok(others)
    }

    fn run(&mut self, engine: &str, texts: &[String]) -> Result<[f64; 2], Box<dyn Error>> {
        let question = json!({"engine": engine, "texts": texts, "max_length": MOST_TOKENS});
        writeln!(self.questions, "{question}")?;
        self.questions.flush()?;
        Ok(serde_json::from_str(&self.answer()?)?)
    }

    fn answer(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err("the other engines' process has ended: see above".into()),
            _ => Ok(line),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let model = arguments.model;
    let source = ModelSource::directory(&model);
    let mut options = LoadOptions::default().device(Device::Cpu);
    options.dtype = arguments.dtype;
    options.quantize = arguments.quantize;
    let ours = Ours {
        tokenizer: Tokenizer::open(&source)?,
        encoder: AutoModel::open::<dyn Encoder>(source, &options)?,
    };
    let start = |python: &PathBuf| Others::start(python, &model, arguments.threads);
    let mut others = arguments.python.as_ref().map(start).transpose()?;
    let names: Vec<String> = others.iter().flat_map(|others| others.names.clone()).collect();
    for (words, batch) in SHAPES {
        let texts = texts(words, batch)?;
        let mut best = vec![[f64::INFINITY; 2]; 1 + names.len()];
        let mut tokens = 0;
        for _ in 0..=arguments.rounds {
            let (seconds, counted) = ours.run(&texts)?;
            tokens = counted;
            keep(&mut best[0], seconds);
            if let Some(others) = &mut others {
                for (name, best) in names.iter().zip(&mut best[1..]) {
                    keep(best, others.run(name, &texts)?);
                }
            }
        }
        for (kind, what) in KINDS.iter().enumerate() {
            let rate = tokens as f64 / best[0][kind];
            print!("{batch:>3} x {words:>3} words, {what:<7} sconce {rate:>7.0} tokens/s");
            for (name, theirs) in names.iter().zip(&best[1..]) {
                let (theirs, ours) = (theirs[kind], best[0][kind]);
                print!("  {name} {:>7.0} ({:.2} x)", tokens as f64 / theirs, theirs / ours);
            }
            println!();
        }
    }
    Ok(())
}

fn keep(best: &mut [f64; 2], seconds: [f64; 2]) {
    best.iter_mut().zip(seconds).for_each(|(best, seconds)| *best = best.min(seconds));
}

/// Overlapping pieces of a text that is everywhere.
fn texts(words: usize, count: usize) -> Result<Vec<String>, Box<dyn Error>> {
    let file = "/usr/share/common-licenses/GPL-3";
    let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let all: Vec<&str> = text.split_whitespace().collect();
    let piece = |number: usize| {
        let start = number * 37 % 4000;
        all[start..(start + words).min(all.len())].join(" ")
    };
    Ok((0..count).map(piece).collect())
}
