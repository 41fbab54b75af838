//! Steps that a caller names: `timesteps` and `sigmas` of diffusers' pipelines.

use crate::diffusion::schedulers::Steps;
use crate::diffusion::schedulers::config::{Fields, SchedulerKind};
use crate::diffusion::schedulers::tables::Fall;
use crate::error::{Error, Result};

/// Refuses steps that make no sense, or that the scheduler does not take.
pub(super) fn check(kind: SchedulerKind, fields: &Fields, steps: &Steps) -> Result<()> {
    let falls = |numbers: &[f64]| numbers.windows(2).all(|pair| pair[0] > pair[1]);
    if let Some(timesteps) = &steps.timesteps {
        let wrong = |reason: String| Err(Error::option("timesteps", reason));
        let takes = matches!(
            kind,
            SchedulerKind::Ddpm
                | SchedulerKind::DpmMultistep
                | SchedulerKind::DpmSinglestep
                | SchedulerKind::Euler
                | SchedulerKind::FlowMatchEuler
                | SchedulerKind::Heun
                | SchedulerKind::Lcm
                | SchedulerKind::Tcd
        );
        if steps.sigmas.is_some() {
            return wrong("they say what `sigmas` say: give one of them".to_owned());
        }
        if !takes {
            return wrong(format!("{kind} chooses them itself"));
        }
        let has_fall = kind != SchedulerKind::FlowMatchEuler && Fall::of(fields).is_some();
        if has_fall || fields.use_flow_sigmas == Some(true) {
            return wrong(format!("{kind} chooses them itself, as its config says"));
        }
        let most = fields.num_train_timesteps as f64;
        let is_right = timesteps.iter().all(|step| (0.0..=most).contains(step));
        let is_below = timesteps.first().is_some_and(|&first| first < most)
            || kind == SchedulerKind::FlowMatchEuler;
        if !is_right || !is_below || !falls(timesteps) {
            return wrong(format!("they should fall, and lie between 0 and {most}"));
        }
    }
    if let Some(sigmas) = &steps.sigmas {
        let wrong = |reason: String| Err(Error::option("sigmas", reason));
        let is_flow = kind == SchedulerKind::FlowMatchEuler;
        if !is_flow && kind != SchedulerKind::Euler {
            return wrong(format!("{kind} chooses them itself"));
        }
        if sigmas.iter().any(|sigma| !sigma.is_finite() || *sigma < 0.0) || !falls(sigmas) {
            return wrong("they should fall, and be finite numbers of at least 0".to_owned());
        }
        // Whether the noise after the last step is among them.
        let count = if is_flow { sigmas.len() } else { sigmas.len().saturating_sub(1) };
        if count != steps.count || (is_flow && sigmas.contains(&0.0)) {
            return wrong(format!("{} of them for {} steps", sigmas.len(), steps.count));
        }
    }
    Ok(())
}
