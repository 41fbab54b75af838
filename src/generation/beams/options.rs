//! The options of beam search.

use std::sync::Arc;

use super::constraint::{Constraint, ForcedWords};
use super::early_stopping::EarlyStopping;
use crate::error::{Error, Result};
use crate::generation::config::GenerationConfig;
use crate::generation::mode::GenerationMode;
use crate::models::ModelLimits;

/// The options of beam search, which agree with each other.
#[derive(Debug, Clone)]
pub(in crate::generation) struct BeamOptions {
    /// At least 2, a multiple of `groups`.
    pub(super) beams: usize,
    pub(super) groups: usize,
    /// Above 0 where there are several groups.
    pub(super) diversity_penalty: f32,
    /// Answers per prompt, at most as many as beams.
    pub(in crate::generation) returned: usize,
    pub(super) early_stopping: EarlyStopping,
    pub(super) length_penalty: f64,
    /// What a group that is over counts as choosing.
    pub(super) pad: Option<u32>,
    pub(super) constraints: Arc<[Box<dyn Constraint>]>,
}

impl BeamOptions {
    /// The rows of a forward pass that they take.
    pub(in crate::generation) fn rows(&self) -> usize {
        self.beams
    }

    /// Adds a constraint to beams that search in `mode`, and returns how they search then.
    ///
    /// # Errors
    ///
    /// When it does not go with other options that are set.
    pub(in crate::generation) fn constrain(
        &mut self,
        constraint: Box<dyn Constraint>,
        mode: GenerationMode,
    ) -> Result<GenerationMode> {
        let conflict = match mode {
            GenerationMode::BeamSample => Some("do_sample"),
            GenerationMode::GroupBeamSearch => Some("num_beam_groups"),
            _ => None,
        };
        if let Some(option) = conflict {
            return Err(Error::option(
                option,
                "beams with constraints are neither drawn nor grouped",
            ));
        }
        self.constraints = self.constraints.iter().cloned().chain([constraint]).collect();
        Ok(GenerationMode::ConstrainedBeamSearch)
    }
}

impl GenerationConfig {
    /// The options of beam search; none where there is one beam.
    pub(in crate::generation) fn beams(&self, limits: ModelLimits) -> Result<Option<BeamOptions>> {
        let beams = self.num_beams.unwrap_or(1);
        let groups = self.num_beam_groups.unwrap_or(1);
        let returned = self.num_return_sequences.unwrap_or(1);
        let penalty = self.diversity_penalty.unwrap_or(0.0);
        let length_penalty = self.length_penalty.unwrap_or(1.0);
        let samples = self.do_sample.unwrap_or(false);
        let words = self.force_words_ids.as_deref().unwrap_or_default();
        let refuse = |option: &str, reason: String| Err(Error::option(option, reason));
        if beams == 0 || beams > MOST_BEAMS {
            return refuse("num_beams", format!("is {beams}, but must be in 1..={MOST_BEAMS}"));
        }
        if groups == 0 || !beams.is_multiple_of(groups) {
            let reason = format!("`num_beams`, which is {beams}, cannot be divided into {groups}");
            return refuse("num_beam_groups", reason);
        }
        if groups > 1 && samples {
            return refuse("num_beam_groups", "groups of beams do not go with `do_sample`".into());
        }
        if groups > 1 && penalty == 0.0 {
            let reason = "without it all groups would be the same; set it above 0";
            return refuse("diversity_penalty", reason.into());
        }
        if penalty != 0.0 && groups == 1 {
            let reason = "has an effect between groups only; set `num_beam_groups` above 1";
            return refuse("diversity_penalty", reason.into());
        }
        if !(0.0..f64::from(f32::MAX)).contains(&penalty) {
            return refuse("diversity_penalty", format!("is {penalty}, but must be above 0"));
        }
        if !length_penalty.is_finite() {
            return refuse("length_penalty", format!("is {length_penalty}, but must be a number"));
        }
        if !words.is_empty() {
            let reason = match beams {
                1 => Some("needs `num_beams` above 1"),
                _ if samples => Some("does not go with `do_sample`"),
                _ if groups > 1 => Some("does not go with `num_beam_groups`"),
                _ => None,
            };
            if let Some(reason) = reason {
                return refuse("force_words_ids", reason.into());
            }
        }
        if beams == 1 {
            return Ok(None);
        }
        if returned > beams {
            let reason = format!("{returned} answers of {beams} beams: increase `num_beams`");
            return refuse("num_return_sequences", reason);
        }
        let option = |reason: String| Error::option("force_words_ids", reason);
        if let Some(id) =
            words.iter().flat_map(ForcedWords::ids).find(|&id| id as usize >= limits.vocab)
        {
            return Err(option(format!("id {id} is outside the vocabulary of {}", limits.vocab)));
        }
        let constraints = words.iter().map(|words| {
            words.constraint().map_err(|error| match error {
                Error::InvalidInput { reason } => option(reason),
                other => other,
            })
        });
        Ok(Some(BeamOptions {
            beams,
            groups,
            diversity_penalty: penalty as f32,
            returned,
            early_stopping: self.early_stopping.unwrap_or_default(),
            length_penalty,
            pad: self.pad_token_id.or_else(|| self.eos_token_id.as_ref()?.first().copied()),
            constraints: constraints.collect::<Result<_>>()?,
        }))
    }
}

/// The rows of one forward pass.
const MOST_BEAMS: usize = 256;
