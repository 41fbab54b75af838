//! Pillow's resizing of 8-bit pixels, to the bit.
//!
//! Mirrors `Resample.c` and the affine transform of `Geometry.c` of Pillow: a pass along rows and a
//! pass along columns, with fixed-point weights of 22 bits, each rounded to 8 bits.

use std::f64::consts::PI;

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::error::{Error, Result};
use crate::fields::choices;
use crate::media::Image;

choices! {
    /// How pixels of another size are computed: Pillow's `Resampling`.
    ResizeFilter, "resample" {
        /// The nearest pixel: 0 in Python.
        Nearest = "nearest",
        /// The mean of a box: 4 in Python.
        Box = "box",
        /// Linear interpolation: 2 in Python.
        Bilinear = "bilinear",
        /// A bilinear filter without its local dislocations: 5 in Python.
        Hamming = "hamming",
        /// Cubic interpolation: 3 in Python.
        Bicubic = "bicubic",
        /// A windowed sinc: 1 in Python.
        Lanczos = "lanczos",
    }
}

impl ResizeFilter {
    /// The filter by its number in Python and in preprocessor_config.json.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Nearest,
            1 => Self::Lanczos,
            2 => Self::Bilinear,
            3 => Self::Bicubic,
            4 => Self::Box,
            5 => Self::Hamming,
            _ => return None,
        })
    }

    /// How far a weight reaches, in pixels of the wider of the two pictures.
    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        let distance = x.abs();
        match self {
            Self::Nearest => 0.0,
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - distance).max(0.0),
            Self::Hamming if distance == 0.0 => 1.0,
            Self::Hamming if distance >= 1.0 => 0.0,
            Self::Hamming => {
                let angle = distance * PI;
                angle.sin() / angle * (f64::from(0.54_f32) + f64::from(0.46_f32) * angle.cos())
            }
            Self::Bicubic if distance < 1.0 => {
                ((CUBIC + 2.0) * distance - (CUBIC + 3.0)) * distance * distance + 1.0
            }
            Self::Bicubic if distance < 2.0 => {
                (((distance - 5.0) * distance + 8.0) * distance - 4.0) * CUBIC
            }
            Self::Bicubic => 0.0,
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

/// The picture in another size: `Image.resize` of Pillow 13.
///
/// # Errors
///
/// When the new size has no pixels, or more than [`read`](crate::image::read) takes.
pub fn resize(image: &Image, width: usize, height: usize, filter: ResizeFilter) -> Result<Image> {
    let Image { width: from_width, height: from_height, rgb, .. } = image;
    let rgb = resize_bytes(rgb, [*from_width, *from_height, 3], [width, height], filter)?;
    Image::new(width, height, rgb)
}

/// As [`resize`], of `(height, width, channels)` bytes.
pub(crate) fn resize_bytes(
    pixels: &[u8],
    [width, height, channels]: [usize; 3],
    [to_width, to_height]: [usize; 2],
    filter: ResizeFilter,
) -> Result<Vec<u8>> {
    if to_width == 0 || to_height == 0 || width == 0 || height == 0 {
        return Err(Error::input(format!(
            "a picture of {width} by {height} cannot be resized to {to_width} by {to_height}: both need pixels"
        )));
    }
    check_size(to_width, to_height)?;
    if (width, height) == (to_width, to_height) {
        return Ok(pixels.to_vec());
    }
    if filter == ResizeFilter::Nearest {
        return Ok(nearest(pixels, [width, height, channels], [to_width, to_height]));
    }
    // Pillow 13 begins with the columns where these become shorter by more than twice as much as the rows.
    let is_down_first =
        to_height < height && (to_width > width || height - to_height > 2 * (width - to_width));
    if is_down_first {
        let rows = down(pixels, [width, height, channels], to_height, filter)?;
        return across(&rows, [width, to_height, channels], to_width, filter);
    }
    let rows = across(pixels, [width, height, channels], to_width, filter)?;
    down(&rows, [to_width, height, channels], to_height, filter)
}

/// With rows of another length.
fn across(
    pixels: &[u8],
    [width, height, channels]: [usize; 3],
    to_width: usize,
    filter: ResizeFilter,
) -> Result<Vec<u8>> {
    if width == to_width {
        return Ok(pixels.to_vec());
    }
    check_size(to_width, height)?;
    let weights = Weights::new(width, to_width, filter);
    let mut rows = vec![0; height * to_width * channels];
    rows.par_chunks_mut(to_width * channels).enumerate().for_each(|(number, out)| {
        let row = &pixels[number * width * channels..(number + 1) * width * channels];
        along_row(row, out, channels, &weights);
    });
    Ok(rows)
}

/// With another number of rows.
fn down(
    pixels: &[u8],
    [width, height, channels]: [usize; 3],
    to_height: usize,
    filter: ResizeFilter,
) -> Result<Vec<u8>> {
    if height == to_height {
        return Ok(pixels.to_vec());
    }
    check_size(width, to_height)?;
    let weights = Weights::new(height, to_height, filter);
    let mut out = vec![0; to_height * width * channels];
    out.par_chunks_mut(width * channels)
        .zip(&weights.spans)
        .for_each_init(Vec::new, |sums, (out, span)| {
            along_column(pixels, out, span, &weights, sums)
        });
    Ok(out)
}

/// Refuses pictures that Pillow refuses as decompression bombs.
pub(super) fn check_size(width: usize, height: usize) -> Result<()> {
    match width.checked_mul(height) {
        Some(pixels) if pixels <= MOST_PIXELS => Ok(()),
        _ => Err(Error::input(format!(
            "a picture of {width} by {height} pixels: more than {MOST_PIXELS} are not read"
        ))),
    }
}

/// What the pixels of a line are computed of.
struct Weights {
    /// For each new pixel.
    spans: Vec<Span>,
    /// Of all spans, in units of 2^-22.
    weights: Vec<i32>,
}

/// The old pixels of a new one.
struct Span {
    first: usize,
    count: usize,
    /// Where its weights are.
    weights: usize,
}

impl Weights {
    fn new(size: usize, to: usize, filter: ResizeFilter) -> Self {
        let scale = size as f64 / to as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let mut all = Self { spans: Vec::with_capacity(to), weights: Vec::new() };
        let mut exact = Vec::new();
        for number in 0..to {
            let center = (number as f64 + 0.5) * scale;
            // Both are cut, not rounded, as a cast in C does.
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(size);
            exact.clear();
            exact.extend((first..end).map(|at| {
                let distance = (at - first) as f64 + first as f64 - center + 0.5;
                filter.weight(distance * (1.0 / stretch))
            }));
            let sum: f64 = exact.iter().sum();
            let norm = if sum == 0.0 { 1.0 } else { sum };
            let fixed = |weight: &f64| {
                let scaled = weight / norm * f64::from(1 << PRECISION);
                (scaled + 0.5_f64.copysign(scaled)) as i32
            };
            let weights = all.weights.len();
            all.spans.push(Span { first, count: exact.len(), weights });
            all.weights.extend(exact.iter().map(fixed));
        }
        all
    }

    fn of(&self, span: &Span) -> &[i32] {
        &self.weights[span.weights..span.weights + span.count]
    }
}

fn along_row(row: &[u8], out: &mut [u8], channels: usize, across: &Weights) {
    for (out, span) in out.chunks_exact_mut(channels).zip(&across.spans) {
        let pixels = &row[span.first * channels..(span.first + span.count) * channels];
        for (channel, out) in out.iter_mut().enumerate() {
            let values = pixels[channel..].iter().step_by(channels);
            let sum = values.zip(across.of(span)).fold(HALF, |sum, (&value, &weight)| {
                sum.wrapping_add(i32::from(value).wrapping_mul(weight))
            });
            *out = clipped(sum);
        }
    }
}

fn along_column(rows: &[u8], out: &mut [u8], span: &Span, down: &Weights, sums: &mut Vec<i32>) {
    let width = out.len();
    sums.clear();
    sums.resize(width, HALF);
    for (number, &weight) in down.of(span).iter().enumerate() {
        let row = &rows[(span.first + number) * width..(span.first + number + 1) * width];
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
        }
    }
    for (out, &sum) in out.iter_mut().zip(sums.iter()) {
        *out = clipped(sum);
    }
}

fn clipped(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// By adding up steps, whose rounding decides at some borders.
fn nearest(
    pixels: &[u8],
    [width, height, channels]: [usize; 3],
    [to_width, to_height]: [usize; 2],
) -> Vec<u8> {
    let places = |size: usize, to: usize| {
        let step = size as f64 / to as f64;
        let mut at = step * 0.5;
        let next = move |_| {
            // Rounding may lead past the end, where nothing is drawn.
            let place = ((at as usize) < size).then_some(at as usize);
            at += step;
            place
        };
        (0..to).map(next).collect::<Vec<_>>()
    };
    let (columns, rows) = (places(width, to_width), places(height, to_height));
    let mut out = vec![0; to_width * to_height * channels];
    for (line, row) in out.chunks_exact_mut(to_width * channels).zip(rows) {
        let Some(row) = row else { continue };
        for (out, column) in line.chunks_exact_mut(channels).zip(&columns) {
            if let Some(column) = column {
                let at = (row * width + column) * channels;
                out.copy_from_slice(&pixels[at..at + channels]);
            }
        }
    }
    out
}

/// The bits of a weight behind the point.
const PRECISION: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION - 1);

/// The sharpness of the cubic filter.
const CUBIC: f64 = -0.5;

/// Twice Pillow's `MAX_IMAGE_PIXELS`.
const MOST_PIXELS: usize = 2 * (1024 * 1024 * 1024 / 4 / 3);
