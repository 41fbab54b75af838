//! Large pictures in parts that overlap, so that memory does not grow with the picture: `tiled_decode` of
//! diffusers.

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::picture::Picture;

/// The sides of tiles, before and after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    before: usize,
    after: usize,
    /// From one tile to the next, before and after: whole latent pixels, so that tiles join without a gap.
    steps: [usize; 2],
}

impl Tiles {
    /// Of an encoder, from tiles of so many latent pixels a side, each of which has `scale` pixels a side.
    pub(super) fn of_encoder(latents: usize, scale: usize) -> Self {
        let step = step(latents);
        Self { before: latents * scale, after: latents, steps: [step * scale, step] }
    }

    /// Of a decoder, the same way.
    pub(super) fn of_decoder(latents: usize, scale: usize) -> Self {
        let step = step(latents);
        Self { before: latents, after: latents * scale, steps: [step, step * scale] }
    }

    /// Whether the picture is larger than a tile.
    pub(super) fn apply(self, picture: &Picture) -> bool {
        picture.height > self.before || picture.width > self.before
    }
}

/// From one tile to the next: a quarter of each is blended.
fn step(latents: usize) -> usize {
    (latents * 3 / 4).max(1)
}

/// What `work` makes of each part, blended where they overlap.
pub(super) fn in_tiles(
    picture: &Picture,
    tiles: Tiles,
    work: impl Fn(Picture) -> Result<Picture>,
) -> Result<Picture> {
    let Tiles { before, after, steps: [step, kept] } = tiles;
    let blended = after - kept;
    let mut above: Vec<Picture> = Vec::new();
    let mut rows = Vec::new();
    let (mut height, mut width) = (0, 0);
    for top in (0..picture.height).step_by(step) {
        let mut made = Vec::new();
        for left in (0..picture.width).step_by(step) {
            let size = [picture.height - top, picture.width - left].map(|side| side.min(before));
            made.push(work(picture.part([top, left], size)?)?);
        }
        let mut row: Vec<Tensor> = Vec::with_capacity(made.len());
        // Tiles are blended with what their neighbours have become.
        for number in 0..made.len() {
            if let Some(above) = above.get(number) {
                made[number] = blend(above, &made[number], blended, Side::Above)?;
            }
            if number > 0 {
                made[number] = blend(&made[number - 1], &made[number], blended, Side::Left)?;
            }
            let tile = &made[number];
            let size = [tile.height.min(kept), tile.width.min(kept)];
            let part = tile.part([0, 0], size)?;
            let channels = part.channels()?;
            row.push(part.x.reshape((size[0], size[1], channels))?);
        }
        let row = Tensor::cat(&row, 1)?;
        height += row.dim(0)?;
        width = row.dim(1)?;
        rows.push(row);
        above = made;
    }
    let whole = Tensor::cat(&rows, 0)?;
    let channels = whole.dim(2)?;
    Picture::new(whole.reshape((height * width, channels))?, height, width)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Above,
    Left,
}

/// The tile, whose first rows or columns go over from the last ones of its neighbour.
fn blend(neighbour: &Picture, tile: &Picture, most: usize, side: Side) -> Result<Picture> {
    let axis = usize::from(side == Side::Left);
    let length = |picture: &Picture| [picture.height, picture.width][axis];
    let extent = most.min(length(neighbour)).min(length(tile));
    if extent == 0 {
        return Ok(tile.clone());
    }
    let channels = tile.channels()?;
    let cube = |picture: &Picture| picture.x.reshape((picture.height, picture.width, channels));
    let (from, to) = (cube(neighbour)?, cube(tile)?);
    // Tiles at an edge may be shorter across.
    let across = from.dim(1 - axis)?.min(to.dim(1 - axis)?);
    let cut = |x: &Tensor, start: usize| x.narrow(axis, start, extent)?.narrow(1 - axis, 0, across);
    let shares: Vec<f32> = (0..extent).map(|at| at as f32 / extent as f32).collect();
    let mut shape = [1, 1, 1];
    shape[axis] = extent;
    let shares = Tensor::from_vec(shares, shape.to_vec(), to.device())?.to_dtype(to.dtype())?;
    let rest = (1.0 - &shares)?;
    let start = length(neighbour) - extent;
    let mixed =
        (cut(&from, start)?.broadcast_mul(&rest)? + cut(&to, 0)?.broadcast_mul(&shares)?)?;
    let after = to.narrow(axis, extent, length(tile) - extent)?.narrow(1 - axis, 0, across)?;
    let x = match length(tile) > extent {
        true => Tensor::cat(&[mixed, after], axis)?,
        false => mixed,
    };
    let (height, width, _) = x.dims3()?;
    Picture::new(x.contiguous()?.reshape((height * width, channels))?, height, width)
}
