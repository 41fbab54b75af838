//! Residual vector quantizers: each codebook says what those before it have left open.

use candle_core::{D, DType, Tensor};

use crate::error::Result;
use crate::weights::Linear;

/// The vectors of a codebook, of which the nearest stands for a frame.
#[derive(Debug, Clone)]
pub(super) struct Codebook {
    /// `(codes, size)`, in f32.
    vectors: Tensor,
    products: Linear,
    /// The square of each one's length, `(1, codes)`.
    squares: Tensor,
}

/// Codebooks one after the other, of which each reads what is left of frames: EnCodec and Mimi.
#[derive(Debug, Clone)]
pub(super) struct ResidualQuantizer(pub(super) Vec<Codebook>);

impl Codebook {
    /// Of vectors `(codes, size)`.
    pub(super) fn new(vectors: Tensor) -> Result<Self> {
        let vectors = vectors.to_dtype(DType::F32)?.contiguous()?;
        Ok(Self {
            squares: vectors.sqr()?.sum(D::Minus1)?.unsqueeze(0)?,
            products: Linear::new(vectors.clone(), None)?,
            vectors,
        })
    }

    /// The codes of the vectors that are nearest to those of frames, `(frames, size)` in f32; of equals the
    /// lowest. Computed in the order of the reference.
    pub(super) fn nearest(&self, x: &Tensor) -> Result<Tensor> {
        let own = x.sqr()?.sum_keepdim(D::Minus1)?;
        let products = (self.products.forward(x)? * 2.0)?;
        let distances = own.broadcast_sub(&products)?.broadcast_add(&self.squares)?;
        Ok(distances.argmin(D::Minus1)?)
    }

    /// The vectors of codes, `(frames, size)`.
    pub(super) fn vectors(&self, codes: &Tensor) -> Result<Tensor> {
        Ok(self.vectors.index_select(codes, 0)?)
    }
}

impl ResidualQuantizer {
    /// The codes of frames, `(frames, size)`, in so many codebooks.
    pub(super) fn encode(&self, x: &Tensor, books: usize) -> Result<Vec<Vec<u32>>> {
        let mut rest = x.to_dtype(DType::F32)?.contiguous()?;
        let mut codes = Vec::with_capacity(books);
        for book in self.0.iter().take(books) {
            let nearest = book.nearest(&rest)?;
            rest = (rest - book.vectors(&nearest)?)?;
            codes.push(nearest.to_vec1()?);
        }
        Ok(codes)
    }

    /// The frames of codes, `(frames, size)`.
    pub(super) fn decode(&self, codes: &[Vec<u32>]) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for (book, codes) in self.0.iter().zip(codes) {
            let codes = Tensor::new(codes.as_slice(), book.vectors.device())?;
            let vectors = book.vectors(&codes)?;
            sum = Some(match sum {
                Some(sum) => (sum + vectors)?,
                None => vectors,
            });
        }
        sum.ok_or_else(|| crate::error::Error::input("there are no codes to decode"))
    }
}
