//! How content arrives, or does not.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use sconce::ModelSource;

use crate::fake_hub::{self, FileOf, Reply, Request, Server};
use crate::fixture::{
    CONFIG_ETAG, ID, WEIGHTS_ETAG, ZEROS_ETAG, assert_message, blob, gets, hub_and_store, repo,
    some_repo, weights_bytes, write_blob,
};

#[test]
fn an_error_page_is_no_file() {
    let repository = some_repo(None);
    let hub = Server::start(move |request| match request.is_get() {
        true => Reply::status(503).header("Retry-After", 0).body(b"<html>sorry</html>"),
        false => repository.reply(request),
    });
    let cache = tempfile::tempdir().unwrap();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    let error = files.optional("config.json").unwrap_err();
    assert!(error.is_transient());
    assert_message(&error, &["config.json", ID, "503", "tried 5 times"]);
    assert!(!blob(&cache, CONFIG_ETAG).exists());
}

#[test]
fn a_cut_connection_is_continued() {
    let repository = some_repo(None);
    let cut = AtomicBool::new(false);
    let hub = Server::start(move |request| {
        let reply = repository.reply(request);
        match request.is_get() && !cut.swap(true, Ordering::SeqCst) {
            true => reply.cut(100_000),
            false => reply,
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    let weights = files.required("model.safetensors", "a test").unwrap();
    assert!(fs::read(weights).unwrap() == weights_bytes());
    let ranges: Vec<_> = gets(&hub).iter().map(|r| r.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_owned())]);
}

#[test]
fn the_next_run_finishes_the_file() {
    let repository = some_repo(None);
    let dead = Arc::new(AtomicBool::new(true));
    let state = dead.clone();
    let hub = Server::start(move |request| {
        let reply = repository.reply(request);
        match request.is_get() && state.load(Ordering::SeqCst) {
            true if request.header("range").is_some() => reply.cut(0),
            true => reply.cut(123_456),
            false => reply,
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    let error = files.optional("model.safetensors").unwrap_err();
    assert!(error.is_transient());
    assert_message(&error, &["model.safetensors", "was cut", "tried 5 times"]);
    // Half a file is kept, but under no name that anyone takes for the whole.
    let part = blob(&cache, &format!("{WEIGHTS_ETAG}.incomplete"));
    assert_eq!(fs::metadata(&part).unwrap().len(), 123_456);
    assert!(!blob(&cache, WEIGHTS_ETAG).exists());
    let offline = ModelSource::from(repo(&hub, &cache).offline(true)).open().unwrap();
    assert_eq!(offline.optional("model.safetensors").unwrap(), None);

    hub.take_log();
    dead.store(false, Ordering::SeqCst);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = reports.clone();
    let source = repo(&hub, &cache).progress(move |at| sink.lock().unwrap().push(at.done));
    let files = ModelSource::from(source).open().unwrap();
    let weights = files.required("model.safetensors", "a test").unwrap();
    assert!(fs::read(weights).unwrap() == weights_bytes());
    assert!(!part.exists());
    assert_eq!(gets(&hub).len(), 1);
    assert_eq!(gets(&hub)[0].header("range"), Some("bytes=123456-"));
    assert_eq!(reports.lock().unwrap().first(), Some(&123_456));
}

#[test]
fn a_store_without_ranges_begins_anew() {
    let repository = some_repo(None);
    let hub = Server::start(move |request| {
        repository.reply(&Request { headers: BTreeMap::new(), ..request.clone() })
    });
    let cache = tempfile::tempdir().unwrap();
    write_blob(&cache, &format!("{WEIGHTS_ETAG}.incomplete"), &weights_bytes()[..1000]);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = reports.clone();
    let source = repo(&hub, &cache).progress(move |at| sink.lock().unwrap().push(at.clone()));
    let files = ModelSource::from(source).open().unwrap();
    let weights = files.required("model.safetensors", "a test").unwrap();
    assert!(fs::read(weights).unwrap() == weights_bytes());
    let reports = reports.lock().unwrap();
    assert_eq!(reports.first().unwrap().done, 1000);
    assert!(reports.windows(2).all(|pair| pair[0].done <= pair[1].done), "progress went back");
    assert!(reports.iter().all(|at| at.file == "model.safetensors" && at.total == 300_000));
    assert_eq!(reports.last().unwrap().done, 300_000);
}

#[test]
fn what_another_left_is_checked() {
    let (hub, _store) = hub_and_store();
    // Wrong bytes, too many bytes, all bytes but wrong: each is thrown away.
    for left in [vec![7; 1000], vec![7; 400_000], vec![7; 300_000]] {
        let cache = tempfile::tempdir().unwrap();
        write_blob(&cache, &format!("{WEIGHTS_ETAG}.incomplete"), &left);
        let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
        let weights = files.required("model.safetensors", "a test").unwrap();
        assert!(fs::read(weights).unwrap() == weights_bytes());
    }
    // Half a blob under the final name, as other programs leave it.
    let cache = tempfile::tempdir().unwrap();
    write_blob(&cache, WEIGHTS_ETAG, &weights_bytes()[..1000]);
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    let weights = files.required("model.safetensors", "a test").unwrap();
    assert!(fs::read(weights).unwrap() == weights_bytes());
}

#[test]
fn damaged_content_is_refused() {
    let repository = some_repo(None);
    let flip = |mut content: Vec<u8>| {
        content[7] ^= 1;
        content
    };
    let bodies = [
        flip(weights_bytes()),
        [weights_bytes(), vec![0; 10]].concat(),
        weights_bytes()[..10].to_vec(),
    ];
    for (body, says) in bodies.into_iter().zip(["SHA-256", "more than 300000", "10 of 300000"]) {
        let repository = repository.clone();
        let hub = Server::start(move |request| match request.is_get() {
            true => Reply::status(200).body(&body),
            false => repository.reply(request),
        });
        let cache = tempfile::tempdir().unwrap();
        let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
        let error = files.optional("model.safetensors").unwrap_err();
        assert_message(&error, &["model.safetensors", says]);
        assert!(!blob(&cache, WEIGHTS_ETAG).exists());
    }
}

#[test]
fn xet_gives_way_to_plain_http() {
    let store = Server::start(|request| fake_hub::content(request, &[0; 1 << 24]));
    let mut repository = some_repo(None);
    repository.files.insert(
        "zeros.bin",
        FileOf {
            etag: ZEROS_ETAG,
            content: vec![0; 1 << 24],
            store: Some(store.url.clone()),
            in_xet: true,
        },
    );
    // Xet's own address is not played: the Hub gives no token for it. Without the feature nobody asks.
    let hub = Server::start(move |request| repository.reply(request));
    let cache = tempfile::tempdir().unwrap();
    let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    let zeros = files.required("zeros.bin", "a test").unwrap();
    assert_eq!(fs::metadata(zeros).unwrap().len(), 1 << 24);
    let asked = hub.take_log().iter().any(|line| line.contains("/xet-read-token/"));
    assert_eq!(asked, cfg!(feature = "xet"));
    assert_eq!(store.log().len(), 1);
}

#[test]
fn many_threads_fetch_once() {
    let (hub, store) = hub_and_store();
    let cache = tempfile::tempdir().unwrap();
    let shared = ModelSource::from(repo(&hub, &cache)).open().unwrap();
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for index in 0..8 {
            let (hub, cache, shared, barrier) = (&hub, &cache, &shared, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let own = ModelSource::from(repo(hub, cache)).open().unwrap();
                let files = if index % 2 == 0 { shared } else { &own };
                let weights = files.required("model.safetensors", "a test").unwrap();
                assert!(fs::read(weights).unwrap() == weights_bytes());
            });
        }
    });
    assert_eq!(store.log().len(), 1);
}

#[test]
fn it_works_inside_a_tokio_runtime() {
    let (hub, _store) = hub_and_store();
    let runtimes = [
        tokio::runtime::Builder::new_current_thread().build().unwrap(),
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap(),
    ];
    for runtime in runtimes {
        let cache = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let files = ModelSource::from(repo(&hub, &cache)).open().unwrap();
            let weights = files.required("model.safetensors", "a test").unwrap();
            assert!(fs::read(weights).unwrap() == weights_bytes());
            drop(files);
        });
    }
}

#[test]
fn a_callback_may_use_the_hub_and_may_panic() {
    let (hub, _store) = hub_and_store();
    let cache = tempfile::tempdir().unwrap();
    let other = Mutex::new(Some(ModelSource::from(repo(&hub, &cache)).open().unwrap()));
    let source = repo(&hub, &cache).progress(move |_| {
        if let Some(other) = other.lock().unwrap().take() {
            other.required("config.json", "a test").unwrap();
        }
    });
    let files = ModelSource::from(source).open().unwrap();
    files.required("tokenizer.json", "a test").unwrap();

    let files = ModelSource::from(repo(&hub, &cache).progress(|_| panic!("the callback's own")));
    let files = files.open().unwrap();
    let outcome = thread::spawn(move || files.optional("model.safetensors")).join();
    assert_eq!(*outcome.unwrap_err().downcast::<&str>().unwrap(), "the callback's own");
}
