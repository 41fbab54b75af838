//! Sources: what strings mean, what is told of missing files, and folders inside.

use super::*;

#[test]
fn strings_are_ids_unless_they_look_like_paths() {
    for id in ["gpt2", "owner/name", "models/x", "...", ".x", "~x", "a:b", "", "x.GGUF", "é:/"] {
        assert!(matches!(ModelSource::from(id), ModelSource::Hub(_)), "{id}");
    }
    let windows = [r"C:\models\x", "c:/models", r".\x", r"..\x", r"\\server\share", r"\x"];
    for path in ["/models/x", "./x", "../x", "./", "/", ".", ".."].into_iter().chain(windows) {
        let ModelSource::Directory(found) = ModelSource::from(path) else { panic!("{path}") };
        assert_eq!(found, Path::new(path));
    }
    for path in ["x.gguf", "./x.gguf", "/a/x.gguf", "owner/x-00001-of-00002.gguf", "x.bin"] {
        let ModelSource::Gguf(found) = ModelSource::from(path) else { panic!("{path}") };
        assert_eq!(found, Path::new(path));
    }
    for (text, model) in [("openai:gpt-4o-mini", "gpt-4o-mini"), ("openai:a/b.gguf", "a/b.gguf")] {
        let ModelSource::Remote(found) = ModelSource::from(text) else { panic!("{text}") };
        assert_eq!(found.model(), model);
    }
    let home = std::env::home_dir().unwrap();
    assert!(
        matches!(ModelSource::from("~/x"), ModelSource::Directory(path) if path == home.join("x"))
    );
    assert!(
        matches!(ModelSource::from("~/x.gguf"), ModelSource::Gguf(path) if path == home.join("x.gguf"))
    );
}

#[test]
fn paths_are_folders_unless_they_end_in_gguf() {
    assert!(matches!(ModelSource::from(Path::new("owner/name")), ModelSource::Directory(_)));
    for path in ["x.gguf", "owner/x.bin"] {
        assert!(matches!(ModelSource::from(PathBuf::from(path)), ModelSource::Gguf(_)));
    }
}

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
