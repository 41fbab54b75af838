//! The default build needs Rust alone: no compiler of C or C++, no cmake.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;

#[test]
fn the_default_build_compiles_no_c() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("sconce v") && tree.contains("ureq v"), "{tree}");
    assert_eq!(native(&tree), [""; 0], "these compile C, or look for a library of C");
    assert_eq!(native("cc v1.2.3\nring v0.17\naws-lc-sys v0.47.0 (*)"), ["cc", "aws-lc-sys"]);
}

/// The crates of a tree that need more than Rust.
fn native(tree: &str) -> Vec<&str> {
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let is_native = |name: &&str| {
        BUILD_TOOLS.contains(name) || (name.ends_with("-sys") && !BINDINGS.contains(name))
    };
    names.filter(is_native).collect()
}

/// By which build scripts call a compiler or find a library of C.
const BUILD_TOOLS: &[&str] = &[
    "autotools",
    "bindgen",
    "cc",
    "cmake",
    "cxx-build",
    "meson",
    "nasm-rs",
    "pkg-config",
    "vcpkg",
];

/// Declarations of what every system has.
const BINDINGS: &[&str] =
    &["core-foundation-sys", "linux-raw-sys", "security-framework-sys", "windows-sys"];
