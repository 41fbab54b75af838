//! Bits of a scan, and Huffman's codes.

use crate::error::Result;
use crate::image::jpeg::wrong::broken;

/// The bits of a scan, up to the next marker.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the highest on.
    buffer: u64,
    /// How many of them are there.
    count: u32,
    /// How many of them are made up, because the marker has come.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, buffer: 0, count: 0, made_up: 0 }
    }

    /// Where the scan ends: at a marker, or what is passed over before it.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// At least 32 bits.
    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.bytes.get(self.at) {
                Some(0xFF) => {
                    // As many as there may be before a marker, or before the 0 that says that this is none.
                    let more =
                        self.bytes[self.at..].iter().take_while(|&&byte| byte == 0xFF).count();
                    let is_byte = self.bytes.get(self.at + more) == Some(&0);
                    self.at += if is_byte { more + 1 } else { 0 };
                    is_byte.then_some(0xFF)
                }
                Some(&byte) => {
                    self.at += 1;
                    Some(byte)
                }
                None => None,
            };
            self.made_up += if byte.is_none() { 8 } else { 0 };
            self.buffer |= u64::from(byte.unwrap_or(0)) << (56 - self.count);
            self.count += 8;
        }
    }

    /// So many of the next bits, 1 to 16.
    fn peek(&mut self, count: u32) -> usize {
        if self.count < count {
            self.fill();
        }
        (self.buffer >> (64 - count)) as usize
    }

    fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.count -= count;
    }

    /// A number of so many bits, 0 to 16.
    pub(super) fn number(&mut self, count: u32) -> u32 {
        if count == 0 {
            return 0;
        }
        let number = self.peek(count) as u32;
        self.skip(count);
        number
    }

    /// A number of so many bits with a sign: of those whose first bit is 0 one takes all ones away.
    pub(super) fn signed(&mut self, count: u32) -> i32 {
        let number = self.number(count) as i32;
        if count > 0 && number < 1 << (count - 1) { number - (1 << count) + 1 } else { number }
    }

    pub(super) fn symbol(&mut self, codes: &Huffman) -> Result<u8> {
        let next = self.peek(LONGEST);
        let (symbol, length) = match codes.short[next >> (LONGEST - SHORT)] {
            (_, 0) => codes.long(next as u32).ok_or_else(|| broken("there is no such code"))?,
            found => found,
        };
        self.skip(u32::from(length));
        Ok(symbol)
    }

    /// An error where bits were wanted that are not there.
    pub(super) fn check(&self) -> Result<()> {
        match self.count < self.made_up {
            true => Err(broken("its pixels end too early")),
            false => Ok(()),
        }
    }

    /// Passes over the next restart, whose number is known.
    pub(super) fn restart(&mut self, number: u8) -> Result<()> {
        let start = self.at.min(self.bytes.len());
        let rest = &self.bytes[start..];
        let found =
            rest.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xFF));
        match found.filter(|&at| rest[at + 1] == 0xD0 + number) {
            Some(found) => {
                *self = Self { at: start + found + 2, ..Self::new(self.bytes) };
                Ok(())
            }
            None => Err(broken("a restart is missing")),
        }
    }
}

/// A table of codes.
#[derive(Debug, Clone)]
pub(super) struct Huffman {
    /// By the next bits, the symbol and the length of its code; 0 for a longer one.
    short: Vec<(u8, u8)>,
    /// By the length of codes: one more than the last, shifted to the left, and what leads from a code to its symbol.
    ends: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// Of the numbers of codes of each length, and their symbols.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self> {
        let mut short = vec![(0, 0); 1 << SHORT];
        let mut ends = [(0, 0); 17];
        let (mut code, mut used) = (0_u32, 0);
        for (length, &count) in (1_u32..).zip(counts) {
            let first = used;
            for &symbol in symbols.iter().skip(first).take(usize::from(count)) {
                if code >= 1 << length {
                    return Err(broken("a Huffman table has too many codes"));
                }
                if length <= SHORT {
                    let spread = SHORT - length;
                    let start = (code << spread) as usize;
                    short[start..start + (1 << spread)].fill((symbol, length as u8));
                }
                code += 1;
                used += 1;
            }
            ends[length as usize] = (code << (LONGEST - length), used as i32 - code as i32);
            code <<= 1;
        }
        Ok(Self { short, ends, symbols: symbols.to_vec() })
    }

    /// The symbol of a code that is longer than the table of short ones knows.
    fn long(&self, next: u32) -> Option<(u8, u8)> {
        (SHORT + 1..=LONGEST).find_map(|length| {
            let (end, to_symbol) = self.ends[length as usize];
            let code = (next >> (LONGEST - length)) as i32;
            let symbol = self.symbols.get(usize::try_from(code + to_symbol).ok()?);
            (next < end).then_some((*symbol?, length as u8))
        })
    }
}

/// Bits of the longest code.
const LONGEST: u32 = 16;
/// Bits of codes that a table knows.
const SHORT: u32 = 9;
