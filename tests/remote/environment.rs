//! Environment variables, each set in a process of its own.

use std::env;
use std::process::Command;

use sconce::{ModelSource, Pipeline};
use serde_json::json;

use crate::fake_service::{Server, answer};
use crate::question;

/// As `OpenAI()` of the official client reads them.
#[test]
fn the_environment() {
    let server = Server::always(answer(json!({"content": "Good."})));
    let url = format!("{}/v1/", server.url);
    let base = ("OPENAI_BASE_URL", url.as_str());
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str, Option<&'a str>);
    let cases: [Case<'_>; 6] = [
        (&[base, ("OPENAI_API_KEY", "sk-secret")], "", "said Good.", Some("Bearer sk-secret")),
        (&[base], "", "said Good.", None),
        (
            &[base, ("OPENAI_API_KEY", "sk-secret")],
            "sk-given",
            "said Good.",
            Some("Bearer sk-given"),
        ),
        (&[("OPENAI_BASE_URL", "")], "", "failed option `api_key`", None),
        (&[("OPENAI_BASE_URL", "http://10.1.2.3/v1")], "", "failed option `base_url`", None),
        (&[("OPENAI_BASE_URL", "sk-secret@x")], "", "failed option `base_url`", None),
    ];
    for (vars, given, expected, authorization) in cases {
        let before = server.log().len();
        let mut vars = vars.to_vec();
        vars.push(("GIVEN_KEY", given));
        let out = child(&vars);
        assert!(out.contains(expected), "{vars:?}: {out}");
        assert!(!out.contains("sk-secret"), "{out}");
        if expected.starts_with("said") {
            let request = server.log().remove(before);
            assert_eq!(request.header("authorization"), authorization);
            assert_eq!(request.path, "/v1/chat/completions");
        }
    }
    let vars = [
        base,
        ("OPENAI_ORG_ID", "org-1"),
        ("OPENAI_PROJECT_ID", "proj-1"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
    ];
    // A proxy does not see what stays on this machine.
    assert!(child(&vars).contains("said Good."));
    let request = server.log().pop().unwrap();
    assert_eq!(request.header("openai-organization"), Some("org-1"));
    assert_eq!(request.header("openai-project"), Some("proj-1"));
}

/// Not a test of its own: what the test above runs in a process with another environment.
#[test]
fn child_process() {
    if env::var_os("SCONCE_TEST_CHILD").is_none() {
        return;
    }
    let given = env::var("GIVEN_KEY").unwrap_or_default();
    let source = match given.as_str() {
        "" => ModelSource::from("openai:frontier-1"),
        key => ModelSource::openai("frontier-1").api_key(key).into(),
    };
    match Pipeline::text_generation(source).build().and_then(|pipeline| pipeline.run(&question())) {
        Ok(found) => println!("said {}", found[0].text().unwrap()),
        Err(error) => println!("failed {error} {error:?}"),
    }
}

fn child(vars: &[(&str, &str)]) -> String {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "environment::child_process", "--nocapture"])
        .env_clear()
        .env("SCONCE_TEST_CHILD", "1")
        .envs(vars.iter().copied())
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
