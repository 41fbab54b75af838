//! From the vectors of a text's tokens to one.

/// How the vectors of a text's tokens become one: `pooling_mode_…` of sentence-transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    First,
    Last,
    Max,
    Mean,
    MeanSqrtLength,
    /// Weighted by position, from 1 on.
    WeightedMean,
}

impl Pooling {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "cls" => Self::First,
            "lasttoken" => Self::Last,
            "max" => Self::Max,
            "mean" => Self::Mean,
            "mean_sqrt_len_tokens" => Self::MeanSqrtLength,
            "weightedmean" => Self::WeightedMean,
            _ => return None,
        })
    }

    /// Of at least one token, without the first `skipped`; the last is always looked at.
    pub(crate) fn pool(self, tokens: &[&[f32]], skipped: usize) -> Vec<f32> {
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
        let weight = |place: usize| (skipped + place + 1) as f64;
        match self {
            Self::First => tokens.first().map_or_else(Vec::new, |token| token.to_vec()),
            Self::Last => tokens.last().map_or_else(Vec::new, |token| token.to_vec()),
            Self::Max => {
                let mut max = vec![f32::NEG_INFINITY; size];
                for token in tokens {
                    max.iter_mut().zip(*token).for_each(|(max, x)| *max = max.max(*x));
                }
                max
            }
            Self::Mean => sum(&|_| 1.0, count),
            Self::MeanSqrtLength => sum(&|_| 1.0, count.sqrt()),
            Self::WeightedMean => sum(&weight, (0..tokens.len()).map(weight).sum()),
        }
    }
}

/// Makes the length 1, as `torch.nn.functional.normalize` does.
pub(crate) fn normalize(vector: &mut [f32]) {
    let length = length(vector);
    vector.iter_mut().for_each(|x| *x /= length);
}

/// At least 1e-12, to be divided by.
pub(super) fn length(vector: &[f32]) -> f32 {
    let squares = vector.iter().map(|&x| f64::from(x).powi(2));
    (squares.sum::<f64>().sqrt() as f32).max(1e-12)
}
