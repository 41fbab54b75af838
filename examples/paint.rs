//! Paints a text.
//!
//! ```text
//! cargo run --release --features image --example paint -- --model ./stable-diffusion-v1-5 "a cat in the style of Dalí"
//! cargo run --release --features image --example paint -- --model ./flux-schnell --quantize q4_k --steps 4 \
//!     --words 256 --seed 7 --output students.png "a class of students in the style of Dalí"
//! cargo run --release --features image --example paint -- --model ./sd --strip steps.png "a cat"
//! ```
//!
//! The file holds what it was painted with. `--strip` writes the picture after each step beside one another.

#[cfg(feature = "image")]
mod painting {
    use std::ops::ControlFlow;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex};

    use clap::Parser;
    use sconce::diffusion::schedulers::SchedulerKind;
    use sconce::diffusion::{PaintOptions, Painter, StepCall};
    use sconce::image::{read, write, write_with_texts};
    use sconce::pipeline::Image;
    use sconce::{Error, LoadOptions, ModelSource, QuantLevel, Result, Tensor};

    #[derive(Parser)]
    #[command(about = "Paints a text")]
    struct Arguments {
        /// A folder of diffusers (`./folder`) or a Hub id
        #[arg(long)]
        model: String,
        /// Where to write
        #[arg(long, default_value = "painting.png")]
        output: PathBuf,
        /// The picture after each step, beside one another
        #[arg(long)]
        strip: Option<PathBuf>,
        /// A picture to begin with
        #[arg(long)]
        image: Option<PathBuf>,
        /// Light where the picture is painted anew
        #[arg(long)]
        mask: Option<PathBuf>,
        /// How much of the picture is painted anew, from 0 to 1
        #[arg(long)]
        strength: Option<f64>,
        /// What is not to be in the picture
        #[arg(long)]
        negative: Option<String>,
        #[arg(long)]
        steps: Option<usize>,
        #[arg(long)]
        guidance: Option<f64>,
        #[arg(long)]
        height: Option<usize>,
        #[arg(long)]
        width: Option<usize>,
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Such as EulerDiscreteScheduler
        #[arg(long)]
        scheduler: Option<SchedulerKind>,
        /// FLUX: tokens of the text
        #[arg(long)]
        words: Option<usize>,
        /// Decode in parts, in less memory
        #[arg(long)]
        tiling: bool,
        /// Weigh words: `(word:1.3)`, `(word)`, `[word]`
        #[arg(long)]
        weights: bool,
        /// Windows of CLIP that a long text may take
        #[arg(long)]
        windows: Option<usize>,
        /// Load each part when its turn comes, in less memory
        #[arg(long)]
        in_turn: bool,
        /// Quantize linear layers while loading: q8_0, q4_k, …
        #[arg(long)]
        quantize: Option<QuantLevel>,
        /// What to paint
        prompt: String,
    }

    pub(crate) fn run() -> Result<()> {
        let arguments = Arguments::parse();
        let mut load = LoadOptions::default();
        load.quantize = arguments.quantize;
        let source = ModelSource::from(arguments.model.as_str());
        let painter = match arguments.in_turn {
            true => Painter::open_in_turn(source, &load)?,
            false => Painter::open(source, &load)?,
        };
        let mut options = PaintOptions::default().seed(arguments.seed).vae_tiling(arguments.tiling);
        options.negative_prompt = arguments.negative.clone();
        options.image = arguments.image.as_ref().map(read).transpose()?;
        options.mask_image = arguments.mask.as_ref().map(read).transpose()?;
        options.strength = arguments.strength;
        options.num_inference_steps = arguments.steps;
        options.guidance_scale = arguments.guidance;
        options.height = arguments.height;
        options.width = arguments.width;
        options.scheduler = arguments.scheduler;
        options.max_sequence_length = arguments.words;
        options.prompt_weights = arguments.weights.then_some(true);
        options.max_embeddings_multiples = arguments.windows;
        let seen: Arc<Mutex<Vec<Tensor>>> = Arc::default();
        let (keep, wants_strip) = (Arc::clone(&seen), arguments.strip.is_some());
        let options = options.callback_on_step_end(StepCall::new(move |report| {
            eprintln!("step {} of {}", report.step + 1, report.steps);
            if let (true, Ok(mut seen)) = (wants_strip, keep.lock()) {
                seen.push(report.latents.clone());
            }
            ControlFlow::Continue(())
        }));
        let painted = painter.paint(&arguments.prompt, &options)?;
        let made = serde_json::to_string(&options).unwrap_or_default();
        let texts = [("prompt", arguments.prompt.as_str()), ("parameters", made.as_str())];
        if let Some(image) = painted.images.first() {
            save(&arguments.output, image, &texts)?;
        }
        if let Some(path) = &arguments.strip {
            let seen = seen.lock().map(|seen| seen.clone()).unwrap_or_default();
            let mut images = Vec::new();
            for latents in &seen {
                images.extend(painter.decode(latents, &options)?);
            }
            save(path, &beside(&images)?, &texts)?;
        }
        Ok(())
    }

    /// PNG files hold how they were painted, others the picture alone.
    fn save(path: &Path, image: &Image, texts: &[(&str, &str)]) -> Result<()> {
        match path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
            true => write_with_texts(path, image, texts),
            false => write(path, image),
        }
    }

    /// Pictures of one size, from left to right.
    fn beside(images: &[Image]) -> Result<Image> {
        let Some(first) = images.first() else {
            return Err(Error::InvalidInput { reason: "no pictures".to_owned() });
        };
        let row = |y: usize| {
            images
                .iter()
                .flat_map(move |image| &image.rgb[y * image.width * 3..][..image.width * 3])
        };
        let rgb = (0..first.height).flat_map(row).copied().collect();
        Image::new(first.width * images.len(), first.height, rgb)
    }
}

#[cfg(feature = "image")]
fn main() -> sconce::Result<()> {
    painting::run()
}

#[cfg(not(feature = "image"))]
fn main() {
    eprintln!("this example needs `--features image`");
}
