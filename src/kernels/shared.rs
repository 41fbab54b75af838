//! A slice that several threads write to.
#![expect(unsafe_code, reason = "threads that write to one slice")]

use std::cell::UnsafeCell;

/// A slice that several threads write to, each its own elements.
pub(super) struct Shared<'a>(&'a [UnsafeCell<f32>]);

// SAFETY: the only access is `write`, whose callers promise not to touch an element twice.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(super) fn new(values: &'a mut [f32]) -> Self {
        let values: *mut [f32] = values;
        // SAFETY: `UnsafeCell<f32>` has the layout of `f32`, and the exclusive borrow lasts as long
        // as `'a`.
        Self(unsafe { &*(values as *const [UnsafeCell<f32>]) })
    }

    /// # Safety
    ///
    /// No other thread may write to these elements meanwhile.
    pub(super) unsafe fn write(&self, start: usize, values: &[f32]) {
        for (cell, value) in self.0[start..start + values.len()].iter().zip(values) {
            // SAFETY: the index is in bounds, and nobody else is at this element.
            unsafe { *cell.get() = *value };
        }
    }
}
