//! The windows of a text that is cut, made one by one.

use std::ops::Range;
use std::vec;

use tokenizers::TruncationDirection;

use crate::error::{Error, Result};
use crate::tokenizer::backend::Template;
use crate::tokenizer::encoding::{Encoding, convert};
use crate::tokenizer::tokens::Tokens;

/// The windows of a text or of a pair. There is at least one.
pub(crate) enum Windows {
    /// Of one text that is cut: only the text as a whole is in memory.
    Cut(Box<Cut>),
    /// All of them.
    Made(vec::IntoIter<Encoding>),
}

/// A text that is cut, alone or in a pair.
pub(crate) struct Cut {
    pub(super) template: Template,
    pub(super) add_special_tokens: bool,
    pub(super) text: Tokens,
    pub(super) other: Option<tokenizers::Encoding>,
    /// Whether the text is the second of the pair.
    pub(super) is_second: bool,
    pub(super) ranges: Ranges,
}

impl Windows {
    /// Those of a text with its overflowing parts.
    pub(super) fn of(whole: tokenizers::Encoding) -> Self {
        let mut first = convert(whole);
        let mut all = vec![Encoding::default()];
        all.append(&mut first.overflowing);
        all[0] = first;
        Self::Made(all.into_iter())
    }
}

impl Iterator for Windows {
    type Item = Result<Encoding>;

    fn next(&mut self) -> Option<Result<Encoding>> {
        match self {
            Self::Cut(cut) => cut.ranges.next().map(|(number, range)| cut.window(number, &range)),
            Self::Made(windows) => windows.next().map(Ok),
        }
    }
}

impl Cut {
    fn window(&self, number: usize, range: &Range<usize>) -> Result<Encoding> {
        let mut text = self.text.part(range);
        if number > 0 {
            // Only as an overflowing part does it become what the reference makes of all windows but the first.
            let mut holder = tokenizers::Encoding::default();
            holder.set_overflowing(vec![text]);
            text = holder;
        }
        let (first, second) = match (&self.other, self.is_second) {
            (Some(other), true) => (other.clone(), Some(text)),
            (other, _) => (text, other.clone()),
        };
        let mut whole = self.template.apply(first, second, self.add_special_tokens)?;
        if number > 0 {
            let parts = whole.take_overflowing();
            let missing = || Error::tokenizer("its template gives no further windows");
            whole = parts.into_iter().next().ok_or_else(missing)?;
        }
        Ok(convert(whole))
    }
}

/// Where the windows of a text lie, by their numbers.
pub(super) struct Ranges {
    length: usize,
    keep: usize,
    step: usize,
    direction: TruncationDirection,
    next: usize,
    count: usize,
}

impl Ranges {
    /// Windows of `keep` tokens of a longer text, where `stride` of them, less than `keep`, are those of the window
    /// before. Where nothing is kept, all of the text is the second window.
    pub(super) fn new(
        length: usize,
        keep: usize,
        stride: usize,
        direction: TruncationDirection,
    ) -> Self {
        let step = keep.saturating_sub(stride).max(1);
        let count = if keep == 0 { 2 } else { 1 + (length - keep).div_ceil(step) };
        Self { length, keep, step, direction, next: 0, count }
    }
}

impl Iterator for Ranges {
    type Item = (usize, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next;
        if number == self.count {
            return None;
        }
        self.next += 1;
        let near = number * self.step;
        let (near, far) = match self.keep {
            0 => (0, number * self.length),
            keep => (near, (near + keep).min(self.length)),
        };
        Some(match self.direction {
            TruncationDirection::Right => (number, near..far),
            TruncationDirection::Left => (number, self.length - far..self.length - near),
        })
    }
}
