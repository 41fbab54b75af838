//! Numbers side by side, which the compiler puts into vectors; each is what it would be alone.

use std::ops::{Add, Div, Mul, Sub};

use crate::kernels::exp::multiply_add;

/// As many groups of weights as are looked at side by side: two vectors of AVX-512, so that one is
/// computed with while the other's results are waited for.
pub(super) const LANES: usize = VECTORS * WIDTH;

const VECTORS: usize = 2;
/// The most that compilers put into one vector.
const WIDTH: usize = 16;

/// A number of each of [`LANES`] groups of weights.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Lanes([[f32; WIDTH]; VECTORS]);

/// Some of the lanes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen([[bool; WIDTH]; VECTORS]);

impl Lanes {
    #[inline(always)]
    pub(super) fn all(value: f32) -> Self {
        Self([[value; WIDTH]; VECTORS])
    }

    #[inline(always)]
    pub(super) fn get(&self, lane: usize) -> f32 {
        self.0[lane / WIDTH][lane % WIDTH]
    }

    #[inline(always)]
    pub(super) fn set(&mut self, lane: usize, value: f32) {
        self.0[lane / WIDTH][lane % WIDTH] = value;
    }

    #[inline(always)]
    pub(super) fn map(mut self, change: impl Fn(f32) -> f32) -> Self {
        for v in 0..VECTORS {
            for i in 0..WIDTH {
                self.0[v][i] = change(self.0[v][i]);
            }
        }
        self
    }

    #[inline(always)]
    pub(super) fn zip(mut self, others: Self, join: impl Fn(f32, f32) -> f32) -> Self {
        for v in 0..VECTORS {
            for i in 0..WIDTH {
                self.0[v][i] = join(self.0[v][i], others.0[v][i]);
            }
        }
        self
    }

    #[inline(always)]
    pub(super) fn abs(self) -> Self {
        self.map(f32::abs)
    }

    /// `self factors + terms`, in one step where the processor has one.
    #[inline(always)]
    pub(super) fn multiply_add<const FMA: bool>(mut self, factors: Self, terms: Self) -> Self {
        for v in 0..VECTORS {
            for i in 0..WIDTH {
                self.0[v][i] = multiply_add::<FMA>(self.0[v][i], factors.0[v][i], terms.0[v][i]);
            }
        }
        self
    }

    /// The smaller of two, and where they are equal its own.
    #[inline(always)]
    pub(super) fn least(self, others: Self) -> Self {
        self.zip(others, |x, other| if other < x { other } else { x })
    }

    /// The larger of two, and where they are equal its own.
    #[inline(always)]
    pub(super) fn largest(self, others: Self) -> Self {
        self.zip(others, |x, other| if other > x { other } else { x })
    }

    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "iterators here are not made into vectors")]
    pub(super) fn below(self, others: Self) -> Chosen {
        let mut chosen = [[false; WIDTH]; VECTORS];
        for v in 0..VECTORS {
            for i in 0..WIDTH {
                chosen[v][i] = self.0[v][i] < others.0[v][i];
            }
        }
        Chosen(chosen)
    }

    /// Its numbers in the lanes that are chosen, those of others elsewhere.
    #[inline(always)]
    pub(super) fn or(mut self, others: Self, chosen: Chosen) -> Self {
        for v in 0..VECTORS {
            for i in 0..WIDTH {
                self.0[v][i] = if chosen.0[v][i] { self.0[v][i] } else { others.0[v][i] };
            }
        }
        self
    }
}

impl Chosen {
    #[inline(always)]
    pub(super) fn any(self) -> bool {
        self.0.iter().flatten().fold(false, |any, chosen| any | chosen)
    }
}

impl Add for Lanes {
    type Output = Self;

    #[inline(always)]
    fn add(self, others: Self) -> Self {
        self.zip(others, |x, other| x + other)
    }
}

impl Sub for Lanes {
    type Output = Self;

    #[inline(always)]
    fn sub(self, others: Self) -> Self {
        self.zip(others, |x, other| x - other)
    }
}

impl Mul for Lanes {
    type Output = Self;

    #[inline(always)]
    fn mul(self, others: Self) -> Self {
        self.zip(others, |x, other| x * other)
    }
}

impl Div for Lanes {
    type Output = Self;

    #[inline(always)]
    fn div(self, others: Self) -> Self {
        self.zip(others, |x, other| x / other)
    }
}
