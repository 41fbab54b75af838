//! Random numbers that a seed fixes.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// ChaCha8 keyed with a seed in little-endian order: the numbers are fixed by the cipher, not by the
/// version of a crate. Clones go on with the same numbers.
#[derive(Debug, Clone)]
pub(super) struct Random(Box<ChaCha8Rng>);

impl Random {
    /// The numbers of a seed. Each `stream` has numbers of its own.
    pub(super) fn seeded(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut cipher = ChaCha8Rng::from_seed(key);
        cipher.set_stream(stream);
        Self(Box::new(cipher))
    }

    /// 53 random bits, uniform in [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}

/// The stream that samplers draw from.
pub(super) const DRAWS: u64 = 0;
/// The stream by which XTC decides.
pub(super) const XTC: u64 = 1;
