//! The pieces decoders and encoders are built from, written once.

pub mod cache;
