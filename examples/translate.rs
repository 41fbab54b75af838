//! Translates line by line: lines from stdin or a file, translations to stdout, in the same order.
//!
//! ```text
//! echo "The house is wonderful." | cargo run --release --example translate -- --model Helsinki-NLP/opus-mt-en-fr
//! cargo run --release --example translate -- --model facebook/nllb-200-distilled-600M \
//!     --from eng_Latn --to fra_Latn book.txt
//! ```
//!
//! Lines are read as they are needed, and translated in batches of like length. An empty line stays empty.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::mpsc::channel;

use clap::Parser;
use sconce::generation::GenerationConfig;
use sconce::pipeline::TextToTextOptions;
use sconce::{Error, Pipeline, QuantLevel, Result};

#[derive(Parser)]
#[command(about = "Translates lines of text")]
struct Arguments {
    /// A Hub id or a folder (`./folder`) of an encoder-decoder
    #[arg(long, default_value = "google-t5/t5-base")]
    model: String,
    /// The language of the lines, by the codes of the model
    #[arg(long)]
    from: Option<String>,
    /// The language to translate to
    #[arg(long)]
    to: Option<String>,
    /// Beams
    #[arg(long, default_value_t = 4)]
    beams: usize,
    /// Lines per batch
    #[arg(long)]
    batch: Option<usize>,
    /// Quantize while loading: q8_0, …
    #[arg(long)]
    quantize: Option<QuantLevel>,
    /// Lists the languages that the model knows
    #[arg(long)]
    languages: bool,
    /// A text file; stdin if there is none
    file: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Before the model, which takes a while.
    let input: Box<dyn BufRead> = match &arguments.file {
        Some(path) => {
            let reason = |error| format!("{}: {error}", path.display());
            let file = File::open(path).map_err(|error| broken(reason(error)))?;
            Box::new(BufReader::new(file))
        }
        None => Box::new(io::stdin().lock()),
    };
    let mut builder = Pipeline::translation(arguments.model.as_str());
    if let Some(level) = arguments.quantize {
        builder = builder.quantize(level);
    }
    let mut translator = builder.build()?;
    let names_languages = !translator.tokenizer().languages().is_empty();
    if arguments.languages {
        if names_languages {
            let languages = translator.tokenizer().languages().join("\n");
            writeln!(io::stdout(), "{languages}").map_err(broken)?;
        } else {
            eprintln!("{} names no languages: it has one pair, or prefixes", arguments.model);
        }
        return Ok(());
    }
    let generation = GenerationConfig::default().num_beams(arguments.beams);
    let mut options = TextToTextOptions::from(generation);
    options.batch_size = arguments.batch;
    match (&arguments.from, &arguments.to) {
        // T5 has a prefix for a pair.
        (Some(from), Some(to)) if !names_languages => {
            translator = translator.between(from, to)?;
            if translator.prefix().is_empty() {
                let model = &arguments.model;
                eprintln!(
                    "{model} names no `translation_{from}_to_{to}`: a model of one pair of languages ignores \
                     --from and --to, and one with prefixes was not trained for these"
                );
            }
        }
        (from, to) => (options.src_lang, options.tgt_lang) = (from.clone(), to.clone()),
    }
    // Which lines are empty, as far as lines have been read.
    let (empty, is_empty) = channel();
    let lines = input.lines().map_while(|line| line.map_err(|error| eprintln!("{error}")).ok());
    let texts = lines.filter(move |line| {
        let has_text = !line.trim().is_empty();
        let _ = empty.send(!has_text);
        has_text
    });
    let mut translations = translator.stream(texts, &options)?;
    let mut out = io::stdout();
    loop {
        let next = translations.next();
        let mut line =
            |text: &str| writeln!(out, "{text}").and_then(|()| out.flush()).map_err(broken);
        // Empty lines before this one, and at the end those after the last.
        while let Ok(true) = is_empty.try_recv() {
            line("")?;
        }
        match next {
            Some(translation) => line(translation?[0].text().unwrap_or_default())?,
            None => return Ok(()),
        }
    }
}

fn broken(reason: impl ToString) -> Error {
    Error::InvalidInput { reason: reason.to_string() }
}
