//! `model_index.json`: the parts of a folder that diffusers wrote.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::source::ModelFiles;

/// The parts of a pipeline.
#[derive(Debug)]
pub(super) struct Index {
    fields: Map<String, Value>,
    pub(super) class: String,
}

impl Index {
    pub(super) fn read(files: &ModelFiles) -> Result<Self> {
        let needed_for = "the parts of a pipeline of diffusers";
        let (fields, path) = files.required_map("model_index.json", needed_for)?;
        match fields.get("_class_name").and_then(Value::as_str) {
            Some(class) => Ok(Self { class: class.to_owned(), fields }),
            None => Err(Error::malformed(path, "has no `_class_name`")),
        }
    }

    /// Whether the pipeline has a part of this name.
    pub(super) fn has(&self, part: &str) -> bool {
        let library = self.fields.get(part).and_then(|part| part.get(0));
        library.is_some_and(Value::is_string)
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.fields.get(name)?.as_bool()
    }
}
