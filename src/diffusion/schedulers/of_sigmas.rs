//! Schedulers whose latents are a picture with noise added to it: Euler, Euler ancestral, Heun, LMS.

use std::collections::VecDeque;

use candle_core::Tensor;

use crate::diffusion::schedulers::Steps;
use crate::diffusion::schedulers::config::{Fields, PredictionType, SchedulerKind};
use crate::diffusion::schedulers::falling::Falling;
use crate::diffusion::schedulers::method::{
    Clip, Method, Noise, Plan, Scaling, Step, picture_of, sum,
};
use crate::diffusion::schedulers::tables::Grid;
use crate::error::Result;

pub(super) fn plan(kind: SchedulerKind, fields: &Fields, alphas: &[f32], steps: &Steps) -> Plan {
    let mut fields = fields.clone();
    if kind == SchedulerKind::EulerAncestral {
        // Its class has none of these.
        fields.use_karras_sigmas = None;
        fields.use_exponential_sigmas = None;
        fields.use_beta_sigmas = None;
    }
    if kind != SchedulerKind::Euler {
        fields.final_sigmas_type = crate::diffusion::schedulers::config::FinalSigmas::Zero;
        fields.interpolation_type = "linear".to_owned();
        fields.sigma_min = None;
        fields.sigma_max = None;
    }
    fields.lambda_min_clipped = None;
    fields.use_lu_lambdas = None;
    let fall = Falling::new(&fields, alphas, steps, Grid::Fractional);
    let (mut timesteps, mut sigmas, init) = (fall.steps(), fall.sigmas.clone(), fall.init(&fields));
    let prediction = fields.prediction_type;
    let method: Box<dyn Method> = match kind {
        SchedulerKind::EulerAncestral => Box::new(EulerAncestral { prediction }),
        SchedulerKind::Heun => {
            // Every step but the first ends where it is asked about again.
            timesteps = doubled(&timesteps, 1, timesteps.len());
            sigmas = doubled(&sigmas, 1, sigmas.len() - 1);
            let clip = match fields.clip_sample {
                true => Clip::Range(fields.clip_sample_range),
                false => Clip::None,
            };
            Box::new(Heun { prediction, clip, begun: None })
        }
        SchedulerKind::Lms => Box::new(Lms { prediction, derivatives: VecDeque::new() }),
        _ => Box::new(Euler { prediction }),
    };
    let order = if kind == SchedulerKind::Heun { 2 } else { 1 };
    Plan { timesteps, sigmas, init_noise_sigma: init, scaling: Scaling::OfSigmas, order, method }
}

fn doubled(numbers: &[f32], start: usize, end: usize) -> Vec<f32> {
    let middle = numbers[start..end].iter().flat_map(|&number| [number, number]);
    numbers[..start].iter().copied().chain(middle).chain(numbers[end..].iter().copied()).collect()
}

/// The direction away from the picture that the model has found, at so much noise.
fn derivative(step: &Step<'_>, picture: &Tensor, sigma: f64) -> Result<Tensor> {
    // Divided last: at much noise the difference of the two is all there is.
    Ok(((step.sample - picture)? / sigma)?)
}

#[derive(Debug)]
struct Euler {
    prediction: PredictionType,
}

impl Method for Euler {
    fn step(&mut self, step: Step<'_>, _: Noise<'_>) -> Result<Tensor> {
        let (sigma, next) = (step.sigma(0), step.sigma(1));
        let picture = picture_of(&step, self.prediction, sigma)?;
        sum(&[(1.0, step.sample), (next - sigma, &derivative(&step, &picture, sigma)?)])
    }
}

#[derive(Debug)]
struct EulerAncestral {
    prediction: PredictionType,
}

impl Method for EulerAncestral {
    fn step(&mut self, step: Step<'_>, noise: Noise<'_>) -> Result<Tensor> {
        let (from, to) = (step.sigma(0), step.sigma(1));
        let picture = picture_of(&step, self.prediction, from)?;
        let up = (to * to * (from * from - to * to) / (from * from)).sqrt();
        let down = (to * to - up * up).max(0.0).sqrt();
        let derivative = derivative(&step, &picture, from)?;
        sum(&[(1.0, step.sample), (down - from, &derivative), (up, &noise()?)])
    }
}

#[derive(Debug)]
struct Heun {
    prediction: PredictionType,
    clip: Clip,
    /// The sample and the derivative at the beginning of the step, where it is halfway.
    begun: Option<(Tensor, Tensor)>,
}

impl Method for Heun {
    fn step(&mut self, step: Step<'_>, _: Noise<'_>) -> Result<Tensor> {
        match self.begun.take() {
            None => {
                let (sigma, next) = (step.sigma(0), step.sigma(1));
                let picture = self.clip.apply(picture_of(&step, self.prediction, sigma)?)?;
                let derivative = derivative(&step, &picture, sigma)?;
                let sample = sum(&[(1.0, step.sample), (next - sigma, &derivative)])?;
                self.begun = Some((step.sample.clone(), derivative));
                Ok(sample)
            }
            Some((sample, first)) => {
                let (sigma, next) = (step.sigma(-1), step.sigma(0));
                let picture = self.clip.apply(picture_of(&step, self.prediction, next)?)?;
                let second = derivative(&step, &picture, next)?;
                let half = (next - sigma) / 2.0;
                sum(&[(1.0, &sample), (half, &first), (half, &second)])
            }
        }
    }
}

#[derive(Debug)]
struct Lms {
    prediction: PredictionType,
    /// The last first.
    derivatives: VecDeque<Tensor>,
}

impl Method for Lms {
    fn step(&mut self, step: Step<'_>, _: Noise<'_>) -> Result<Tensor> {
        let sigma = step.sigma(0);
        let picture = picture_of(&step, self.prediction, sigma)?;
        self.derivatives.push_front(derivative(&step, &picture, sigma)?);
        self.derivatives.truncate(4);
        let order = (step.at + 1).min(self.derivatives.len());
        let factors: Vec<f64> = (0..order).map(|number| factor(&step, order, number)).collect();
        let others = factors.into_iter().zip(&self.derivatives);
        let terms: Vec<_> = [(1.0, step.sample)].into_iter().chain(others).collect();
        sum(&terms)
    }
}

/// The integral over the step of the polynomial that is 1 at one of the last points and 0 at the others, of
/// degree 3 at most, by Gauss's three points.
fn factor(step: &Step<'_>, order: usize, number: usize) -> f64 {
    let point = |back: usize| step.sigma(-(back as isize));
    let polynomial = |tau: f64| {
        let others = (0..order).filter(|&other| other != number);
        let parts = others.map(|other| (tau - point(other)) / (point(number) - point(other)));
        parts.product::<f64>()
    };
    let (start, end) = (step.sigma(0), step.sigma(1));
    let (middle, half) = ((start + end) / 2.0, (end - start) / 2.0);
    let away = 0.6_f64.sqrt();
    let points = [(-away, 5.0 / 9.0), (0.0, 8.0 / 9.0), (away, 5.0 / 9.0)];
    half * points.iter().map(|(at, weight)| weight * polynomial(middle + half * at)).sum::<f64>()
}
