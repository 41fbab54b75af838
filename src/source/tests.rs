//! Sources: what is told of missing files, and folders inside.

use super::*;

#[test]
fn what_stands_for_a_model_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let files = ModelSource::directory(folder.path()).open().unwrap();
    let missing = || files.required("config.json", "sizes").unwrap_err();
    assert!(missing().to_string().contains("sizes; the folder is empty"), "{}", missing());
    put("adapter_config.json", r#"{"base_model_name_or_path": "owner/base"}"#);
    for error in [missing(), files.refuse_adapter().unwrap_err()] {
        let text = error.to_string();
        assert!(text.contains("PEFT adapter of \"owner/base\""), "{text}");
    }
    // Beside a model, too, which the reference would put it on.
    put("config.json", "{}");
    assert!(files.refuse_adapter().is_err() && files.required("config.json", "").is_ok());
    put("tokenizer.json", "version https://git-lfs.github.com/spec/v1\nsize 9\n");
    let pointer = files.optional("tokenizer.json").unwrap_err().to_string();
    assert!(pointer.contains("git lfs pull") && pointer.contains("9 bytes"), "{pointer}");
}

#[test]
fn names_that_lead_out_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = ModelSource::directory(folder.path()).open().unwrap();
    assert_eq!(files.optional("config.json").unwrap(), None);
    assert!(files.optional("../x").unwrap_err().is_caller_error());
}

#[test]
fn subfolders_are_seen_as_folders() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    std::fs::create_dir_all(&inner).unwrap();
    std::fs::write(inner.join("config.json"), "{}").unwrap();
    let files = ModelSource::directory(folder.path()).open().unwrap();
    for path in ["a/b", "a/b/", "./a/./b"] {
        let within = files.folder(path).unwrap();
        assert_eq!(within.optional("config.json").unwrap(), Some(inner.join("config.json")));
    }
    let within = files.folder("a").unwrap().folder("b").unwrap();
    assert!(within.optional("config.json").unwrap().is_some());
    let error = within.required("x", "nothing").unwrap_err().to_string();
    assert!(error.contains("a/b/x"), "{error}");
    assert!(files.folder(".").unwrap().optional("config.json").unwrap().is_none());
    assert!(files.folder("a/../b").unwrap_err().is_caller_error());
}
