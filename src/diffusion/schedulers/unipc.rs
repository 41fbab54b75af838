//! UniPC: a predictor, and a corrector that uses what the model finds at the predicted place.

use std::collections::VecDeque;

use candle_core::Tensor;

use crate::diffusion::schedulers::Steps;
use crate::diffusion::schedulers::config::{Fields, PredictionType};
use crate::diffusion::schedulers::falling::Falling;
use crate::diffusion::schedulers::method::{
    Clip, Method, Noise, Plan, Scaling, Step, alpha_and_sigma, sum,
};
use crate::diffusion::schedulers::tables::Grid;
use crate::error::{Error, Result};

pub(super) fn plan(fields: &Fields, alphas: &[f32], steps: &Steps) -> Result<Plan> {
    if fields.use_flow_sigmas == Some(true)
        || fields.prediction_type == PredictionType::FlowPrediction
    {
        return Err(Error::unsupported("UniPC with `use_flow_sigmas`"));
    }
    let mut fields = fields.clone();
    fields.use_lu_lambdas = None;
    fields.lambda_min_clipped = None;
    let fall = Falling::new(&fields, alphas, steps, Grid::OneMore);
    let timesteps = fall.steps();
    let method = UniPc {
        prediction: fields.prediction_type,
        clip: Clip::threshold_of(&fields),
        predicts_picture: fields.predict_x0,
        is_first_kind: fields.solver_type == "bh1",
        most: fields.solver_order,
        lower_at_end: fields.lower_order_final,
        uncorrected: fields.disable_corrector.clone(),
        calls: 0,
        order: 1,
        before: None,
        found: VecDeque::new(),
    };
    Ok(Plan {
        timesteps,
        sigmas: fall.sigmas,
        init_noise_sigma: 1.0,
        scaling: Scaling::OfSteps,
        order: 1,
        method: Box::new(method),
    })
}

#[derive(Debug)]
struct UniPc {
    prediction: PredictionType,
    clip: Clip,
    predicts_picture: bool,
    is_first_kind: bool,
    most: usize,
    lower_at_end: bool,
    uncorrected: Vec<usize>,
    calls: usize,
    /// Of the last prediction.
    order: usize,
    /// The sample that it began with.
    before: Option<Tensor>,
    /// Pictures, or noise, the last first.
    found: VecDeque<Tensor>,
}

impl Method for UniPc {
    fn step(&mut self, step: Step<'_>, _: Noise<'_>) -> Result<Tensor> {
        let found = self.converted(&step)?;
        let corrects = step.at > 0 && !self.uncorrected.contains(&(step.at - 1));
        let sample = match self.before.take() {
            Some(before) if corrects => self.solve(&step, -1, &before, self.order, Some(&found))?,
            _ => step.sample.clone(),
        };
        self.found.push_front(found);
        self.found.truncate(self.most);
        let left = step.timesteps.len() - step.at;
        let order = if self.lower_at_end { self.most.min(left) } else { self.most };
        self.order = order.min(self.calls.min(self.most) + 1);
        self.calls += 1;
        let next = self.solve(&step, 0, &sample, self.order, None)?;
        self.before = Some(sample);
        Ok(next)
    }
}

impl UniPc {
    fn converted(&self, step: &Step<'_>) -> Result<Tensor> {
        let [alpha, sigma] = alpha_and_sigma(step.sigma(0));
        let Step { output, sample, .. } = *step;
        if self.predicts_picture {
            return self.clip.apply(match self.prediction {
                PredictionType::Sample => output.clone(),
                PredictionType::VPrediction => sum(&[(alpha, sample), (-sigma, output)])?,
                _ => sum(&[(1.0 / alpha, sample), (-sigma / alpha, output)])?,
            });
        }
        match self.prediction {
            PredictionType::Sample => sum(&[(1.0 / sigma, sample), (-alpha / sigma, output)]),
            PredictionType::VPrediction => sum(&[(alpha, output), (sigma, sample)]),
            _ => Ok(output.clone()),
        }
    }

    /// From the step `offset` away to the one after it; a correction where what was `found` there is known.
    fn solve(
        &self,
        step: &Step<'_>,
        offset: isize,
        sample: &Tensor,
        order: usize,
        found: Option<&Tensor>,
    ) -> Result<Tensor> {
        let point = |offset: isize| {
            let [alpha, sigma] = alpha_and_sigma(step.sigma(offset));
            (alpha, sigma, alpha.ln() - sigma.ln())
        };
        let (start_alpha, start_sigma, start) = point(offset);
        let (alpha, sigma, end) = point(offset + 1);
        let h = end - start;
        let hh = if self.predicts_picture { -h } else { h };
        let growth = hh.exp_m1();
        let base = if self.is_first_kind { hh } else { growth };
        let last = &self.found[0];
        let mut ratios = Vec::with_capacity(order);
        let mut differences = Vec::with_capacity(order);
        for back in 1..order {
            let ratio = (point(offset - back as isize).2 - start) / h;
            ratios.push(ratio);
            differences.push(sum(&[(1.0 / ratio, &self.found[back]), (-1.0 / ratio, last)])?);
        }
        ratios.push(1.0);
        let (mut part, mut factorial) = (growth / hh - 1.0, 1.0);
        let mut right = Vec::with_capacity(order);
        for number in 1..=order {
            right.push(part * factorial / base);
            factorial *= (number + 1) as f64;
            part = part / hh - 1.0 / factorial;
        }
        let weights = match found {
            None if order == 1 => Vec::new(),
            None if order == 2 => vec![0.5],
            None => solved(&ratios[..order - 1], &right[..order - 1]),
            Some(_) if order == 1 => vec![0.5],
            Some(_) => solved(&ratios, &right),
        };
        if let Some(found) = found {
            differences.push(sum(&[(1.0, found), (-1.0, last)])?);
        }
        let (kept, scale) = match self.predicts_picture {
            true => (sigma / start_sigma, alpha),
            false => (alpha / start_alpha, sigma),
        };
        let mut terms = vec![(kept, sample), (-scale * growth, last)];
        terms.extend(weights.iter().map(|weight| -scale * base * weight).zip(&differences));
        sum(&terms)
    }
}

/// The weights with which powers of the ratios, from the zeroth on, sum up to the right side.
fn solved(ratios: &[f64], right: &[f64]) -> Vec<f64> {
    let count = ratios.len();
    let mut rows: Vec<Vec<f64>> = (0..count)
        .map(|power| {
            let powers = ratios.iter().map(|ratio| ratio.powi(power as i32));
            powers.chain([right[power]]).collect()
        })
        .collect();
    for column in 0..count {
        let best = (column..count)
            .max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))
            .unwrap_or(column);
        rows.swap(column, best);
        let pivot = rows[column].clone();
        for (number, row) in rows.iter_mut().enumerate() {
            if number != column {
                let factor = row[column] / pivot[column];
                row.iter_mut().zip(&pivot).for_each(|(x, pivot)| *x -= factor * pivot);
            }
        }
    }
    (0..count).map(|number| rows[number][count] / rows[number][number]).collect()
}
