//! Schedulers that count in steps of the training: DDIM, DDPM, LCM, TCD.

use candle_core::Tensor;

use crate::diffusion::schedulers::Steps;
use crate::diffusion::schedulers::config::{Fields, PredictionType, SchedulerKind};
use crate::diffusion::schedulers::method::{Clip, Method, Noise, Plan, Scaling, Step, sum};
use crate::diffusion::schedulers::tables::{Grid, timesteps};
use crate::error::{Error, Result};

pub(super) fn plan(
    kind: SchedulerKind,
    fields: &Fields,
    alphas: &[f32],
    steps: &Steps,
) -> Result<Plan> {
    let train = fields.num_train_timesteps;
    let is_distilled = matches!(kind, SchedulerKind::Lcm | SchedulerKind::Tcd);
    let numbers: Vec<f64> = match (&steps.timesteps, is_distilled) {
        (Some(given), true) => {
            let given: Vec<f64> = given.iter().map(|step| step.trunc()).collect();
            let kept = (given.len() as f64 * steps.strength) as usize;
            given[given.len() - kept.min(given.len())..].to_vec()
        }
        (Some(given), false) => given.iter().map(|step| step.trunc()).collect(),
        (None, true) => distilled(fields, steps)?,
        (None, false) => timesteps(fields, steps.count, Grid::Whole, train),
    };
    let first = alphas.first().copied().unwrap_or(1.0);
    let common = Common {
        prediction: fields.prediction_type,
        clip: Clip::of(fields),
        last: f64::from(if fields.set_alpha_to_one { 1.0 } else { first }),
    };
    let method: Box<dyn Method> = match kind {
        SchedulerKind::Ddim => {
            let eta = steps.eta.unwrap_or(0.0);
            Box::new(Ddim { common, eta, stride: (train / steps.count) as i64 })
        }
        SchedulerKind::Lcm => Box::new(Lcm { common, scaling: fields.timestep_scaling }),
        SchedulerKind::Tcd => Box::new(Tcd { common, eta: steps.eta.unwrap_or(0.3) }),
        _ => {
            let variance = fields.variance_type.clone().unwrap_or_else(|| "fixed_small".to_owned());
            Box::new(Ddpm { common, variance })
        }
    };
    Ok(Plan {
        timesteps: numbers.into_iter().map(|step| step as f32).collect(),
        sigmas: Vec::new(),
        init_noise_sigma: 1.0,
        scaling: Scaling::OfAlphas,
        order: 1,
        method,
    })
}

/// Some of the steps that a model was distilled with.
fn distilled(fields: &Fields, steps: &Steps) -> Result<Vec<f64>> {
    let original = fields.original_inference_steps;
    if original == 0 || original > fields.num_train_timesteps {
        let reason = format!("`original_inference_steps` is {original}");
        return Err(Error::unsupported(reason));
    }
    let stride = fields.num_train_timesteps / original;
    let count = (original as f64 * steps.strength) as usize;
    if count < steps.count {
        let reason = format!(
            "{} steps, but the model was distilled with {original}, of which a strength of {} leaves {count}",
            steps.count, steps.strength
        );
        return Err(Error::option("num_inference_steps", reason));
    }
    // The noisiest first.
    let step = |at: usize| {
        let number = (at as f64 * count as f64 / steps.count as f64) as usize;
        ((count - number) * stride - 1) as f64
    };
    Ok((0..steps.count).map(step).collect())
}

#[derive(Debug)]
struct Common {
    prediction: PredictionType,
    clip: Clip,
    /// How much of the picture is left before the first step of the training.
    last: f64,
}

impl Common {
    fn alpha(&self, step: &Step<'_>, number: i64) -> f64 {
        let known = usize::try_from(number).ok().and_then(|number| step.alphas.get(number));
        known.map_or(self.last, |&alpha| f64::from(alpha))
    }

    /// The picture, not clipped, and the noise that the model has found.
    fn parts(&self, step: &Step<'_>, alpha: f64) -> Result<[Tensor; 2]> {
        let (picture, noise) = (alpha.sqrt(), (1.0 - alpha).sqrt());
        let Step { output, sample, .. } = *step;
        Ok(match self.prediction {
            PredictionType::Epsilon | PredictionType::FlowPrediction => {
                let found = sum(&[(1.0 / picture, sample), (-noise / picture, output)])?;
                [found, output.clone()]
            }
            PredictionType::Sample => {
                let found = sum(&[(1.0 / noise, sample), (-picture / noise, output)])?;
                [output.clone(), found]
            }
            PredictionType::VPrediction => [
                sum(&[(picture, sample), (-noise, output)])?,
                sum(&[(picture, output), (noise, sample)])?,
            ],
        })
    }
}

fn number(step: &Step<'_>, at: usize) -> Option<i64> {
    step.timesteps.get(at).map(|&number| number as i64)
}

#[derive(Debug)]
struct Ddim {
    common: Common,
    eta: f64,
    stride: i64,
}

impl Method for Ddim {
    fn step(&mut self, step: Step<'_>, noise: Noise<'_>) -> Result<Tensor> {
        let now = number(&step, step.at).unwrap_or(0);
        let (alpha, next) =
            (self.common.alpha(&step, now), self.common.alpha(&step, now - self.stride));
        let [picture, found] = self.common.parts(&step, alpha)?;
        let picture = self.common.clip.apply(picture)?;
        let variance = (1.0 - next) / (1.0 - alpha) * (1.0 - alpha / next);
        let deviation = self.eta * variance.sqrt();
        let direction = (1.0 - next - deviation * deviation).max(0.0).sqrt();
        let sample = sum(&[(next.sqrt(), &picture), (direction, &found)])?;
        match self.eta > 0.0 {
            true => sum(&[(1.0, &sample), (deviation, &noise()?)]),
            false => Ok(sample),
        }
    }
}

#[derive(Debug)]
struct Ddpm {
    common: Common,
    variance: String,
}

impl Method for Ddpm {
    fn step(&mut self, step: Step<'_>, noise: Noise<'_>) -> Result<Tensor> {
        let now = number(&step, step.at).unwrap_or(0);
        let alpha = self.common.alpha(&step, now);
        // The class knows no `set_alpha_to_one`.
        let next = number(&step, step.at + 1).map_or(1.0, |next| self.common.alpha(&step, next));
        let kept = alpha / next;
        let beta = 1.0 - kept;
        let [picture, _] = self.common.parts(&step, alpha)?;
        let picture = self.common.clip.apply(picture)?;
        let of_picture = next.sqrt() * beta / (1.0 - alpha);
        let of_sample = kept.sqrt() * (1.0 - next) / (1.0 - alpha);
        let sample = sum(&[(of_picture, &picture), (of_sample, step.sample)])?;
        if now == 0 {
            return Ok(sample);
        }
        let least = ((1.0 - next) / (1.0 - alpha) * beta).max(1e-20);
        let deviation = match self.variance.as_str() {
            "fixed_large" => beta.sqrt(),
            // A logarithm whose root the reference takes.
            "fixed_large_log" => beta.ln().sqrt(),
            _ => least.sqrt(),
        };
        sum(&[(1.0, &sample), (deviation, &noise()?)])
    }
}

#[derive(Debug)]
struct Lcm {
    common: Common,
    scaling: f64,
}

impl Method for Lcm {
    fn step(&mut self, step: Step<'_>, noise: Noise<'_>) -> Result<Tensor> {
        let now = number(&step, step.at).unwrap_or(0);
        let next = self.common.alpha(&step, number(&step, step.at + 1).unwrap_or(now));
        let alpha = self.common.alpha(&step, now);
        let scaled = now as f64 * self.scaling;
        let square = scaled * scaled + 0.25;
        let (kept, taken) = (0.25 / square, scaled / square.sqrt());
        let [picture, _] = self.common.parts(&step, alpha)?;
        let picture = self.common.clip.apply(picture)?;
        let clean = sum(&[(taken, &picture), (kept, step.sample)])?;
        match step.at + 1 == step.timesteps.len() {
            true => Ok(clean),
            false => sum(&[(next.sqrt(), &clean), ((1.0 - next).sqrt(), &noise()?)]),
        }
    }
}

#[derive(Debug)]
struct Tcd {
    common: Common,
    eta: f64,
}

impl Method for Tcd {
    fn step(&mut self, step: Step<'_>, noise: Noise<'_>) -> Result<Tensor> {
        let now = number(&step, step.at).unwrap_or(0);
        let next = number(&step, step.at + 1).unwrap_or(0);
        let between = ((1.0 - self.eta) as f32 * next as f32).floor() as i64;
        let [alpha, of_next, of_between] =
            [now, next, between].map(|number| self.common.alpha(&step, number));
        let [picture, found] = self.common.parts(&step, alpha)?;
        let noised = sum(&[(of_between.sqrt(), &picture), ((1.0 - of_between).sqrt(), &found)])?;
        if self.eta == 0.0 || step.at + 1 == step.timesteps.len() {
            return Ok(noised);
        }
        let ratio = of_next / of_between;
        sum(&[(ratio.sqrt(), &noised), ((1.0 - ratio).max(0.0).sqrt(), &noise()?)])
    }
}
