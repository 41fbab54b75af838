//! The guides: what they link to exists, and each is a page of `sconce::guide`.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let folder = page.parent().unwrap();
        // What is code is no link.
        let prose: String = text.split('`').step_by(2).collect();
        let inline = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let defined = text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
        for target in inline.chain(defined.map(|(_, target)| target)) {
            let file = target.split('#').next().unwrap();
            let is_elsewhere = file.is_empty() || file.contains("://") || file.contains("crate");
            if !is_elsewhere && !folder.join(file).exists() {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn labels_are_defined_for_readers_of_files_and_of_rustdoc() {
    let labels = |file: &Path| -> BTreeSet<String> {
        let text = fs::read_to_string(file).unwrap();
        let defined = text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
        defined.map(|(label, _)| label.to_owned()).collect()
    };
    let of_rustdoc = labels(Path::new("src/guide/links.md"));
    for page in pages() {
        let missing: Vec<_> = labels(&page).difference(&of_rustdoc).cloned().collect();
        assert!(missing.is_empty(), "{}: src/guide/links.md lacks {missing:?}", page.display());
    }
}

#[test]
fn every_page_is_in_the_guide() {
    let guide = fs::read_to_string("src/guide.rs").unwrap();
    let weights = fs::read_to_string("src/weights/mod.rs").unwrap();
    for page in fs::read_dir("docs").unwrap() {
        let page = page.unwrap().path();
        if page.is_file() {
            let name = page.to_str().unwrap();
            assert!(
                guide.contains(name) || weights.contains(name),
                "{name} is no page of the guide"
            );
        }
    }
}

/// README, CONTRIBUTING and all of `docs`.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = vec!["README.md".into(), "CONTRIBUTING.md".into()];
    for folder in ["docs", "docs/tasks"] {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(files.filter(|path| path.extension().is_some_and(|kind| kind == "md")));
    }
    pages
}
