//! The Hub and its faults, played by a local server.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test")]

mod cache;
mod environment;
mod fake_hub;
mod fixture;
mod refusals;
mod transfers;
