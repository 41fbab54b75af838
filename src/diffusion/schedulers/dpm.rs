//! DPM-Solver and DPM-Solver++, in several forms.

use std::collections::VecDeque;

use candle_core::Tensor;

use crate::diffusion::schedulers::Steps;
use crate::diffusion::schedulers::config::{
    Fields, FinalSigmas, PredictionType, SchedulerKind, TimestepSpacing,
};
use crate::diffusion::schedulers::falling::Falling;
use crate::diffusion::schedulers::method::{
    Clip, Method, Noise, Plan, Scaling, Step, alpha_and_sigma, sum,
};
use crate::diffusion::schedulers::tables::{Grid, linspace};
use crate::error::{Error, Result};

pub(super) fn plan(
    kind: SchedulerKind,
    fields: &Fields,
    alphas: &[f32],
    steps: &Steps,
) -> Result<Plan> {
    let mut fields = fields.clone();
    let is_single = kind == SchedulerKind::DpmSinglestep;
    fields.sigma_min = None;
    fields.sigma_max = None;
    if is_single {
        fields.timestep_spacing = TimestepSpacing::Linspace;
        fields.use_lu_lambdas = None;
    }
    let algorithm = match fields.algorithm_type.as_str() {
        "dpmsolver++" | "deis" => Algorithm::PlusPlus,
        "dpmsolver" => Algorithm::Plain,
        "sde-dpmsolver++" => Algorithm::SdePlusPlus,
        "sde-dpmsolver" if !is_single => Algorithm::Sde,
        other => {
            let reason = format!("{kind}: `algorithm_type` is {other:?}, which is not supported");
            return Err(Error::unsupported(reason));
        }
    };
    let is_plus = matches!(algorithm, Algorithm::PlusPlus | Algorithm::SdePlusPlus);
    if !is_plus && fields.final_sigmas_type == FinalSigmas::Zero {
        let reason = format!("{kind}: {algorithm:?} needs `final_sigmas_type` sigma_min");
        return Err(Error::unsupported(reason));
    }
    let count = steps.count;
    let is_flow = fields.use_flow_sigmas == Some(true);
    let (timesteps, sigmas) = if is_flow {
        of_flow(&fields, count)
    } else {
        let fall = Falling::new(&fields, alphas, steps, Grid::OneMore);
        (fall.steps(), fall.sigmas)
    };
    let order = fields.solver_order;
    let orders = match is_single {
        true => orders(&fields, count),
        false => multistep_orders(&fields, timesteps.len()),
    };
    let method = Dpm {
        algorithm,
        is_heun: fields.solver_type == "heun",
        prediction: fields.prediction_type,
        clip: Clip::threshold_of(&fields),
        is_flow,
        orders,
        most: order,
        single: is_single,
        begun: None,
        found: VecDeque::new(),
    };
    let scaling = if is_flow { Scaling::Flow } else { Scaling::OfSteps };
    let method = Box::new(method);
    Ok(Plan { timesteps, sigmas, init_noise_sigma: 1.0, scaling, order: 1, method })
}

/// The noise of models trained by flow matching.
fn of_flow(fields: &Fields, count: usize) -> (Vec<f32>, Vec<f32>) {
    let train = fields.num_train_timesteps as f64;
    let shift = fields.flow_shift.unwrap_or(1.0);
    let mut sigmas: Vec<f64> = linspace(1.0, 1.0 / train, count + 1)
        .into_iter()
        .map(|alpha| 1.0 - alpha)
        .map(|sigma| shift * sigma / (1.0 + (shift - 1.0) * sigma))
        .collect();
    sigmas.reverse();
    sigmas.truncate(count);
    let timesteps = sigmas.iter().map(|sigma| (sigma * train).trunc() as f32).collect();
    (timesteps, sigmas.into_iter().chain([0.0]).map(|sigma| sigma as f32).collect())
}

/// The order of each step: as many earlier results as there are, and fewer at the end.
fn multistep_orders(fields: &Fields, count: usize) -> Vec<usize> {
    let is_short = fields.lower_order_final && count < 15;
    let order = |at: usize| {
        let is_last = at + 1 == count
            && (fields.euler_at_final || is_short || fields.final_sigmas_type == FinalSigmas::Zero);
        let is_second = at + 2 == count && is_short;
        match (is_last, is_second) {
            (true, _) => 1,
            (false, true) => fields.solver_order.min(2),
            (false, false) => fields.solver_order,
        }
    };
    (0..count).map(order).collect()
}

/// The order of each step: groups that begin anew.
fn orders(fields: &Fields, count: usize) -> Vec<usize> {
    let order = fields.solver_order;
    // The reference turns this on where it has no orders for the steps.
    let lower = fields.lower_order_final
        || !count.is_multiple_of(order)
        || fields.final_sigmas_type == FinalSigmas::Zero;
    let group: Vec<usize> = (1..=order).collect();
    let groups = |number: usize, rest: &[usize]| [group.repeat(number), rest.to_vec()].concat();
    let mut orders = match (lower, order, count % order) {
        (true, 3, 0) => groups(count / 3 - 1, &[1, 2, 1]),
        (true, 3, 1) => groups(count / 3, &[1]),
        (true, 3, _) => groups(count / 3, &[1, 2]),
        (true, 2, 0) => groups(count / 2 - 1, &[1, 1]),
        (true, 2, _) => groups(count / 2, &[1]),
        _ => groups(count / order, &[]),
    };
    if let (FinalSigmas::Zero, Some(last)) = (fields.final_sigmas_type, orders.last_mut()) {
        *last = 1;
    }
    orders
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    /// Of the noise that the model has found.
    Plain,
    /// Of the picture.
    PlusPlus,
    Sde,
    SdePlusPlus,
}

#[derive(Debug)]
struct Dpm {
    algorithm: Algorithm,
    is_heun: bool,
    prediction: PredictionType,
    clip: Clip,
    is_flow: bool,
    orders: Vec<usize>,
    most: usize,
    single: bool,
    /// The sample at the beginning of a group.
    begun: Option<Tensor>,
    /// Pictures, or noise, the last first.
    found: VecDeque<Tensor>,
}

/// A point of the schedule.
#[derive(Debug, Clone, Copy)]
struct Point {
    alpha: f64,
    sigma: f64,
    lambda: f64,
}

impl Dpm {
    fn point(&self, step: &Step<'_>, offset: isize) -> Point {
        let sigma = step.sigma(offset);
        let [alpha, sigma] = match self.is_flow {
            true => [1.0 - sigma, sigma],
            false => alpha_and_sigma(sigma),
        };
        Point { alpha, sigma, lambda: alpha.ln() - sigma.ln() }
    }

    /// The picture, or the noise, that the model has found.
    fn converted(&self, step: &Step<'_>) -> Result<Tensor> {
        let Point { alpha, sigma, .. } = self.point(step, 0);
        let Step { output, sample, .. } = *step;
        let picture = || match self.prediction {
            PredictionType::Epsilon => sum(&[(1.0 / alpha, sample), (-sigma / alpha, output)]),
            PredictionType::Sample => Ok(output.clone()),
            PredictionType::VPrediction => sum(&[(alpha, sample), (-sigma, output)]),
            PredictionType::FlowPrediction => sum(&[(1.0, sample), (-sigma, output)]),
        };
        if matches!(self.algorithm, Algorithm::PlusPlus | Algorithm::SdePlusPlus) {
            return self.clip.apply(picture()?);
        }
        if self.clip != Clip::None {
            let picture = self.clip.apply(picture()?)?;
            return sum(&[(1.0 / sigma, sample), (-alpha / sigma, &picture)]);
        }
        match self.prediction {
            PredictionType::Epsilon | PredictionType::FlowPrediction => Ok(output.clone()),
            PredictionType::Sample => sum(&[(1.0 / sigma, sample), (-alpha / sigma, output)]),
            PredictionType::VPrediction => sum(&[(alpha, output), (sigma, sample)]),
        }
    }
}

impl Method for Dpm {
    fn step(&mut self, step: Step<'_>, noise: Noise<'_>) -> Result<Tensor> {
        let converted = self.converted(&step)?;
        self.found.push_front(converted);
        self.found.truncate(self.most);
        let drawn = match self.algorithm {
            Algorithm::Sde | Algorithm::SdePlusPlus => Some(noise()?),
            Algorithm::Plain | Algorithm::PlusPlus => None,
        };
        let wanted = self.orders.get(step.at).copied().unwrap_or(1);
        let order = wanted.min(self.found.len());
        let sample = if self.single {
            if order == 1 {
                self.begun = Some(step.sample.clone());
            }
            self.begun.clone().unwrap_or_else(|| step.sample.clone())
        } else {
            step.sample.clone()
        };
        self.update(&step, &sample, order, drawn.as_ref())
    }
}

impl Dpm {
    /// From the sample at `start` to the next step, by as many results as the order says.
    fn update(
        &self,
        step: &Step<'_>,
        sample: &Tensor,
        order: usize,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        let target = self.point(step, 1);
        // Where the sample is: of a group of steps at its beginning.
        let back = if self.single { -(order as isize - 1) } else { 0 };
        let start = self.point(step, back);
        let step_length = target.lambda - start.lambda;
        let [first, second, third] = self.factors(&target, step_length, order);
        let differences = self.differences(step, order, step_length)?;
        let kept = match self.algorithm {
            Algorithm::PlusPlus => target.sigma / start.sigma,
            Algorithm::SdePlusPlus => target.sigma / start.sigma * (-step_length).exp(),
            Algorithm::Plain | Algorithm::Sde => target.alpha / start.alpha,
        };
        let mut terms = vec![(kept, sample)];
        let others = [first, second, third].into_iter().zip(&differences);
        terms.extend(others);
        let drawn = match self.algorithm {
            Algorithm::SdePlusPlus => target.sigma * (1.0 - (-2.0 * step_length).exp()).sqrt(),
            Algorithm::Sde => target.sigma * ((2.0 * step_length).exp() - 1.0).sqrt(),
            Algorithm::Plain | Algorithm::PlusPlus => 0.0,
        };
        if let Some(noise) = noise {
            terms.push((drawn, noise));
        }
        sum(&terms)
    }

    /// What the result and its first and second difference are multiplied by.
    fn factors(&self, target: &Point, h: f64, order: usize) -> [f64; 3] {
        // A difference counts for one half at the midpoint, which is order 2 alone; singlesteps of order 3 have a
        // form of their own with one difference.
        let by_half = order == 2 && !self.is_heun;
        let Point { alpha, sigma, .. } = *target;
        match self.algorithm {
            Algorithm::PlusPlus => {
                let e = (-h).exp() - 1.0;
                let second = if by_half { -0.5 * alpha * e } else { alpha * (e / h + 1.0) };
                [-alpha * e, second, -alpha * ((e + h) / (h * h) - 0.5)]
            }
            Algorithm::Plain => {
                let e = h.exp() - 1.0;
                let second = if by_half { -0.5 * sigma * e } else { -sigma * (e / h - 1.0) };
                [-sigma * e, second, -sigma * ((e - h) / (h * h) - 0.5)]
            }
            Algorithm::SdePlusPlus => {
                let e = 1.0 - (-2.0 * h).exp();
                let second = if by_half { 0.5 * alpha * e } else { alpha * (e / (-2.0 * h) + 1.0) };
                [alpha * e, second, alpha * ((e - 2.0 * h) / (4.0 * h * h) - 0.5)]
            }
            Algorithm::Sde => {
                let e = h.exp() - 1.0;
                let second = if by_half { -sigma * e } else { -2.0 * sigma * (e / h - 1.0) };
                [-2.0 * sigma * e, second, 0.0]
            }
        }
    }

    /// The result at the start, and its differences.
    fn differences(&self, step: &Step<'_>, order: usize, h: f64) -> Result<Vec<Tensor>> {
        let lambda = |offset: isize| self.point(step, offset).lambda;
        let found = |back: usize| &self.found[back];
        Ok(match (order, self.single) {
            (1, _) => vec![found(0).clone()],
            (2, false) => {
                let ratio = (lambda(0) - lambda(-1)) / h;
                let first = sum(&[(1.0 / ratio, found(0)), (-1.0 / ratio, found(1))])?;
                vec![found(0).clone(), first]
            }
            (2, true) => {
                let ratio = (lambda(0) - lambda(-1)) / h;
                let first = sum(&[(1.0 / ratio, found(0)), (-1.0 / ratio, found(1))])?;
                vec![found(1).clone(), first]
            }
            (_, false) => {
                let (r0, r1) = ((lambda(0) - lambda(-1)) / h, (lambda(-1) - lambda(-2)) / h);
                let near = sum(&[(1.0 / r0, found(0)), (-1.0 / r0, found(1))])?;
                let far = sum(&[(1.0 / r1, found(1)), (-1.0 / r1, found(2))])?;
                let share = r0 / (r0 + r1);
                let first = sum(&[(1.0 + share, &near), (-share, &far)])?;
                let whole = 1.0 / (r0 + r1);
                vec![found(0).clone(), first, sum(&[(whole, &near), (-whole, &far)])?]
            }
            (_, true) => {
                let (r0, r1) = ((lambda(0) - lambda(-2)) / h, (lambda(-1) - lambda(-2)) / h);
                let near = sum(&[(1.0 / r1, found(1)), (-1.0 / r1, found(2))])?;
                let far = sum(&[(1.0 / r0, found(0)), (-1.0 / r0, found(2))])?;
                if !self.is_heun {
                    return Ok(vec![found(2).clone(), far]);
                }
                let width = r0 - r1;
                let first = sum(&[(r0 / width, &near), (-r1 / width, &far)])?;
                let second = sum(&[(2.0 / width, &far), (-2.0 / width, &near)])?;
                vec![found(2).clone(), first, second]
            }
        })
    }
}
