//! Components to red, green and blue: `jdcolor.c` of libjpeg, and Pillow's way from CMYK.

/// What components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colors {
    Grey,
    Rgb,
    /// Brightness, and how blue and how red it is.
    YCbCr,
    /// Inks, inverted as Adobe writes them.
    Cmyk,
    /// The first three inks as brightness, blue and red.
    Ycck,
}

impl Colors {
    /// As libjpeg guesses them, by the names of components.
    pub(super) fn of(ids: &[u8], has_jfif: bool, adobe: Option<u8>) -> Self {
        match (ids, adobe) {
            ([_], _) => Self::Grey,
            ([_, _, _, _], None | Some(0)) => Self::Cmyk,
            ([_, _, _, _], _) => Self::Ycck,
            (_, Some(0)) if !has_jfif => Self::Rgb,
            (b"RGB", None) if !has_jfif => Self::Rgb,
            _ => Self::YCbCr,
        }
    }

    /// A row of the picture.
    pub(super) fn convert(self, rows: &[Vec<u8>], out: &mut [u8]) {
        let pixels = out.as_chunks_mut::<3>().0.iter_mut().enumerate();
        match (self, rows) {
            (Self::Rgb, [red, green, blue]) => {
                pixels.for_each(|(x, pixel)| *pixel = [red[x], green[x], blue[x]]);
            }
            (Self::YCbCr, [y, blue, red]) => {
                pixels.for_each(|(x, pixel)| *pixel = to_rgb([y[x], blue[x], red[x]]));
            }
            (Self::Cmyk, [c, m, y, k]) => {
                pixels.for_each(|(x, pixel)| *pixel = without_ink([c[x], m[x], y[x]], k[x]));
            }
            (Self::Ycck, [y, blue, red, k]) => pixels.for_each(|(x, pixel)| {
                let inks = to_rgb([y[x], blue[x], red[x]]).map(|level| 255 - level);
                *pixel = without_ink(inks, k[x]);
            }),
            _ => pixels.for_each(|(x, pixel)| *pixel = [rows[0][x]; 3]),
        }
    }
}

/// In fixed point of 16 bits.
fn to_rgb([y, blue, red]: [u8; 3]) -> [u8; 3] {
    let (y, blue, red) = (i32::from(y), i32::from(blue) - 128, i32::from(red) - 128);
    let half = 1 << 15;
    [
        y + ((91_881 * red + half) >> 16),
        y + ((-22_554 * blue - 46_802 * red + half) >> 16),
        y + ((116_130 * blue + half) >> 16),
    ]
    .map(|level| level.clamp(0, 255) as u8)
}

/// `cmyk2rgb` of Pillow, of inverted inks.
fn without_ink(inks: [u8; 3], k: u8) -> [u8; 3] {
    inks.map(|ink| {
        let product = u32::from(255 - ink) * u32::from(k) + 128;
        k - (((product >> 8) + product) >> 8) as u8
    })
}
