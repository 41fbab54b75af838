//! What a folder or repository without a model's files is instead, and what to do then.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::source::json;

/// Describes a PEFT adapter from its `adapter_config.json`, and says what to do with it.
pub(super) fn for_adapter(config: &Path) -> String {
    let config: Map<String, Value> = json::read(config).unwrap_or_default();
    let base = config.get("base_model_name_or_path").and_then(Value::as_str);
    let base = base.map(|base| format!(" of {base:?}")).unwrap_or_default();
    format!(
        "adapter_config.json says that it is a PEFT adapter{base}, which is not supported by itself: \
         load the model that it was made for with it: `.adapter(\"./adapter\", 1.0)`"
    )
}

/// What else there is in a folder on the disk that has no `wanted`.
pub(super) fn for_folder(folder: &Path, wanted: &str) -> Option<String> {
    let entries = entries(folder);
    if entries.is_empty() {
        return Some("the folder is empty".to_owned());
    }
    let is_gguf = |path: &&PathBuf| path.extension().is_some_and(|end| end == "gguf");
    if let Some(file) = entries.iter().find(is_gguf) {
        return Some(format!("it holds a GGUF file: name that, {:?}", file.display().to_string()));
    }
    let with_end = |ends: &[&str]| {
        let mut all = entries.iter();
        let found = all
            .find(|path| path.extension().is_some_and(|end| ends.iter().any(|one| end == *one)))?;
        Some(found.file_name().unwrap_or_default().display().to_string())
    };
    if wanted.ends_with(".safetensors") {
        if let Some(name) = with_end(&["h5", "msgpack", "onnx", "pth", "pt", "ckpt"]) {
            return Some(format!(
                "weights as in {name:?} are not read: save them as safetensors in Python"
            ));
        }
        if let Some(name) = with_end(&["part", "incomplete", "crdownload", "partial", "tmp"]) {
            return Some(format!(
                "{name:?} looks like a download that did not end: download it again"
            ));
        }
        if let Some(name) = with_end(&["safetensors"]) {
            return Some(format!(
                "{name:?} has none of these names; it may be in another layout than transformers', as Mistral's \
                 consolidated.safetensors is, or a file that was renamed"
            ));
        }
    }
    // A folder of models, or one of the Hub's cache: `models--owner--name/snapshots/<commit>`.
    let below = entries.iter().flat_map(|entry| {
        let deeper = entry.ends_with("snapshots").then(|| self::entries(entry));
        std::iter::once(entry.clone()).chain(deeper.into_iter().flatten())
    });
    let found = below.map(|folder| folder.join(wanted)).find(|path| path.is_file())?;
    let folder = found.ancestors().nth(wanted.split('/').count())?;
    Some(format!("there is one in {:?}: name that folder", folder.display().to_string()))
}

/// What to do about a repository of the Hub that has no `config.json`.
pub(super) fn for_repository(name: &str) -> Option<String> {
    name.to_ascii_lowercase().contains("gguf").then(|| {
        "of a repository of GGUF files one has to be named: \
         `ModelSource::hub(…).gguf(\"….gguf\")`"
            .to_owned()
    })
}

/// The files and folders in a folder, in order; the first of very many.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(MOST_ENTRIES).flatten();
    let mut entries: Vec<_> = entries.map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

const MOST_ENTRIES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_without_a_config_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let advice = |folder: &str| for_folder(&root.join(folder), "config.json");
        fs::create_dir_all(root.join("empty")).unwrap();
        assert!(advice("empty").unwrap().contains("empty"));
        put("quantized/m.gguf", "");
        assert!(advice("quantized").unwrap().contains("quantized/m.gguf"));
        put("models/this/config.json", "{}");
        assert!(advice("models").unwrap().contains("models/this\""));
        put("models--a--b/snapshots/0123/config.json", "{}");
        put("models--a--b/refs/main", "0123");
        assert!(advice("models--a--b").unwrap().contains("snapshots/0123\""));
        put("keras/tf_model.h5", "");
        let keras = for_folder(&root.join("keras"), "model.safetensors").unwrap();
        assert!(keras.contains("\"tf_model.h5\"") && keras.contains("safetensors"), "{keras}");
        for (file, words) in [
            ("cut/model.safetensors.part", "did not end"),
            ("mistral/consolidated.safetensors", "another layout"),
        ] {
            put(file, "");
            let folder = root.join(file);
            let found = for_folder(folder.parent().unwrap(), "model.safetensors").unwrap();
            assert!(found.contains(words), "{found}");
        }
        put("other/notes.txt", "");
        assert_eq!(advice("other"), None);

        put("adapter/adapter_config.json", r#"{"base_model_name_or_path": "a/b", "r": 8}"#);
        let adapter = for_adapter(&root.join("adapter/adapter_config.json"));
        assert!(adapter.contains("\"a/b\"") && adapter.contains(".adapter("), "{adapter}");
        assert!(for_repository("bartowski/x-GGUF").is_some() && for_repository("a/b").is_none());
    }
}
