//! The rules of the house that a compiler cannot check (`docs/architecture.md`, `docs/style.md`):
//! a module uses lower floors only, files use each other in no circle and stay readable, `unsafe` stays
//! where it belongs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Each module's floor. Everyone may use `error`; else modules of one floor do not know each other.
const FLOORS: &[(&str, usize)] = &[
    ("error", 0),
    ("options", 0),
    ("batch", 0),
    ("base64", 0),
    ("fields", 0),
    ("fingerprint", 0),
    ("read", 0),
    ("warning", 0),
    ("media", 0),
    ("quiet", 0),
    ("letters", 0),
    ("random", 0),
    ("kernels", 1),
    ("source", 2),
    ("audio", 3),
    ("image", 3),
    ("tokenizer", 3),
    ("weights", 3),
    ("nn", 4),
    ("models", 5),
    ("diffusion", 6),
    ("embeddings", 6),
    ("generation", 6),
    ("remote", 7),
    ("sound", 7),
    ("speech", 7),
    ("pipeline", 8),
    ("minutes", 9),
];

/// The roof: these see everything and nothing sees them.
const ROOF: &[&str] = &["lib", "guide"];

const MOST_LINES: usize = 500;

#[test]
fn every_file_keeps_the_rules() {
    let complaints: Vec<_> = sources().iter().flat_map(|(path, text)| judge(path, text)).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let circles = circles(&sources());
    assert!(circles.is_empty(), "\n{}\n", circles.join("\n"));
}

#[test]
fn circles_are_caught() {
    let found = |files: &[(&str, &str)]| {
        let owned = files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned()));
        circles(&owned.collect()).join(", ")
    };
    let root = ("nn/mod.rs", "mod a;\nmod b;\npub use b::{B, Other as C};");
    // Through what the root hands on, through a module's name, and without a `use`.
    for uses in
        ["use crate::nn::B;", "use crate::nn::b;\nfn f() { b::g() }", "fn f(x: super::C) {}"]
    {
        let files = [root, ("nn/a.rs", uses), ("nn/b.rs", "use crate::nn::a::{self, A};")];
        assert_eq!(found(&files), "nn::a -> nn::b -> nn::a", "{uses}");
    }
    let through_root =
        [("nn/mod.rs", "mod a;\nuse a::A;\npub struct B;"), ("nn/a.rs", "use crate::nn::B;")];
    assert_eq!(found(&through_root), "nn -> nn::a -> nn");
    let tests = ("nn/a.rs", "// crate::nn::b::B\n#[cfg(test)]\nmod tests { use crate::nn::b::B; }");
    assert_eq!(found(&[root, tests, ("nn/b.rs", "use crate::nn::a::A;")]), "");
    let deep = [("nn/x/y/mod.rs", "mod z;\nuse z::Z;"), ("nn/x/y/z.rs", "use crate::nn::x::y::Y;")];
    assert_eq!(found(&deep), "");
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
        ("nn/rope.rs", &"\n".repeat(MOST_LINES + 1), "501 lines"),
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

/// All files of the crate by their path in `src`.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let named = |file: PathBuf| {
        let path = file.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        (path, fs::read_to_string(&file).unwrap())
    };
    rust_files(&root).into_iter().map(named).collect()
}

/// The shortest way from each file to itself over those it uses.
fn circles(files: &BTreeMap<String, String>) -> Vec<String> {
    let modules: BTreeMap<String, Module> = files
        .iter()
        .map(|(path, text)| {
            let name = path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
            let lines: Vec<_> = code(text).map(|(_, line)| line).collect();
            (name, lines.join("\n"))
        })
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .map(|(name, text)| (name.clone(), Module::read(&name, &text)))
        .collect();
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, module) in &modules {
        let used = module.uses.iter().filter_map(|path| resolve(path, &modules, 0));
        let used = used.map(|used| unit(&used)).filter(|used| *used != unit(name));
        uses.entry(unit(name)).or_default().extend(used);
    }
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for start in uses.keys() {
        let Some(circle) = way_back(start, &uses) else { continue };
        if seen.insert(circle.iter().cloned().collect::<BTreeSet<_>>()) {
            circles.push(circle.join(" -> "));
        }
    }
    circles
}

/// What counts as one: a file of a floor or of one of its folders; a folder further down with all that is in it,
/// such as a table of families.
fn unit(module: &str) -> String {
    module.split("::").take(3).collect::<Vec<_>>().join("::")
}

fn way_back(start: &str, uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![start.to_owned()]]);
    let mut reached = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in uses.get(way.last()?).into_iter().flatten() {
            let longer = [way.clone(), vec![next.clone()]].concat();
            if next == start {
                return Some(longer);
            }
            if reached.insert(next) {
                ways.push_back(longer);
            }
        }
    }
    None
}

/// What a file says of other modules: paths from the crate's root.
#[derive(Default)]
struct Module {
    uses: Vec<Vec<String>>,
    /// Names it hands on (`pub use`), and what they are.
    exports: BTreeMap<String, Vec<String>>,
}

impl Module {
    fn read(name: &str, text: &str) -> Self {
        let of_use = Regex::new(r"(?m)^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);").unwrap();
        let inline = Regex::new(r"(?:^|[^\w:.$])([a-z_]\w*)((?:::\w+)+)").unwrap();
        let children = Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+);").unwrap();
        let children: BTreeSet<_> =
            children.captures_iter(text).map(|found| found[1].to_owned()).collect();
        let mut module = Self::default();
        let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let here: Vec<_> = name.split("::").map(str::to_owned).collect();
        let absolute = |path: &str, named: &BTreeMap<String, Vec<String>>| -> Option<Vec<String>> {
            let mut parts: Vec<_> = path.split("::").map(|part| part.trim().to_owned()).collect();
            let mut base = here.clone();
            match parts[0].as_str() {
                "crate" => Some(parts.split_off(1)),
                "self" => Some([base, parts.split_off(1)].concat()),
                "super" => {
                    while parts.first().is_some_and(|part| part == "super") {
                        parts.remove(0);
                        base.pop();
                    }
                    Some([base, parts].concat())
                }
                child if children.contains(child) => Some([base, parts].concat()),
                other => Some([named.get(other)?.clone(), parts.split_off(1)].concat()),
            }
        };
        for found in of_use.captures_iter(text) {
            for tree in branches(&found[2]) {
                let (path, alias) = tree.split_once(" as ").unwrap_or((&tree, ""));
                let Some(path) = absolute(path.trim_end_matches("::self"), &BTreeMap::new()) else {
                    continue;
                };
                let name = if alias.is_empty() {
                    path.last().cloned().unwrap_or_default()
                } else {
                    alias.trim().to_owned()
                };
                match found.get(1) {
                    Some(_) => drop(module.exports.insert(name, path)),
                    None => {
                        named.insert(name, path.clone());
                        module.uses.push(path);
                    }
                }
            }
        }
        let rest = of_use.replace_all(text, "");
        for found in inline.captures_iter(&rest) {
            module.uses.extend(absolute(&format!("{}{}", &found[1], &found[2]), &named));
        }
        module
    }
}

/// The paths of a `use`, braces written out.
fn branches(tree: &str) -> Vec<String> {
    let Some((start, rest)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let mut depth = 0;
    let inside = rest.trim_end().trim_end_matches('}');
    let split = inside.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    split
        .filter(|branch| !branch.trim().is_empty())
        .flat_map(|branch| branches(&format!("{}{}", start.trim(), branch.trim())))
        .collect()
}

/// The module that a path leads to, through what modules on the way hand on; `None` for what is no module's, as
/// a macro, and for a module that is only named.
fn resolve(path: &[String], modules: &BTreeMap<String, Module>, depth: usize) -> Option<String> {
    let known =
        (1..path.len()).rev().find(|&length| modules.contains_key(&path[..length].join("::")))?;
    let name = path[..known].join("::");
    if modules.contains_key(&path.join("::")) {
        return None;
    }
    match modules[&name].exports.get(&path[known]) {
        Some(from) if depth < 8 => {
            resolve(&[from, &path[known + 1..]].concat(), modules, depth + 1)
        }
        _ => Some(name),
    }
}
