//! Watches the children, replaces those that die or are late, and adds up.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::cases::Class;
use crate::{child, most_seconds, setting};

/// What the runs of a class came to.
#[derive(Default)]
struct Tally {
    class: &'static str,
    runs: u64,
    good: u64,
    errors: u64,
    late: u64,
    died: u64,
    /// In bytes and milliseconds.
    peak: u64,
    slowest: u64,
    wrong: Vec<String>,
}

static TALLIES: Mutex<Vec<Tally>> = Mutex::new(Vec::new());

/// All runs of a class; an error names those that went wrong.
pub fn run(class: &'static Class) -> Result<(), Failed> {
    let seed = setting("FUZZ_SEED").unwrap_or(1);
    let until = setting("FUZZ_SECONDS").map(|time| Instant::now() + Duration::from_secs(time));
    let (first, end) = match setting("FUZZ_RUN") {
        Some(run) => (run, run + 1),
        None => (0, if until.is_some() { u64::MAX } else { class.runs }),
    };
    let mut tally = Tally { class: class.name, ..Tally::default() };
    let mut next = first;
    while next < end && until.is_none_or(|until| Instant::now() < until) {
        next = watch(
            &format!("{seed},{next},{},{}", end - next, class.name),
            next,
            until,
            &mut tally,
        )?;
    }
    let wrong = tally.wrong.clone();
    TALLIES.lock().map_err(|error| error.to_string())?.push(tally);
    match wrong.len() {
        0 => Ok(()),
        count => {
            let shown: Vec<_> = wrong.iter().take(30).map(String::as_str).collect();
            Err(format!("seed {seed}: {count} went wrong\n{}", shown.join("\n")).into())
        }
    }
}

/// One child, until it is done, dies or is late; returns the next run.
fn watch(work: &str, first: u64, until: Option<Instant>, tally: &mut Tally) -> Result<u64, Failed> {
    let mut child = Command::new(env::current_exe()?)
        .env(child::WORK, work)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (lines, said) = listen(&mut child);
    let mut running = None;
    let mut next = first;
    let outcome = loop {
        let line = lines.recv_timeout(Duration::from_secs(most_seconds()));
        let Ok(line) = line else { break line };
        let mut words = line.splitn(6, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (what, run) = (word(), word().parse::<u64>().unwrap_or_default());
        if what == "begin" {
            running = Some(run);
            continue;
        }
        let (kind, peak, time, text) = (word(), word(), word(), word());
        tally.runs += 1;
        tally.peak = tally.peak.max(peak.parse().unwrap_or_default());
        tally.slowest = tally.slowest.max(time.parse().unwrap_or_default());
        match kind {
            "ok" => tally.good += 1,
            "error" | "caller" => tally.errors += 1,
            _ => tally.wrong.push(format!("run {run}: {:.600}", text)),
        }
        if setting("FUZZ_RUN").is_some() {
            println!("{line}");
        }
        (running, next) = (None, run + 1);
        if until.is_some_and(|until| Instant::now() > until) {
            break Err(RecvTimeoutError::Disconnected);
        }
    };
    let _ = child.kill();
    let status = child.wait()?;
    let said = said.recv().unwrap_or_default();
    if setting("FUZZ_RUN").is_some() {
        eprintln!("{said}");
    }
    let Some(run) = running else {
        return match next == first {
            true => Err(format!("a child made no run ({status}): {said}").into()),
            false => Ok(next),
        };
    };
    tally.runs += 1;
    if outcome == Err(RecvTimeoutError::Timeout) {
        tally.late += 1;
        tally.wrong.push(format!("run {run}: not over after {} s", most_seconds()));
    } else {
        tally.died += 1;
        tally.wrong.push(format!("run {run}: the process died ({status}): {said}"));
    }
    Ok(run + 1)
}

/// The lines that a child prints, and the end of what it says on stderr.
fn listen(child: &mut Child) -> (Receiver<String>, Receiver<String>) {
    let (line, lines) = channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            for text in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if line.send(String::from_utf8_lossy(&text).into_owned()).is_err() {
                    break;
                }
            }
        });
    }
    let (all, said) = channel();
    if let Some(mut stderr) = child.stderr.take() {
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            let end = text.len().saturating_sub(1_000);
            let _ = all.send(String::from_utf8_lossy(&text[end..]).into_owned());
        });
    }
    (lines, said)
}

/// What docs/robustness.md shows.
pub fn print_table() {
    let tallies = TALLIES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!(
        "\n| class | runs | results | errors | late | died | wrong | peak (MB) | slowest (ms) |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for tally in tallies.iter() {
        let Tally { class, runs, good, errors, late, died, peak, slowest, wrong } = tally;
        let (peak, wrong) = (peak >> 20, wrong.len());
        println!(
            "| {class} | {runs} | {good} | {errors} | {late} | {died} | {wrong} | {peak} | {slowest} |"
        );
    }
}
