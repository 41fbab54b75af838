//! What is kept, what is used again, and what is asked for.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sconce::{Error, ModelSource};

use crate::fake_hub::{self, Reply, Repo, Server};
use crate::fixture::{
    COMMIT, CONFIG, CONFIG_ETAG, ID, LATER_COMMIT, WEIGHTS_ETAG, assert_message, configure, gets,
    hub_and_store, names, repo, some_repo, weights_bytes,
};

#[test]
fn the_cache_is_laid_out_as_in_python() {
    let (hub, store) = hub_and_store();
    let cache = tempfile::tempdir().unwrap();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    assert_eq!(files.origin(), ID);
    assert!(files.gguf().is_none());
    let config = files.required("config.json", "the config").unwrap();
    let weights = files.required("model.safetensors", "the weights").unwrap();
    let nested = files.required("sub dir/a#b?.json", "a test").unwrap();

    let folder = cache.path().join("models--owner--some.Model-1");
    let snapshot = folder.join("snapshots").join(COMMIT);
    assert_eq!(config, snapshot.join("config.json"));
    assert_eq!(nested, snapshot.join("sub dir/a#b?.json"));
    assert_eq!(fs::read_to_string(&config).unwrap(), CONFIG);
    assert_eq!(fs::read_to_string(&nested).unwrap(), "{}");
    assert!(fs::read(&weights).unwrap() == weights_bytes());
    assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    let mut blobs = names(&folder.join("blobs"));
    blobs.sort();
    assert_eq!(blobs, [CONFIG_ETAG, WEIGHTS_ETAG, "nested-1"]);
    assert!(cache.path().join(".locks/models--owner--some.Model-1/nested-1.lock").is_file());
    #[cfg(unix)]
    {
        let target = |path: &Path| fs::read_link(path).unwrap().to_str().unwrap().to_owned();
        assert_eq!(target(&config), format!("../../blobs/{CONFIG_ETAG}"));
        assert_eq!(target(&nested), "../../../blobs/nested-1");
    }

    // Only what was asked for, each once; the token stays with the Hub.
    let resolve = format!("/{ID}/resolve");
    assert_eq!(
        hub.log().iter().map(|r| format!("{} {}", r.method, r.path)).collect::<Vec<_>>(),
        [
            format!("HEAD {resolve}/main/config.json"),
            format!("HEAD {resolve}/{COMMIT}/config.json"),
            format!("GET {resolve}/{COMMIT}/config.json"),
            format!("HEAD {resolve}/{COMMIT}/model.safetensors"),
            format!("GET {resolve}/{COMMIT}/model.safetensors"),
            format!("HEAD {resolve}/{COMMIT}/sub%20dir/a%23b%3F.json"),
            format!("GET {resolve}/{COMMIT}/sub%20dir/a%23b%3F.json"),
        ]
    );
    assert!(hub.log().iter().all(|r| r.header("authorization") == Some("Bearer hf_secret")));
    assert_eq!(store.log().len(), 1);
    assert_eq!(store.log()[0].header("authorization"), None);

    // The second time one request sees that nothing changed.
    hub.take_log();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    for name in ["config.json", "model.safetensors", "sub dir/a#b?.json"] {
        assert!(files.optional(name).unwrap().is_some());
    }
    assert_eq!(hub.take_log(), [format!("HEAD {resolve}/main/config.json")]);
}

#[test]
fn a_missing_file_is_remembered() {
    let (hub, _store) = hub_and_store();
    let cache = tempfile::tempdir().unwrap();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    hub.take_log();
    assert_eq!(files.optional("generation_config.json").unwrap(), None);
    assert_eq!(files.optional("generation_config.json").unwrap(), None);
    assert_eq!(hub.take_log().len(), 1);
    let folder = cache.path().join("models--owner--some.Model-1");
    let marker = folder.join(".no_exist").join(COMMIT).join("generation_config.json");
    assert_eq!(fs::read(marker).unwrap(), b"");
    let error = files.required("vocab.txt", "the vocabulary").unwrap_err();
    assert!(matches!(error, Error::MissingFile { .. }), "{error:?}");
    assert_message(&error, &[ID, "vocab.txt", "the vocabulary"]);
}

#[test]
fn revisions_with_slashes() {
    let (hub, _store) = hub_and_store();
    let cache = tempfile::tempdir().unwrap();
    let files = ModelSource::from(repo(&hub, &cache).revision("refs/pr/1")).open().unwrap();
    assert_eq!(files.origin(), format!("{ID}@refs/pr/1"));
    let folder = cache.path().join("models--owner--some.Model-1");
    assert_eq!(fs::read_to_string(folder.join("refs/refs/pr/1")).unwrap(), COMMIT);
}

#[test]
fn a_cached_commit_needs_no_request() {
    let (hub, _store) = hub_and_store();
    let cache = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let files = ModelSource::from(repo(&hub, &cache).revision(COMMIT)).open().unwrap();
        files.required("config.json", "a test").unwrap();
        assert_eq!(files.optional("vocab.txt").unwrap(), None);
    }
    assert_eq!(hub.log().len(), 3);
}

#[test]
fn files_are_of_one_commit() {
    let (first, later) = (some_repo(None), Repo { commit: LATER_COMMIT, ..some_repo(None) });
    let pushed = Arc::new(AtomicBool::new(false));
    let state = pushed.clone();
    let hub = Server::start(move |request| {
        let is_first = request.path.contains(COMMIT) || !state.load(Ordering::SeqCst);
        if is_first { first.reply(request) } else { later.reply(request) }
    });
    let cache = tempfile::tempdir().unwrap();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    let config = files.required("config.json", "a test").unwrap();
    pushed.store(true, Ordering::SeqCst);
    let tokenizer = files.required("tokenizer.json", "a test").unwrap();
    assert_eq!(config.parent(), tokenizer.parent());

    // Opened again, it is the later commit; what did not change is not fetched again.
    hub.take_log();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    let later = files.required("config.json", "a test").unwrap();
    assert!(later.to_str().unwrap().contains(LATER_COMMIT));
    assert!(gets(&hub).is_empty());
}

#[test]
fn offline_mode_makes_no_request() {
    let (hub, _store) = hub_and_store();
    let cache = tempfile::tempdir().unwrap();
    let source = ModelSource::from(repo(&hub, &cache).offline(true));
    let error = source.open().unwrap_err();
    assert!(!error.is_transient());
    assert_message(&error, &["HF_HUB_OFFLINE", cache.path().to_str().unwrap()]);
    let online = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    online.required("config.json", "a test").unwrap();
    hub.take_log();

    for revision in ["main", COMMIT] {
        let files =
            ModelSource::from(repo(&hub, &cache).revision(revision).offline(true)).open().unwrap();
        files.required("config.json", "a test").unwrap();
        assert_eq!(files.optional("tokenizer.json").unwrap(), None);
        let error = files.required("tokenizer.json", "a test").unwrap_err();
        assert_message(&error, &["HF_HUB_OFFLINE", "tokenizer.json"]);
    }
    assert!(hub.log().is_empty());
}

#[test]
fn without_a_server_the_cache_serves() {
    let cache = tempfile::tempdir().unwrap();
    let dead = fake_hub::dead_address();
    let source = |revision: &str| {
        ModelSource::from(configure(ModelSource::hub(ID), &dead, cache.path()).revision(revision))
    };
    let start = Instant::now();
    let error = source("main").open().unwrap_err();
    assert!(error.is_transient());
    let folder = cache.path().join("models--owner--some.Model-1");
    let tried = [dead.as_str(), "cannot be reached", "refused", folder.to_str().unwrap()];
    assert_message(&error, &tried);
    // A commit that nothing is known of.
    let error = source(COMMIT).open().unwrap().optional("config.json").unwrap_err();
    assert!(error.is_transient());
    assert_message(&error, &["cannot be reached"]);

    let (hub, _store) = hub_and_store();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    let config = files.required("config.json", "a test").unwrap();
    assert_eq!(files.optional("added_tokens.json").unwrap(), None);

    for revision in ["main", COMMIT] {
        let files = source(revision).open().unwrap();
        assert_eq!(files.required("config.json", "a test").unwrap(), config);
        assert_eq!(files.optional("tokenizer.json").unwrap(), None);
        let error = files.required("tokenizer.json", "a test").unwrap_err();
        assert!(error.is_transient());
        assert_message(&error, &["tokenizer.json", ID, &dead, folder.to_str().unwrap()]);
        assert_message(&files.origin(), &[ID, "only", &dead]);
        // This one the Hub did say is missing.
        let error = files.required("added_tokens.json", "a test").unwrap_err();
        assert!(matches!(error, Error::MissingFile { .. }), "{error:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(2), "a dead server was waited for");
}

#[test]
fn a_hub_that_refuses_leaves_the_cache() {
    let (hub, _store) = hub_and_store();
    let cache = tempfile::tempdir().unwrap();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    files.required("config.json", "a test").unwrap();
    let gone = Server::start(|_| Reply::status(403).header("X-Error-Code", "GatedRepo"));
    let files = ModelSource::from(repo(&gone, &cache)).open().unwrap();
    files.required("config.json", "a test").unwrap();
    let error = files.required("tokenizer.json", "a test").unwrap_err();
    assert!(!error.is_transient());
    assert_message(&error, &["accept the licence"]);
}

#[test]
fn nothing_leaves_the_cache() {
    for (commit, etag) in [(COMMIT, "../../evil"), ("../../evil", "etag"), (COMMIT, ".."), ("", "")]
    {
        let hub = Server::start(move |_| {
            Reply::status(200).header("X-Repo-Commit", commit).header("ETag", etag).body(b"{}")
        });
        let cache = tempfile::tempdir().unwrap();
        let inner = cache.path().join("a/b/c");
        let source = configure(ModelSource::hub(ID), &hub.url, &inner);
        let error = ModelSource::from(source).open().unwrap_err();
        assert_message(&error, &["no Hub seems to be"]);
        assert!(names(cache.path()).is_empty());
    }
    let (hub, _store) = hub_and_store();
    let cache = tempfile::tempdir().unwrap();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    hub.take_log();
    for name in ["../x", "/etc/passwd", "a/../../x", "", "a\\b"] {
        assert!(files.optional(name).unwrap_err().is_caller_error(), "{name}");
        let gguf = repo(&hub, &cache).gguf(name);
        assert!(gguf.open().unwrap_err().is_caller_error(), "{name}");
    }
    for id in ["a/b/c", "../x", "a b", ""] {
        let source = ModelSource::from(ModelSource::hub(id));
        assert!(source.open().unwrap_err().is_caller_error(), "{id}");
    }
    assert!(hub.log().is_empty());
}

#[test]
fn a_gguf_file_and_its_parts() {
    let (hub, _store) = hub_and_store();
    let cache = tempfile::tempdir().unwrap();
    let files = repo(&hub, &cache).gguf("q4/m-00002-of-00003.gguf").open().unwrap();
    let gguf = files.gguf().unwrap();
    assert!(gguf.path().ends_with("q4/m-00001-of-00003.gguf"));
    let paths: Vec<_> = gets(&hub).into_iter().map(|request| request.path).collect();
    let part = |n| format!("/{ID}/resolve/{COMMIT}/q4/m-0000{n}-of-00003.gguf");
    assert_eq!(paths, [part(1), part(2), part(3)]);

    let error = repo(&hub, &cache).gguf("q8/m.gguf").open().unwrap_err();
    assert_message(&error, &[ID, "q8/m.gguf"]);
}
