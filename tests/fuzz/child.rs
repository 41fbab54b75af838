//! The process that makes the runs, one after the other, and tells of each on a line.

use std::fs::{self, File};
use std::io::{Write, stdout};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use sconce::pipeline::{Input, Pipeline, on_warning};
use sconce::tokenizer::Tokenizer;
use sconce::{Device, Error, LoadOptions, ModelSource};
use serde_json::{Value, json};

use crate::MOST_MEMORY;
use crate::allocator;
#[cfg(feature = "audio")]
use crate::cases::SOUND;
use crate::cases::{Case, Class, Odd};
use crate::checkpoint_files::scratch;
use crate::known::Expected;

/// The variable that makes this program a child: `seed,first,count,class`.
pub const WORK: &str = "SCONCE_FUZZ_CHILD";

/// The longest text of an error or a warning, in bytes.
const MOST_TEXT: usize = 2_000;

/// What was printed of panics, and of warnings that are too long.
static PRINTED: Mutex<String> = Mutex::new(String::new());

/// Makes runs until there are no more.
pub fn work(work: &str) {
    let mut parts = work.splitn(4, ',');
    let mut number = || -> u64 { parts.next().unwrap_or_default().parse().expect("a number") };
    let (seed, first, count) = (number(), number(), number());
    let class = parts.next().and_then(Class::named).expect("a class");
    panic::set_hook(Box::new(|panic| note(&format!("panic: {panic}"))));
    on_warning(|warning| {
        if let Some(problem) = unreadable(warning) {
            note(&format!("a warning {problem}"));
        }
    });
    for run in first..first.saturating_add(count) {
        println!("begin {run}");
        let (case, expected) = class.case(seed, run);
        let folder = scratch();
        write(&case, folder.path());
        if let Some(keep) = std::env::var_os("FUZZ_KEEP") {
            fs::create_dir_all(&keep).expect("a folder");
            write(&case, Path::new(&keep));
            eprintln!("{:?} {} {:?}", case.task, case.input, case.options);
        }
        allocator::limit(MOST_MEMORY);
        let started = Instant::now();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| perform(&case, folder.path())));
        let (peak, time) = (allocator::peak(MOST_MEMORY), started.elapsed().as_millis());
        allocator::limit(usize::MAX);
        let (kind, text) = judge(class, &case.input, outcome.ok());
        let (kind, text) = match expected.and_then(|expected| missed(expected, kind, &text)) {
            Some(missed) => ("wrong", format!("{missed}: {kind} {text}")),
            None => (kind, text),
        };
        let text = text.replace('\n', " ");
        println!("end {run} {kind} {peak} {time} {text}");
        stdout().flush().expect("stdout");
    }
}

fn note(text: &str) {
    PRINTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push_str(text);
}

fn perform(case: &Case, folder: &Path) -> sconce::Result<Value> {
    #[cfg(feature = "audio")]
    if case.files.contains_key(SOUND) {
        let audio = sconce::audio::read(folder.join(SOUND))?;
        return Ok(json!(audio.samples.iter().map(|sample| sample.abs()).fold(0.0, f32::max)));
    }
    let source = match &case.gguf {
        Some(name) => ModelSource::gguf(folder.join(name)),
        None => ModelSource::directory(folder),
    };
    let Some(task) = case.task else {
        let tokenizer = Tokenizer::open(source)?;
        let ids = tokenizer.encode(case.input.as_str().unwrap_or_default())?.ids;
        return Ok(json!(tokenizer.decode(&ids, false)?));
    };
    let mut options = LoadOptions::default().device(Device::Cpu);
    options.quantize = case.quantize;
    if let Some(adapter) = case.adapter {
        options = options.adapter(folder.join(adapter), 0.5);
    }
    let input = match case.media {
        Some(name) => Input::Bytes(fs::read(folder.join(name)).expect("the input")),
        None => Input::from(&case.input),
    };
    Ok(Pipeline::open(task, source, options)?.call(input, case.options.clone())?.json)
}

/// `ok`, `error` or `caller` and what was said, or `wrong` and what is wrong.
fn judge(
    class: &Class,
    input: &Value,
    outcome: Option<sconce::Result<Value>>,
) -> (&'static str, String) {
    let printed = std::mem::take(&mut *PRINTED.lock().expect("no panic while it is held"));
    if !printed.is_empty() {
        return ("wrong", printed);
    }
    match outcome {
        None => ("wrong", "a panic without a word".to_owned()),
        // A chat is given back with what it held.
        Some(Ok(output)) if holds_null(&output) && !holds_null(input) => {
            ("wrong", format!("null in {output}"))
        }
        Some(Ok(_)) => ("ok", String::new()),
        Some(Err(error)) => {
            let text = error.to_string();
            if let Some(problem) = unreadable(&text) {
                ("wrong", format!("the error {problem}"))
            } else if !error.is_caller_error() {
                ("error", text)
            } else if class.blames_caller || is_up_to_the_caller(&error) {
                ("caller", text)
            } else {
                ("wrong", format!("blames the caller: {text}"))
            }
        }
    }
}

/// How a run differs from what it must come to.
fn missed(expected: &Expected, kind: &str, text: &str) -> Option<String> {
    let (wanted, words) = match expected {
        Expected::Good => ("ok", &[][..]),
        Expected::Caller(words) => ("caller", *words),
        Expected::File(words) => ("error", *words),
    };
    let lacking = words.iter().find(|word| !text.contains(*word));
    match lacking {
        _ if kind != wanted => Some(format!("not {wanted}")),
        Some(word) => Some(format!("without {word:?}")),
        None => None,
    }
}

/// A text that is too long for a model is the caller's to cut, whyever the model is so small; chats are for
/// models with a template, and make a prompt of what they hold.
fn is_up_to_the_caller(error: &Error) -> bool {
    match error {
        Error::ContextOverflow { .. } => true,
        // Of an empty template, and of one that prints what the caller left empty.
        Error::InvalidInput { reason } => {
            let of_texts =
                ["the prompt is empty", "put it where to guess", "no word that the model knows"];
            of_texts.iter().any(|words| reason.contains(words))
        }
        Error::InvalidOption { option, .. } => {
            ["chat_template", "doc_stride", "max_length", "max_seq_len", "truncation"]
                .contains(&option.as_str())
        }
        _ => false,
    }
}

fn unreadable(text: &str) -> Option<String> {
    let beginning: String = text.chars().take(200).collect();
    if text.len() > MOST_TEXT {
        return Some(format!("has {} bytes: {beginning:?}", text.len()));
    }
    text.contains(|c: char| c.is_control() && c != '\n')
        .then(|| format!("has control characters: {beginning:?}"))
}

/// A number that is none becomes null.
fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(holds_null),
        Value::Object(fields) => fields.values().any(holds_null),
        _ => false,
    }
}

fn write(case: &Case, folder: &Path) {
    let place = |name: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        path
    };
    for (name, bytes) in &case.files {
        fs::write(place(name), bytes).expect("a file");
    }
    for (name, odd) in &case.odd {
        let path = place(name);
        match odd {
            Odd::Device => link("/dev/zero".as_ref(), &path),
            Odd::Empty => fs::write(&path, "").expect("a file"),
            Odd::Folder => fs::create_dir(&path).expect("a folder"),
            Odd::Loop => link(&path, &path),
            // Where the system has no pipes, there is no file.
            Odd::Pipe => drop(Command::new("mkfifo").arg(&path).status()),
            Odd::Sparse => {
                let file = File::create(&path).expect("a file");
                // Where the disk cannot, the file is empty.
                let _ = file.set_len(1 << 40);
            }
        }
    }
}

fn link(to: &Path, path: &Path) {
    #[cfg(unix)]
    std::os::unix::fs::symlink(to, path).expect("a link");
    #[cfg(not(unix))]
    let _ = (to, path);
}
