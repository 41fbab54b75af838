//! Guides, one page each. What loading does and takes is told in [`weights`](crate::weights).

#[doc = include_str!("../docs/adding-a-model.md")]
pub mod adding_a_model {}
#[doc = include_str!("../docs/adding-a-task.md")]
pub mod adding_a_task {}
#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}
#[doc = include_str!("../docs/benchmarks.md")]
pub mod benchmarks {}
#[doc = include_str!("../docs/differences.md")]
pub mod differences {}
#[doc = include_str!("../docs/goldens.md")]
pub mod goldens {}
#[doc = include_str!("../docs/quantization.md")]
pub mod quantization {}
#[doc = include_str!("../docs/robustness.md")]
pub mod robustness {}
#[doc = include_str!("../docs/sentence-transformers.md")]
pub mod sentence_transformers {}
#[doc = include_str!("../docs/style.md")]
pub mod style {}
#[doc = include_str!("../docs/tokenizers.md")]
pub mod tokenizers {}
