//! Tokens per second through a prompt of 256 tokens, per quantization level:
//! `cargo bench --bench prefill`
#![allow(clippy::expect_used, reason = "a benchmark that cannot set up should stop")]

mod common;

use criterion::{Criterion, Throughput};
use sconce::TokenBatch;
use sconce::models::LogitsAt;

const PROMPT: usize = 256;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("prefill");
    group.throughput(Throughput::Elements(PROMPT as u64));
    let prompt = TokenBatch::single(&[7; PROMPT]).expect("it is not empty");
    for (name, options) in common::levels() {
        let model = common::model(&options);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut cache = model.new_cache();
                model.forward(&prompt, &mut cache, LogitsAt::LastToken).expect("the prompt fits")
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
