//! A folder of diffusers, loaded.

use candle_core::{DType, Device, Tensor};

use crate::diffusion::flux::Flux;
use crate::diffusion::index::Index;
use crate::diffusion::options::{OutputType, PaintOptions};
use crate::diffusion::parts::{PartMemory, Residence};
use crate::diffusion::schedulers::Scheduler;
use crate::diffusion::single;
use crate::diffusion::stable::Stable;
use crate::diffusion::work::Work;
use crate::error::{Error, Result};
use crate::media::Image;
use crate::models::Model as _;
use crate::models::diffusion::Vae;
use crate::options::{LoadOptions, ModelPart};
use crate::source::{ModelFiles, ModelSource};

/// A model that paints, with all of its parts: no call changes it.
///
/// ```no_run
/// use sconce::LoadOptions;
/// use sconce::diffusion::{PaintOptions, Painter};
///
/// let painter = Painter::open("./stable-diffusion-v1-5", &LoadOptions::default())?;
/// let options = PaintOptions::default().num_inference_steps(20).seed(7);
/// let painted = painter.paint("a class of students in the style of Dalí", &options)?;
/// println!("{} by {} pixels", painted.images[0].width, painted.images[0].height);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug)]
pub struct Painter {
    model: Model,
    scheduler: Scheduler,
    vae: Vae,
    device: Device,
}

#[derive(Debug)]
enum Model {
    Stable(Box<Stable>),
    Flux(Box<Flux>),
}

/// What was painted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Painted {
    /// The pictures; none where `output_type` is `latent`.
    pub images: Vec<Image>,
    /// Their latents after the last step, `(pictures, channels, height, width)` in f32.
    pub latents: Tensor,
    /// Tokens of the text that were cut, because the encoder has no room for them.
    pub cut_tokens: usize,
}

/// The pipelines of Stable Diffusion that need no more than what is painted with here.
const STABLE: [&str; 8] = [
    "LatentConsistencyModelImg2ImgPipeline",
    "LatentConsistencyModelPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline",
    "StableDiffusionXLPipeline",
];

/// The pipelines of FLUX.
const FLUX: [&str; 3] = ["FluxImg2ImgPipeline", "FluxInpaintPipeline", "FluxPipeline"];

/// Refuses numbers that no pipeline paints with.
fn check(options: &PaintOptions) -> Result<()> {
    let shares = [("guidance_rescale", options.guidance_rescale), ("eta", options.eta)];
    for (name, value) in shares.into_iter().chain([("strength", options.strength)]) {
        if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
            return Err(Error::option(name, format!("{value} is not between 0 and 1")));
        }
    }
    for (name, value) in
        [("guidance_scale", options.guidance_scale), ("true_cfg_scale", options.true_cfg_scale)]
    {
        if let Some(value) = value.filter(|value| !value.is_finite()) {
            return Err(Error::option(name, format!("{value} is no finite number")));
        }
    }
    Ok(())
}

/// The parts that an adapter may be for.
fn parts_of(index: &Index) -> &'static [&'static str] {
    match (index.has("transformer"), index.has("text_encoder"), index.has("text_encoder_2")) {
        (true, ..) => &["transformer", "text_encoder", "text_encoder_2"],
        (false, true, true) => &["unet", "text_encoder", "text_encoder_2"],
        (false, false, true) => &["unet", "text_encoder_2"],
        (false, _, false) => &["unet", "text_encoder"],
    }
}

impl Painter {
    /// Opens a folder or a repository that diffusers wrote, or a whole Stable Diffusion in one file (`.safetensors`,
    /// `.ckpt`). What the file is, its tensors tell. Tokenizers are taken from folders beside it, or from the repository
    /// that diffusers takes them from; other places are named by [`ModelSource::part`] and [`ModelSource::config`].
    ///
    /// # Errors
    ///
    /// When a part is missing or broken, or the pipeline is of another kind.
    pub fn open(source: impl Into<ModelSource>, options: &LoadOptions) -> Result<Self> {
        Self::from_files(&source.into().open()?, options)
    }

    /// As [`open`](Self::open), of an opened source.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        Self::load(files, options, Residence::Always)
    }

    /// As [`open`](Self::open), for short memory: an encoder of texts is read when its turn comes and leaves before the
    /// next part is read, and the model that paints leaves before its latents are decoded. So what is in memory is the
    /// largest part with the autoencoder, and every call reads the files again: `enable_model_cpu_offload` of
    /// diffusers, with the disk in the place of the CPU's memory.
    ///
    /// # Errors
    ///
    /// As there. A broken file is found when the turn of its part comes.
    pub fn open_in_turn(source: impl Into<ModelSource>, options: &LoadOptions) -> Result<Self> {
        Self::load(&source.into().open()?, options, Residence::InTurn)
    }

    fn load(files: &ModelFiles, options: &LoadOptions, residence: Residence) -> Result<Self> {
        let files = &single::complete(files)?;
        let index = Index::read(files)?;
        let options = &options.for_part(ModelPart { name: "", all: parts_of(&index) });
        let model = match index.class.as_str() {
            class if FLUX.contains(&class) => {
                Model::Flux(Box::new(Flux::load(files, options, residence)?))
            }
            class if STABLE.contains(&class) => {
                Model::Stable(Box::new(Stable::load(files, &index, options, residence)?))
            }
            other => {
                return Err(Error::unsupported(format!(
                    "{}: the pipeline {other:?}; Stable Diffusion 1, 2 and XL and FLUX are supported",
                    files.origin()
                )));
            }
        };
        let vae = crate::models::diffusion::open_vae(&files.folder("vae")?, options)?;
        Ok(Self {
            scheduler: Scheduler::from_files(&files.folder("scheduler")?)?,
            model,
            device: vae.device().clone(),
            vae,
        })
    }

    /// The memory that the weights of each part take at the moment.
    #[must_use]
    pub fn memory(&self) -> Vec<PartMemory> {
        let mut parts = match &self.model {
            Model::Stable(stable) => stable.memory(),
            Model::Flux(flux) => flux.memory(),
        };
        parts.push(PartMemory { name: "vae".to_owned(), bytes: self.vae.inventory().bytes() });
        parts
    }

    /// The scheduler that pictures are painted with unless options name another.
    #[must_use]
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Puts another scheduler in the place of the model's own.
    #[must_use]
    pub fn with_scheduler(self, scheduler: Scheduler) -> Self {
        Self { scheduler, ..self }
    }

    /// The autoencoder.
    #[must_use]
    pub fn vae(&self) -> &Vae {
        &self.vae
    }

    /// Puts another autoencoder, such as a small one, in the place of the model's own.
    #[must_use]
    pub fn with_vae(self, vae: Vae) -> Self {
        Self { vae, ..self }
    }

    /// Paints a text.
    ///
    /// # Errors
    ///
    /// When an option is invalid, or a callback ends the painting ([`Error::Interrupted`]).
    pub fn paint(&self, prompt: &str, options: &PaintOptions) -> Result<Painted> {
        check(options)?;
        let other = options.scheduler.map(|kind| self.scheduler.with_kind(kind)).transpose()?;
        let work = Work {
            prompt,
            options,
            scheduler: other.as_ref().unwrap_or(&self.scheduler),
            vae: &self.vae,
            device: &self.device,
        };
        let (latents, cut_tokens) = match &self.model {
            Model::Stable(stable) => stable.paint(&work)?,
            Model::Flux(flux) => flux.paint(&work)?,
        };
        let images = match options.output_type {
            Some(OutputType::Latent) => Vec::new(),
            Some(OutputType::Pil) | None => self.decode(&latents, options)?,
        };
        Ok(Painted { images, latents, cut_tokens })
    }

    /// How many tokens of a text the encoders have no room for: what they do not read.
    ///
    /// # Errors
    ///
    /// When the tokenizer refuses the text.
    pub fn cut_tokens(&self, prompt: &str, options: &PaintOptions) -> Result<usize> {
        match &self.model {
            Model::Stable(stable) => stable.cut_tokens(prompt, options),
            Model::Flux(flux) => flux.cut_tokens(prompt, options),
        }
    }

    /// The pictures of latents `(pictures, channels, height, width)`: also of those that a callback sees.
    ///
    /// # Errors
    ///
    /// When the latents have another shape.
    pub fn decode(&self, latents: &Tensor, options: &PaintOptions) -> Result<Vec<Image>> {
        let (count, _, _, _) = latents.dims4()?;
        let tiled = options.vae_tiling == Some(true);
        let one = |number: usize| image(&self.vae.decode_scaled(&latents.get(number)?, tiled)?);
        (0..count).map(one).collect()
    }
}

/// A picture `(3, height, width)` of -1 to 1 in 8 bits, rounded half to even as numpy does.
fn image(picture: &Tensor) -> Result<Image> {
    let (channels, height, width) = picture.dims3()?;
    if channels != 3 {
        return Err(Error::unsupported(format!("pictures of {channels} channels")));
    }
    let pixels = picture.to_dtype(DType::F32)?.permute((1, 2, 0))?.flatten_all()?;
    let pixels = pixels.to_vec1::<f32>()?;
    if pixels.iter().any(|pixel| pixel.is_nan()) {
        return Err(Error::input(
            "the picture holds NaN: a number in an option, a config.json or scheduler_config.json is out of \
             range, or the weights need another dtype, such as f32",
        ));
    }
    let byte = |pixel: &f32| ((pixel / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
    Image::new(width, height, pixels.iter().map(byte).collect())
}
