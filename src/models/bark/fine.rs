//! Bark's model of fine acoustics.

use candle_core::{DType, Tensor};

use super::config::BarkFineConfig;
use crate::error::{Error, Result};
use crate::models::decoder::{Decoder, HeadWeights, Purpose};
use crate::models::threads::Threads;
use crate::models::traits::{CausalLm, Model};
use crate::weights::{Bias, Embedding, Linear, Weights};

/// Bark's model of fine acoustics: it sees frames of the first codebooks and says what the next codebook holds.
#[derive(Debug, Clone)]
pub(super) struct BarkFine {
    layers: Decoder,
    words: Vec<Embedding>,
    heads: Vec<Linear>,
    given: usize,
    threads: Threads,
}

impl BarkFine {
    /// Reads `books.*`, `heads.*` where there are such (they are tied to the books otherwise), and what a decoder
    /// reads.
    pub(super) fn load(
        config: &BarkFineConfig,
        weights: &Weights,
        threads: Threads,
    ) -> Result<Self> {
        let BarkFineConfig { ref layers, codebooks, given } = *config;
        let (vocab, hidden) = (layers.vocab_size, layers.hidden_size);
        let HeadWeights::OwnOf { logits } = layers.head else {
            return Err(Error::unsupported("fine acoustics without heads"));
        };
        let words = |book: usize| weights.embedding(&format!("books.{book}"), vocab, hidden);
        let words = (0..codebooks).map(words).collect::<Result<Vec<_>>>()?;
        let head = |number: usize| {
            let name = format!("heads.{number}");
            match weights.contains(&name) {
                true => weights.output_head(&name, hidden, logits, Bias::Absent),
                // `_tie_weights` of the reference.
                false if logits == vocab => Ok(words[number + 1].as_linear()),
                false => weights.output_head(&name, hidden, logits, Bias::Absent),
            }
        };
        Ok(Self {
            heads: (0..codebooks - given).map(head).collect::<Result<_>>()?,
            layers: Decoder::of(
                layers.clone(),
                weights,
                words[0].clone(),
                threads.clone(),
                Purpose::HiddenStates,
            )?,
            words,
            given,
            threads,
        })
    }

    /// The logits of a codebook for each frame, `(frames, logits)` in f32. `books` are the codes of each codebook,
    /// of which those after this one are not read.
    pub(super) fn forward(&self, books: &[Vec<u32>], book: usize) -> Result<Tensor> {
        let frames = books.first().map_or(0, Vec::len);
        if book < self.given || book >= self.words.len() || books.len() <= book || frames == 0 {
            let (found, own) = (books.len(), self.words.len());
            return Err(Error::input(format!(
                "codebook {book} of {found} with {frames} frames for a model of {own}"
            )));
        }
        let mut sum: Option<Tensor> = None;
        for (words, codes) in self.words.iter().zip(books).take(book + 1) {
            let codes = Tensor::new(codes.as_slice(), self.layers.device())?;
            let vectors = words.forward(&codes)?;
            sum = Some(match sum {
                Some(sum) => (sum + vectors)?,
                None => vectors,
            });
        }
        let sum = sum.ok_or_else(|| Error::input("no codebooks"))?;
        let mut cache = self.layers.new_cache();
        let states = self.layers.states_of_vectors(&sum, &[frames], &mut cache)?;
        let logits = self.threads.run(|| self.heads[book - self.given].forward(&states))?;
        Ok(logits.to_dtype(DType::F32)?)
    }
}
