//! The Hub and its faults, played by a local server.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test")]

mod cache;
// Certificates to trust are read from a file on Linux; on other processors there is no server for it.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod encrypted;
mod environment;
mod fake_hub;
mod fixture;
mod refusals;
mod transfers;
