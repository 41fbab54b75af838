//! The engine of torch's CPU generator.

/// The 32-bit Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), seeded by the low 32 bits of its seed.
///
/// Reference: `aten/src/ATen/core/MT19937RNGEngine.h`.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    state: Box<[u32; STATE]>,
    next: usize,
}

impl Engine {
    pub(super) fn seeded(seed: u64) -> Self {
        let mut state = Box::new([0; STATE]);
        state[0] = seed as u32;
        for index in 1..STATE {
            let before = state[index - 1];
            state[index] =
                1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(index as u32);
        }
        Self { state, next: STATE }
    }

    /// 32 random bits.
    pub(super) fn next_u32(&mut self) -> u32 {
        if self.next == STATE {
            self.twist();
        }
        let mut bits = self.state[self.next];
        self.next += 1;
        bits ^= bits >> 11;
        bits ^= (bits << 7) & 0x9d2c_5680;
        bits ^= (bits << 15) & 0xefc6_0000;
        bits ^ (bits >> 18)
    }

    /// 64 random bits, the first 32 of them above the next.
    pub(super) fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        high << 32 | u64::from(self.next_u32())
    }

    fn twist(&mut self) {
        for index in 0..STATE {
            let (this, next) = (self.state[index], self.state[(index + 1) % STATE]);
            let mixed = (this & 0x8000_0000) | (next & 0x7fff_ffff);
            let odd = if next & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[index] = self.state[(index + MIDDLE) % STATE] ^ (mixed >> 1) ^ odd;
        }
        self.next = 0;
    }
}

const STATE: usize = 624;
const MIDDLE: usize = 397;
