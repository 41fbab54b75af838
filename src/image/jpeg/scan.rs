//! One scan: some coefficients of some components.

use crate::error::Result;
use crate::image::jpeg::bits::{Bits, Huffman};
use crate::image::jpeg::frame::{Frame, Tables, ZIGZAG};
use crate::image::jpeg::wrong::{broken, unread};

/// What a scan holds.
struct Scan<'a> {
    parts: Vec<Part<'a>>,
    /// The first and the last coefficient.
    band: [usize; 2],
    /// Whether bits of them are known already.
    refines: bool,
    /// How many bits are left to later scans.
    shift: u32,
    bits: Bits<'a>,
    /// Blocks that have no more coefficients in this band.
    empty: u32,
}

/// A component of a scan.
struct Part<'a> {
    component: usize,
    dc: Option<&'a Huffman>,
    ac: Option<&'a Huffman>,
    /// The first coefficient of the block before.
    last: i32,
}

/// Reads the scan behind a segment, and tells how long it is.
pub(super) fn read(
    frame: &mut Frame,
    tables: &Tables,
    segment: &[u8],
    bytes: &[u8],
) -> Result<usize> {
    let mut scan = Scan::open(frame, tables, segment, bytes)?;
    for part in &scan.parts {
        frame.components[part.component].quantize_by(tables)?;
    }
    let groups = match scan.parts.as_slice() {
        // A component alone comes block by block, without those that fill up groups.
        [part] => frame.components[part.component].size.map(|side| side.div_ceil(8)),
        _ => frame.groups,
    };
    let is_alone = scan.parts.len() == 1;
    for number in 0..groups[0] * groups[1] {
        if tables.restart > 0 && number > 0 && number.is_multiple_of(tables.restart) {
            scan.restart((number / tables.restart - 1) as u8 & 7)?;
        }
        let [x, y] = [number % groups[0], number / groups[0]];
        for part in 0..scan.parts.len() {
            let component = &mut frame.components[scan.parts[part].component];
            let [across, down] = if is_alone { [1, 1] } else { component.sampling };
            for inner in 0..across * down {
                let place =
                    (y * down + inner / across) * component.stored[0] + x * across + inner % across;
                let block = &mut component.coefficients[place];
                match frame.is_progressive {
                    false => scan.whole(part, block)?,
                    true => scan.some(part, block)?,
                }
            }
        }
        scan.bits.check()?;
    }
    Ok(scan.bits.place())
}

impl<'a> Scan<'a> {
    fn open(frame: &Frame, tables: &'a Tables, segment: &[u8], bytes: &'a [u8]) -> Result<Self> {
        let damaged = || broken("the head of a scan is damaged");
        let (&count, rest) = segment.split_first().ok_or_else(damaged)?;
        let (parts, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(damaged)?;
        let &[first, last, bits] = rest else { return Err(damaged()) };
        let mut scan = Self {
            parts: Vec::new(),
            band: if frame.is_progressive { [first, last].map(usize::from) } else { [0, 63] },
            refines: frame.is_progressive && bits >> 4 > 0,
            shift: if frame.is_progressive { u32::from(bits & 15) } else { 0 },
            bits: Bits::new(bytes),
            empty: 0,
        };
        for &[id, table] in parts.as_chunks::<2>().0 {
            // Of components with one name, each in its turn, as libjpeg takes them.
            let known = frame.components.iter().enumerate().skip(scan.parts.len());
            let component = known.into_iter().find(|(_, component)| component.id == id);
            let (component, _) =
                component.ok_or_else(|| broken("a scan is of a component that is not there"))?;
            if scan.parts.iter().any(|part| part.component == component) {
                return Err(damaged());
            }
            let of = |tables: &'a [Option<Huffman>; 4], number: u8| {
                tables.get(usize::from(number)).and_then(Option::as_ref)
            };
            let (dc, ac) = (of(&tables.dc, table >> 4), of(&tables.ac, table & 15));
            let needs_dc = scan.band[0] == 0 && !scan.refines;
            let needs_ac = scan.band[1] > 0;
            if needs_dc && dc.is_none() || needs_ac && ac.is_none() {
                return Err(broken("a Huffman table is missing"));
            }
            scan.parts.push(Part { component, dc, ac, last: 0 });
        }
        let [first, last] = scan.band;
        let is_wrong = match first {
            0 => frame.is_progressive && last > 0,
            _ => first > last || last > 63 || scan.parts.len() > 1,
        };
        let blocks = scan.parts.iter().map(|part| {
            let [across, down] = frame.components[part.component].sampling;
            across * down
        });
        let is_refined_wrongly = scan.refines && u32::from(bits >> 4) != scan.shift + 1;
        if is_wrong || is_refined_wrongly || scan.shift > 13 || scan.parts.is_empty() {
            return Err(damaged());
        }
        if scan.parts.len() > 1 && blocks.sum::<usize>() > 10 {
            return Err(unread("groups of more than 10 blocks"));
        }
        Ok(scan)
    }

    fn restart(&mut self, number: u8) -> Result<()> {
        self.empty = 0;
        self.parts.iter_mut().for_each(|part| part.last = 0);
        self.bits.restart(number)
    }

    /// The first coefficient: what is added to that of the block before.
    fn first(&mut self, part: usize) -> Result<i16> {
        let part = &mut self.parts[part];
        let codes = part.dc.ok_or_else(|| broken("a Huffman table is missing"))?;
        let count = self.bits.symbol(codes)?;
        if count > 15 {
            return Err(broken("a coefficient is too large"));
        }
        part.last = part.last.wrapping_add(self.bits.signed(u32::from(count)));
        Ok((part.last << self.shift) as i16)
    }

    /// A code of the others: coefficients that are 0, and the bits of the next.
    fn run(&mut self, part: usize) -> Result<(usize, u32)> {
        let codes = self.parts[part].ac.ok_or_else(|| broken("a Huffman table is missing"))?;
        let symbol = self.bits.symbol(codes)?;
        Ok((usize::from(symbol >> 4), u32::from(symbol & 15)))
    }

    /// All coefficients of a block.
    fn whole(&mut self, part: usize, block: &mut [i16; 64]) -> Result<()> {
        block[0] = self.first(part)?;
        let mut at = 1;
        while at < 64 {
            let (zeros, bits) = self.run(part)?;
            match (zeros, bits) {
                (15, 0) => at += 16,
                (_, 0) => break,
                _ => {
                    at += zeros;
                    let value = self.bits.signed(bits) as i16;
                    block[place(at)] = value;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// Some coefficients of a block, or some of their bits.
    fn some(&mut self, part: usize, block: &mut [i16; 64]) -> Result<()> {
        match (self.band[0], self.refines) {
            (0, false) => block[0] = self.first(part)?,
            (0, true) => block[0] |= (self.bits.number(1) << self.shift) as i16,
            (_, false) => self.band_begun(part, block)?,
            (_, true) => self.band_refined(part, block)?,
        }
        Ok(())
    }

    fn band_begun(&mut self, part: usize, block: &mut [i16; 64]) -> Result<()> {
        if self.empty > 0 {
            self.empty -= 1;
            return Ok(());
        }
        let mut at = self.band[0];
        while at <= self.band[1] {
            let (zeros, bits) = self.run(part)?;
            match (zeros, bits) {
                (15, 0) => at += 16,
                (_, 0) => {
                    self.empty = (1 << zeros) - 1 + self.bits.number(zeros as u32);
                    break;
                }
                _ => {
                    at += zeros;
                    let value = self.bits.signed(bits) << self.shift;
                    block[place(at)] = value as i16;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// One more bit of each coefficient; those that were 0 may become 1 or -1 of it.
    fn band_refined(&mut self, part: usize, block: &mut [i16; 64]) -> Result<()> {
        let one = 1_i16 << self.shift;
        let mut at = self.band[0];
        if self.empty == 0 {
            while at <= self.band[1] {
                let (mut zeros, bits) = self.run(part)?;
                let new = match (zeros, bits) {
                    (15, 0) => 0,
                    (_, 0) => {
                        self.empty = (1 << zeros) + self.bits.number(zeros as u32);
                        break;
                    }
                    _ if self.bits.number(1) == 1 => one,
                    _ => -one,
                };
                while at <= self.band[1] {
                    let coefficient = &mut block[ZIGZAG[at]];
                    if *coefficient != 0 {
                        self.refine(coefficient, one);
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    at += 1;
                }
                if new != 0 {
                    block[place(at)] = new;
                }
                at += 1;
            }
        }
        if self.empty > 0 {
            for at in at..=self.band[1] {
                let coefficient = &mut block[ZIGZAG[at]];
                if *coefficient != 0 {
                    self.refine(coefficient, one);
                }
            }
            self.empty -= 1;
        }
        Ok(())
    }

    fn refine(&mut self, coefficient: &mut i16, one: i16) {
        if self.bits.number(1) == 1 && *coefficient & one == 0 {
            *coefficient = coefficient.wrapping_add(if *coefficient < 0 { -one } else { one });
        }
    }
}

/// Where a coefficient lies; what is behind the last is put there, as by libjpeg.
fn place(at: usize) -> usize {
    ZIGZAG.get(at).copied().unwrap_or(63)
}
