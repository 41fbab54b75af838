//! Sums of what goes past a half of a layer and what comes out of it.

use crate::kernels::shared::each_row;
use crate::kernels::tier::{Tier, tiered};

/// `half` becomes `x + half * scale`.
pub(crate) fn add(half: &mut [f32], x: &[f32], scale: f32) {
    assert_eq!(x.len(), half.len());
    let tier = Tier::best();
    let (whole, rest) = half.split_at_mut(x.len() / PART * PART);
    let end = whole.len();
    each_row(whole, PART, PART, |number, half| {
        add_part(tier, half, &x[number * PART..][..PART], scale);
    });
    add_part(tier, rest, &x[end..], scale);
}

/// Numbers that one thread works on at a time.
const PART: usize = 1024;

tiered! {
    fn add_part(half: &mut [f32], x: &[f32], scale: f32) {
        for (half, x) in half.iter_mut().zip(x) {
            *half = x + *half * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_added_once() {
        let mut half: Vec<f32> = (0..3 * PART + 5).map(|i| i as f32).collect();
        let x: Vec<f32> = half.iter().map(|half| 1.0 - half).collect();
        add(&mut half, &x, 2.0);
        assert!(half.iter().enumerate().all(|(i, half)| *half == 1.0 + i as f32));
    }
}
