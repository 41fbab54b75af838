//! Sums of what goes past a half of a layer and what comes out of it.

use crate::kernels::shared::each_row;
use crate::kernels::tier::{Tier, tiered};

/// `x += half * scale`.
pub(crate) fn add(x: &mut [f32], half: &[f32], scale: f32) {
    assert_eq!(x.len(), half.len());
    let tier = Tier::best();
    let (whole, rest) = x.split_at_mut(half.len() / PART * PART);
    let end = whole.len();
    each_row(whole, PART, PART, |number, x| {
        add_part(tier, x, &half[number * PART..][..PART], scale);
    });
    add_part(tier, rest, &half[end..], scale);
}

/// Numbers that one thread works on at a time.
const PART: usize = 1024;

tiered! {
    fn add_part(x: &mut [f32], half: &[f32], scale: f32) {
        for (x, half) in x.iter_mut().zip(half) {
            *x += half * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_added_once() {
        let half: Vec<f32> = (0..3 * PART + 5).map(|i| i as f32).collect();
        let mut x: Vec<f32> = half.iter().map(|half| 1.0 - half).collect();
        add(&mut x, &half, 2.0);
        assert!(x.iter().zip(&half).all(|(x, half)| *x == 1.0 + half));
    }
}
