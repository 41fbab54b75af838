//! Jinja as transformers runs it, on minijinja: see the differences in the parent module.

mod arguments;
mod bytes;
mod clock;
mod filters;
mod markup;
mod methods;
mod numbers;
mod operators;
mod percent;
mod pretty;
mod sequences;
mod source;
mod spec;
mod str_format;
mod strings;
mod tag;
mod tests;
mod text;
mod tojson;
mod unicode;
mod value;
mod views;
mod web;
mod words;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use std::{io, thread};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Object, ObjectRepr, from_args};
use minijinja::{Environment, ErrorKind, Output, State, UndefinedBehavior, Value};
use serde_json::Map;

pub(super) use text::{strip, strip_end};

use crate::error::{Error, Result};
use crate::tokenizer::chat::rendered::{GenerationSpan, RenderedChat};

/// What goes wrong inside a template.
type Outcome<T> = std::result::Result<T, minijinja::Error>;

/// A compiled template.
#[derive(Debug, Clone)]
pub(super) struct Template(Arc<Environment<'static>>);

impl Template {
    pub(super) fn compile(jinja: &str) -> Result<Self> {
        let prepared = source::prepare(jinja).map_err(|(line, reason)| Error::ChatTemplate {
            file: None,
            line: Some(line),
            reason,
        })?;
        let environment = on_a_deep_stack(|| {
            let mut environment = environment()?;
            environment.add_template_owned(NAME, prepared)?;
            Ok(environment)
        })?;
        Ok(Self(Arc::new(environment)))
    }

    pub(super) fn render(
        &self,
        variables: &Map<String, serde_json::Value>,
        now: Option<SystemTime>,
        max_bytes: Option<usize>,
    ) -> Result<RenderedChat> {
        let limit = max_bytes.unwrap_or(MAX_OUTPUT).min(MAX_OUTPUT);
        let written = Arc::new(Written::default());
        let text = on_a_deep_stack(|| {
            let mut context = Vec::with_capacity(variables.len() + 2);
            for (name, json) in variables {
                context.push((name.as_str(), value::from_json(json, 0)?));
            }
            let tracker = Value::from_object(Tracker(Arc::clone(&written)));
            context.push((tag::GENERATION, tracker));
            let strftime_now = move |format: &str| clock::strftime(now, format);
            context.push(("strftime_now", Value::from_function(strftime_now)));
            let mut writer = Writer { text: Vec::new(), limit, written: &written };
            let template = self.0.get_template(NAME)?;
            template.render_captured_to(Value::from_pairs(context), &mut writer)?;
            // Engine and filters write whole strings only.
            Ok(String::from_utf8_lossy(&writer.text).into_owned())
        })?;
        let generations = written.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let byte =
            |index: usize| text.char_indices().nth(index).map_or(text.len(), |(byte, _)| byte);
        let generations = generations
            .iter()
            .map(|chars| GenerationSpan {
                bytes: byte(chars.start)..byte(chars.end),
                chars: chars.clone(),
            })
            .collect();
        Ok(RenderedChat { text, generations })
    }
}

/// `_compile_jinja_template` of transformers.
fn environment() -> Outcome<Environment<'static>> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(print);
    environment.set_unknown_method_callback(methods::call);
    // The template itself cannot be included either, whose name would be found without a loader.
    environment.set_path_join_callback(|name, _| format!("refused: {name}").into());
    environment.set_loader(|_| -> Outcome<Option<String>> {
        Err(fail("chat templates cannot read other templates"))
    });
    filters::add_to(&mut environment);
    sequences::add_to(&mut environment);
    tojson::add_to(&mut environment);
    tests::add_to(&mut environment);
    operators::add_to(&mut environment);
    views::add_to(&mut environment);
    for name in ["chain", "lines", "split", "zip", "bool"] {
        environment.remove_filter(name);
    }
    environment.remove_global("debug");
    environment.add_function(
        "dict",
        |state: &mut State<'_, '_>,
         args: minijinja::value::Rest<minijinja::value::ValueOrKwargs>| {
            methods::make_dict(state, &args.into_values())
        },
    );
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_function(
        "raise_exception",
        |state: &State<'_, '_>, message: Value| -> Outcome<Value> {
            Err(fail(text::str(state, &message)?))
        },
    );
    Ok(environment)
}

/// What `{{ value }}` writes.
fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Outcome<()> {
    let escaped;
    let value = match state.auto_escape() {
        minijinja::AutoEscape::None => value,
        _ => {
            escaped = markup::escaped(state, value)?;
            &escaped
        }
    };
    match value.as_str() {
        Some(text) => out.write_str(text)?,
        None => out.write_str(&text::str(state, value)?)?,
    }
    Ok(())
}

/// Runs the engine, which recurses into a template's nesting, where there is room for that: on the
/// caller's stack a template could overflow it, and that would end the process. A panic in the
/// engine ends with the thread.
fn on_a_deep_stack<T: Send>(run: impl FnOnce() -> Outcome<T> + Send) -> Result<T> {
    let run = || run().map_err(|error| described(&error));
    let failed =
        |reason: &str| Error::ChatTemplate { file: None, line: None, reason: reason.to_owned() };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, run);
        let thread = thread.map_err(|error| failed(&format!("cannot start a thread: {error}")))?;
        thread.join().map_err(|_| failed("the template engine failed"))?
    })
}

fn described(error: &minijinja::Error) -> Error {
    let reason = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => {
            "takes too long: it loops for ever, or makes far too much text".to_owned()
        }
        (kind, None) => kind.to_string(),
        (_, Some(detail)) => detail.to_owned(),
    };
    let reason = match std::error::Error::source(error) {
        // What the writer says.
        Some(source) if source.is::<io::Error>() => source.to_string(),
        Some(source) if error.detail().is_none() => format!("{reason}: {source}"),
        _ => reason,
    };
    Error::ChatTemplate { file: None, line: error.line(), reason }
}

fn fail(reason: impl Into<std::borrow::Cow<'static, str>>) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, reason)
}

/// Where the output goes; refuses to grow beyond reason.
struct Writer<'a> {
    text: Vec<u8>,
    limit: usize,
    written: &'a Written,
}

impl io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.text.len() + bytes.len() > self.limit {
            let reason =
                format!("makes more than {} bytes of text, which is too long a prompt", self.limit);
            return Err(io::Error::other(reason));
        }
        self.text.extend_from_slice(bytes);
        let chars = bytes.iter().filter(|&&byte| byte & 0xC0 != 0x80).count();
        self.written.begun.store(true, Ordering::Relaxed);
        self.written.chars.fetch_add(chars, Ordering::Relaxed);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How far the output is in characters, and what of it `{% generation %}` marked.
#[derive(Debug, Default)]
struct Written {
    begun: AtomicBool,
    chars: AtomicUsize,
    generations: Mutex<Vec<Range<usize>>>,
}

/// transformers' `AssistantTracker`: called with the body of a `{% generation %}` block.
#[derive(Debug)]
struct Tracker(Arc<Written>);

impl Object for Tracker {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Outcome<Value> {
        let (kwargs,): (Kwargs,) = from_args(args)?;
        let body = kwargs.get::<Value>("caller")?.call(state, &[])?;
        let text = body.as_str().unwrap_or_default();
        // As in Python, where a block before all other output is not noticed.
        if self.0.begun.load(Ordering::Relaxed) {
            let start = self.0.chars.load(Ordering::Relaxed);
            let span = start..start + text.chars().count();
            self.0.generations.lock().unwrap_or_else(PoisonError::into_inner).push(span);
        }
        Ok(body)
    }
}

const NAME: &str = "chat template";

/// Instructions, and 64-byte pieces of text, that a rendering may take: a second of work and half
/// a gigabyte. A conversation of a thousand messages with tools takes a hundredth of it.
const FUEL: u64 = 8_000_000;
/// Nested calls; Python has the same limit for its frames, of which a macro takes a few.
const RECURSION: usize = 500;
const MAX_OUTPUT: usize = 16 << 20;
/// Reserved, not used: a system hands out stack pages when they are touched.
const STACK: usize = 64 << 20;
