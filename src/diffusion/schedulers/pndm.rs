//! PNDM: a multistep method, which may begin with steps of Runge and Kutta.

use candle_core::Tensor;

use crate::diffusion::schedulers::Steps;
use crate::diffusion::schedulers::config::{Fields, PredictionType};
use crate::diffusion::schedulers::method::{Method, Noise, Plan, Scaling, Step, sum};
use crate::diffusion::schedulers::tables::{Grid, timesteps};
use crate::error::{Error, Result};

pub(super) fn plan(fields: &Fields, alphas: &[f32], steps: &Steps) -> Result<Plan> {
    let stride = fields.num_train_timesteps / steps.count;
    let train = fields.num_train_timesteps;
    let mut ascending = timesteps(fields, steps.count, Grid::Whole, train);
    ascending.reverse();
    let count = ascending.len();
    let (numbers, runge) = if fields.skip_prk_steps {
        // The second is asked about twice.
        let mut numbers = ascending.clone();
        if count > 1 {
            numbers.insert(count - 1, ascending[count - 2]);
        }
        numbers.reverse();
        (numbers, Vec::new())
    } else {
        if count < 4 {
            let reason = "PNDM with `skip_prk_steps` off needs 4 steps or more";
            return Err(Error::option("num_inference_steps", reason));
        }
        let half = (stride / 2) as f64;
        let last = ascending[count - 4..].iter().flat_map(|&step| [step, step + half]);
        let pairs: Vec<f64> = last.collect();
        let twice: Vec<f64> =
            pairs[..pairs.len() - 1].iter().flat_map(|&step| [step, step]).collect();
        let mut runge = twice[1..twice.len() - 1].to_vec();
        runge.reverse();
        let rest = ascending[..count - 3].iter().rev().copied();
        (runge.iter().copied().chain(rest).collect(), runge)
    };
    let first = alphas.first().copied().unwrap_or(1.0);
    let method = Pndm {
        prediction: fields.prediction_type,
        last: f64::from(if fields.set_alpha_to_one { 1.0 } else { first }),
        stride: stride as i64,
        runge: runge.into_iter().map(|step| step as i64).collect(),
        calls: 0,
        found: Vec::new(),
        sum: None,
        begun: None,
    };
    Ok(Plan {
        timesteps: numbers.into_iter().map(|step| step as f32).collect(),
        sigmas: Vec::new(),
        init_noise_sigma: 1.0,
        scaling: Scaling::OfAlphas,
        order: 1,
        method: Box::new(method),
    })
}

#[derive(Debug)]
struct Pndm {
    prediction: PredictionType,
    last: f64,
    stride: i64,
    /// The steps of Runge and Kutta, four calls each.
    runge: Vec<i64>,
    /// Counts from the first call, whatever step that was, as in diffusers: so images from images are off by one
    /// level there and here.
    calls: usize,
    found: Vec<Tensor>,
    sum: Option<Tensor>,
    begun: Option<Tensor>,
}

impl Method for Pndm {
    fn step(&mut self, step: Step<'_>, _: Noise<'_>) -> Result<Tensor> {
        let now = step.timesteps.get(step.at).map_or(0, |&step| step as i64);
        let next = match self.calls < self.runge.len() {
            true => self.runge_kutta(&step, now),
            false => self.multistep(&step, now),
        };
        self.calls += 1;
        next
    }
}

impl Pndm {
    fn runge_kutta(&mut self, step: &Step<'_>, now: i64) -> Result<Tensor> {
        let half = if self.calls % 2 == 1 { 0 } else { self.stride / 2 };
        let from = self.runge.get(self.calls / 4 * 4).copied().unwrap_or(now);
        let share = [1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0][self.calls % 4];
        let all = match self.sum.take() {
            Some(all) => sum(&[(1.0, &all), (share, step.output)])?,
            None => sum(&[(share, step.output)])?,
        };
        let output = match self.calls % 4 {
            3 => all,
            part => {
                self.sum = Some(all);
                if part == 0 {
                    self.found.push(step.output.clone());
                    self.begun = Some(step.sample.clone());
                }
                step.output.clone()
            }
        };
        let sample = self.begun.clone().unwrap_or_else(|| step.sample.clone());
        self.previous(step, &sample, [from, now - half], &output)
    }

    fn multistep(&mut self, step: &Step<'_>, now: i64) -> Result<Tensor> {
        let (mut from, mut to) = (now, now - self.stride);
        if self.calls == 1 {
            (from, to) = (now + self.stride, now);
        } else {
            let kept = self.found.len().saturating_sub(3);
            self.found.drain(..kept);
            self.found.push(step.output.clone());
        }
        let mut sample = step.sample.clone();
        let last = |back: usize| &self.found[self.found.len() - back];
        let output = match self.found.len() {
            1 if self.calls == 0 => {
                self.begun = Some(sample.clone());
                step.output.clone()
            }
            1 => {
                let begun = self.begun.take();
                sample = begun.unwrap_or(sample);
                sum(&[(0.5, step.output), (0.5, last(1))])?
            }
            2 => sum(&[(1.5, last(1)), (-0.5, last(2))])?,
            3 => sum(&[(23.0 / 12.0, last(1)), (-16.0 / 12.0, last(2)), (5.0 / 12.0, last(3))])?,
            _ => sum(&[
                (55.0 / 24.0, last(1)),
                (-59.0 / 24.0, last(2)),
                (37.0 / 24.0, last(3)),
                (-9.0 / 24.0, last(4)),
            ])?,
        };
        self.previous(step, &sample, [from, to], &output)
    }

    fn previous(
        &self,
        step: &Step<'_>,
        sample: &Tensor,
        [from, to]: [i64; 2],
        output: &Tensor,
    ) -> Result<Tensor> {
        let at = |number: i64| {
            let known = usize::try_from(number).ok().and_then(|number| step.alphas.get(number));
            known.map_or(self.last, |&alpha| f64::from(alpha))
        };
        let (alpha, next) = (at(from), at(to));
        let (beta, next_beta) = (1.0 - alpha, 1.0 - next);
        let velocity;
        let output = match self.prediction {
            PredictionType::VPrediction => {
                velocity = sum(&[(alpha.sqrt(), output), (beta.sqrt(), sample)])?;
                &velocity
            }
            _ => output,
        };
        let below = alpha * next_beta.sqrt() + (alpha * beta * next).sqrt();
        sum(&[((next / alpha).sqrt(), sample), (-(next - alpha) / below, output)])
    }
}
