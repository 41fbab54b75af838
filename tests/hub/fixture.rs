//! The repository of most tests, and short names for what they do with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sconce::source::hub::HubRepo;
use sconce::{Error, ModelSource};

use crate::fake_hub::{self, FileOf, Repo, Request, Server};

/// The repository of most tests, on a server, and the server that stores its large files.
pub fn hub_and_store() -> (Server, Server) {
    let store = Server::start(|request| fake_hub::content(request, &weights_bytes()));
    let repository = some_repo(Some(store.url.clone()));
    (Server::start(move |request| repository.reply(request)), store)
}

pub fn some_repo(store: Option<String>) -> Repo {
    let file = |etag, content: &[u8]| FileOf {
        etag,
        content: content.to_vec(),
        store: None,
        in_xet: false,
    };
    let weights = FileOf { store, ..file(WEIGHTS_ETAG, &weights_bytes()) };
    // No metadata and no tensors, version 3.
    let gguf = [b"GGUF".as_slice(), &[3, 0, 0, 0], &[0; 16]].concat();
    Repo {
        id: ID,
        commit: COMMIT,
        revisions: vec!["main", "refs%2Fpr%2F1"],
        files: BTreeMap::from([
            ("config.json", file(CONFIG_ETAG, CONFIG.as_bytes())),
            ("tokenizer.json", file("tokenizer-1", b"{}")),
            ("model.safetensors", weights),
            ("sub%20dir/a%23b%3F.json", file("nested-1", b"{}")),
            ("q4/m-00001-of-00003.gguf", file("part-1", &gguf)),
            ("q4/m-00002-of-00003.gguf", file("part-2", &gguf)),
            ("q4/m-00003-of-00003.gguf", file("part-3", &gguf)),
        ]),
    }
}

pub fn weights_bytes() -> Vec<u8> {
    (0..300_000_u64).map(|i| (i * i % 251) as u8).collect()
}

pub fn repo(hub: &Server, cache: &tempfile::TempDir) -> HubRepo {
    configure(ModelSource::hub(ID), &hub.url, cache.path())
}

/// Independent of the environment.
pub fn configure(repo: HubRepo, endpoint: &str, cache: &Path) -> HubRepo {
    repo.endpoint(endpoint).cache_dir(cache).offline(false).token("hf_secret").progress(|_| ())
}

pub fn open_fails(hub: &Server) -> Error {
    let cache = tempfile::tempdir().unwrap();
    ModelSource::from(repo(hub, &cache)).open().unwrap_err()
}

pub fn gets(hub: &Server) -> Vec<Request> {
    hub.log().into_iter().filter(Request::is_get).collect()
}

pub fn blob(cache: &tempfile::TempDir, etag: &str) -> PathBuf {
    cache.path().join("models--owner--some.Model-1/blobs").join(etag)
}

pub fn write_blob(cache: &tempfile::TempDir, etag: &str, content: &[u8]) {
    let path = blob(cache, etag);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub fn write_ref(cache: &tempfile::TempDir, revision: &str, commit: &str) {
    let refs = cache.path().join("models--owner--some.Model-1/refs");
    fs::create_dir_all(&refs).unwrap();
    fs::write(refs.join(revision), commit).unwrap();
}

pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub fn assert_message(message: &impl ToString, parts: &[&str]) {
    let message = message.to_string();
    for part in parts {
        assert!(message.contains(part), "no {part:?} in {message:?}");
    }
}

pub const ID: &str = "owner/some.Model-1";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const LATER_COMMIT: &str = "fedcba9876543210fedcba9876543210fedcba98";
pub const CONFIG: &str = r#"{"model_type": "llama"}"#;
pub const CONFIG_ETAG: &str = "33a6bf5ad4b9c9b1b2b0d1f0e2a37c1d5a4b6c7d";
/// hashlib.sha256(bytes(i * i % 251 for i in range(300_000)))
pub const WEIGHTS_ETAG: &str = "fa7deae4b0504401a056ca3b1e6007902a7e681efda07fd7ca8819760caeff95";
/// hashlib.sha256(bytes(1 << 24))
pub const ZEROS_ETAG: &str = "080acf35a507ac9849cfcba47dc2ad83e01b75663a516279c8b9d243b719643e";
