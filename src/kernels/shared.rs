//! A slice that several threads write to.
#![expect(unsafe_code, reason = "threads that write to one slice")]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use crate::kernels::{memory, pool};

/// A slice that several threads write to, each its own elements.
pub(super) struct Shared<'a, T>(&'a [UnsafeCell<T>]);

// SAFETY: the only accesses are `write`, `part` and what goes through `pointer`, whose callers promise
// not to touch an element twice.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T: Copy> Shared<'a, T> {
    pub(super) fn new(values: &'a mut [T]) -> Self {
        let values: *mut [T] = values;
        // SAFETY: `UnsafeCell<T>` has the layout of `T`, and the exclusive borrow lasts as long
        // as `'a`.
        Self(unsafe { &*(values as *const [UnsafeCell<T>]) })
    }

    /// # Safety
    ///
    /// No other thread may write to these elements meanwhile.
    #[inline]
    pub(super) unsafe fn write(&self, start: usize, values: &[T]) {
        let to = self.pointer(start, values.len());
        // SAFETY: the place is in bounds, and nobody else is there.
        unsafe { to.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    }

    /// Where `length` elements after `start` lie, of which some may be written to: those that no
    /// other thread touches meanwhile.
    pub(super) fn pointer(&self, start: usize, length: usize) -> *mut T {
        UnsafeCell::raw_get(self.0[start..start + length].as_ptr())
    }

    /// # Safety
    ///
    /// Nobody else may touch these elements as long as the part lives.
    #[expect(clippy::mut_from_ref, reason = "parts do not overlap, which the caller promises")]
    pub(super) unsafe fn part(&self, start: usize, length: usize) -> &mut [T] {
        let cells: *const [UnsafeCell<T>] = &raw const self.0[start..start + length];
        // SAFETY: `UnsafeCell<T>` has the layout of `T`, and the part is the caller's alone.
        unsafe { &mut *(cells as *mut [T]) }
    }
}

/// Vectors of these lengths, whose numbers `work` writes: filling them with zeros before took a
/// twentieth of the time of an encoder.
///
/// # Safety
///
/// `work` must write every number, and read none before.
pub(super) unsafe fn written(
    lengths: &[usize],
    work: impl FnOnce(&[Shared<'_, f32>]),
) -> Vec<Vec<f32>> {
    let mut vectors = vec![Vec::new(); lengths.len()];
    let rooms = vectors.iter_mut().zip(lengths).map(|(vector, &length)| room(vector, length));
    work(&rooms.collect::<Vec<_>>());
    for (vector, &length) in vectors.iter_mut().zip(lengths) {
        // SAFETY: all of them have been written (the caller's promise).
        unsafe { vector.set_len(length) };
    }
    vectors
}

/// Memory for so many numbers after those of a vector. They are to be written before they are read,
/// and to be made part of the vector.
pub(super) fn room<T: Copy>(vector: &mut Vec<T>, length: usize) -> Shared<'_, T> {
    memory::keep_freed();
    vector.reserve_exact(length);
    let room: *mut [MaybeUninit<T>] = &mut vector.spare_capacity_mut()[..length];
    // SAFETY: both types have the layout of `T`, the memory is there, and nobody else has it.
    Shared(unsafe { &*(room as *const [UnsafeCell<T>]) })
}

/// Calls `work` with the number of each row of `width` in `out` and the row, on all threads.
/// `cost` is about how many numbers a row takes to be computed.
pub(super) fn each_row(
    out: &mut [f32],
    width: usize,
    cost: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    each_part(out, width, cost, |first, part| {
        for (row, out) in (first..).zip(part.chunks_exact_mut(width)) {
            work(row, out);
        }
    });
}

/// As [`each_row`], with several rows at once, which share what takes time to set up: `work` is called with
/// the number of their first.
pub(crate) fn each_part(
    out: &mut [f32],
    width: usize,
    cost: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let rows = out.len() / width.max(1);
    let out = Shared::new(out);
    let grain = (rows / (4 * pool::threads())).max(SMALLEST_WORK / cost.max(1));
    pool::for_each(rows, grain, |range| {
        // SAFETY: rows do not overlap, and each is given out once.
        work(range.start, unsafe { out.part(range.start * width, range.len() * width) });
    });
}

/// Numbers that one thread computes in less time than a hand-over takes.
const SMALLEST_WORK: usize = 1 << 13;
