//! What it costs to hand work to another thread, by the kernels' pool and by rayon, and what their
//! threads cost while nothing is computed: `cargo bench --bench pool`
//!
//! Both halves of the work wait for each other, so a hand-over is only done when the other thread
//! has begun, and is back.

use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use criterion::{BatchSize, Criterion};

#[allow(dead_code, reason = "what the crate uses beside")]
#[path = "../src/kernels/pool.rs"]
mod pool;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    if pool::threads() < 2 {
        println!("there is one thread, which nothing can be handed over to");
        return;
    }
    let mut group = criterion.benchmark_group("hand-over");
    let ours = || {
        let begun = AtomicUsize::new(0);
        pool::for_each(2, 1, |_| meet(&begun));
    };
    let rayons = || {
        let begun = AtomicUsize::new(0);
        rayon::join(|| meet(&begun), || meet(&begun));
    };
    group.bench_function("kernels", |bencher| bencher.iter(ours));
    group.bench_function("rayon", |bencher| bencher.iter(rayons));
    let pause = || thread::sleep(Duration::from_millis(2));
    group.bench_function("kernels, asleep", |bencher| {
        bencher.iter_batched(pause, |()| ours(), BatchSize::PerIteration);
    });
    group.bench_function("rayon, asleep", |bencher| {
        bencher.iter_batched(pause, |()| rayons(), BatchSize::PerIteration);
    });
    group.finish();
    criterion.final_summary();
    ours();
    let before = ticks();
    thread::sleep(Duration::from_secs(2));
    if let (Some(before), Some(after)) = (before, ticks()) {
        println!("all threads while idle for 2 s: {} ticks of 10 ms", after - before);
    }
}

/// Waits until two are here.
fn meet(begun: &AtomicUsize) {
    begun.fetch_add(1, Ordering::AcqRel);
    let mut turns = 0;
    while begun.load(Ordering::Acquire) < 2 {
        turns += 1;
        // Where the other's core is taken.
        if turns < 100_000 { hint::spin_loop() } else { thread::yield_now() }
    }
}

/// The time all threads of this process have computed for, on Linux: `utime` and `stime` of proc(5).
fn ticks() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}
