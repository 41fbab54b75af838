//! The size of a picture, its components, and the tables that they are read with.

use crate::error::Result;
use crate::image::jpeg::bits::Huffman;
use crate::image::jpeg::idct;
use crate::image::jpeg::upsample::Plane;
use crate::image::jpeg::wrong::{broken, unread};
use crate::image::pixels::room;

/// A picture, in blocks of 8 by 8 coefficients.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) is_progressive: bool,
    pub(super) components: Vec<Component>,
    /// The largest sampling factors.
    pub(super) most: [usize; 2],
    /// Groups of blocks of a row and of a column.
    pub(super) groups: [usize; 2],
}

/// Brightness, say.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks of a group, horizontally and vertically.
    pub(super) sampling: [usize; 2],
    /// Samples of a row and of a column.
    pub(super) size: [usize; 2],
    /// Blocks of a row and of a column, those that fill up groups among them.
    pub(super) stored: [usize; 2],
    /// The number of its quantization table, which may change before its first scan.
    table: usize,
    /// The table that its first scan has found.
    pub(super) quantization: Option<[u16; 64]>,
    pub(super) coefficients: Vec<[i16; 64]>,
}

impl Component {
    pub(super) fn blocks(&self) -> usize {
        self.stored[0] * self.stored[1]
    }

    /// Takes the quantization table that counts now, if there was none.
    pub(super) fn quantize_by(&mut self, tables: &Tables) -> Result<()> {
        if self.quantization.is_none() {
            let table = tables.quantization.get(self.table).copied().flatten();
            self.quantization =
                Some(table.ok_or_else(|| broken("a quantization table is missing"))?);
        }
        Ok(())
    }
}

impl Frame {
    pub(super) fn read(segment: &[u8], is_progressive: bool) -> Result<Self> {
        let [depth, high, low, left, right, count, rest @ ..] = segment else {
            return Err(broken("its size is missing"));
        };
        let number = |high: u8, low: u8| usize::from(high) << 8 | usize::from(low);
        let (height, width) = (number(*high, *low), number(*left, *right));
        if *depth != 8 {
            return Err(unread(&format!("{depth} bits")));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(unread(&format!("{count} components")));
        }
        if height == 0 || width == 0 {
            return Err(broken("it has no pixels"));
        }
        let specs = rest.as_chunks::<3>().0;
        if specs.len() != usize::from(*count) {
            return Err(broken("its components are not as many as it says"));
        }
        let sampling = |spec: &[u8; 3]| [usize::from(spec[1] >> 4), usize::from(spec[1] & 15)];
        if specs.iter().flat_map(sampling).any(|factor| !(1..=4).contains(&factor)) {
            return Err(broken("a sampling factor is none"));
        }
        let largest =
            |axis: usize| specs.iter().map(|spec| sampling(spec)[axis]).max().unwrap_or(1);
        let most = [largest(0), largest(1)];
        let pixels = [width, height];
        let groups = [0, 1].map(|axis| pixels[axis].div_ceil(8 * most[axis]));
        let component = |spec: &[u8; 3]| {
            let sampling = sampling(spec);
            if (0..2).any(|axis| !most[axis].is_multiple_of(sampling[axis])) {
                return Err(unread("sampling factors that do not divide"));
            }
            Ok(Component {
                id: spec[0],
                sampling,
                size: [0, 1].map(|axis| (pixels[axis] * sampling[axis]).div_ceil(most[axis])),
                stored: [0, 1].map(|axis| groups[axis] * sampling[axis]),
                table: usize::from(spec[2]),
                quantization: None,
                coefficients: Vec::new(),
            })
        };
        let components = specs.iter().map(component).collect::<Result<_>>()?;
        Ok(Self { width, height, is_progressive, components, most, groups })
    }

    /// With room for all coefficients.
    pub(super) fn with_room(mut self) -> Result<Self> {
        let size = [self.width, self.height];
        for component in &mut self.components {
            component.coefficients = room([0; 64], component.blocks(), size)?;
        }
        Ok(self)
    }

    /// The samples of each component.
    pub(super) fn into_planes(self) -> Result<Vec<Plane>> {
        let (most, size) = (self.most, [self.width, self.height]);
        let plane = |component: Component| {
            let [across, down] = component.stored;
            let mut samples = room(0, across * down * 64, size)?;
            let quantization = component.quantization.unwrap_or([1; 64]);
            for (number, block) in component.coefficients.iter().enumerate() {
                let start = number / across * across * 64 + number % across * 8;
                idct::transform(block, &quantization, &mut samples[start..], across * 8);
            }
            let times = [0, 1].map(|axis| most[axis] / component.sampling[axis]);
            Ok(Plane::new(samples, across * 8, component.size, times))
        };
        self.components.into_iter().map(plane).collect()
    }
}

/// The tables that count for the next scan.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// In the order of rows.
    quantization: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Huffman>; 4],
    pub(super) ac: [Option<Huffman>; 4],
    /// Groups between two restarts; 0 for none.
    pub(super) restart: usize,
}

impl Tables {
    pub(super) fn read_quantization(&mut self, mut segment: &[u8]) -> Result<()> {
        while let [head, rest @ ..] = segment {
            let bytes = if head >> 4 == 0 { 1 } else { 2 };
            let slot = self.quantization.get_mut(usize::from(head & 15));
            let (Some(slot), Some((values, rest))) = (slot, rest.split_at_checked(64 * bytes))
            else {
                return Err(broken("a quantization table is damaged"));
            };
            let mut table = [0; 64];
            for (value, &place) in values.chunks_exact(bytes).zip(&ZIGZAG) {
                table[place] = value.iter().fold(0, |number, &byte| number << 8 | u16::from(byte));
            }
            *slot = Some(table);
            segment = rest;
        }
        Ok(())
    }

    pub(super) fn read_huffman(&mut self, mut segment: &[u8]) -> Result<()> {
        while let [head, rest @ ..] = segment {
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let slot = tables.get_mut(usize::from(head & 15)).filter(|_| head >> 4 < 2);
            let (Some(slot), Some((counts, rest))) = (slot, rest.split_first_chunk::<16>()) else {
                return Err(broken("a Huffman table is damaged"));
            };
            let count = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest
                .split_at_checked(count)
                .ok_or_else(|| broken("a Huffman table is cut short"))?;
            *slot = Some(Huffman::new(counts, symbols)?);
            segment = rest;
        }
        Ok(())
    }

    pub(super) fn read_restarts(&mut self, segment: &[u8]) -> Result<()> {
        let &[high, low] = segment else {
            return Err(broken("an interval of restarts is damaged"));
        };
        self.restart = usize::from(high) << 8 | usize::from(low);
        Ok(())
    }
}

/// Where each coefficient of a file lies in a block, row by row.
#[rustfmt::skip]
pub(super) const ZIGZAG: [usize; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];
