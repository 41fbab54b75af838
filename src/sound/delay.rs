//! The delay of codebooks: each begins a frame after the one before, so that a step can know what came before it.

use crate::error::{Error, Result};

/// What stands where in a frame of all codebooks: `build_delay_pattern_mask` of modeling_musicgen.py.
///
/// ```text
/// codebook 0   P a b . . . P P P
/// codebook 1   P P a b . . . P P      P: the start id, a b: the prompt, .: to be generated
/// codebook 2   P P P a b . . . P
/// ```
#[derive(Debug, Clone)]
pub(super) struct Delay {
    /// By how many frames each codebook comes late.
    late: Vec<usize>,
    /// How many frames there are, the gaps included.
    length: usize,
    /// What codebooks are made of before they are late, and after they are over; `None` where all of them begin at
    /// once, as there are too few frames for a delay.
    start_id: Option<u32>,
    /// Of each codebook its first codes, which are given.
    prompt: Vec<Vec<u32>>,
}

impl Delay {
    /// Of codebooks for so many channels, which alternate. `prompt` is what is given of each codebook, the start id
    /// included.
    pub(super) fn new(
        prompt: Vec<Vec<u32>>,
        channels: usize,
        length: usize,
        start_id: u32,
    ) -> Result<Self> {
        let books = prompt.len() / channels.max(1);
        let given = prompt.first().map_or(0, Vec::len);
        let is_delayed = length >= 2 * books - 1;
        let late = (0..prompt.len()).map(|book| if is_delayed { book / channels } else { 0 });
        // What is given is late, too.
        if given + if is_delayed { books - 1 } else { 0 } > length || given >= length {
            return Err(Error::option(
                "max_new_tokens",
                format!(
                    "leaves {length} frames, which is too few for a prompt of {given} and {books} codebooks"
                ),
            ));
        }
        let start_id = is_delayed.then_some(start_id);
        Ok(Self { late: late.collect(), length, start_id, prompt })
    }

    /// What stands in a frame of a codebook, whatever is generated; `None` where it is generated.
    fn fixed(&self, book: usize, frame: usize) -> Option<u32> {
        let books = self.late.last().map_or(1, |late| late + 1);
        let late = self.late[book];
        match self.start_id {
            None => self.prompt[book].get(frame).copied(),
            Some(start_id) if frame <= late || frame - late > self.length - books => Some(start_id),
            Some(_) => self.prompt[book].get(frame - late).copied(),
        }
    }

    /// A frame as the model reads it, where these were generated for it.
    pub(super) fn frame(&self, at: usize, generated: impl Fn(usize) -> u32) -> Vec<u32> {
        let code = |book| self.fixed(book, at).unwrap_or_else(|| generated(book));
        (0..self.late.len()).map(code).collect()
    }

    /// The codes of each codebook without delay and start ids, out of what was generated, frame by frame.
    pub(super) fn undone(
        &self,
        generated: impl Fn(usize, usize) -> u32,
        start_id: u32,
    ) -> Vec<Vec<u32>> {
        let book = |book: usize| {
            let codes = (0..self.length)
                .map(|at| self.fixed(book, at).unwrap_or_else(|| generated(book, at)));
            codes.filter(|&code| code != start_id).collect()
        };
        (0..self.late.len()).map(book).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: u32 = 99;

    /// The example of `build_delay_pattern_mask`, of 4 codebooks and 8 frames.
    #[test]
    fn the_pattern_is_that_of_the_reference() -> Result<()> {
        let delay = Delay::new(vec![vec![P, 1, 2]; 4], 1, 8, P)?;
        let frames: Vec<_> = (0..8).map(|at| delay.frame(at, |_| 0)).collect();
        let expected = [
            [P, P, P, P],
            [1, P, P, P],
            [2, 1, P, P],
            [0, 2, 1, P],
            [0, 0, 2, 1],
            [P, 0, 0, 2],
            [P, P, 0, 0],
            [P, P, P, 0],
        ];
        assert_eq!(frames, expected);
        let undone = delay.undone(|book, _| book as u32, P);
        assert_eq!(undone[1], [1, 2, 1, 1]);
        // Left and right go together.
        let stereo = Delay::new(vec![vec![P]; 4], 2, 5, P)?;
        assert_eq!(stereo.frame(1, |_| 0), [0, 0, P, P]);
        // Too few frames for a delay.
        let short = Delay::new(vec![vec![P]; 4], 1, 6, P)?;
        assert_eq!(short.frame(1, |book| book as u32), [0, 1, 2, 3]);
        assert_eq!(short.undone(|_, at| at as u32, P)[3], [1, 2, 3, 4, 5]);
        assert!(Delay::new(vec![vec![P, 1, 2, 3]; 4], 1, 4, P).is_err());
        Ok(())
    }
}
