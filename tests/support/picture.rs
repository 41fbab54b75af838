//! A picture by the formula that the makers of goldens know, too.
#![allow(unreachable_pub, reason = "each test compiles it as a module of its own")]

use sconce::image::Image;

/// `picture` of `tests/goldens/make_images.py`.
pub fn picture(width: usize, height: usize) -> Image {
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let edges = (x / 5 + y / 3) % 2 * 90;
                let noise = (x * y * 31 + x * 17 + y * 29 + c * 11) % 23;
                rgb.push(((x * 7 + y * 13 + c * 60 + edges + noise) % 256) as u8);
            }
        }
    }
    Image::new(width, height, rgb).unwrap()
}
