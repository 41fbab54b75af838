//! Environment variables, each set in a process of its own.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use sconce::ModelSource;

use crate::fake_hub::{Reply, Server};
use crate::fixture::{ID, assert_message, hub_and_store};

#[test]
fn the_environment() {
    let (hub, _store) = hub_and_store();
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let folder = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    file("hf/token", "from_home\n");
    let token_path = file("elsewhere/t", " from_path\r\n");
    let (hf, xdg, cache) = (folder("hf"), folder("xdg"), folder("cache"));
    let empty = folder("empty");

    // What is set, the cache folder that is used, the token that is sent.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, Option<&'a str>);
    let cases: [Case<'_>; 9] = [
        (&[], ".cache/huggingface/hub", None),
        (&[("XDG_CACHE_HOME", &xdg)], "xdg/huggingface/hub", None),
        (&[("HF_HOME", &hf)], "hf/hub", Some("Bearer from_home")),
        (&[("HF_HOME", "~/hf"), ("HF_TOKEN", "t\n")], "hf/hub", Some("Bearer t")),
        (&[("HF_HUB_CACHE", &cache), ("HF_HOME", &empty)], "cache", None),
        (
            &[("HUGGINGFACE_HUB_CACHE", &cache), ("HF_TOKEN_PATH", &token_path)],
            "cache",
            Some("Bearer from_path"),
        ),
        (
            &[("HF_HUB_CACHE", &cache), ("HUGGINGFACE_HUB_CACHE", &empty), ("HF_TOKEN", "")],
            "cache",
            None,
        ),
        (&[("HF_HOME", &hf), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "yes")], "hf/hub", None),
        (
            &[("HF_HOME", &hf), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "0")],
            "hf/hub",
            Some("Bearer from_home"),
        ),
    ];
    for (vars, cache, token) in cases {
        hub.take_log();
        let endpoint = format!("{}/", hub.url);
        let out = child(home.path(), &[vars, &[("HF_ENDPOINT", endpoint.as_str())]].concat());
        let path = home.path().join(cache).join("models--owner--some.Model-1/snapshots");
        assert_message(&out, &["fetched", path.to_str().unwrap()]);
        assert_eq!(hub.log()[0].header("authorization"), token, "{vars:?}");
    }
    hub.take_log();
    let none = [("HF_ENDPOINT", hub.url.as_str()), ("HF_HUB_CACHE", empty.as_str())];
    for offline in [("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "true")] {
        assert_message(
            &child(home.path(), &[&none[..], &[offline]].concat()),
            &["failed", "offline mode"],
        );
    }
    assert!(hub.log().is_empty());
    let not_offline = [("HF_HUB_OFFLINE", "no"), ("TRANSFORMERS_OFFLINE", "1")];
    assert_message(&child(home.path(), &[&none[..], &not_offline].concat()), &["fetched"]);

    // A folder of the repository's name, which may have been meant.
    fs::create_dir_all(home.path().join(ID)).unwrap();
    let output = process(home.path(), &none);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_message(&said, &["warning", ID, &format!("write \"./{ID}\"")]);
    assert_message(&String::from_utf8(output.stdout).unwrap(), &["fetched"]);
    let nothing = folder("nothing");
    let failed = child(home.path(), &[("HF_HUB_CACHE", &nothing), ("HF_HUB_OFFLINE", "1")]);
    assert_message(&failed, &["failed", "offline mode", &format!("write \"./{ID}\"")]);
}

#[test]
fn a_hub_that_does_not_answer() {
    let home = tempfile::tempdir().unwrap();
    let hub = Server::start(|_| {
        thread::sleep(Duration::from_secs(60));
        Reply::status(200)
    });
    let start = Instant::now();
    let vars = [("HF_ENDPOINT", hub.url.as_str()), ("HF_HUB_ETAG_TIMEOUT", "1")];
    let out = child(home.path(), &vars);
    assert_message(&out, &["failed", "did not answer in time", &hub.url]);
    assert!(start.elapsed() < Duration::from_secs(20));
}

/// Not a test of its own: what the tests above run in a process with another environment.
#[test]
fn child_process() {
    if env::var_os("SCONCE_TEST_CHILD").is_none() {
        return;
    }
    match ModelSource::from(ID).open().and_then(|files| files.required("config.json", "a test")) {
        Ok(path) => println!("fetched {}", path.display()),
        Err(error) => println!("failed {error}"),
    }
}

pub fn child(home: &Path, vars: &[(&str, &str)]) -> String {
    let output = process(home, vars);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn process(home: &Path, vars: &[(&str, &str)]) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "environment::child_process", "--nocapture"])
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("SCONCE_TEST_CHILD", "1")
        .envs(vars.iter().copied())
        .output()
        .unwrap()
}
