//! Models that see: one configurable encoder of pictures for all families, its heads, and pairs of encoders for pictures
//! and texts.

pub mod config;
pub mod traits;

pub(crate) mod families;

mod convnext;
mod depthwise;
mod embeddings;
mod encoder;
mod grid;
mod heads;
mod open;
mod pair;
mod pooling;

pub use config::VisionConfig;
pub use encoder::VisionEncoder;
pub use traits::{ImageClassifier, ImageEncoder, ImageTextModel, TextPooling};
