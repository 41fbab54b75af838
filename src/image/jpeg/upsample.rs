//! Components of fewer samples to as many as the picture has: `jdsample.c` of libjpeg-turbo, whose triangle filter weighs the
//! nearer sample by 3 and the farther by 1.

/// The samples of a component.
#[derive(Debug)]
pub(super) struct Plane {
    samples: Vec<u8>,
    /// Samples from one row to the next.
    stride: usize,
    /// Samples of a row and of a column that are part of the picture.
    size: [usize; 2],
    /// How many pixels a sample becomes, horizontally and vertically.
    times: [usize; 2],
}

impl Plane {
    pub(super) fn new(
        samples: Vec<u8>,
        stride: usize,
        size: [usize; 2],
        times: [usize; 2],
    ) -> Self {
        Self { samples, stride, size, times }
    }

    /// Room for a row.
    pub(super) fn row_room(&self) -> Vec<u8> {
        vec![0; self.size[0] * self.times[0]]
    }

    /// The samples of row `y` of the picture.
    pub(super) fn row(&self, y: usize, out: &mut [u8]) {
        let near = self.samples(y / self.times[1]);
        // The next row above or below, or at the borders the same.
        let far = || match y % 2 {
            0 => self.samples((y / 2).saturating_sub(1)),
            _ => self.samples((y / 2 + 1).min(self.size[1] - 1)),
        };
        match (self.times, self.size[0]) {
            ([1, 1], _) => out.copy_from_slice(near),
            ([1, 2], _) => {
                let bias = 1 + (y % 2) as u16;
                for ((out, &near), &far) in out.iter_mut().zip(near).zip(far()) {
                    *out = ((u16::from(near) * 3 + u16::from(far) + bias) >> 2) as u8;
                }
            }
            ([2, 1], 3..) => widened(near.iter().map(|&near| u16::from(near)), [1, 2], 2, out),
            ([2, 2], 3..) => {
                let pairs = near.iter().zip(far());
                let sums = pairs.map(|(&near, &far)| u16::from(near) * 3 + u16::from(far));
                widened(sums, [8, 7], 4, out);
            }
            ([times, _], _) => {
                for (out, near) in out.chunks_exact_mut(times).zip(near) {
                    out.fill(*near);
                }
            }
        }
    }

    fn samples(&self, row: usize) -> &[u8] {
        &self.samples[row * self.stride..][..self.size[0]]
    }
}

/// Twice as many values, each of the nearest and of the one on its other side.
fn widened(values: impl Iterator<Item = u16> + Clone, bias: [u16; 2], shift: u32, out: &mut [u8]) {
    let (mut before, mut after) = (None, values.clone().skip(1));
    for (pair, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
        let mixed = |other: Option<u16>, bias: u16| {
            ((value * 3 + other.unwrap_or(value) + bias) >> shift) as u8
        };
        *pair = [mixed(before, bias[0]), mixed(after.next(), bias[1])];
        before = Some(value);
    }
}
