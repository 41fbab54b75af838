//! Bytes of safetensors loaded per second, dense and quantized to each level:
//! `cargo bench --bench load`
#![allow(clippy::expect_used, reason = "a benchmark that cannot set up should stop")]

mod common;

use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let file = common::folder().join("model.safetensors");
    let bytes = file.metadata().expect("the folder was just written").len();
    let mut group = criterion.benchmark_group("load");
    group.throughput(Throughput::Bytes(bytes));
    for (name, options) in common::levels() {
        group.bench_function(name, |bencher| bencher.iter(|| common::model(&options)));
    }
    group.finish();
    criterion.final_summary();
}
