//! Another layout of a checkpoint: what its modules are called there.

#![cfg_attr(not(feature = "image"), allow(dead_code, reason = "for models that paint"))]

use std::ops::Range;

/// How modules that we know by the names of one layout are called in another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout(Vec<Moved>);

/// Modules of which the names begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    /// How they begin in the other layout.
    pub(crate) theirs: String,
    /// And here.
    pub(crate) ours: String,
    pub(crate) part: MovedPart,
}

/// Which of the rows of a module in another layout are those of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MovedPart {
    All,
    /// These, of so many.
    Rows(Range<usize>, usize),
    /// All, the second half before the first.
    HalvesSwapped,
    /// All, and matrices lie the other way round.
    Transposed,
}

impl Layout {
    pub(crate) fn new(moved: Vec<Moved>) -> Self {
        Self(moved)
    }

    /// What one of our modules is called in the other layout, and what of that is its own.
    pub(super) fn originals<'a>(
        &'a self,
        module: &'a str,
    ) -> impl Iterator<Item = (String, &'a MovedPart)> + 'a {
        self.0.iter().filter_map(move |moved| {
            Some((with_start(module, &moved.ours, &moved.theirs)?, &moved.part))
        })
    }

    /// What becomes of a tensor of the other layout: its names here.
    pub(super) fn ours<'a>(
        &'a self,
        tensor: &'a str,
    ) -> impl Iterator<Item = (String, &'a MovedPart)> + 'a {
        self.0.iter().filter_map(move |moved| {
            Some((with_start(tensor, &moved.theirs, &moved.ours)?, &moved.part))
        })
    }
}

/// A name with another beginning, which ends where a segment does.
fn with_start(name: &str, start: &str, other: &str) -> Option<String> {
    let rest = name.strip_prefix(start)?;
    let is_whole = rest.is_empty() || rest.starts_with('.') || start.is_empty();
    is_whole.then(|| format!("{other}{rest}"))
}
