//! Every task on the command line.
//!
//! ```text
//! cargo run --release --example pipeline -- text-generation --model ./smollm2 \
//!     --options '{"max_new_tokens": 20, "do_sample": false}' "Once upon a time"
//! ```
//!
//! Prints one JSON document in the shape that the Python pipeline of that name returns; everything
//! else goes to stderr. Sound and pictures become files, such as `text-to-image-0.png`, whose paths are printed to
//! stderr. A wrong task, option or input exits 2, a failed run exits 1.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use sconce::pipeline::{Media, Pipeline, TaskName};
use sconce::{Device, Error, LoadOptions, ModelSource, Precision, QuantLevel};
use serde_json::{Map, Value};

#[derive(Parser)]
#[command(about = "Runs a Hugging Face task and prints its result as JSON")]
struct Arguments {
    /// A Hugging Face task name or alias, such as text-generation
    task: TaskName,
    /// A Hub id, a folder (`./folder`) or a GGUF file; by default the model that Python takes for the task
    #[arg(long)]
    model: Option<String>,
    /// A GGUF file inside the Hub repository that --model names
    #[arg(long)]
    gguf_file: Option<String>,
    /// A branch, tag or commit of the Hub repository
    #[arg(long)]
    revision: Option<String>,
    /// cpu, cuda, cuda:1 or metal; by default the best this build has
    #[arg(long, value_parser = device)]
    device: Option<Device>,
    /// auto, f32, f16 or bf16; makes a GGUF file's weights dense
    #[arg(long)]
    dtype: Option<Precision>,
    /// Quantize while loading: q8_0, q4_k, …
    #[arg(long)]
    quantize: Option<QuantLevel>,
    /// The task's options by their Hugging Face names, as a JSON object
    #[arg(long, value_parser = object, default_value = "{}")]
    options: Map<String, Value>,
    /// The folder that sound and pictures are written to
    #[arg(long, default_value = ".")]
    output: PathBuf,
    /// Text, @FILE, - for stdin, or JSON: a list is a batch, a list of messages a chat. For tasks of
    /// sound (feature `audio`), the path of a recording; of pictures (feature `image`), the path of one
    input: String,
}

fn main() -> ExitCode {
    // clap prints usage errors and exits 2 by itself.
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.is_caller_error() { 2 } else { 1 })
        }
    }
}

fn run(arguments: Arguments) -> Result<Value, Error> {
    let input = input(&arguments.input)?;
    let mut options = LoadOptions::default();
    options.device = arguments.device;
    options.dtype = arguments.dtype;
    options.quantize = arguments.quantize;
    if io::stderr().is_terminal() {
        options =
            options.progress(|at| eprint!("\rloading {:3} %\r", 100 * at.done / at.total.max(1)));
    }
    let source = match arguments.model {
        Some(model) => ModelSource::from(model),
        None => arguments.task.default_model().ok_or_else(|| {
            usage("model", &format!("{} has no default model: name one", arguments.task))
        })?,
    };
    let source = match (source, arguments.revision) {
        (ModelSource::Hub(repo), Some(revision)) => ModelSource::Hub(repo.revision(revision)),
        (_, Some(_)) => return Err(usage("revision", "only a Hub repository has revisions")),
        (source, None) => source,
    };
    let source = match (source, arguments.gguf_file) {
        (ModelSource::Hub(repo), Some(file)) => repo.gguf(file),
        (_, Some(_)) => return Err(usage("gguf-file", "--model is not a Hub repository")),
        (source, None) => source,
    };
    let task = arguments.task.to_string();
    let output = Pipeline::open(arguments.task, source, options)?.call(input, arguments.options)?;
    for (number, media) in output.media.iter().enumerate() {
        let path = save(&arguments.output, &format!("{task}-{number}"), media)?;
        eprintln!("{}", path.display());
    }
    Ok(output.json)
}

/// Writes sound or a picture into a folder.
fn save(folder: &Path, name: &str, media: &Media) -> Result<PathBuf, Error> {
    match media {
        #[cfg(feature = "audio")]
        Media::Audio(audio) => {
            let path = folder.join(format!("{name}.wav"));
            audio.save(&path)?;
            Ok(path)
        }
        #[cfg(feature = "image")]
        Media::Image(image) => {
            let path = folder.join(format!("{name}.png"));
            sconce::image::write(&path, image)?;
            Ok(path)
        }
        _ => Err(usage("output", &format!("{}: no file is written of {name}", folder.display()))),
    }
}

/// What stands on the command line, in a file or on stdin. JSON arrays, objects and strings are
/// taken as such; whatever is not JSON is text.
fn input(argument: &str) -> Result<Value, Error> {
    let text = if argument == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| usage("input", &format!("stdin: {error}")))?;
        text
    } else if let Some(path) = argument.strip_prefix('@').map(PathBuf::from) {
        let read = std::fs::read_to_string(&path);
        read.map_err(|error| usage("input", &format!("{}: {error}", path.display())))?
    } else {
        argument.to_owned()
    };
    Ok(match serde_json::from_str(&text) {
        Ok(value @ (Value::Array(_) | Value::Object(_))) => value,
        _ => Value::String(text),
    })
}

fn usage(option: &str, reason: &str) -> Error {
    Error::InvalidOption { option: option.to_owned(), reason: reason.to_owned() }
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("is not a JSON object: {error}"))
}

fn device(name: &str) -> Result<Device, String> {
    let (kind, number) = name.split_once(':').unwrap_or((name, "0"));
    let number = number.parse().map_err(|_| format!("{number:?} is not a device number"))?;
    match kind {
        "cpu" => Ok(Device::Cpu),
        "cuda" => Device::new_cuda(number).map_err(|error| error.to_string()),
        "metal" => Device::new_metal(number).map_err(|error| error.to_string()),
        _ => Err("known devices are cpu, cuda, cuda:N and metal".to_owned()),
    }
}
