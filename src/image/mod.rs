//! Pictures: files read and written, Pillow's resizing, and what models that see read.
//!
//! [`read`] takes a file to pixels as transformers' `load_image` does, [`resize`] is Pillow's to the bit, [`write()`]
//! makes files. [The guide](crate::guide::vision) lists formats.

mod base64;
mod input;
mod jpeg;
mod orientation;
mod pixels;
mod png;
mod processor;
mod read;
mod resize;
mod write;

pub use crate::media::Image;
pub use input::ImageInput;
pub use pixels::{PixelLayout, from_pixels};
pub use processor::{ImageProcessor, ImageProcessorConfig, ImageSize, PixelValues, Resizing};
pub use read::{read, read_bytes};
pub use resize::{ResizeFilter, resize};
pub use write::{ImageFormat, encode, read_texts, write, write_with_texts};
