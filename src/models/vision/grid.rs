//! A table of vectors on a grid, interpolated to another grid as PyTorch does.

/// How a value between those of the grid is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interpolation {
    /// `interpolate(mode="bicubic", align_corners=False)`.
    Bicubic,
    /// The same with `antialias=True`.
    BicubicAntialiased,
}

/// Vectors of `size` on a square grid, `(edge * edge, size)`, on a grid of other numbers of rows and columns.
pub(super) fn interpolated(
    table: &[f32],
    [edge, size]: [usize; 2],
    [rows, columns]: [usize; 2],
    how: Interpolation,
) -> Vec<f32> {
    let down = taps(edge, rows, how);
    let across = taps(edge, columns, how);
    // Along the rows first, `(edge, columns, size)`.
    let mut wide = vec![0.0_f32; edge * columns * size];
    for (number, out) in wide.chunks_exact_mut(size).enumerate() {
        let (row, column) = (number / columns, number % columns);
        add(out, &across[column], |at| &table[(row * edge + at) * size..][..size]);
    }
    let mut out = vec![0.0_f32; rows * columns * size];
    for (number, out) in out.chunks_exact_mut(size).enumerate() {
        let (row, column) = (number / columns, number % columns);
        add(out, &down[row], |at| &wide[(at * columns + column) * size..][..size]);
    }
    out
}

/// The places that a new place is made of, with their weights.
type Taps = Vec<(usize, f32)>;

fn add<'a>(out: &mut [f32], taps: &Taps, vector: impl Fn(usize) -> &'a [f32]) {
    for &(at, weight) in taps {
        out.iter_mut().zip(vector(at)).for_each(|(out, value)| *out += weight * value);
    }
}

fn taps(size: usize, to: usize, how: Interpolation) -> Vec<Taps> {
    let scale = size as f64 / to as f64;
    let last = size as i64 - 1;
    let of = |number: usize| -> Taps {
        let center = (number as f64 + 0.5) * scale;
        match how {
            Interpolation::Bicubic => {
                let place = center - 0.5;
                let first = place.floor() as i64 - 1;
                let tap = |at: i64| {
                    let weight = cubic(place - at as f64, -0.75) as f32;
                    (at.clamp(0, last) as usize, weight)
                };
                (first..first + 4).map(tap).collect()
            }
            Interpolation::BicubicAntialiased => {
                let stretch = scale.max(1.0);
                let support = 2.0 * stretch;
                let first = (center - support + 0.5).max(0.0) as usize;
                let end = ((center + support + 0.5) as usize).min(size);
                let weight = |at: usize| cubic((at as f64 - center + 0.5) / stretch, -0.5);
                let sum: f64 = (first..end).map(weight).sum();
                (first..end).map(|at| (at, (weight(at) / sum) as f32)).collect()
            }
        }
    };
    (0..to).map(of).collect()
}

/// The cubic convolution of that sharpness at a distance.
fn cubic(distance: f64, sharpness: f64) -> f64 {
    let (x, a) = (distance.abs(), sharpness);
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
    } else {
        0.0
    }
}
