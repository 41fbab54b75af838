//! Normal numbers of uniform ones, sixteen together, by Box and Muller (1958).

/// Numbers that are made together: eight radii and eight angles.
pub(super) const BLOCK: usize = 16;

/// `normal_fill_16_AVX2`: the logarithm, the sine and the cosine are polynomials of Cephes
/// (`aten/src/ATen/native/cpu/avx_mathfun.h`), with sums and products fused where torch's compiler fuses them.
pub(super) fn block_f32(block: &mut [f32; BLOCK]) {
    let (first, second) = block.split_at_mut(BLOCK / 2);
    for (first, second) in first.iter_mut().zip(second) {
        let radius = (-2.0 * log(1.0 - *first)).sqrt();
        let (sine, cosine) = sin_cos(std::f32::consts::TAU * *second);
        // Torch adds a mean of 0, which makes -0 a 0.
        *first = radius * cosine + 0.0;
        *second = radius * sine + 0.0;
    }
}

/// `normal_fill_16<double>`.
pub(super) fn block_f64(block: &mut [f64; BLOCK]) {
    let (first, second) = block.split_at_mut(BLOCK / 2);
    for (first, second) in first.iter_mut().zip(second) {
        let radius = (-2.0 * (1.0 - *first).ln()).sqrt();
        let angle = std::f64::consts::TAU * *second;
        *first = radius * angle.cos() + 0.0;
        *second = radius * angle.sin() + 0.0;
    }
}

/// The natural logarithm of a number above 0.
fn log(number: f32) -> f32 {
    let bits = number.max(f32::MIN_POSITIVE).to_bits();
    let mut exponent = ((bits >> 23) as i32 - 127) as f32 + 1.0;
    let fraction = f32::from_bits(bits & 0x807f_ffff | 0x3f00_0000);
    let mut x = fraction - 1.0;
    if fraction < std::f32::consts::FRAC_1_SQRT_2 {
        exponent -= 1.0;
        x += fraction;
    }
    let square = x * x;
    let y = LOG.into_iter().reduce(|y, factor| y.mul_add(x, factor)).unwrap_or_default() * x;
    let y = y.mul_add(square, exponent * -2.121_944_4e-4);
    let y = (-square).mul_add(0.5, y);
    exponent.mul_add(0.693_359_4, x + y)
}

/// Sine and cosine of an angle from 0.
fn sin_cos(angle: f32) -> (f32, f32) {
    let octant = ((angle * std::f32::consts::FRAC_2_PI * 2.0) as i32 + 1) & !1;
    let x = PI_4.into_iter().fold(angle, |x, part| (octant as f32).mul_add(part, x));
    let z = x * x;
    let horner = |factors: [f32; 3]| {
        let [first, second, third] = factors;
        first.mul_add(z, second).mul_add(z, third) * z
    };
    let cosine = horner(COSINE).mul_add(z, -(z * 0.5)) + 1.0;
    let sine = horner(SINE).mul_add(x, x);
    let (sine, cosine) = if octant & 2 == 0 { (sine, cosine) } else { (cosine, sine) };
    let signed = |number: f32, negative: bool| if negative { -number } else { number };
    (signed(sine, octant & 4 != 0), signed(cosine, (octant - 2) & 4 == 0))
}

const LOG: [f32; 9] = [
    7.037_683_6e-2,
    -1.151_461e-1,
    1.167_699_84e-1,
    -1.242_014_1e-1,
    1.424_932_3e-1,
    -1.666_805_7e-1,
    2.000_071_4e-1,
    -2.499_999_4e-1,
    3.333_333e-1,
];
/// A quarter of pi, negative, in three parts.
const PI_4: [f32; 3] = [-0.785_156_25, -2.418_756_5e-4, -3.774_895e-8];
const COSINE: [f32; 3] = [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2];
const SINE: [f32; 3] = [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1];
