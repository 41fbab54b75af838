//! Layouts as they are written down.

use crate::weights::layout::{Layout, Moved, MovedPart};

/// No model has so many layers of a kind.
pub(super) const MOST_LAYERS: usize = 1024;

/// A [`Layout`] that is written down.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Moved>);

impl Rules {
    /// Names that begin with `theirs` begin with `ours` here.
    pub(super) fn all(&mut self, theirs: impl Into<String>, ours: impl Into<String>) {
        self.part(theirs, ours, MovedPart::All);
    }

    pub(super) fn part(
        &mut self,
        theirs: impl Into<String>,
        ours: impl Into<String>,
        part: MovedPart,
    ) {
        self.0.push(Moved { theirs: theirs.into(), ours: ours.into(), part });
    }

    /// As [`all`](Self::all), for each of some pairs of endings.
    pub(super) fn each(&mut self, theirs: &str, ours: &str, endings: &[(&str, &str)]) {
        for (end, our_end) in endings {
            self.all(format!("{theirs}.{end}"), format!("{ours}.{our_end}"));
        }
    }

    /// Parts that lie one after the other in a module of theirs, with so many rows each.
    pub(super) fn fused(&mut self, theirs: &str, parts: &[(String, usize)]) {
        let of = parts.iter().fold(0, |sum: usize, (_, rows)| sum.saturating_add(*rows));
        let mut start = 0_usize;
        for (ours, rows) in parts {
            let range = start..start.saturating_add(*rows);
            start = range.end;
            self.part(theirs, ours, MovedPart::Rows(range, of));
        }
    }

    pub(super) fn layout(self, prefix: &str) -> Layout {
        let begin = |moved: Moved| Moved { theirs: format!("{prefix}{}", moved.theirs), ..moved };
        Layout::new(self.0.into_iter().map(begin).collect())
    }
}
