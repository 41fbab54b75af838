//! From the vectors of a text's tokens to one.

use crate::fields::choices;

choices! {
    /// How the vectors of a text's tokens become one, by the names of sentence-transformers.
    Pooling, "pooling" {
        /// The first token's.
        Cls = "cls",
        /// The last token's.
        Last = "lasttoken" | "last",
        /// The highest value in each place.
        Max = "max",
        /// The mean.
        Mean = "mean",
        /// The sum, divided by the root of the number of tokens.
        MeanSqrtLength = "mean_sqrt_len_tokens",
        /// The mean, weighted by position, from 1 on.
        WeightedMean = "weightedmean",
    }
}

impl Pooling {
    /// The vector of a text whose tokens have vectors of one length, without the first `skipped`; the last
    /// is always looked at. Empty where there are no tokens.
    #[must_use]
    pub fn pool(self, tokens: &[&[f32]], skipped: usize) -> Vec<f32> {
        self.weighted(tokens, skipped, None)
    }

    /// As [`pool`](Self::pool), where the tokens weigh so much together: means are then by that.
    pub(super) fn weighted(
        self,
        tokens: &[&[f32]],
        skipped: usize,
        weight: Option<f64>,
    ) -> Vec<f32> {
        // As the reference keeps 0 away.
        let total = weight.map(|weight| weight.max(1e-9));
        let skipped = skipped.min(tokens.len().saturating_sub(1));
        let tokens = &tokens[skipped..];
        let size = tokens.first().map_or(0, |token| token.len());
        let sum = |weight: &dyn Fn(usize) -> f64, divisor: f64| {
            let mut sum = vec![0.0_f64; size];
            for (place, token) in tokens.iter().enumerate() {
                let weight = weight(place);
                sum.iter_mut().zip(*token).for_each(|(sum, x)| *sum += weight * f64::from(*x));
            }
            sum.into_iter().map(|sum| (sum / divisor) as f32).collect()
        };
        let count = tokens.len() as f64;
        let by_place = |place: usize| (skipped + place + 1) as f64;
        match self {
            Self::Cls => tokens.first().map_or_else(Vec::new, |token| token.to_vec()),
            Self::Last => tokens.last().map_or_else(Vec::new, |token| token.to_vec()),
            Self::Max => {
                let mut max = vec![f32::NEG_INFINITY; size];
                for token in tokens {
                    max.iter_mut().zip(*token).for_each(|(max, x)| *max = max.max(*x));
                }
                max
            }
            Self::Mean => sum(&|_| 1.0, total.unwrap_or(count)),
            Self::MeanSqrtLength => sum(&|_| 1.0, total.unwrap_or(count).sqrt()),
            Self::WeightedMean => {
                let places = || (0..tokens.len()).map(by_place).sum();
                sum(&by_place, total.unwrap_or_else(places))
            }
        }
    }
}

/// Makes the length 1, as `torch.nn.functional.normalize` does.
pub fn normalize(vector: &mut [f32]) {
    let length = length(vector);
    vector.iter_mut().for_each(|x| *x /= length);
}

/// At least 1e-12, to be divided by.
pub(super) fn length(vector: &[f32]) -> f32 {
    let squares = vector.iter().map(|&x| f64::from(x).powi(2));
    (squares.sum::<f64>().sqrt() as f32).max(1e-12)
}
