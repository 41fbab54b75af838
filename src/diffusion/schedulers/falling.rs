//! Steps and noise of the schedulers that count by noise.

use crate::diffusion::schedulers::Steps;
use crate::diffusion::schedulers::config::{BetaSchedule, Fields, TimestepSpacing};
use crate::diffusion::schedulers::tables;
use crate::diffusion::schedulers::tables::{Fall, Grid, final_sigma, interpolate, step_of};

/// Steps and noise of the schedulers that count by noise.
pub(super) struct Falling {
    pub(super) timesteps: Vec<f64>,
    /// With that after the last step.
    pub(super) sigmas: Vec<f32>,
}

impl Falling {
    pub(super) fn new(fields: &Fields, alphas: &[f32], wanted: &Steps, grid: Grid) -> Self {
        let count = wanted.count;
        let table = tables::sigmas(alphas);
        let last = fields.lambda_min_clipped.map_or(table.len(), |least| {
            // The logarithm of the ratio of picture and noise is that of the noise, negative.
            table.len() - table.iter().filter(|sigma| -sigma.ln() < least).count()
        });
        let whole = |step: &f64| if grid == Grid::OneMore { step.trunc() } else { *step };
        let steps = match &wanted.timesteps {
            Some(given) => given.iter().map(whole).collect(),
            None => tables::timesteps(fields, count, grid, last.max(1)),
        };
        if let Some(sigmas) = &wanted.sigmas {
            let sigmas: Vec<f32> = sigmas.iter().map(|&sigma| sigma as f32).collect();
            let step = |&sigma: &f32| step_of(&table, f64::from(sigma));
            return Self { timesteps: sigmas[..count].iter().map(step).collect(), sigmas };
        }
        let spaced = interpolate(&table, &steps);
        let (mut timesteps, mut sigmas) = (steps, spaced);
        if grid != Grid::OneMore && fields.interpolation_type == "log_linear" {
            let ends = [&table[table.len() - 1], &table[0]].map(|sigma| sigma.ln());
            sigmas =
                tables::linspace(ends[0], ends[1], count + 1).into_iter().map(f64::exp).collect();
        }
        if let Some(fall) = Fall::of(fields) {
            let ends = match grid {
                Grid::OneMore => [table[table.len() - 1], table[0]],
                _ => [sigmas[0], sigmas[sigmas.len() - 1]],
            };
            sigmas = fall.sigmas(fields, ends, count);
            timesteps = sigmas.iter().map(|&sigma| step_of(&table, sigma)).collect();
            if grid == Grid::OneMore {
                let is_rounded = match fall {
                    Fall::Karras | Fall::Lu => fields.beta_schedule != BetaSchedule::SquaredCosine,
                    Fall::Exponential | Fall::Beta => false,
                };
                timesteps.iter_mut().for_each(|step| {
                    *step = if is_rounded { step.round_ties_even() } else { step.trunc() };
                });
            }
        }
        let end = final_sigma(fields, &table);
        let sigmas = sigmas.into_iter().chain([end]).map(|sigma| sigma as f32).collect();
        Self { timesteps, sigmas }
    }

    pub(super) fn steps(&self) -> Vec<f32> {
        self.timesteps.iter().map(|&step| step as f32).collect()
    }

    /// What noise is multiplied by to be the first latents.
    pub(super) fn init(&self, fields: &Fields) -> f32 {
        let most = self.sigmas.iter().copied().fold(0.0, f32::max);
        match fields.timestep_spacing {
            TimestepSpacing::Leading => (most * most + 1.0).sqrt(),
            TimestepSpacing::Linspace | TimestepSpacing::Trailing => most,
        }
    }
}
