//! Numbers side by side, joined to one.

/// All lanes, a power of two of them, joined in halves, which vectorizes: one after the other, each step
/// would wait for the one before.
#[inline(always)]
pub(super) fn across<const LANES: usize>(
    mut lanes: [f32; LANES],
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    const { assert!(LANES.is_power_of_two()) };
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = join(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}
