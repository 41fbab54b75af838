//! Summarizes a file, or every text file of a folder.
//!
//! ```text
//! cargo run --release --example summarize -- --model sshleifer/distilbart-cnn-12-6 article.txt
//! cargo run --release --example summarize -- --model ./flan-t5-small --split ./articles
//! ```
//!
//! One file is streamed as its summary is generated, with one beam; `--beams` sets more, and the files of a
//! folder are summarized together. Summaries go to stdout, everything else to stderr.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Parser;
use sconce::generation::GenerationConfig;
use sconce::pipeline::{SummarizationPipeline, TextToTextOptions, TruncationReport};
use sconce::tokenizer::TruncationStrategy;
use sconce::{Error, Pipeline, Result};

#[derive(Parser)]
#[command(about = "Summarizes a file or the text files of a folder")]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file of an encoder-decoder
    #[arg(long, default_value = "sshleifer/distilbart-cnn-12-6")]
    model: String,
    /// The most tokens of a summary
    #[arg(long, default_value_t = 128)]
    max_new_tokens: usize,
    /// The least tokens of a summary
    #[arg(long, default_value_t = 0)]
    min_new_tokens: usize,
    /// Beams; with more than one, a summary comes whole
    #[arg(long)]
    beams: Option<usize>,
    /// Splits texts that are longer than the model reads between sentences; without, they are cut
    #[arg(long)]
    split: bool,
    /// A file, or a folder of text files
    path: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Before the model, which takes a while.
    let files = files(&arguments.path)?;
    let summarizer = Pipeline::summarization(arguments.model.as_str()).build()?;
    let mut generation = GenerationConfig::default()
        .max_new_tokens(arguments.max_new_tokens)
        .min_new_tokens(arguments.min_new_tokens);
    generation.num_beams = arguments.beams;
    let options = TextToTextOptions::from(generation);
    let options = match arguments.split {
        true => options.split_long_texts(true),
        false => options.truncation(TruncationStrategy::LongestFirst),
    };
    let streams = !arguments.split && arguments.beams.is_none_or(|beams| beams == 1);
    match (arguments.path.is_dir(), streams) {
        (false, true) => stream(&summarizer, &read(&arguments.path)?, &options),
        _ => together(&summarizer, &files, options),
    }
}

/// The summary of one text, piece by piece.
fn stream(
    summarizer: &SummarizationPipeline,
    text: &str,
    options: &TextToTextOptions,
) -> Result<()> {
    let mut summary = summarizer.stream_text_with(text, options)?;
    let mut out = io::stdout();
    for piece in &mut summary {
        write!(out, "{}", piece?).and_then(|()| out.flush()).map_err(output)?;
    }
    writeln!(out).map_err(output)?;
    eprintln!("{}", summary.timings());
    Ok(())
}

/// The summaries of many texts, in their order; of those that are none, what is wrong with them.
fn together(
    summarizer: &SummarizationPipeline,
    files: &[PathBuf],
    options: TextToTextOptions,
) -> Result<()> {
    let report = TruncationReport::default();
    let options = options.truncation_report(report.clone());
    let read = files.iter().filter_map(|file| match read(file) {
        Ok(text) => Some((file, text)),
        Err(error) => {
            eprintln!("{error}");
            None
        }
    });
    let (read, texts): (Vec<_>, Vec<_>) = read.unzip();
    let mut done = 0;
    let mut out = io::stdout();
    for (file, summary) in read.iter().zip(summarizer.stream(texts, &options)?) {
        match summary {
            Ok(summary) => {
                let text = summary[0].text().unwrap_or_default();
                writeln!(out, "{}: {text}", file.display()).map_err(output)?;
                done += 1;
            }
            Err(error) => eprintln!("{}: {error}", file.display()),
        }
    }
    for number in report.inputs() {
        eprintln!("{}: was cut", read[number].display());
    }
    if done < files.len() {
        let reason = format!("{} of {} files are not summarized", files.len() - done, files.len());
        return Err(Error::InvalidInput { reason });
    }
    Ok(())
}

/// The file, or the files of the folder, by name.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.is_file());
    if files.is_empty() {
        return Err(Error::InvalidInput { reason: format!("{}: holds no files", path.display()) });
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::InvalidInput { reason: format!("{}: {error}", path.display()) }
}

fn output(error: io::Error) -> Error {
    Error::InvalidInput { reason: format!("stdout: {error}") }
}
