//! Schedulers: how much noise there is at each step, and how to get from one step to the next.
//!
//! A [`Scheduler`] is data, read from `scheduler_config.json`. [`Scheduler::run`] gives a [`Run`], the state of one
//! picture. Timesteps, noise and steps are those of diffusers 0.39.
//!
//! ```
//! use sconce::diffusion::schedulers::{Scheduler, SchedulerKind, Steps};
//!
//! let scheduler = Scheduler::new(SchedulerKind::Euler, serde_json::Map::new())?;
//! let run = scheduler.run(&Steps::new(4))?;
//! assert_eq!(run.timesteps(), [999.0, 666.0, 333.0, 0.0]);
//! # Ok::<(), sconce::Error>(())
//! ```

mod config;
mod dpm;
mod falling;
mod flow;
mod given;
mod method;
mod of_alphas;
mod of_sigmas;
mod pndm;
mod run;
mod tables;
mod unipc;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

pub use config::{BetaSchedule, FinalSigmas, PredictionType, SchedulerKind, TimestepSpacing};
pub use method::Noise;
pub use run::Run;

use crate::error::{Error, Result};
use crate::source::ModelFiles;
use config::Fields;

/// A scheduler: data that no run changes. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Scheduler {
    kind: SchedulerKind,
    config: Arc<Map<String, Value>>,
    fields: Arc<Fields>,
    alphas: Arc<[f32]>,
}

/// What a run is to be like.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Steps {
    /// How many steps: `num_inference_steps`.
    pub count: usize,
    /// The steps of the training that are taken, the noisiest first, in place of the scheduler's own: not all
    /// schedulers take them.
    pub timesteps: Option<Vec<f64>>,
    /// The noise of each step, in place of the scheduler's own: flow-match Euler, from 1 on, and Euler, with the noise
    /// after the last step.
    pub sigmas: Option<Vec<f64>>,
    /// By how much the noise is shifted for the size of the picture: FLUX.1 dev.
    pub mu: Option<f64>,
    /// How much of the noise of each step is new, from 0 to 1: DDIM and TCD, whose defaults are 0 and 0.3.
    pub eta: Option<f64>,
    /// How much of a picture is painted anew: the grids of LCM and TCD.
    pub strength: f64,
}

impl Steps {
    /// So many steps, with everything else at its default.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { count, timesteps: None, sigmas: None, mu: None, eta: None, strength: 1.0 }
    }

    /// With the steps of the training that are taken, and as many steps.
    #[must_use]
    pub fn timesteps(self, timesteps: Vec<f64>) -> Self {
        Self { count: timesteps.len(), timesteps: Some(timesteps), ..self }
    }

    /// With the noise of each step.
    #[must_use]
    pub fn sigmas(self, sigmas: Vec<f64>) -> Self {
        Self { sigmas: Some(sigmas), ..self }
    }

    /// Shifted for the size of the picture.
    #[must_use]
    pub fn mu(self, mu: f64) -> Self {
        Self { mu: Some(mu), ..self }
    }

    /// With so much new noise.
    #[must_use]
    pub fn eta(self, eta: f64) -> Self {
        Self { eta: Some(eta), ..self }
    }
}

impl Scheduler {
    /// A scheduler of a kind, with the options of its class in diffusers; names that the class has not are ignored,
    /// as there.
    ///
    /// # Errors
    ///
    /// When an option has a wrong type, or a value that is not supported.
    pub fn new(kind: SchedulerKind, config: Map<String, Value>) -> Result<Self> {
        let fields = Fields::read(kind, &config)?;
        let mut alphas = tables::alphas(&fields);
        let has_least = matches!(
            kind,
            SchedulerKind::Euler
                | SchedulerKind::EulerAncestral
                | SchedulerKind::DpmMultistep
                | SchedulerKind::UniPc
        );
        // What would be infinite noise.
        if let (true, true, Some(last)) =
            (fields.rescale_betas_zero_snr, has_least, alphas.last_mut())
        {
            *last = 2.0_f32.powi(-24);
        }
        Ok(Self { kind, config: Arc::new(config), fields: Arc::new(fields), alphas: alphas.into() })
    }

    /// Reads `scheduler_config.json` of an opened folder.
    ///
    /// # Errors
    ///
    /// When the file is missing or broken, or its class or an option of it is not known.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let needed_for = "how pictures are painted";
        let (config, path) = files.required_map("scheduler_config.json", needed_for)?;
        #[derive(Deserialize)]
        struct Class {
            #[serde(rename = "_class_name")]
            name: SchedulerKind,
        }
        let class = serde_json::from_value(Value::Object(config.clone()));
        let Class { name } = class.map_err(|error| {
            let known = SchedulerKind::NAMES.join(", ");
            Error::malformed(&path, format!("`_class_name`: {error}; known are {known}"))
        })?;
        Self::new(name, config)
    }

    /// A scheduler of another kind with the same options: `from_config` of diffusers.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_kind(&self, kind: SchedulerKind) -> Result<Self> {
        Self::new(kind, (*self.config).clone())
    }

    /// The scheduler with some options changed, by their names in `scheduler_config.json`: what `from_config` of
    /// diffusers does with keywords. Models that were made fast often ask for `timestep_spacing` `trailing`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_options(&self, changes: Map<String, Value>) -> Result<Self> {
        let mut config = (*self.config).clone();
        config.extend(changes);
        Self::new(self.kind, config)
    }

    /// Which scheduler it is.
    #[must_use]
    pub fn kind(&self) -> SchedulerKind {
        self.kind
    }

    /// What the model finds in noisy latents.
    #[must_use]
    pub fn prediction_type(&self) -> PredictionType {
        self.fields.prediction_type
    }

    /// The steps of the training.
    #[must_use]
    pub fn num_train_timesteps(&self) -> usize {
        self.fields.num_train_timesteps
    }

    /// By how much the noise is shifted for a picture of so many tokens, where the scheduler shifts it by that:
    /// `calculate_shift` of diffusers, which does not clamp.
    #[must_use]
    pub fn mu(&self, tokens: usize) -> Option<f64> {
        let fields = &self.fields;
        if !fields.use_dynamic_shifting {
            return None;
        }
        let (least, most) = (
            fields.base_image_seq_len.unwrap_or(256.0),
            fields.max_image_seq_len.unwrap_or(4096.0),
        );
        let (base, max) = (fields.base_shift.unwrap_or(0.5), fields.max_shift.unwrap_or(1.15));
        let slope = (max - base) / (most - least);
        Some(tokens as f64 * slope + base - slope * least)
    }

    /// The state of one picture.
    ///
    /// # Errors
    ///
    /// When there are no steps, or too many.
    pub fn run(&self, steps: &Steps) -> Result<Run> {
        Run::new(self, steps)
    }
}
