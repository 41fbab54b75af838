//! Generation: from next-token logits to tokens and text.
//!
//! A [`GenerationConfig`] is turned once into a [`Plan`]: the logits processors in transformers'
//! order, the sampler and the stop rules. [`generate`] and [`generate_text`] run the plan as an
//! iterator; a program with its own loop calls [`Plan::next`] and [`Plan::finished`] itself:
//!
//! ```
//! use sconce::generation::{FinishReason, GenerationConfig};
//! use sconce::models::ModelLimits;
//!
//! let config = GenerationConfig::default().max_new_tokens(8).eos_token_id(vec![0]);
//! let mut tokens = vec![3];
//! let mut plan = config.plan(&tokens, ModelLimits::new(4, 2048), None)?;
//! let finish = loop {
//!     // Here a model would run; this one always prefers the id below the last.
//!     let mut logits = vec![0.0; 4];
//!     logits[tokens[tokens.len() - 1] as usize - 1] = 9.0;
//!     tokens.push(plan.next(&tokens, &mut logits)?.id);
//!     if let Some(finish) = plan.finished(&tokens)? {
//!         break finish;
//!     }
//! };
//! assert_eq!((tokens, finish), (vec![3, 2, 1, 0], FinishReason::EndOfSequence));
//! # Ok::<(), sconce::Error>(())
//! ```
//!
//! Reference: `generation/` of transformers 4.57.6.

mod ahead;
mod batch;
mod beams;
mod cancel;
mod chain;
mod config;
mod contrastive;
mod distribution;
mod dola;
mod draft;
#[cfg(feature = "tokio")]
mod futures;
mod generated;
mod healing;
mod load;
mod mode;
mod origin;
mod outputs;
mod pass;
mod plan;
pub mod processors;
mod random;
mod response;
mod sampler;
mod score;
mod sequence;
mod served;
mod shadow;
pub(crate) mod softmax;
mod stepper;
mod stop;
mod stream;
mod text;
mod timings;
mod transition;

pub(crate) use batch::read_sources;
pub use batch::{complete, generate_batch, generate_batch_until, generate_seq2seq};
pub use beams::{
    Advance, CloneConstraint, Constraint, DisjunctiveConstraint, EarlyStopping, ForcedWords,
    PhrasalConstraint,
};
pub use cancel::{CancelHandle, DropGuard, OnCancel};
pub use config::{AssistantSchedule, GenerationConfig};
pub use distribution::Distribution;
pub use dola::{DolaHalf, DolaLayers};
pub use draft::{CloneDrafter, Draft, DraftModel, Drafter, Drafting, PromptLookup};
#[cfg(feature = "tokio")]
pub use futures::{AnswerStream, FutureStream};
pub use generated::Generated;
pub use healing::heal_tokens;
pub(crate) use healing::{NO_TEXT_TO_HEAL, healed_text};
pub(crate) use load::{TaskParams, TasksParams};
pub use mode::GenerationMode;
pub use outputs::{OutputRequest, StepOutput};
pub use plan::Plan;
pub use processors::{CloneProcessor, LogitsProcessor};
pub use response::ResponseStream;
pub use sampler::{CloneSampler, Greedy, Mirostat, Multinomial, Sampler, Token, TopLogprob};
pub use score::{
    ScoreOptions, ScoredChoice, ScoredToken, logprob, perplexity, score, score_choices,
    score_continuations, score_with,
};
pub use sequence::Sequence;
pub use served::{ServedAnswer, ServedDetails, ServedToken};
pub use stepper::{Event, Stepper};
pub use stop::{CloneCriterion, FinishReason, StoppingCriterion};
pub use stream::{TokenStream, generate, generate_from};
pub use text::{TextPieces, TextStream, generate_text};
pub use timings::{Timings, Usage};
pub use transition::compute_transition_scores;
