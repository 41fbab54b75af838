//! How many tokens a draft model drafts, from draft to draft.

use crate::fields::choices;

choices! {
    /// How [`num_assistant_tokens`](super::GenerationConfig#structfield.num_assistant_tokens) changes.
    AssistantSchedule, "num_assistant_tokens_schedule" {
        /// It stays.
        Constant = "constant",
        /// It grows by 2 after a draft that was accepted wholly, and shrinks by 1 after any other. In
        /// transformers it also stays with the draft model for later calls; here each answer begins anew.
        Heuristic = "heuristic",
        /// The same, for each answer anew.
        HeuristicTransient = "heuristic_transient",
    }
}
