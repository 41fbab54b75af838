//! Where chat templates are stored.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::source::gguf::GgufFile;
use crate::source::{ModelFiles, file, json};

/// Templates as stored: one, or several by name.
pub(super) enum Stored {
    One(String),
    Named(Vec<(String, String)>),
}

/// Looks where transformers looks (`PreTrainedTokenizerBase._from_pretrained`, and
/// `ProcessorMixin` for `chat_template.json`); the first place that has a template wins.
pub(super) fn load(files: &ModelFiles) -> Result<Option<Stored>> {
    if let Some(file) = files.gguf() {
        return Ok(from_gguf(file));
    }
    if let Some(stored) = from_jinja_files(files)? {
        return Ok(Some(stored));
    }
    for name in ["chat_template.json", CONFIG] {
        if let Some(path) = files.optional(name)? {
            let mut json: Value = json::read(&path)?;
            let template = json.get_mut("chat_template").map(Value::take);
            let stored = from_json(template.unwrap_or_default())
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
        named.push((DEFAULT.to_owned(), file::read_text(path)?));
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
    Ok(match named.len() {
        0 => None,
        1 if named[0].0 == DEFAULT => named.pop().map(|(_, text)| Stored::One(text)),
        _ => Some(Stored::Named(named)),
    })
}

fn additional(folder: &Path) -> Result<Vec<(String, String)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut templates = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::read(folder))? {
        let path = entry.map_err(Error::read(folder))?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str());
        if let (Some(name), Some("jinja")) = (name, path.extension().and_then(|end| end.to_str())) {
            templates.push((name.to_owned(), file::read_text(&path)?));
        }
    }
    templates.sort();
    Ok(templates)
}

/// A string, or a list of `{"name", "template"}`, or an object of templates by name.
fn from_json(value: Value) -> std::result::Result<Option<Stored>, String> {
    let named = match value {
        Value::Null => return Ok(None),
        Value::String(text) => return Ok(Some(Stored::One(text))),
        Value::Array(entries) => entries
            .iter()
            .map(|entry| Some((entry.get("name")?.as_str()?, entry.get("template")?.as_str()?)))
            .map(|entry| entry.map(|(name, text)| (name.to_owned(), text.to_owned())))
            .collect(),
        Value::Object(entries) => entries
            .into_iter()
            .map(|(name, text)| Some((name, text.as_str()?.to_owned())))
            .collect::<Option<Vec<_>>>(),
        _ => None,
    };
    named.map(|named| Some(Stored::Named(named))).ok_or_else(|| {
        "`chat_template` is neither text nor a list of {\"name\", \"template\"}".to_owned()
    })
}

/// `tokenizer.chat_template`, and `tokenizer.chat_template.NAME` for the others.
fn from_gguf(file: &GgufFile) -> Option<Stored> {
    const KEY: &str = "tokenizer.chat_template";
    let default = file.string(KEY).map(str::to_owned);
    let others: Vec<_> = file
        .metadata()
        .iter()
        .filter_map(|(key, text)| {
            let name = key.strip_prefix(KEY)?.strip_prefix('.')?;
            Some((name.to_owned(), text.as_str()?.to_owned()))
        })
        .collect();
    match (default, others.is_empty()) {
        (default, true) => default.map(Stored::One),
        (default, false) => {
            let default = default.map(|text| (DEFAULT.to_owned(), text));
            Some(Stored::Named(default.into_iter().chain(others).collect()))
        }
    }
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
            let Some(Stored::One(text)) = load_from(&entries).unwrap() else { panic!() };
            assert_eq!(text, expected);
        }
        assert!(load_from(&[("tokenizer_config.json", "{}")]).unwrap().is_none());
    }

    #[test]
    fn several_by_name() {
        let list = r#"{"chat_template": [{"name": "default", "template": "d"}, {"name": "rag", "template": "r"}]}"#;
        let Some(Stored::Named(named)) = load_from(&[(CONFIG, list)]).unwrap() else { panic!() };
        assert_eq!(named[1], ("rag".to_owned(), "r".to_owned()));
        let more = [(CONFIG, "{}"), ("additional_chat_templates/tool_use.jinja", "t")];
        let Some(Stored::Named(named)) = load_from(&more).unwrap() else { panic!() };
        assert_eq!(named, [("tool_use".to_owned(), "t".to_owned())]);
    }

    #[test]
    fn says_which_file_is_malformed() {
        for text in ["{", r#"{"chat_template": 1}"#, r#"{"chat_template": [{"name": 1}]}"#] {
            assert!(matches!(load_from(&[(CONFIG, text)]), Err(Error::Malformed { .. })));
        }
    }
}
