//! The noise of the training, and which of its steps are taken.

use crate::diffusion::schedulers::config::{BetaSchedule, Fields, FinalSigmas, TimestepSpacing};

/// `alphas_cumprod`: how much of the picture is left after each step of the training.
pub(super) fn alphas(fields: &Fields) -> Vec<f32> {
    let steps = fields.num_train_timesteps;
    let (start, end) = (fields.beta_start, fields.beta_end);
    let betas: Vec<f32> = match (&fields.trained_betas, fields.beta_schedule) {
        (Some(betas), _) => betas.clone(),
        (None, BetaSchedule::Linear) => evenly(start, end, steps),
        (None, BetaSchedule::ScaledLinear) => {
            evenly(start.sqrt(), end.sqrt(), steps).into_iter().map(|beta| beta * beta).collect()
        }
        (None, BetaSchedule::Sigmoid) => {
            let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
            let (start, end) = (start as f32, end as f32);
            evenly(-6.0, 6.0, steps)
                .into_iter()
                .map(|x| sigmoid(x) * (end - start) + start)
                .collect()
        }
        (None, BetaSchedule::SquaredCosine) => of_alpha_bar(steps, |time| {
            ((time + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2)
        }),
        (None, BetaSchedule::Exponential) => of_alpha_bar(steps, |time| (-12.0 * time).exp()),
    };
    let mut product = 1.0_f64;
    let mut alphas: Vec<f32> = betas
        .iter()
        .map(|beta| {
            product *= f64::from(1.0 - beta);
            product as f32
        })
        .collect();
    if fields.rescale_betas_zero_snr {
        rescale(&mut alphas);
    }
    alphas
}

/// `torch.linspace` in f32.
fn evenly(start: f64, end: f64, count: usize) -> Vec<f32> {
    let (start, end) = (start as f32, end as f32);
    if count == 1 {
        return vec![start];
    }
    let step = (end - start) / (count - 1) as f32;
    let number = |at: usize| match at < count / 2 {
        true => start + step * at as f32,
        false => end - step * (count - 1 - at) as f32,
    };
    (0..count).map(number).collect()
}

fn of_alpha_bar(steps: usize, alpha_bar: impl Fn(f64) -> f64) -> Vec<f32> {
    let at = |step: usize| alpha_bar(step as f64 / steps as f64);
    (0..steps).map(|step| (1.0 - at(step + 1) / at(step)).min(0.999) as f32).collect()
}

/// `rescale_zero_terminal_snr`: nothing of the picture is left at the end. <https://arxiv.org/abs/2305.08891>
fn rescale(alphas: &mut [f32]) {
    let (Some(&first), Some(&last)) = (alphas.first(), alphas.last()) else { return };
    let (first, last) = (first.sqrt(), last.sqrt());
    for alpha in alphas.iter_mut() {
        let root = (alpha.sqrt() - last) * (first / (first - last));
        *alpha = root * root;
    }
}

/// The noise of each step of the training, beside a picture of 1.
pub(super) fn sigmas(alphas: &[f32]) -> Vec<f64> {
    alphas.iter().map(|alpha| f64::from(((1.0 - alpha) / alpha).sqrt())).collect()
}

/// `np.linspace`.
pub(super) fn linspace(start: f64, end: f64, count: usize) -> Vec<f64> {
    let parts = count.saturating_sub(1).max(1) as f64;
    let step = (end - start) / parts;
    let number = |at: usize| match at + 1 == count && count > 1 {
        true => end,
        false => start + step * at as f64,
    };
    (0..count).map(number).collect()
}

/// Which steps of the training are taken, the noisiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grid {
    /// Whole numbers.
    Whole,
    /// Whole numbers but for `linspace`: Euler and its kin.
    Fractional,
    /// As for one step more, without the last: DPM-Solver and UniPC.
    OneMore,
}

pub(super) fn timesteps(fields: &Fields, count: usize, grid: Grid, last: usize) -> Vec<f64> {
    let train = fields.num_train_timesteps;
    let offset = fields.steps_offset as f64;
    let more = count + usize::from(grid == Grid::OneMore);
    let mut steps: Vec<f64> = match fields.timestep_spacing {
        TimestepSpacing::Linspace => {
            let steps = linspace(0.0, last as f64 - 1.0, more);
            match grid {
                // numpy makes f32 of them here.
                Grid::Fractional => steps.into_iter().map(|step| f64::from(step as f32)).collect(),
                _ => steps.into_iter().map(f64::round_ties_even).collect(),
            }
        }
        TimestepSpacing::Leading => {
            let ratio = last / more;
            (0..more).map(|step| (step * ratio) as f64 + offset).collect()
        }
        TimestepSpacing::Trailing => {
            let ratio = train as f64 / count as f64;
            let count = (last as f64 / ratio).ceil() as usize;
            let step = |at: usize| (last as f64 - at as f64 * ratio).round_ties_even() - 1.0;
            return (0..count).map(step).collect();
        }
    };
    steps.reverse();
    steps.truncate(count);
    steps
}

/// `np.interp` in the table of the noise of each step of the training.
pub(super) fn interpolate(table: &[f64], steps: &[f64]) -> Vec<f64> {
    let at = |step: f64| {
        let last = table.len() - 1;
        let step = step.clamp(0.0, last as f64);
        let low = (step as usize).min(last.saturating_sub(1));
        let high = (low + 1).min(last);
        table[low] + (table[high] - table[low]) * (step - low as f64)
    };
    steps.iter().map(|&step| at(step)).collect()
}

/// The step of the training with this noise: `_sigma_to_t`.
pub(super) fn step_of(table: &[f64], sigma: f64) -> f64 {
    let log = |sigma: f64| f64::from((sigma as f32).ln());
    let wanted = sigma.max(1e-10).ln();
    let above = table.partition_point(|&sigma| log(sigma) <= wanted);
    let low = above.saturating_sub(1).min(table.len().saturating_sub(2));
    let high = (low + 1).min(table.len() - 1);
    let (of_low, of_high) = (log(table[low]), log(table[high]));
    let share = ((of_low - wanted) / (of_low - of_high)).clamp(0.0, 1.0);
    (1.0 - share) * low as f64 + share * high as f64
}

/// How the noise falls from step to step, where it is not that of evenly spaced steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fall {
    /// As in Karras et al. (2022).
    Karras,
    /// Exponentially.
    Exponential,
    /// By the quantiles of a beta distribution. <https://arxiv.org/abs/2407.12173>
    Beta,
    /// Evenly in the logarithm: Lu et al. (2022).
    Lu,
}

impl Fall {
    pub(super) fn of(fields: &Fields) -> Option<Self> {
        let is_on = |flag: Option<bool>| flag == Some(true);
        [
            (fields.use_karras_sigmas, Self::Karras),
            (fields.use_exponential_sigmas, Self::Exponential),
            (fields.use_beta_sigmas, Self::Beta),
            (fields.use_lu_lambdas, Self::Lu),
        ]
        .into_iter()
        .find(|(flag, _)| is_on(*flag))
        .map(|(_, fall)| fall)
    }

    /// From the most noise to the least, in so many steps.
    pub(super) fn sigmas(self, fields: &Fields, [most, least]: [f64; 2], count: usize) -> Vec<f64> {
        let most = fields.sigma_max.unwrap_or(most);
        let least = fields.sigma_min.unwrap_or(least);
        let ramp = linspace(0.0, 1.0, count);
        match self {
            Self::Karras => {
                let (high, low) = (most.powf(1.0 / 7.0), least.powf(1.0 / 7.0));
                ramp.iter().map(|at| (high + at * (low - high)).powi(7)).collect()
            }
            Self::Exponential | Self::Lu => {
                linspace(most.ln(), least.ln(), count).into_iter().map(f64::exp).collect()
            }
            Self::Beta => {
                let at = |ramp: &f64| least + beta_quantile(1.0 - ramp) * (most - least);
                ramp.iter().map(at).collect()
            }
        }
    }
}

/// The quantile of a beta distribution with both parameters 0.6, by bisection.
fn beta_quantile(share: f64) -> f64 {
    if share > 0.5 {
        return 1.0 - beta_quantile(1.0 - share);
    }
    let (mut low, mut high) = (0.0_f64, 0.5_f64);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if beta_share(middle) < share { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The share of a beta distribution with both parameters 0.6 that lies below `x`, up to one half: the incomplete
/// beta function as a series, `x^a / a Σ (1 - b)_n / n! · a / (a + n) x^n / B(a, b)`.
fn beta_share(x: f64) -> f64 {
    const A: f64 = 0.6;
    /// B(0.6, 0.6).
    const WHOLE: f64 = 2.415_344_208_002_471_4;
    let (mut term, mut sum) = (1.0_f64, 1.0 / A);
    for n in 1..200 {
        let n = f64::from(n);
        term *= (n - A) / n * x;
        sum += term / (A + n);
    }
    x.powf(A) * sum / WHOLE
}

/// The noise after the last step.
pub(super) fn final_sigma(fields: &Fields, table: &[f64]) -> f64 {
    match fields.final_sigmas_type {
        FinalSigmas::Zero => 0.0,
        FinalSigmas::SigmaMin => table.first().copied().unwrap_or(0.0),
    }
}
