//! Which tokens a layer attends to.

use serde::Serialize;

use crate::kernels::attention::Reach;

/// Which tokens a layer attends to, seen from each of them. Its layers name it by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum AttentionSpan {
    /// Tokens before and after: encoders, EmbeddingGemma.
    Bidirectional {
        /// Only those less than so many tokens away on either side: ModernBERT, EmbeddingGemma.
        window: Option<usize>,
    },
    /// The token itself and those before it: most decoders.
    Causal {
        /// Only the last so many, the token itself among them: Mistral 7B v0.1, Gemma 3.
        window: Option<usize>,
    },
}

impl AttentionSpan {
    /// Whether tokens attend to those after them.
    pub(crate) fn looks_ahead(self) -> bool {
        matches!(self, Self::Bidirectional { .. })
    }

    /// How far away keys may be; `None` is without end.
    pub(crate) fn window(self) -> Option<usize> {
        match self {
            Self::Bidirectional { window } | Self::Causal { window } => window,
        }
    }

    /// How far queries see from their own slot.
    pub(crate) fn reach(self) -> Reach {
        let before = self.window().map_or(usize::MAX, |window| window.saturating_sub(1));
        Reach { before, after: if self.looks_ahead() { before } else { 0 } }
    }
}
