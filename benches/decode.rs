//! Tokens per second of generation, after a prompt of 64 tokens, per quantization level:
//! `cargo bench --bench decode`
#![allow(clippy::expect_used, reason = "a benchmark that cannot set up should stop")]

mod common;

use criterion::{BatchSize, Criterion, Throughput};
use sconce::TokenBatch;
use sconce::models::LogitsAt;

const PROMPT: usize = 64;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    let prompt = TokenBatch::single(&[7; PROMPT]).expect("it is not empty");
    let token = TokenBatch::single(&[7]).expect("it is not empty");
    for (name, options) in common::levels() {
        let model = common::model(&options);
        let mut cache = model.new_cache();
        model.forward(&prompt, &mut cache, LogitsAt::LastToken).expect("the prompt fits");
        group.bench_function(name, |bencher| {
            let step = |()| {
                // Every step sees the same depth.
                cache.truncate(PROMPT).expect("it holds the prompt");
                model.forward(&token, &mut cache, LogitsAt::LastToken).expect("a token fits")
            };
            bencher.iter_batched(|| (), step, BatchSize::PerIteration);
        });
    }
    group.finish();
    criterion.final_summary();
}
