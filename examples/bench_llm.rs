//! Tokens per second of a model: prompt processing (pp) and generation (tg).
//!
//! ```text
//! cargo run --release --example bench_llm -- MODEL.gguf [--prompt 256] [--generate 64] [--depth 0] [--cache f16] [--batch 1] [--beams 4] [--mixed] [--repeats 3] [--lookup]
//! ```
//!
//! The prompt's ids are arbitrary and generation is greedy, so that another engine can be given the
//! same work. The best repeat is printed: other work on the machine only ever slows one down.
//!
//! `--lookup` compares plain decoding with prompt lookup instead, by turns, on a text that is to be copied with
//! one change and on free text. It needs a model with a chat template.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use clap::Parser;

use sconce::batch::PaddingSide;
use sconce::generation::{GenerationConfig, Timings, generate, generate_batch};
use sconce::models::{AutoModel, CausalLm, LogitsAt};
use sconce::tokenizer::Tokenizer;
use sconce::tokenizer::chat::{ChatOptions, Message};
use sconce::{CachePrecision, Device, LoadOptions, ModelSource, Precision, QuantLevel, TokenBatch};

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
    /// Beam search with so many beams for each sequence; to be compared with a batch of as many rows.
    #[arg(long, default_value_t = 1)]
    beams: usize,
    /// Prompts of different lengths, evenly from 10 tokens up.
    #[arg(long)]
    mixed: bool,
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
    /// Prompt lookup against plain decoding.
    #[arg(long)]
    lookup: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let Arguments { prompt, generate, depth, batch, mixed, beams, .. } = arguments;
    let mut options = LoadOptions::default().device(Device::Cpu);
    options.dtype = arguments.dtype;
    options.quantize = arguments.quantize;
    options.cache = arguments.cache;
    if arguments.lookup {
        return lookup(&arguments, &options);
    }
    let started = Instant::now();
    let model = AutoModel::open::<dyn CausalLm>(arguments.model.as_str(), &options)?;
    let loaded = started.elapsed();
    let vocab = model.limits().vocab;
    let row = |tokens: usize, seed: usize| -> Vec<u32> {
        (0..tokens).map(|i| ((i * 7919 + 13 * seed) % vocab) as u32).collect()
    };
    let rows = |tokens: usize, seed: usize| -> Vec<Vec<u32>> {
        let shortest = if mixed { tokens.min(10) } else { tokens };
        let length = |i: usize| shortest + i * (tokens - shortest) / (batch - 1).max(1);
        (0..batch).map(|i| row(length(i), seed + i)).collect()
    };
    let padded = |rows: &[Vec<u32>]| TokenBatch::padded(rows, 0, PaddingSide::Left);
    let (mut processed, mut generated, mut forked) = (0.0_f64, 0.0_f64, f64::MAX);
    if beams > 1 {
        let mut fastest = 0.0_f64;
        for repeat in 0..arguments.repeats {
            let config = GenerationConfig::default().max_new_tokens(generate).num_beams(beams);
            let answers = generate_batch(&model, None, &rows(prompt, repeat), &config)?;
            let Some(answer) = answers.first() else { continue };
            let seconds = (answer.timings.total - answer.timings.time_to_first_token).as_secs_f64();
            fastest = fastest.max((batch * beams * (generate - 1)) as f64 / seconds);
        }
        println!(
            "sconce batch {batch} with {beams} beams: tg{generate} {fastest:.1} tok/s of all beams"
        );
    }
    for repeat in 0..arguments.repeats {
        let mut cache = model.new_cache();
        cache.reserve(depth + prompt + generate);
        if depth > 0 {
            model.forward(&padded(&rows(depth, repeat))?, &mut cache, LogitsAt::LastToken)?;
        }
        let started = Instant::now();
        let prompts = rows(prompt, repeat);
        let mut logits = model.forward(&padded(&prompts)?, &mut cache, LogitsAt::LastToken)?;
        let tokens = prompts.concat().len();
        processed = processed.max(tokens as f64 / started.elapsed().as_secs_f64());
        let started = Instant::now();
        for _ in 0..generate {
            let next = TokenBatch::new(batch, logits.argmax(1)?.to_vec1()?, vec![1; batch])?;
            logits = model.forward(&next, &mut cache, LogitsAt::LastToken)?;
        }
        generated = generated.max((batch * generate) as f64 / started.elapsed().as_secs_f64());
        let started = Instant::now();
        let fork = cache.fork()?;
        forked = forked.min(started.elapsed().as_secs_f64());
        drop(fork);
    }
    println!(
        "sconce {} depth {depth} batch {batch}: pp{prompt} {processed:.1} tok/s  tg{generate} {generated:.1} tok/s  fork {:.0} us  loaded in {:.2} s, resident {} MB",
        Path::new(&arguments.model).file_name().unwrap_or_default().display(),
        forked * 1e6,
        loaded.as_secs_f64(),
        resident().map_or_else(|| "?".to_owned(), |kilobytes| (kilobytes / 1000).to_string()),
    );
    Ok(())
}

/// Tokens per second after the first, of plain decoding and with prompt lookup.
fn lookup(arguments: &Arguments, options: &LoadOptions) -> Result<(), Box<dyn Error>> {
    let files = ModelSource::from(arguments.model.as_str()).open()?;
    let tokenizer = Tokenizer::from_files(&files)?;
    let model = AutoModel::from_files::<dyn CausalLm>(&files, options)?;
    let plain = GenerationConfig::from_files(&files, &tokenizer)?
        .do_sample(false)
        .max_new_tokens(arguments.generate);
    let looking = plain.clone().prompt_lookup_num_tokens(10).max_matching_ngram_size(3);
    let copying = format!("Copy this text word for word, but write Ann instead of Tim.\n\n{TEXT}");
    let free = "Tell me a long story about a lighthouse.".to_owned();
    for (task, question) in [("copying", copying), ("free text", free)] {
        let chat = ChatOptions::default().add_generation_prompt(true);
        let prompt = tokenizer.encode_chat(&[Message::user(question)], &chat)?.encoding.ids;
        let run = |config: &GenerationConfig| -> sconce::Result<(Vec<u32>, Timings)> {
            let mut stream = generate(&model, &prompt, config)?;
            let ids = stream.by_ref().map(|token| Ok(token?.id)).collect::<sconce::Result<_>>()?;
            Ok((ids, stream.timings()))
        };
        let (mut slow, mut fast) = (0.0_f64, 0.0_f64);
        let mut counts = Timings::default();
        for _ in 0..arguments.repeats {
            let ((expected, first), (found, second)) = (run(&plain)?, run(&looking)?);
            if found != expected {
                println!("{task}: the answers differ: logits lie closer than rounding");
            }
            slow = slow.max(first.tokens_per_second());
            if second.tokens_per_second() > fast {
                (fast, counts) = (second.tokens_per_second(), second);
            }
        }
        println!(
            "{task}: {} tokens, plain {slow:.1} tok/s, lookup {fast:.1} tok/s ({:.2} x), {} of {} drafted accepted",
            counts.generated_tokens,
            fast / slow,
            counts.accepted_tokens,
            counts.drafted_tokens,
        );
    }
    Ok(())
}

/// What is to be copied.
const TEXT: &str = "Tim keeps the lighthouse at the end of the bay. Every evening he climbs the hundred and \
twelve steps, cleans the great lens with a soft cloth, and lights the lamp before the sun is gone. In winter the \
storms come from the north, and then he stays awake all night and writes down in a green book which ships have \
passed. On Sundays his sister brings bread, apples and the newspapers of the week, and they talk about the harbour, \
the price of fish, and the house in which they grew up.";

/// `VmRSS` of this process in kB; `None` where there is no `/proc`.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
