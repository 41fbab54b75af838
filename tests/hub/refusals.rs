//! What the Hub says in place of a file.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sconce::ModelSource;

use crate::fake_hub::{Reply, Server};
use crate::fixture::{
    COMMIT, CONFIG, ID, assert_message, configure, hub_and_store, open_fails, repo, some_repo,
    write_ref,
};

#[test]
fn a_missing_repository() {
    for reply in [
        Reply::status(401).header("X-Error-Message", "Invalid username or password."),
        Reply::status(401).header("X-Error-Code", "RepoNotFound"),
        Reply::status(404).header("X-Error-Code", "RepoNotFound"),
    ] {
        let is_unknown_token = reply.status == 401;
        let hub = Server::start(move |_| reply.clone());
        let error = open_fails(&hub);
        assert!(!error.is_transient());
        let page = format!("{}/{ID}", hub.url);
        // To a token that it knows, the Hub says 404.
        let (text, token) = (error.to_string(), format!("{}/settings/tokens", hub.url));
        let (bad_token, private) = (text.find("not valid"), text.find("private"));
        assert_eq!(bad_token.is_some_and(|at| Some(at) < private), is_unknown_token, "{text}");
        assert_eq!(text.contains(&token), is_unknown_token, "{text}");
        assert_message(
            &error,
            &[ID, "there is no repository", "private or gated", &page, "HF_TOKEN"],
        );
        assert_eq!(hub.log().len(), 1);
    }
}

#[test]
fn a_gated_repository() {
    for reply in [
        Reply::status(401).header("X-Error-Code", "GatedRepo"),
        Reply::status(403).header("X-Error-Code", "GatedRepo"),
        Reply::status(403),
    ] {
        let hub = Server::start(move |_| reply.clone());
        let error = open_fails(&hub);
        assert!(!error.is_transient());
        let licence = format!("accept the licence at {}/{ID} and set HF_TOKEN", hub.url);
        assert_message(&error, &["config.json", "does not give access", &licence]);
        assert!(!error.to_string().contains("hf_secret"));
    }
}

#[test]
fn a_missing_revision() {
    let (hub, _store) = hub_and_store();
    let cache = tempfile::tempdir().unwrap();
    // A stale copy is no answer when the Hub says that the branch is gone.
    write_ref(&cache, "v9", COMMIT);
    let error = ModelSource::from(repo(&hub, &cache).revision("v9")).open().unwrap_err();
    assert!(!error.is_transient());
    assert_message(
        &error,
        &[&format!("{ID}@v9"), "no branch, tag or commit \"v9\"", "Invalid rev id"],
    );
}

#[test]
fn a_renamed_repository() {
    let repository = some_repo(None);
    let hub = Server::start(move |request| match request.path.strip_prefix("/old/name/") {
        Some(rest) => Reply::status(307).header("Location", format!("/{ID}/{rest}")),
        None => repository.reply(request),
    });
    let cache = tempfile::tempdir().unwrap();
    let source = ModelSource::from(configure(ModelSource::hub("old/name"), &hub.url, cache.path()));
    let config = source.open().unwrap().required("config.json", "a test").unwrap();
    assert_eq!(fs::read_to_string(config).unwrap(), CONFIG);
    assert!(cache.path().join("models--old--name/blobs").is_dir());
}

#[test]
fn a_busy_hub_is_asked_again() {
    let repository = some_repo(None);
    let count = AtomicUsize::new(0);
    // Every second request is turned away, metadata and content alike.
    let hub = Server::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::status(429).header("Retry-After", 1),
        n if n % 2 == 0 => Reply::status(503).header("Retry-After", 0),
        _ => repository.reply(request),
    });
    let cache = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "Retry-After was not honoured");
    let config = files.required("config.json", "a test").unwrap();
    assert_eq!(fs::read_to_string(config).unwrap(), CONFIG);
    assert_eq!(hub.log().len(), 6);
}

#[test]
fn a_hub_that_stays_busy() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Server::start(|_| Reply::status(503).header("Retry-After", 0));
    let error = ModelSource::from(repo(&hub, &cache)).open().unwrap_err();
    assert!(error.is_transient());
    assert_message(&error, &["503", "tried 5 times", &hub.url, cache.path().to_str().unwrap()]);
    assert_eq!(hub.log().len(), 5);

    // Nobody waits ten minutes without a word.
    let hub = Server::start(|_| Reply::status(429).header("Retry-After", 600));
    let error = ModelSource::from(repo(&hub, &cache)).open().unwrap_err();
    assert!(error.is_transient());
    assert_message(&error, &["429", "wait 600 s"]);
    assert_eq!(hub.log().len(), 1);
}

#[test]
fn an_endpoint_that_is_no_hub() {
    for reply in [Reply::status(200).body(b"hello"), Reply::status(418)] {
        let hub = Server::start(move |_| reply.clone());
        let error = open_fails(&hub);
        assert!(!error.is_transient());
        assert_message(&error, &[&hub.url, "config.json"]);
    }
    let hub = Server::start(|_| Reply::status(404));
    assert_message(&open_fails(&hub), &["no repository", &hub.url]);
    let hub = Server::start(|_| Reply::status(302).header("Location", "/around"));
    assert_message(&open_fails(&hub), &["in circles"]);
    let error = ModelSource::from(ModelSource::hub(ID).endpoint("hub.test")).open().unwrap_err();
    assert!(error.is_caller_error(), "{error:?}");
}
