//! The searches for the scale, and for some the minimum, of the few weights that share them.
//!
//! Sums run in the order of ggml's, so that the results are its to the bit.

/// Where all weights are below this, they are taken for zeros.
pub(super) const NOTHING: f32 = 1e-15;

/// The nearest integer, ties to even, for what is smaller than 2^22: adding 1.5 * 2^23 leaves no
/// bits for a fraction. Processors without an instruction for rounding do this, too, in no time.
pub(super) fn nearest(x: f32) -> i32 {
    ((x + 12_582_912.0).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000
}

/// The weight that is largest in size.
pub(super) fn extreme(x: &[f32]) -> f32 {
    let mut extreme = 0.0_f32;
    for &x in x {
        if x.abs() > extreme.abs() {
            extreme = x;
        }
    }
    extreme
}

/// The scale for codes from `-half` to `half - 1`, by least squares weighed by the weights' own
/// squares, over 19 ways to round (`make_qx_quants`); the codes of the best go into `codes`.
pub(super) fn symmetric(x: &[f32], half: i32, codes: &mut [i32]) -> f32 {
    let extreme = extreme(x);
    if extreme.abs() < NOTHING {
        codes.fill(-half);
        return 0.0;
    }
    let code = |inverse: f32, x: f32| nearest(inverse * x).clamp(-half, half - 1);
    let sums = |inverse: f32| {
        let (mut products, mut squares) = (0.0_f32, 0.0_f32);
        for &x in x {
            let code = code(inverse, x) as f32;
            let weight = x * x;
            products += weight * x * code;
            squares += weight * code * code;
        }
        (products, squares)
    };
    let mut rounding = -half as f32 / extreme;
    let (products, squares) = sums(rounding);
    let mut scale = if squares == 0.0 { 0.0 } else { products / squares };
    let mut best = scale * products;
    for step in (-9..=9).filter(|&step| step != 0) {
        let tried = -(half as f32 + 0.1 * step as f32) / extreme;
        let (products, squares) = sums(tried);
        if squares > 0.0 && products * products > best * squares {
            scale = products / squares;
            best = scale * products;
            rounding = tried;
        }
    }
    for (out, &x) in codes.iter_mut().zip(x) {
        *out = code(rounding, x);
    }
    scale
}

/// The scale and the codes from `-half` to `half - 1`, each code in turn moved to where it helps
/// most (`make_q3_quants`).
pub(super) fn refined(x: &[f32], half: i32, codes: &mut [i32]) -> f32 {
    let extreme = extreme(x);
    if extreme.abs() < NOTHING {
        codes.fill(-half);
        return 0.0;
    }
    let inverse = -half as f32 / extreme;
    let (mut products, mut squares) = (0.0_f32, 0.0_f32);
    for (&x, code) in x.iter().zip(codes.iter_mut()) {
        *code = nearest(inverse * x).clamp(-half, half - 1);
        let weight = x * x;
        products += weight * x * *code as f32;
        squares += weight * *code as f32 * *code as f32;
    }
    for _ in 0..5 {
        let mut changed = false;
        for (&x, code) in x.iter().zip(codes.iter_mut()) {
            let weight = x * x;
            let old = *code as f32;
            let mut others = products - weight * x * old;
            if others <= 0.0 {
                continue;
            }
            let mut other_squares = squares - weight * old * old;
            let moved = nearest(x * other_squares / others).clamp(-half, half - 1);
            if moved == *code {
                continue;
            }
            others += weight * x * moved as f32;
            other_squares += weight * moved as f32 * moved as f32;
            if other_squares > 0.0
                && others * others * squares > products * products * other_squares
            {
                (*code, products, squares) = (moved, others, other_squares);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    if squares > 0.0 { products / squares } else { 0.0 }
}

/// What is summed up to tell how good codes are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Error {
    Absolute,
    Squared,
}

/// How many ways to round are tried: the codes' range is stretched by `first`, then by 0.1 more
/// each time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    pub(super) first: f32,
    pub(super) count: i32,
    pub(super) error: Error,
}

/// Scale and minimum (its sign turned, never negative) for codes from 0 to `most`, by weighed least
/// squares (`make_qkx2_quants`). The codes of the best go into `codes`. At most 32 weights.
pub(super) fn shifted(
    x: &[f32],
    weights: &[f32],
    most: i32,
    steps: Steps,
    codes: &mut [i32],
) -> (f32, f32) {
    let (mut least, mut largest) = (x[0], x[0]);
    let (mut sum_w, mut sum_x) = (weights[0], weights[0] * x[0]);
    for (&x, &weight) in x.iter().zip(weights).skip(1) {
        least = least.min(x);
        largest = largest.max(x);
        sum_w += weight;
        sum_x += weight * x;
    }
    least = least.min(0.0);
    if largest == least {
        codes.fill(0);
        return (0.0, -least);
    }
    let mut tried = [0.0_f32; 32];
    let tried = &mut tried[..x.len().min(32)];
    let round = |inverse: f32, least: f32, codes: &mut [f32]| {
        for (code, &x) in codes.iter_mut().zip(x) {
            *code = nearest(inverse * (x - least)).clamp(0, most) as f32;
        }
    };
    let error = |codes: &[f32], scale: f32, least: f32| {
        let mut sum = 0.0_f32;
        for ((&x, &weight), &code) in x.iter().zip(weights).zip(codes) {
            let difference = scale * code + least - x;
            sum += weight
                * match steps.error {
                    Error::Absolute => difference.abs(),
                    Error::Squared => difference * difference,
                };
        }
        sum
    };
    let keep = |tried: &[f32], codes: &mut [i32]| {
        for (code, &tried) in codes.iter_mut().zip(tried) {
            *code = tried as i32;
        }
    };
    let inverse = most as f32 / (largest - least);
    let mut scale = 1.0 / inverse;
    round(inverse, least, tried);
    keep(tried, codes);
    let mut best = error(tried, scale, least);
    for step in 0..=steps.count {
        let range = steps.first + 0.1 * step as f32 + most as f32;
        round(range / (largest - least), least, tried);
        let (mut sum_l, mut sum_l2, mut sum_xl) = (0.0_f32, 0.0_f32, 0.0_f32);
        for ((&x, &weight), &code) in x.iter().zip(weights).zip(tried.iter()) {
            sum_l += weight * code;
            sum_l2 += weight * code * code;
            sum_xl += weight * code * x;
        }
        let determinant = sum_w * sum_l2 - sum_l * sum_l;
        if determinant <= 0.0 {
            continue;
        }
        let mut this_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
        let mut this_least = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
        if this_least > 0.0 {
            this_least = 0.0;
            this_scale = sum_xl / sum_l2;
        }
        let this_error = error(tried, this_scale, this_least);
        if this_error < best {
            (best, scale, least) = (this_error, this_scale, this_least);
            keep(tried, codes);
        }
    }
    (scale, -least)
}
