//! How a picture is painted.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use candle_core::Tensor;

use crate::diffusion::schedulers::SchedulerKind;
use crate::fields::options;
use crate::media::Image;

options! {
    /// How a picture is painted, by the names and with the defaults of diffusers' pipelines.
    PaintOptions {
        /// Steps. Default: 50, of FLUX 28, of LCM pipelines 4.
        num_inference_steps: usize,
        /// How closely the text is followed; above 1 the model is asked twice at each step. Default: 7.5, of SDXL
        /// without a mask 5, of LCM pipelines 8.5, of FLUX 3.5, which FLUX.1 schnell ignores.
        guidance_scale: f64,
        /// By how much a picture that guidance has made too bright is darkened, from 0 to 1. Default: 0.
        /// <https://arxiv.org/abs/2305.08891>
        guidance_rescale: f64,
        /// What is not to be in the picture. Stable Diffusion only. Default: an empty text, in SDXL zeros in its
        /// place.
        negative_prompt: String,
        /// The text for the second encoder: SDXL and FLUX. Default: the text itself.
        prompt_2: String,
        /// Pixels of a column, a multiple of 8, of FLUX of 16. Default: what the model was trained with.
        height: usize,
        /// Pixels of a row. Default: as `height`.
        width: usize,
        /// Pictures of one text, painted from one stream of random numbers. Default: 1.
        num_images_per_prompt: usize,
        /// Seeds `torch.Generator("cpu")`. Default: 0.
        seed: u64,
        /// How much of the noise of each step is new: DDIM and TCD. Default: 0; of TCD 0.3.
        eta: f64,
        /// Layers of CLIP that are left out at its end. Default: none.
        clip_skip: usize,
        /// Tokens of the text for T5: FLUX. Default: 512; FLUX.1 schnell was trained with 256.
        max_sequence_length: usize,
        /// A picture to begin with, in place of noise: Stable Diffusion.
        #[serde(skip)]
        image: Image,
        /// Light where that picture is painted anew, and dark where it stays; of its size. Default: all of it is
        /// painted anew.
        #[serde(skip)]
        mask_image: Image,
        /// How much of that picture is painted anew, from 0 to 1. Default: 0.8, of SDXL 0.3; with a mask 1.
        strength: f64,
        /// Another scheduler, with the options of the model's own.
        scheduler: SchedulerKind,
        /// Whether large pictures are decoded in parts, which bounds memory. Default: no.
        vae_tiling: bool,
        /// Called after each step, with what can be shown of the picture.
        #[serde(skip)]
        callback_on_step_end: StepCall,
    }
}

/// A step that has been done.
#[derive(Debug)]
#[non_exhaustive]
pub struct StepReport<'a> {
    /// Its number, from 0 on.
    pub step: usize,
    /// How many there are.
    pub steps: usize,
    /// The step of the training.
    pub timestep: f32,
    /// The latents, `(pictures, channels, height, width)`.
    pub latents: &'a Tensor,
}

/// A function that is called after each step, and may end the painting: [`Error::Interrupted`].
///
/// [`Error::Interrupted`]: crate::Error::Interrupted
#[derive(Clone)]
pub struct StepCall(Arc<Call>);

type Call = dyn Fn(&StepReport<'_>) -> ControlFlow<()> + Send + Sync;

impl StepCall {
    /// Of a function.
    pub fn new(call: impl Fn(&StepReport<'_>) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    pub(super) fn call(&self, report: &StepReport<'_>) -> ControlFlow<()> {
        (self.0)(report)
    }
}

impl fmt::Debug for StepCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StepCall")
    }
}
