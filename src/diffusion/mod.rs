//! Pictures from texts: Stable Diffusion 1.x, 2.x and XL, and FLUX.1, as diffusers paints them.
//!
//! A [`Painter`] is a folder of diffusers, loaded. Its seeds, options and defaults are those of diffusers 0.39, so a
//! seed gives the picture that it gives there.

pub mod schedulers;

mod begin;
mod emphasis;
mod flux;
mod index;
mod kind;
mod options;
mod painter;
mod parts;
mod picture;
mod prompt;
mod single;
mod stable;
mod work;

pub use options::{OutputType, PaintOptions, StepCall, StepReport};
pub use painter::{Painted, Painter};
pub use parts::PartMemory;
