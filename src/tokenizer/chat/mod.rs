//! Chat templates: messages to the text a model was trained on.
//!
//! Templates are Jinja programs that come with the model. They are rendered byte for byte as
//! transformers 4.57 renders them (`apply_chat_template`, `utils/chat_template_utils.py`), with the same
//! environment:
//!
//! - `trim_blocks` and `lstrip_blocks`;
//! - `{% break %}`, `{% continue %}` and `{% generation %}`;
//! - `raise_exception`, `strftime_now`, and a `tojson` that escapes no HTML;
//! - Python's methods and printing of strings, lists and dicts.
//!
//! A template is a stranger's program: it can read only its variables, and its time, memory and
//! output are bounded.
//!
//! # Differences
//!
//! The engine is minijinja, extended to follow Python. Every template of llama.cpp's collection
//! renders as in Python. These constructs differ.
//!
//! An error here, but not in Python:
//!
//! - a macro that uses `varargs` or `kwargs`;
//! - `namespace` with a dict and names at once; a namespace inside a list, a dict or another namespace;
//! - text that is unpacked into variables;
//! - a negated flag (`-true`); methods that make a number of something else (`fromhex`, `from_bytes`);
//! - methods of bytes, except `decode` and `hex`; sets (`d.keys() - e.keys()`);
//! - a constant that cannot be sliced, such as `(1)[2:]`, which is undefined in Python; a variable that
//!   cannot be sliced is an error in both;
//! - a filter such as `map` or `select` that cannot be applied, but of which nobody goes through the
//!   result: Python finds out when somebody does;
//! - `a < b < c` whose second half fails although `a < b` is false;
//! - the filters `random`, `urlize` and `wordwrap`, and the function `lipsum`;
//! - text encoded as anything but UTF-8, ASCII or Latin-1.
//!
//! An error in Python, but not here:
//!
//! - `nan` or `inf` as the result of an expression of constants, which jinja2 turns into names of
//!   variables;
//! - a `{% filter %}` whose filter returns anything but text; a list or dict in `is filter`; text times
//!   a float that is whole.
//!
//! Other output:
//!
//! - values that no template prints: a method that is not called, a macro, a generator, a `joiner` or
//!   `cycler`, the attributes of a namespace (which are in alphabetical order), a character younger than
//!   Python 3.11;
//! - `striptags` with an entity that XML does not have;
//! - a single character of text marked `safe`, which is not marked itself.

mod continuation;
mod files;
mod jinja;
mod message;
mod options;
mod rendered;
mod response;

use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

pub use message::Message;
pub use options::ChatOptions;
pub use rendered::{GenerationSpan, RenderedChat};
pub use response::{
    BrokenToolCall, Response, ResponseEvent, ResponseFormat, ResponseParser, ResponsePiece,
    ToolCall,
};

use crate::error::{Error, Result};
use crate::source::ModelFiles;
use files::{Source, Stored};

/// Special tokens by their name, `bos_token`, `eos_token`, …: transformers' `special_tokens_map`.
/// Values are text, or a list of text for `additional_special_tokens`.
pub type SpecialTokenMap = Map<String, Value>;

/// The chat template of a model, or its several named ones. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    templates: Arc<[Named]>,
    /// One template without a name, which no name can ask for.
    single: bool,
}

#[derive(Debug)]
struct Named {
    source: Source,
    /// Compiled when first used: a broken template is an error only if it is used.
    compiled: OnceLock<jinja::Template>,
}

impl ChatTemplate {
    /// A single template.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] when the text is no Jinja template.
    pub fn new(jinja: &str) -> Result<Self> {
        let template = Self::from_stored(Stored {
            templates: vec![Source::new(files::DEFAULT, jinja)],
            single: true,
        });
        template.templates[0].compiled()?;
        Ok(template)
    }

    /// Several templates by name: `default`, `tool_use`, `rag`, ….
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] when one of the texts is no Jinja template.
    pub fn named(templates: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let templates = templates.into_iter().map(|(name, text)| Source::new(name, text));
        let template = Self::from_stored(Stored { templates: templates.collect(), single: false });
        for named in template.templates.iter() {
            named.compiled()?;
        }
        Ok(template)
    }

    /// The model's own: `chat_template.jinja` with `additional_chat_templates/*.jinja`, else
    /// `chat_template.json`, else `chat_template` in `tokenizer_config.json`; of a GGUF file
    /// `tokenizer.chat_template` and `tokenizer.chat_template.NAME`. `None` where there is none.
    ///
    /// Of a Hub repository, additional templates count if they are in the local snapshot.
    ///
    /// # Errors
    ///
    /// When a file cannot be fetched or read, or is malformed.
    pub fn from_files(files: &ModelFiles) -> Result<Option<Self>> {
        Ok(files::load(files)?.map(Self::from_stored))
    }

    /// All templates by name.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.templates.iter().map(|named| (named.name(), named.source.text.as_str()))
    }

    /// The Jinja text of a template by its name, or of the one that is used by default.
    #[must_use]
    pub fn source(&self, name: Option<&str>) -> Option<&str> {
        let template = match name {
            Some(name) => self.by_name(name)?,
            None if self.single => self.templates.first()?,
            None => self.by_name(files::DEFAULT)?,
        };
        Some(&template.source.text)
    }

    /// The names of the templates; a single one without a name is `default`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.iter().map(Named::name)
    }

    /// Renders a conversation: transformers' `apply_chat_template(tokenize=False)`.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] when the template raises an exception, fails, or does not end;
    /// [`Error::InvalidOption`] when options contradict each other, no template is named
    /// `default`, or the final message cannot be continued; [`Error::InvalidInput`] when there are
    /// no messages.
    pub fn render(
        &self,
        messages: &[Message],
        special_tokens: &SpecialTokenMap,
        options: &ChatOptions,
    ) -> Result<RenderedChat> {
        if messages.is_empty() {
            return Err(Error::input("a conversation without messages"));
        }
        let given;
        let (template, file) = match self.select(options)? {
            Selected::Stored(template) => (template.compiled()?, template.source.file.as_deref()),
            Selected::Text(text) => {
                given = jinja::Template::compile(text)?;
                (&given, None)
            }
        };
        let mut messages = messages.to_vec();
        let final_text = match (options.continue_final_message, options.add_generation_prompt) {
            (false, _) => None,
            (true, false) => Some(continuation::mark(&mut messages)?),
            (true, true) => {
                return Err(continuation::refused(
                    "excludes add_generation_prompt: the one goes on with the final message, \
                     the other begins a new one",
                ));
            }
        };
        let variables = variables(&messages, special_tokens, options)?;
        let mut rendered = template
            .render(&variables, options.now, options.max_bytes)
            .map_err(|error| error.of_template_in(file))?;
        if let Some(final_text) = final_text {
            continuation::cut(&mut rendered.text, &final_text)?;
            rendered.generations.clear();
        }
        Ok(rendered)
    }

    fn from_stored(stored: Stored) -> Self {
        let named = |source| Named { source, compiled: OnceLock::new() };
        let templates = stored.templates.into_iter().map(named).collect();
        Self { templates, single: stored.single }
    }

    /// The rule of transformers' `get_chat_template`.
    fn select<'a>(&'a self, options: &'a ChatOptions) -> Result<Selected<'a>> {
        if let Some(given) = &options.template {
            let named = if self.single { None } else { self.by_name(given) };
            return Ok(named.map_or(Selected::Text(given), Selected::Stored));
        }
        let tool_use = if options.tools.is_empty() { None } else { self.by_name("tool_use") };
        let template = match self.single {
            true => self.templates.first(),
            false => tool_use.or_else(|| self.by_name(files::DEFAULT)),
        };
        template.map(Selected::Stored).ok_or_else(|| {
            let mut names: Vec<_> = self.names().collect();
            names.sort_unstable();
            let names = names.join(", ");
            let reason =
                format!("the model has several and none is the default; choose of: {names}");
            Error::option("chat_template", reason)
        })
    }

    /// Of several with one name the last, as in a Python dict.
    fn by_name(&self, name: &str) -> Option<&Named> {
        self.templates.iter().rfind(|template| template.name() == name)
    }
}

enum Selected<'a> {
    Stored(&'a Named),
    Text(&'a str),
}

impl Named {
    fn name(&self) -> &str {
        &self.source.name
    }

    fn compiled(&self) -> Result<&jinja::Template> {
        if let Some(template) = self.compiled.get() {
            return Ok(template);
        }
        let template = jinja::Template::compile(&self.source.text)
            .map_err(|error| error.of_template_in(self.source.file.as_deref()))?;
        Ok(self.compiled.get_or_init(|| template))
    }
}

/// What the template can read.
fn variables(
    messages: &[Message],
    special_tokens: &SpecialTokenMap,
    options: &ChatOptions,
) -> Result<Map<String, Value>> {
    let list = |values: &[Value]| match values {
        [] => Value::Null,
        values => Value::Array(values.to_vec()),
    };
    if let Some(document) = options.documents.iter().find(|document| !document.is_object()) {
        let reason = format!("objects with `title` and `text` are expected, not {document}");
        return Err(Error::option("documents", reason));
    }
    if let Some(tool) = options.tools.iter().find(|tool| !tool.is_object()) {
        let reason = format!("JSON schemas are expected, not {tool}");
        return Err(Error::option("tools", reason));
    }
    let mut variables = special_tokens.clone();
    variables.extend(options.variables.clone());
    let messages = messages.iter().map(|message| Value::Object(message.as_json().clone()));
    for (name, value) in [
        ("messages", messages.collect()),
        ("tools", list(&options.tools)),
        ("documents", list(&options.documents)),
        ("add_generation_prompt", Value::Bool(options.add_generation_prompt)),
    ] {
        if variables.insert(name.to_owned(), value).is_some() {
            let reason = "is an option of its own, not a variable";
            return Err(Error::option(name, reason));
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    fn named(names: &[&str]) -> ChatTemplate {
        let templates = names.iter().map(|name| ((*name).to_owned(), format!("<{name}>")));
        ChatTemplate::named(templates).unwrap()
    }

    fn text(template: &ChatTemplate, options: &ChatOptions) -> Result<String> {
        let rendered = template.render(&[Message::user("Hi ")], &Map::new(), options)?;
        Ok(rendered.text)
    }

    #[test]
    fn chooses_by_name_then_tools_then_default() {
        let options = ChatOptions::default();
        let with_tools = options.clone().tools([json!({"name": "f"})]);
        let both = named(&["default", "tool_use", "rag"]);
        assert_eq!(text(&both, &options).unwrap(), "<default>");
        assert_eq!(text(&both, &with_tools).unwrap(), "<tool_use>");
        assert_eq!(text(&both, &with_tools.clone().template("rag")).unwrap(), "<rag>");
        assert_eq!(text(&both, &options.clone().template("{{ 1 + 1 }}")).unwrap(), "2");
        assert_eq!(text(&named(&["default"]), &with_tools).unwrap(), "<default>");
        let error = text(&named(&["tool_use", "rag"]), &options).unwrap_err();
        assert!(error.to_string().ends_with("choose of: rag, tool_use"), "{error}");
    }

    #[test]
    fn sources_and_names() {
        let both = named(&["default", "rag"]);
        assert_eq!(both.names().collect::<Vec<_>>(), ["default", "rag"]);
        assert_eq!(both.source(Some("rag")), Some("<rag>"));
        assert_eq!(both.source(None), Some("<default>"));
        assert_eq!(both.source(Some("other")), None);
    }

    #[test]
    fn refuses_what_contradicts_itself() {
        let template = ChatTemplate::new("{{ messages[0].content }}").unwrap();
        let options = ChatOptions::default();
        for (options, name) in [
            (
                options.clone().continue_final_message(true).add_generation_prompt(true),
                "continue_final_message",
            ),
            (options.clone().variable("messages", 1), "messages"),
            (options.clone().documents([json!("text")]), "documents"),
            (options.clone().tools([json!("text")]), "tools"),
        ] {
            let error = text(&template, &options).unwrap_err();
            assert!(matches!(&error, Error::InvalidOption { option, .. } if option == name));
        }
        assert!(template.render(&[], &Map::new(), &options).unwrap_err().is_caller_error());
    }

    #[test]
    fn continues_where_the_message_ends() {
        let options = ChatOptions::default().continue_final_message(true);
        let kept = ChatTemplate::new("[{{ messages[0].content }}]").unwrap();
        assert_eq!(text(&kept, &options).unwrap(), "[Hi ");
        let trimmed = ChatTemplate::new("[{{ messages[0].content | trim }}]").unwrap();
        assert_eq!(text(&trimmed, &options).unwrap(), "[Hi");
        let dropped = ChatTemplate::new("[]").unwrap();
        assert!(text(&dropped, &options).is_err());
    }

    #[test]
    fn variables_win_over_special_tokens() {
        let template = ChatTemplate::new("{{ bos_token }}{{ eos_token }}").unwrap();
        let tokens = Map::from_iter([
            ("bos_token".to_owned(), json!("<s>")),
            ("eos_token".to_owned(), json!("</s>")),
        ]);
        let options = ChatOptions::default().variable("eos_token", "<end>");
        let rendered = template.render(&[Message::user("")], &tokens, &options).unwrap();
        assert_eq!(rendered.text, "<s><end>");
    }

    #[test]
    fn is_shared_between_threads() {
        fn check<T: Send + Sync + Clone>() {}
        check::<ChatTemplate>();
    }
}
