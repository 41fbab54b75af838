//! Broken files, senseless options and long inputs by the hundred: each is an error or a result, within
//! limits of memory and time; never a crash, a hang, a panic or a text of megabytes. `docs/robustness.md` tells
//! what is tried.
//!
//! ```text
//! cargo test --release --test fuzz                                # a fixed number of runs of each class
//! FUZZ_SECONDS=600 FUZZ_SEED=7 cargo test --release --test fuzz   # so many seconds for each class
//! FUZZ_RUN=4711 FUZZ_SEED=7 cargo test --release --test fuzz tokenizer.json   # one run again
//! ```
//!
//! What a run is depends on seed, class and number alone. Runs are made by child processes, this program
//! again, which are replaced where one dies or is late.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test: it fails by panicking"
)]

mod allocator;
mod cases;
#[path = "../support/checkpoint_files.rs"]
mod checkpoint_files;
mod child;
mod files;
mod inputs;
mod known;
mod mutate;
mod options;
mod others;
mod parent;
mod random;
mod subjects;

use std::env;

use libtest_mimic::{Arguments, Trial};

use cases::CLASSES;

/// The most memory of a run, in bytes: the largest model here has 300 kB.
const MOST_MEMORY: usize = 1 << 30;

fn main() {
    if let Ok(work) = env::var(child::WORK) {
        child::work(&work);
        return;
    }
    let trials = CLASSES.iter().map(|class| Trial::test(class.name, move || parent::run(class)));
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    parent::print_table();
    conclusion.exit();
}

/// The most seconds of a run: a clock that a busy machine does not trip, unless the fuzzer is left to run.
fn most_seconds() -> u64 {
    if cfg!(debug_assertions) || setting("FUZZ_SECONDS").is_none() { 120 } else { 20 }
}

/// A number in the environment.
fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}
