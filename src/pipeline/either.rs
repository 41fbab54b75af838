//! Work that is done here or elsewhere.

use crate::error::{Error, Result};
use crate::pipeline::flow::{Measured, Pace, Work};

/// One of two ways to work on the same items. All items of a call go the same way.
pub(super) enum Either<A, B> {
    Here(A),
    There(B),
}

impl<A: Measured, B: Measured> Measured for Either<A, B> {
    fn length(&self) -> usize {
        match self {
            Self::Here(row) => row.length(),
            Self::There(row) => row.length(),
        }
    }

    fn is_cut(&self) -> bool {
        match self {
            Self::Here(row) => row.is_cut(),
            Self::There(row) => row.is_cut(),
        }
    }
}

impl<A, B> Work for Either<A, B>
where
    A: Work,
    B: Work<Item = A::Item, Output = A::Output>,
{
    type Item = A::Item;
    type Kept = Either<A::Kept, B::Kept>;
    type Row = Either<A::Row, B::Row>;
    type Answer = Either<A::Answer, B::Answer>;
    type Output = A::Output;

    fn pace(&self, batch_size: Option<usize>) -> Pace {
        match self {
            Self::Here(work) => work.pace(batch_size),
            Self::There(work) => work.pace(batch_size),
        }
    }

    fn prepare(&self, item: Self::Item) -> Result<(Self::Kept, Vec<Self::Row>)> {
        Ok(match self {
            Self::Here(work) => {
                let (kept, rows) = work.prepare(item)?;
                (Either::Here(kept), rows.into_iter().map(Either::Here).collect())
            }
            Self::There(work) => {
                let (kept, rows) = work.prepare(item)?;
                (Either::There(kept), rows.into_iter().map(Either::There).collect())
            }
        })
    }

    fn forward(&self, rows: &[&Self::Row]) -> Result<Vec<Self::Answer>> {
        match self {
            Self::Here(work) => {
                let rows: Vec<_> = rows.iter().filter_map(|row| row.here()).collect();
                Ok(work.forward(&rows)?.into_iter().map(Either::Here).collect())
            }
            Self::There(work) => {
                let rows: Vec<_> = rows.iter().filter_map(|row| row.there()).collect();
                Ok(work.forward(&rows)?.into_iter().map(Either::There).collect())
            }
        }
    }

    fn finish(
        &self,
        kept: Self::Kept,
        rows: Vec<(Self::Row, Self::Answer)>,
    ) -> Result<Self::Output> {
        match (self, kept) {
            (Self::Here(work), Either::Here(kept)) => {
                let rows = rows.into_iter().filter_map(|pair| match pair {
                    (Either::Here(row), Either::Here(answer)) => Some((row, answer)),
                    _ => None,
                });
                work.finish(kept, rows.collect())
            }
            (Self::There(work), Either::There(kept)) => {
                let rows = rows.into_iter().filter_map(|pair| match pair {
                    (Either::There(row), Either::There(answer)) => Some((row, answer)),
                    _ => None,
                });
                work.finish(kept, rows.collect())
            }
            _ => Err(Error::input("an item went two ways")),
        }
    }
}

impl<A, B> Either<A, B> {
    fn here(&self) -> Option<&A> {
        match self {
            Self::Here(one) => Some(one),
            Self::There(_) => None,
        }
    }

    fn there(&self) -> Option<&B> {
        match self {
            Self::Here(_) => None,
            Self::There(other) => Some(other),
        }
    }
}
