//! Euler's method for models trained by flow matching.

use candle_core::Tensor;

use crate::diffusion::schedulers::Steps;
use crate::diffusion::schedulers::config::Fields;
use crate::diffusion::schedulers::method::{Method, Noise, Plan, Scaling, Step, sum};
use crate::diffusion::schedulers::tables::{Fall, linspace};
use crate::error::{Error, Result};

pub(super) fn plan(fields: &Fields, steps: &Steps) -> Result<Plan> {
    let train = fields.num_train_timesteps as f64;
    let fixed = |sigma: f64| fields.shift * sigma / (1.0 + (fields.shift - 1.0) * sigma);
    let given = match (&steps.sigmas, &steps.timesteps) {
        (None, Some(timesteps)) => Some(timesteps.iter().map(|step| step / train).collect()),
        (sigmas, _) => sigmas.clone(),
    };
    let mut sigmas: Vec<f64> = match &given {
        // In f32 from here on, as numpy has them.
        Some(sigmas) => sigmas.iter().map(|&sigma| f64::from(sigma as f32)).collect(),
        None => {
            let shifted =
                |sigma: f64| if fields.use_dynamic_shifting { sigma } else { fixed(sigma) };
            let ends = [1.0, 1.0 / train].map(|sigma| f64::from(shifted(sigma) as f32) * train);
            linspace(ends[0], ends[1], steps.count).into_iter().map(|step| step / train).collect()
        }
    };
    match (fields.use_dynamic_shifting, steps.mu) {
        (true, None) => {
            return Err(Error::option("mu", "the scheduler shifts by the size of the picture"));
        }
        (true, Some(mu)) => {
            let shift = if fields.time_shift_type == "linear" { mu } else { mu.exp() };
            sigmas.iter_mut().for_each(|sigma| *sigma = shift / (shift + (1.0 / *sigma - 1.0)));
        }
        (false, _) => sigmas.iter_mut().for_each(|sigma| *sigma = fixed(*sigma)),
    }
    if let (Some(terminal), Some(&last)) =
        (fields.shift_terminal.filter(|&terminal| terminal != 0.0), sigmas.last())
    {
        let scale = (1.0 - last) / (1.0 - terminal);
        sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - (1.0 - *sigma) / scale);
    }
    if let (Some(fall), Some(&first), Some(&last)) =
        (Fall::of(fields), sigmas.first(), sigmas.last())
    {
        sigmas = fall.sigmas(fields, [first, last], steps.count);
    }
    let mut sigmas: Vec<f32> = sigmas.into_iter().map(|sigma| sigma as f32).collect();
    if fields.invert_sigmas {
        sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - *sigma);
    }
    let timesteps = match &steps.timesteps {
        // As they were given, however much the noise was shifted.
        Some(timesteps) if !fields.invert_sigmas => {
            timesteps.iter().map(|&step| step as f32).collect()
        }
        _ => sigmas.iter().map(|sigma| sigma * train as f32).collect(),
    };
    sigmas.push(if fields.invert_sigmas { 1.0 } else { 0.0 });
    Ok(Plan {
        timesteps,
        sigmas,
        init_noise_sigma: 1.0,
        scaling: Scaling::Flow,
        order: 1,
        method: Box::new(FlowMatch { draws: fields.stochastic_sampling }),
    })
}

#[derive(Debug)]
struct FlowMatch {
    /// Whether each step has new noise.
    draws: bool,
}

impl Method for FlowMatch {
    fn step(&mut self, step: Step<'_>, noise: Noise<'_>) -> Result<Tensor> {
        let (sigma, next) = (step.sigma(0), step.sigma(1));
        match self.draws {
            false => sum(&[(1.0, step.sample), (next - sigma, step.output)]),
            true => {
                let picture = sum(&[(1.0, step.sample), (-sigma, step.output)])?;
                sum(&[(1.0 - next, &picture), (next, &noise()?)])
            }
        }
    }
}
