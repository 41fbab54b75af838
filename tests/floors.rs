//! The rules of the house that a compiler cannot check (`docs/architecture.md`, `docs/style.md`):
//! a module uses lower floors only, files stay readable, `unsafe` stays where it belongs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each module's floor. Everyone may use `error`; else modules of one floor do not know each other.
const FLOORS: &[(&str, usize)] = &[
    ("error", 0),
    ("options", 0),
    ("batch", 0),
    ("fields", 0),
    ("read", 0),
    ("warning", 0),
    ("kernels", 1),
    ("source", 2),
    ("tokenizer", 3),
    ("weights", 3),
    ("nn", 4),
    ("models", 5),
    ("embeddings", 6),
    ("generation", 6),
    ("pipeline", 7),
];

/// The roof: these see everything and nothing sees them.
const ROOF: &[&str] = &["lib", "guide"];

const MOST_LINES: usize = 700;

#[test]
fn every_file_keeps_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut complaints = Vec::new();
    for file in rust_files(&root) {
        let text = fs::read_to_string(&file).unwrap();
        let path = file.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        complaints.extend(judge(&path, &text));
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn offenders_are_caught() {
    let complaint = |path: &str, text: &str| judge(path, text).join("\n");
    for (path, text, expected) in [
        (
            "nn/rope.rs",
            "\nuse crate::models::CausalLm;",
            "nn/rope.rs:2: nn (floor 4) uses models (floor 5)",
        ),
        (
            "weights/mod.rs",
            "let t: crate::tokenizer::Tokenizer;",
            "weights (floor 3) uses tokenizer (floor 3)",
        ),
        ("options.rs", "use crate::batch::TokenBatch;", "options (floor 0) uses batch (floor 0)"),
        ("nn/rope.rs", "use crate::{error, models};", "name one module per `use`"),
        ("nn/rope.rs", "use crate::Error;", "`crate::Error` is no module"),
        ("nn/rope.rs", "use super::super::pipeline;", "climbs out of its module"),
        ("extra/mod.rs", "", "stands on no floor"),
        ("nn/rope.rs", "unsafe { go() }", "`unsafe` outside of kernels"),
        ("nn/rope.rs", &"\n".repeat(MOST_LINES + 1), "701 lines"),
    ] {
        let found = complaint(path, text);
        assert!(found.contains(expected), "{path}: {text:?} gives {found:?}");
    }
    for (path, text) in [
        (
            "nn/rope.rs",
            "use crate::error::Result;\nuse crate::nn::cache::KvCache;\nuse super::cache;",
        ),
        (
            "nn/rope.rs",
            "/// See [`crate::pipeline::Pipeline`].\nfn f() {} // crate::pipeline, unsafe",
        ),
        (
            "nn/rope.rs",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::pipeline::Pipeline;\n}",
        ),
        ("kernels/dot.rs", "unsafe { go() }"),
        (
            "source/gguf.rs",
            "#![expect(unsafe_code, reason = \"memory-mapping the file\")]\nunsafe { map() }",
        ),
        ("lib.rs", "pub use crate::pipeline::Pipeline;"),
    ] {
        assert_eq!(complaint(path, text), "");
    }
}

/// What is wrong with a file, one line each. `path` is relative to `src`.
fn judge(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        complaints
            .push(format!("src/{path}: {lines} lines; split it where it falls apart by itself"));
    }
    let module = path.split('/').next().unwrap().trim_end_matches(".rs");
    let floor = floor_of(module);
    if floor.is_none() && !ROOF.contains(&module) {
        complaints.push(format!("src/{path}: {module} stands on no floor; give it one in FLOORS"));
    }
    let depth = path.split('/').count() - usize::from(path.ends_with("/mod.rs"));
    let maps_files = text.contains("#![expect(unsafe_code, reason = \"memory-map");
    let may_be_unsafe = module == "kernels" || maps_files;
    for (number, line) in code(text) {
        let mut complain = |what: String| complaints.push(format!("src/{path}:{number}: {what}"));
        if !may_be_unsafe && words(line).any(|word| word == "unsafe") {
            complain("`unsafe` outside of kernels and memory maps".to_owned());
        }
        if line.matches("super::").count() >= depth && line.contains(&"super::".repeat(depth)) {
            complain("climbs out of its module; write `crate::`".to_owned());
        }
        let Some(floor) = floor else { continue };
        for used in used_modules(line) {
            match floor_of(used) {
                _ if used.is_empty() => complain("name one module per `use`".to_owned()),
                None => complain(format!("`crate::{used}` is no module; say where it is defined")),
                Some(below) if used == module || used == "error" || below < floor => {}
                Some(above) => {
                    complain(format!("{module} (floor {floor}) uses {used} (floor {above})"));
                }
            }
        }
    }
    complaints
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// Numbered lines without comments and doctests, up to the tests at the bottom.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(|line| line.split("//").next().unwrap()).enumerate();
    lines.take_while(|(_, line)| line.trim() != "#[cfg(test)]").map(|(i, line)| (i + 1, line))
}

/// What stands after each `crate::`; nothing where it is a brace.
fn used_modules(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").filter_map(|(at, path)| {
        let part_of_a_word = line[..at]
            .ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '$');
        (!part_of_a_word).then(|| words(&line[at + path.len()..]).next().unwrap_or(""))
    })
}

/// Identifiers and the empty strings between other characters.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
