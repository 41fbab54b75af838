//! Tokens per second of generation, after a prompt of 64 tokens, per quantization level, and deep in a
//! long conversation, whose cache is forked, too: `cargo bench --bench decode`
#![allow(clippy::expect_used, reason = "a benchmark that cannot set up should stop")]

mod common;

use criterion::{BatchSize, Criterion, Throughput};
use sconce::models::LogitsAt;
use sconce::{LoadOptions, QuantLevel, TokenBatch};

const PROMPT: usize = 64;
const DEEP: usize = 4000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    let prompt = TokenBatch::single(&[7; PROMPT]).expect("it is not empty");
    let token = TokenBatch::single(&[7]).expect("it is not empty");
    let deep = vec![7; DEEP];
    let shallow = common::levels().into_iter().map(|(name, options)| (name, options, &prompt));
    let deep = TokenBatch::single(&deep).expect("it is not empty");
    let q8 = LoadOptions::default().quantize(QuantLevel::Q8_0);
    for (name, options, prompt) in shallow.chain([("q8_0 at 4000", q8, &deep)]) {
        let model = common::model(&options);
        let mut cache = model.new_cache();
        model.forward(prompt, &mut cache, LogitsAt::LastToken).expect("the prompt fits");
        group.bench_function(name, |bencher| {
            let step = |()| {
                // Every step sees the same depth.
                cache.truncate(prompt.tokens()).expect("it holds the prompt");
                model.forward(&token, &mut cache, LogitsAt::LastToken).expect("a token fits")
            };
            bencher.iter_batched(|| (), step, BatchSize::PerIteration);
        });
        if prompt.tokens() == DEEP {
            group.bench_function("fork at 4000", |bencher| bencher.iter(|| cache.fork()));
        }
    }
    group.finish();
    criterion.final_summary();
}
