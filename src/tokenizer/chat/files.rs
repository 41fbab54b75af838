//! Where chat templates are stored.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::source::gguf::GgufFile;
use crate::source::{ModelFiles, file, json};

/// Templates as stored: one, or several by name.
pub(super) struct Stored {
    pub(super) templates: Vec<Source>,
    /// One template without a name, which no name can ask for.
    pub(super) single: bool,
}

/// The text of a template.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    /// The file that holds it.
    pub(super) file: Option<PathBuf>,
}

impl Stored {
    /// `None` where there are no templates; one that has no other name than that of the default is
    /// a single one.
    fn new(templates: Vec<Source>) -> Option<Self> {
        let single = matches!(&templates[..], [only] if only.name == DEFAULT);
        (!templates.is_empty()).then_some(Self { templates, single })
    }
}

impl Source {
    pub(super) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), file: None }
    }

    fn of(self, file: &Path) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }
}

/// Looks where transformers looks (`PreTrainedTokenizerBase._from_pretrained`, and
/// `ProcessorMixin` for `chat_template.json`); the first place that has a template wins.
pub(super) fn load(files: &ModelFiles) -> Result<Option<Stored>> {
    if let Some(file) = files.gguf() {
        return from_gguf(file);
    }
    if let Some(stored) = from_jinja_files(files)? {
        return Ok(Some(stored));
    }
    for name in ["chat_template.json", CONFIG] {
        if let Some(path) = files.optional(name)? {
            let mut json: Value = json::read(&path)?;
            let template = json.get_mut("chat_template").map(Value::take);
            let stored = from_json(template.unwrap_or_default(), &path)
                .map_err(|reason| Error::malformed(&path, reason))?;
            if stored.is_some() {
                return Ok(stored);
            }
        }
    }
    Ok(None)
}

fn from_jinja_files(files: &ModelFiles) -> Result<Option<Stored>> {
    let mut named = Vec::new();
    let default = files.optional("chat_template.jinja")?;
    if let Some(path) = &default {
        named.push(Source::new(DEFAULT, file::read_text(path)?).of(path));
    }
    // A Hub repository is not listed over the network: what its snapshot on the disk has counts,
    // as in transformers when it is offline.
    let neighbour = match default {
        Some(path) => Some(path),
        None => files.optional(CONFIG)?,
    };
    if let Some(folder) = neighbour.as_deref().and_then(Path::parent) {
        named.extend(additional(&folder.join("additional_chat_templates"))?);
    }
    Ok(Stored::new(named))
}

fn additional(folder: &Path) -> Result<Vec<Source>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut templates = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::read(folder))? {
        let path = entry.map_err(Error::read(folder))?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str());
        if let (Some(name), Some("jinja")) = (name, path.extension().and_then(|end| end.to_str())) {
            templates.push(Source::new(name, file::read_text(&path)?).of(&path));
        }
    }
    templates.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(templates)
}

/// A string, or a list of `{"name", "template"}`, or an object of templates by name.
fn from_json(value: Value, file: &Path) -> std::result::Result<Option<Stored>, String> {
    let source = |name: &str, text: &Value| Some(Source::new(name, text.as_str()?).of(file));
    let templates = match value {
        Value::Null => return Ok(None),
        Value::String(text) => {
            let templates = vec![Source::new(DEFAULT, text).of(file)];
            return Ok(Some(Stored { templates, single: true }));
        }
        Value::Array(entries) => entries
            .iter()
            .map(|entry| source(entry.get("name")?.as_str()?, entry.get("template")?))
            .collect(),
        Value::Object(entries) => {
            entries.iter().map(|(name, text)| source(name, text)).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    templates.map(|templates| Some(Stored { templates, single: false })).ok_or_else(|| {
        "`chat_template` is neither text nor a list of {\"name\", \"template\"}".to_owned()
    })
}

/// `tokenizer.chat_template`, and `tokenizer.chat_template.NAME` for the others.
fn from_gguf(file: &GgufFile) -> Result<Option<Stored>> {
    const KEY: &str = "tokenizer.chat_template";
    let mut named = Vec::new();
    for key in file.metadata().keys().filter(|key| key.starts_with(KEY)) {
        let name = match key[KEY.len()..].strip_prefix('.') {
            Some(name) => name,
            None if key == KEY => DEFAULT,
            None => continue,
        };
        named.extend(file.string(key)?.map(|text| Source::new(name, text).of(file.path())));
    }
    Ok(Stored::new(named))
}

const CONFIG: &str = "tokenizer_config.json";
pub(super) const DEFAULT: &str = "default";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ModelSource;

    fn load_from(entries: &[(&str, &str)]) -> Result<Option<Stored>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in entries {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        load(&ModelSource::directory(folder.path()).open()?)
    }

    #[test]
    fn the_jinja_file_wins() {
        let config = ("tokenizer_config.json", r#"{"chat_template": "config"}"#);
        let json = ("chat_template.json", r#"{"chat_template": "json"}"#);
        let jinja = ("chat_template.jinja", "jinja");
        for (entries, expected) in [
            (vec![config], "config"),
            (vec![config, json], "json"),
            (vec![config, json, jinja], "jinja"),
        ] {
            let stored = load_from(&entries).unwrap().unwrap();
            assert!(stored.single);
            assert_eq!(stored.templates[0].text, expected);
            let file = stored.templates[0].file.as_deref().unwrap();
            assert!(file.ends_with(entries.last().unwrap().0), "{file:?}");
        }
        assert!(load_from(&[("tokenizer_config.json", "{}")]).unwrap().is_none());
    }

    #[test]
    fn several_by_name() {
        let list = r#"{"chat_template": [{"name": "default", "template": "d"}, {"name": "rag", "template": "r"}]}"#;
        let stored = load_from(&[(CONFIG, list)]).unwrap().unwrap();
        let rag = &stored.templates[1];
        assert!(!stored.single && (rag.name.as_str(), rag.text.as_str()) == ("rag", "r"));
        let more = [(CONFIG, "{}"), ("additional_chat_templates/tool_use.jinja", "t")];
        let stored = load_from(&more).unwrap().unwrap();
        let tool_use = &stored.templates[0];
        assert!(
            !stored.single && (tool_use.name.as_str(), tool_use.text.as_str()) == ("tool_use", "t")
        );
        assert!(tool_use.file.as_deref().unwrap().ends_with("tool_use.jinja"));
    }

    #[test]
    fn says_which_file_is_malformed() {
        for text in ["{", r#"{"chat_template": 1}"#, r#"{"chat_template": [{"name": 1}]}"#] {
            assert!(matches!(load_from(&[(CONFIG, text)]), Err(Error::Malformed { .. })));
        }
    }
}
