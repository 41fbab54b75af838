//! Chances.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The same numbers for the same seed, on every machine.
pub struct Random(ChaCha8Rng);

impl Random {
    /// Of one run of a class.
    pub fn of_run(seed: u64, class: &str, run: u64) -> Self {
        let name = class.bytes().fold(0_u64, |name, byte| name.wrapping_mul(257) + u64::from(byte));
        let mut bytes = [0; 32];
        for (bytes, number) in bytes.chunks_mut(8).zip([seed, name, run]) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        // As u64, so that it does not depend on the machine.
        if end == 0 { 0 } else { self.0.random_range(0..end as u64) as usize }
    }

    pub fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most + 1 - least)
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    pub fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }
}
