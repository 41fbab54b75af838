//! Beam search: several beginnings of an answer are followed at once, and the best answers win.
//!
//! A prompt is a [`search::Search`], whose beams compete within [`group::Group`]s: all in one, or in
//! several that are made to differ. Each step ranks the continuations of all beams
//! ([`candidates`]), sorts out those that end ([`hypotheses`]) and lets the best of the rest go on, as
//! rows of the cache that fork. [`run`] computes the searches of many prompts together.
//!
//! Reference: `_beam_search` in `generation/utils.py` of transformers 4.57.6; for groups and constraints
//! `generation/beam_search.py` and `generation/beam_constraints.py` of transformers 4.55.4, the last
//! version that has them.

mod beam;
mod candidates;
mod constrained;
mod constraint;
mod early_stopping;
mod group;
mod history;
mod hypotheses;
pub(super) mod options;
mod progress;
pub(super) mod run;
mod search;

pub use constraint::{
    Advance, CloneConstraint, Constraint, DisjunctiveConstraint, ForcedWords, PhrasalConstraint,
};
pub use early_stopping::EarlyStopping;
