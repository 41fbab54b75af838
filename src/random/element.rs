//! The dtypes of random numbers.

use half::{bf16, f16};

use crate::random::engine::Engine;
use crate::random::normal::{self, BLOCK};

/// A dtype of random numbers: f32, f64, f16 or bf16.
pub trait Element: sealed::Sealed {}

impl<T: sealed::Sealed> Element for T {}

pub(super) mod sealed {
    use crate::random::engine::Engine;
    use crate::random::normal::BLOCK;

    #[expect(unnameable_types, reason = "the trait is sealed")]
    pub trait Sealed: Copy {
        /// A number from 0 to 1, with as many random bits as the dtype has digits.
        #[expect(private_interfaces, reason = "the trait is sealed")]
        fn uniform(engine: &mut Engine) -> Self;

        /// Makes 16 normal numbers of 16 uniform ones.
        fn normal_block(block: &mut [Self; BLOCK]);

        fn round(number: f64) -> Self;
    }
}

#[expect(private_interfaces, reason = "the trait is sealed")]
impl sealed::Sealed for f32 {
    fn uniform(engine: &mut Engine) -> Self {
        (engine.next_u32() & 0xff_ffff) as Self / (1 << 24) as Self
    }

    fn normal_block(block: &mut [Self; BLOCK]) {
        normal::block_f32(block);
    }

    fn round(number: f64) -> Self {
        number as Self
    }
}

#[expect(private_interfaces, reason = "the trait is sealed")]
impl sealed::Sealed for f64 {
    fn uniform(engine: &mut Engine) -> Self {
        (engine.next_u64() & ((1 << 53) - 1)) as Self / (1_u64 << 53) as Self
    }

    fn normal_block(block: &mut [Self; BLOCK]) {
        normal::block_f64(block);
    }

    fn round(number: f64) -> Self {
        number
    }
}

macro_rules! half_precision {
    ($($dtype:ident: $digits:literal),+) => {$(
        #[expect(private_interfaces, reason = "the trait is sealed")]
        impl sealed::Sealed for $dtype {
            fn uniform(engine: &mut Engine) -> Self {
                let bits = engine.next_u32() & ((1 << $digits) - 1);
                Self::from_f32(bits as f32 / (1 << $digits) as f32)
            }

            /// Each operation is rounded to the dtype, as in torch.
            fn normal_block(block: &mut [Self; BLOCK]) {
                let (first, second) = block.split_at_mut(BLOCK / 2);
                for (first, second) in first.iter_mut().zip(second) {
                    let rounded = |number: f32| Self::from_f32(number).to_f32();
                    let log = rounded(rounded(1.0 - first.to_f32()).ln());
                    let radius = rounded(rounded(-2.0 * log).sqrt());
                    // The product with 2 pi is f64, and on its way to the dtype f32.
                    let angle = rounded((std::f64::consts::TAU * second.to_f64()) as f32);
                    // Torch adds a mean of 0, which makes -0 a 0.
                    *first = Self::from_f32(radius * rounded(angle.cos()) + 0.0);
                    *second = Self::from_f32(radius * rounded(angle.sin()) + 0.0);
                }
            }

            fn round(number: f64) -> Self {
                Self::from_f32(number as f32)
            }
        }
    )+};
}

half_precision!(f16: 11, bf16: 8);
