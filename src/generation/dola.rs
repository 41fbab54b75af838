//! DoLa: the logits of the last layer against those of an earlier one (arXiv 2309.03883).

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::generation::softmax::Softmax;
use crate::models::{Autoregressive, Depth, LogitsAt, Trace, TraceRequest};

/// The layers whose early logits DoLa contrasts the last ones with: of these the one whose distribution is
/// furthest from the last. In JSON `"low"`, `"high"` or a list of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`low`, `high` or a list of layers")]
pub enum DolaLayers {
    /// The lower or the upper half of the model.
    Half(DolaHalf),
    /// These, by number: `n` is what goes into layer `n`.
    Layers(Vec<usize>),
}

/// A half of a model's layers, of which DoLa takes every second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DolaHalf {
    /// For long answers that need reasoning.
    Low,
    /// For short answers that need knowledge.
    High,
}

impl DolaLayers {
    /// The candidates in a model (`_dola_decoding` of transformers 4.55).
    ///
    /// # Errors
    ///
    /// When the model has none of them.
    pub(super) fn candidates(&self, depth: Depth) -> Result<Vec<usize>> {
        let Depth { layers, tied_head, .. } = depth;
        // What a tied head makes of the embeddings is the token itself.
        let first = match layers {
            _ if !tied_head => 0,
            0 | 1 => 0,
            2 => 1,
            _ => 2,
        };
        let deep = layers > 40;
        let candidates: Vec<_> = match self {
            Self::Half(DolaHalf::Low) if first == layers / 2 => vec![first],
            Self::Half(DolaHalf::Low) => {
                (first..if deep { 20 } else { layers / 2 }).step_by(2).collect()
            }
            Self::Half(DolaHalf::High) => {
                (if deep { layers - 20 } else { layers / 2 }..layers).step_by(2).collect()
            }
            Self::Layers(numbers) => {
                numbers.iter().copied().filter(|&number| number < layers).collect()
            }
        };
        if candidates.is_empty() {
            return Err(Error::option(
                "dola_layers",
                format!("names no layer below the last of a model of {layers}"),
            ));
        }
        Ok(candidates)
    }
}

/// The early layers that the rows of a pass are contrasted with.
#[derive(Debug)]
pub(super) struct EarlyLayers(Vec<Vec<usize>>);

/// Those of the rows that say with which.
pub(super) fn layers<'a>(
    rows: impl Iterator<Item = Option<&'a DolaLayers>>,
    depth: Depth,
) -> Result<EarlyLayers> {
    let candidates = |layers: Option<&DolaLayers>| match layers {
        Some(layers) => layers.candidates(depth),
        None => Ok(Vec::new()),
    };
    rows.map(candidates).collect::<Result<_>>().map(EarlyLayers)
}

impl EarlyLayers {
    /// All of them, each once.
    pub(super) fn all(&self) -> Vec<usize> {
        let mut layers = self.0.concat();
        layers.sort_unstable();
        layers.dedup();
        layers
    }

    /// Contrasts the logits of a pass, those of each row with its own layers. `trace` holds what `request`
    /// says, their hidden states among it.
    pub(super) fn contrast(
        &self,
        logits: &mut [f32],
        vocab: usize,
        model: &dyn Autoregressive,
        trace: &Trace,
        request: &TraceRequest,
    ) -> Result<()> {
        let layers = self.all();
        let early = layers.iter().map(|layer| {
            let place = request.hidden_states.iter().position(|number| number == layer);
            let hidden = place.and_then(|place| trace.hidden_states.get(place));
            let hidden = hidden.ok_or_else(|| Error::input("hidden states are missing"))?;
            let early = match (request.hidden_at, request.logits) {
                // Padding is on the left.
                (LogitsAt::EveryToken, LogitsAt::LastToken) => {
                    hidden.narrow(1, hidden.dim(1)? - 1, 1)?.contiguous()?
                }
                _ => hidden.clone(),
            };
            Ok(model.early_exit(&early)?.flatten_all()?.to_vec1::<f32>()?)
        });
        let early = early.collect::<Result<Vec<_>>>()?;
        let each = logits.len() / self.0.len().max(1);
        for (number, logits) in logits.chunks_mut(vocab).enumerate() {
            let tokens = number * vocab..(number + 1) * vocab;
            let own = &self.0[tokens.start / each];
            let early = layers.iter().zip(&early).filter(|(layer, _)| own.contains(layer));
            let early: Vec<_> = early.map(|(_, early)| &early[tokens.clone()]).collect();
            contrast(logits, &early);
        }
        Ok(())
    }
}

/// Replaces `logits` by their contrast with those of the early layer that is furthest from them, by the
/// Jensen-Shannon divergence; of equals the first. What is far less likely than the likeliest token is
/// ruled out.
pub(super) fn contrast(logits: &mut [f32], early: &[&[f32]]) {
    let own = Softmax::of(logits);
    let furthest = early.iter().copied().map(|early| (divergence(logits, own, early), early));
    let furthest = furthest.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let Some((_, early)) = furthest else { return };
    let base = Softmax::of(early);
    let threshold = own.log_probability(own.max()) + RELATIVE_TOP.ln();
    for (logit, &early) in logits.iter_mut().zip(early) {
        let log_probability = own.log_probability(*logit);
        *logit = match log_probability < threshold {
            true => f32::NEG_INFINITY,
            false => log_probability - base.log_probability(early),
        };
    }
}

/// As transformers computes it: the mean over the vocabulary, of the mixture relative to both.
fn divergence(logits: &[f32], own: Softmax, early: &[f32]) -> f64 {
    let base = Softmax::of(early);
    let terms = logits.iter().zip(early).map(|(&logit, &early)| {
        let [p, q] = [own.log_probability(logit), base.log_probability(early)].map(f64::from);
        let mixture = 0.5 * (p.exp() + q.exp());
        if mixture > 0.0 { mixture * (mixture.ln() - 0.5 * (p + q)) } else { 0.0 }
    });
    terms.sum()
}

/// The part of the greatest probability below which tokens are ruled out.
const RELATIVE_TOP: f32 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_as_transformers() {
        let depth = |layers, tied_head| Depth::new(layers, tied_head);
        for (layers, of, expected) in [
            (DolaHalf::Low, depth(6, false), vec![0, 2]),
            (DolaHalf::Low, depth(6, true), vec![2]),
            (DolaHalf::Low, depth(4, true), vec![2]),
            (DolaHalf::Low, depth(2, true), vec![1]),
            (DolaHalf::High, depth(6, true), vec![3, 5]),
            (DolaHalf::High, depth(5, true), vec![2, 4]),
            (DolaHalf::Low, depth(42, false), (0..20).step_by(2).collect()),
            (DolaHalf::High, depth(42, false), (22..42).step_by(2).collect()),
        ] {
            assert_eq!(DolaLayers::Half(layers).candidates(of).unwrap(), expected, "{of:?}");
        }
        let listed = DolaLayers::Layers(vec![1, 9, 3]);
        assert_eq!(listed.candidates(depth(4, true)).unwrap(), [1, 3]);
        assert!(listed.candidates(depth(1, true)).is_err());
        for (json, layers) in [
            ("\"low\"", DolaLayers::Half(DolaHalf::Low)),
            ("\"high\"", DolaLayers::Half(DolaHalf::High)),
            ("[1,9,3]", listed),
        ] {
            assert_eq!(serde_json::from_str::<DolaLayers>(json).unwrap(), layers);
            assert_eq!(serde_json::to_string(&layers).unwrap(), json);
        }
        assert!(serde_json::from_str::<DolaLayers>("\"middle\"").is_err());
    }
}
