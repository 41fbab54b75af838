//! `scheduler_config.json` of diffusers.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::fields::choices;

choices! {
    /// The schedulers there are, by the names of diffusers' classes.
    #[non_exhaustive]
    SchedulerKind, "scheduler" {
        /// Denoising diffusion implicit models. <https://arxiv.org/abs/2010.02502>
        Ddim = "DDIMScheduler",
        /// Denoising diffusion probabilistic models. <https://arxiv.org/abs/2006.11239>
        Ddpm = "DDPMScheduler",
        /// DPM-Solver++ that remembers what the model found before. <https://arxiv.org/abs/2211.01095>
        DpmMultistep = "DPMSolverMultistepScheduler",
        /// DPM-Solver++ that begins anew every second or third step.
        DpmSinglestep = "DPMSolverSinglestepScheduler",
        /// Euler's method with noise after each step.
        EulerAncestral = "EulerAncestralDiscreteScheduler",
        /// Euler's method. <https://arxiv.org/abs/2206.00364>
        Euler = "EulerDiscreteScheduler",
        /// Euler's method for models trained by flow matching: FLUX.
        FlowMatchEuler = "FlowMatchEulerDiscreteScheduler",
        /// Heun's method, which asks the model twice for each step.
        Heun = "HeunDiscreteScheduler",
        /// Latent consistency models. <https://arxiv.org/abs/2310.04378>
        Lcm = "LCMScheduler",
        /// A linear multistep method of order 4.
        Lms = "LMSDiscreteScheduler",
        /// Pseudo numerical methods. <https://arxiv.org/abs/2202.09778>
        Pndm = "PNDMScheduler",
        /// Trajectory consistency distillation. <https://arxiv.org/abs/2402.19159>
        Tcd = "TCDScheduler",
        /// A predictor and a corrector. <https://arxiv.org/abs/2302.04867>
        UniPc = "UniPCMultistepScheduler",
    }
}

choices! {
    /// What the model finds in noisy latents.
    #[non_exhaustive]
    PredictionType, "prediction_type" {
        /// The noise.
        Epsilon = "epsilon",
        /// The picture.
        Sample = "sample",
        /// The velocity: Stable Diffusion 2.
        VPrediction = "v_prediction",
        /// The direction from noise to picture.
        FlowPrediction = "flow_prediction",
    }
}

choices! {
    /// How the noise that the model was trained with grows.
    #[non_exhaustive]
    BetaSchedule, "beta_schedule" {
        /// Evenly.
        Linear = "linear",
        /// Its root evenly.
        ScaledLinear = "scaled_linear",
        /// By a cosine. <https://arxiv.org/abs/2102.09672>
        SquaredCosine = "squaredcos_cap_v2",
        /// Exponentially: an option of Heun.
        Exponential = "exp",
        /// By a sigmoid: an option of DDPM.
        Sigmoid = "sigmoid",
    }
}

choices! {
    /// Which steps of the training are taken.
    #[non_exhaustive]
    TimestepSpacing, "timestep_spacing" {
        /// Evenly, the first and the last among them.
        Linspace = "linspace",
        /// The first of each of equal parts.
        Leading = "leading",
        /// The last of each of equal parts.
        Trailing = "trailing",
    }
}

choices! {
    /// The noise after the last step.
    #[non_exhaustive]
    FinalSigmas, "final_sigmas_type" {
        /// None.
        Zero = "zero",
        /// The least of the training.
        SigmaMin = "sigma_min",
    }
}

/// Every option of every scheduler; those that a class has not are at what makes no difference.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    pub(super) num_train_timesteps: usize,
    pub(super) beta_start: f64,
    pub(super) beta_end: f64,
    pub(super) beta_schedule: BetaSchedule,
    pub(super) trained_betas: Option<Vec<f32>>,
    pub(super) prediction_type: PredictionType,
    pub(super) interpolation_type: String,
    pub(super) use_karras_sigmas: Option<bool>,
    pub(super) use_exponential_sigmas: Option<bool>,
    pub(super) use_beta_sigmas: Option<bool>,
    pub(super) use_lu_lambdas: Option<bool>,
    pub(super) use_flow_sigmas: Option<bool>,
    pub(super) flow_shift: Option<f64>,
    pub(super) sigma_min: Option<f64>,
    pub(super) sigma_max: Option<f64>,
    pub(super) timestep_spacing: TimestepSpacing,
    pub(super) timestep_type: String,
    pub(super) steps_offset: usize,
    pub(super) rescale_betas_zero_snr: bool,
    pub(super) final_sigmas_type: FinalSigmas,
    pub(super) clip_sample: bool,
    pub(super) clip_sample_range: f64,
    pub(super) set_alpha_to_one: bool,
    pub(super) thresholding: bool,
    pub(super) dynamic_thresholding_ratio: f64,
    pub(super) sample_max_value: f64,
    pub(super) variance_type: Option<String>,
    pub(super) skip_prk_steps: bool,
    pub(super) solver_order: usize,
    pub(super) algorithm_type: String,
    pub(super) solver_type: String,
    pub(super) lower_order_final: bool,
    pub(super) euler_at_final: bool,
    pub(super) lambda_min_clipped: Option<f64>,
    pub(super) predict_x0: bool,
    pub(super) disable_corrector: Vec<usize>,
    pub(super) original_inference_steps: usize,
    pub(super) timestep_scaling: f64,
    pub(super) shift: f64,
    pub(super) use_dynamic_shifting: bool,
    pub(super) base_shift: Option<f64>,
    pub(super) max_shift: Option<f64>,
    pub(super) base_image_seq_len: Option<f64>,
    pub(super) max_image_seq_len: Option<f64>,
    pub(super) invert_sigmas: bool,
    pub(super) shift_terminal: Option<f64>,
    pub(super) time_shift_type: String,
    pub(super) stochastic_sampling: bool,
}

impl Default for Fields {
    /// What most classes have.
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            beta_start: 0.0001,
            beta_end: 0.02,
            beta_schedule: BetaSchedule::Linear,
            trained_betas: None,
            prediction_type: PredictionType::Epsilon,
            interpolation_type: "linear".to_owned(),
            use_karras_sigmas: None,
            use_exponential_sigmas: None,
            use_beta_sigmas: None,
            use_lu_lambdas: None,
            use_flow_sigmas: None,
            flow_shift: None,
            sigma_min: None,
            sigma_max: None,
            timestep_spacing: TimestepSpacing::Linspace,
            timestep_type: "discrete".to_owned(),
            steps_offset: 0,
            rescale_betas_zero_snr: false,
            final_sigmas_type: FinalSigmas::Zero,
            clip_sample: false,
            clip_sample_range: 1.0,
            set_alpha_to_one: true,
            thresholding: false,
            dynamic_thresholding_ratio: 0.995,
            sample_max_value: 1.0,
            variance_type: None,
            skip_prk_steps: false,
            solver_order: 2,
            algorithm_type: "dpmsolver++".to_owned(),
            solver_type: "midpoint".to_owned(),
            lower_order_final: true,
            euler_at_final: false,
            lambda_min_clipped: None,
            predict_x0: true,
            disable_corrector: Vec::new(),
            original_inference_steps: 50,
            timestep_scaling: 10.0,
            shift: 1.0,
            use_dynamic_shifting: false,
            base_shift: None,
            max_shift: None,
            base_image_seq_len: None,
            max_image_seq_len: None,
            invert_sigmas: false,
            shift_terminal: None,
            time_shift_type: "exponential".to_owned(),
            stochastic_sampling: false,
        }
    }
}

/// The defaults in which the class differs from [`Fields::default`].
fn defaults(kind: SchedulerKind) -> &'static [(&'static str, Default_)] {
    use Default_::{Flag, Number, Text};
    const LCM: &[(&str, Default_)] = &[
        ("beta_start", Number(0.00085)),
        ("beta_end", Number(0.012)),
        ("beta_schedule", Text("scaled_linear")),
        ("timestep_spacing", Text("leading")),
    ];
    match kind {
        SchedulerKind::Ddim | SchedulerKind::Ddpm => {
            &[("clip_sample", Flag(true)), ("timestep_spacing", Text("leading"))]
        }
        SchedulerKind::DpmSinglestep => &[("lower_order_final", Flag(false))],
        SchedulerKind::Heun => &[("beta_start", Number(0.00085)), ("beta_end", Number(0.012))],
        SchedulerKind::Lcm | SchedulerKind::Tcd => LCM,
        SchedulerKind::Pndm => {
            &[("set_alpha_to_one", Flag(false)), ("timestep_spacing", Text("leading"))]
        }
        SchedulerKind::UniPc => &[("solver_type", Text("bh2"))],
        _ => &[],
    }
}

/// A default, as it stands in JSON.
#[derive(Debug, Clone, Copy)]
enum Default_ {
    Flag(bool),
    Number(f64),
    Text(&'static str),
}

impl Fields {
    /// Reads the options of a class.
    pub(super) fn read(kind: SchedulerKind, config: &Map<String, Value>) -> Result<Self> {
        let mut all: Map<String, Value> = Map::new();
        for (name, value) in defaults(kind) {
            let value = match *value {
                Default_::Flag(flag) => Value::from(flag),
                Default_::Number(number) => Value::from(number),
                Default_::Text(text) => Value::from(text),
            };
            all.insert((*name).to_owned(), value);
        }
        all.extend(config.iter().map(|(name, value)| (name.clone(), value.clone())));
        let fields: Self = crate::read::read_fields(&all)
            .map_err(|wrong| Error::unsupported(format!("a config of {kind}: {wrong}")))?;
        fields.check(kind)?;
        Ok(fields)
    }

    fn check(&self, kind: SchedulerKind) -> Result<()> {
        let refuse = |name: &str, found: String| {
            Err(Error::unsupported(format!("{kind}: `{name}` is {found}, which is not supported")))
        };
        if !(1..=1 << 20).contains(&self.num_train_timesteps) {
            return refuse("num_train_timesteps", self.num_train_timesteps.to_string());
        }
        for (name, beta) in [("beta_start", self.beta_start), ("beta_end", self.beta_end)] {
            if !(0.0..=1.0).contains(&beta) {
                return refuse(name, beta.to_string());
            }
        }
        if let Some(betas) = &self.trained_betas
            && (betas.len() != self.num_train_timesteps
                || !betas.iter().all(|beta| (0.0..=1.0).contains(beta)))
        {
            let wanted = format!("other than {} numbers from 0 to 1", self.num_train_timesteps);
            return refuse("trained_betas", wanted);
        }
        if !(1..=3).contains(&self.solver_order) {
            return refuse("solver_order", self.solver_order.to_string());
        }
        if self.timestep_type != "discrete" {
            return refuse("timestep_type", self.timestep_type.clone());
        }
        let converted = [
            self.use_karras_sigmas,
            self.use_exponential_sigmas,
            self.use_beta_sigmas,
            self.use_lu_lambdas,
        ];
        if converted.iter().filter(|flag| **flag == Some(true)).count() > 1 {
            return Err(Error::unsupported(format!(
                "{kind}: only one of `use_karras_sigmas`, `use_exponential_sigmas`, `use_beta_sigmas` and \
                 `use_lu_lambdas` can be on"
            )));
        }
        let variance = self.variance_type.as_deref().unwrap_or("fixed_small");
        if variance.starts_with("learned") {
            return refuse("variance_type", variance.to_owned());
        }
        Ok(())
    }
}
