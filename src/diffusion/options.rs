//! How a picture is painted.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use candle_core::Tensor;

use crate::diffusion::schedulers::SchedulerKind;
use crate::fields::{choices, options};
use crate::media::Image;

options! {
    /// How a picture is painted, by the names and with the defaults of diffusers' pipelines.
    PaintOptions {
        /// Steps. Default: 50, of FLUX 28, of LCM pipelines 4.
        num_inference_steps: usize,
        /// The steps of the training that are taken, the noisiest first, in place of so many: schedulers that do not
        /// choose them themselves (DDPM, DPM-Solver, Euler, Heun, LCM, TCD). Not FLUX.
        timesteps: (Vec<f64>),
        /// The noise of each step: Euler, with the noise after the last step, and FLUX, from 1 on.
        sigmas: (Vec<f64>),
        /// How closely the text is followed; above 1 the model is asked twice at each step. Default: 7.5, of SDXL
        /// without a mask 5, of LCM pipelines 8.5, of FLUX 3.5, with a picture 7, which FLUX.1 schnell ignores.
        guidance_scale: f64,
        /// By how much a picture that guidance has made too bright is darkened, from 0 to 1. Default: 0.
        /// <https://arxiv.org/abs/2305.08891>
        guidance_rescale: f64,
        /// What is not to be in the picture. Stable Diffusion only. Default: an empty text, in SDXL zeros in its
        /// place.
        negative_prompt: String,
        /// The text for the second encoder: SDXL and FLUX. Default: the text itself.
        prompt_2: String,
        /// What is not to be in the picture, for the second encoder: SDXL and FLUX. Default: as `negative_prompt`.
        negative_prompt_2: String,
        /// As `guidance_scale`, for FLUX with a negative prompt: above 1 the model is asked twice at each step.
        /// Default: 1.
        true_cfg_scale: f64,
        /// Whether brackets weigh words, by the grammar of Automatic1111: `(word:1.3)`, `(word)`, `[word]`. Not
        /// FLUX. Default: no, brackets are read as they stand.
        prompt_weights: bool,
        /// Windows of CLIP's 75 tokens that a text may take, which are read one by one and joined. Not FLUX.
        /// Default: 1, and a longer text is cut, which is reported.
        max_embeddings_multiples: usize,
        /// Pixels of a column, a multiple of 8, of FLUX of 16. Default: what the model was trained with.
        height: usize,
        /// Pixels of a row. Default: as `height`.
        width: usize,
        /// Pictures of one text, painted from one stream of random numbers. Default: 1.
        num_images_per_prompt: usize,
        /// Seeds `torch.Generator("cpu")`. Default: 0.
        seed: u64,
        /// How much of the noise of each step is new: DDIM and TCD. Default: 0.
        eta: f64,
        /// Layers of CLIP that are left out at its end. Default: none.
        clip_skip: usize,
        /// Tokens of the text for T5: FLUX. Default: 512; FLUX.1 schnell was trained with 256.
        max_sequence_length: usize,
        /// SDXL: height and width of the picture that it is to look like a part of. Default: as large as it is.
        original_size: ([usize; 2]),
        /// SDXL: where that part begins, from the top and from the left. Default: `[0, 0]`.
        crops_coords_top_left: ([usize; 2]),
        /// SDXL: height and width of the part. Default: as large as the picture.
        target_size: ([usize; 2]),
        /// SDXL: as `original_size`, for what is not to be in the picture; with `negative_target_size`. Default: as
        /// `original_size`.
        negative_original_size: ([usize; 2]),
        /// SDXL: as `crops_coords_top_left`, for what is not to be in the picture. Default: `[0, 0]`. With a picture to
        /// begin with, only the refiner reads it, as in diffusers: other models take `crops_coords_top_left`.
        negative_crops_coords_top_left: ([usize; 2]),
        /// SDXL: as `target_size`, for what is not to be in the picture; with `negative_original_size`.
        negative_target_size: ([usize; 2]),
        /// A picture to begin with, in place of noise.
        #[serde(skip)]
        image: Image,
        /// Latents in the place of that picture, `(pictures, channels, height, width)`, such as
        /// [`Painted::latents`](crate::diffusion::Painted::latents): `image` of diffusers, where that is a tensor.
        #[serde(skip)]
        image_latents: Tensor,
        /// Light where that picture is painted anew, and dark where it stays; of its size. Default: all of it is
        /// painted anew.
        #[serde(skip)]
        mask_image: Image,
        /// How much of that picture is painted anew, from 0 to 1. Default: 0.8, of SDXL 0.3, of FLUX 0.6; with a mask
        /// 1, of SDXL 0.9999, of FLUX 0.6.
        strength: f64,
        /// SDXL: the share of the noise that is gone already, between 0 and 1: where the steps begin in place of
        /// `strength`, with no noise added to `image_latents` or `image`. Default: as `strength` says.
        denoising_start: f64,
        /// SDXL: the share of the noise that is gone at the end, between 0 and 1: a refiner goes on with the latents.
        /// Default: all of it.
        denoising_end: f64,
        /// How beautiful the picture is to be: SDXL's refiner. Default: 6.
        aesthetic_score: f64,
        /// As `aesthetic_score`, for what is not to be in the picture. Default: 2.5.
        negative_aesthetic_score: f64,
        /// Another scheduler, with the options of the model's own.
        scheduler: SchedulerKind,
        /// Whether large pictures are decoded in parts, which bounds memory. Default: no.
        vae_tiling: bool,
        /// What is made: pictures, or latents alone. Default: pictures.
        output_type: OutputType,
        /// Called after each step, with what can be shown of the picture.
        #[serde(skip)]
        callback_on_step_end: StepCall,
    }
}

choices! {
    /// What painting makes.
    #[non_exhaustive]
    OutputType, "output_type" {
        /// Pictures.
        Pil = "pil",
        /// Latents, which [`Painter::decode`](crate::diffusion::Painter::decode) makes pictures of.
        Latent = "latent",
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
