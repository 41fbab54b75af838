//! Speed of the parts that paint: one step of a UNet or of a FLUX, and an autoencoder's decoding.
//!
//! ```text
//! cargo run --release --features image --example bench_images -- FOLDER [--size 512] [--threads 2] [--dtype bf16] [--quantize q8_0] [--repeats 3]
//! ```
//!
//! The folder is one of diffusers; its `unet`, its `transformer` and its `vae` are measured, each if it is there; a
//! transformer may have fewer layers than the real one. What the numbers are
//! does not matter. The best repeat is printed: other work on the machine only ever slows one down.

#[cfg(feature = "image")]
mod bench {
    use std::error::Error;
    use std::path::PathBuf;
    use std::time::Instant;

    use clap::Parser;
    use sconce::models::Model as _;
    use sconce::models::diffusion::{FluxInput, UNetInput, open_flux, open_unet, open_vae};
    use sconce::random::Generator;
    use sconce::{Device, LoadOptions, ModelSource, Precision, QuantLevel, Tensor};

    #[derive(Parser)]
    struct Arguments {
        /// A folder of diffusers.
        folder: PathBuf,
        /// Pixels of a side.
        #[arg(long, default_value_t = 512)]
        size: usize,
        /// Features of the text's hidden states.
        #[arg(long, default_value_t = 768)]
        features: usize,
        /// The threads of the model.
        #[arg(long)]
        threads: Option<usize>,
        /// The dtype of dense weights.
        #[arg(long)]
        dtype: Option<Precision>,
        /// Quantize linear layers while loading.
        #[arg(long)]
        quantize: Option<QuantLevel>,
        /// Measurements, of which the best counts.
        #[arg(long, default_value_t = 3)]
        repeats: usize,
    }

    pub(crate) fn run() -> Result<(), Box<dyn Error>> {
        let arguments = Arguments::parse();
        let mut load = LoadOptions::default().device(Device::Cpu);
        load.threads = arguments.threads;
        load.dtype = arguments.dtype;
        load.quantize = arguments.quantize;
        let (folder, side) = (&arguments.folder, arguments.size / 8);
        let mut generator = Generator::seed(0);
        let mut noise = |shape: &[usize]| -> sconce::Result<Tensor> {
            let numbers: Vec<f32> = generator.randn(shape.iter().product());
            Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
        };
        if folder.join("unet").is_dir() {
            let unet = open_unet(&ModelSource::from(folder.join("unet")).open()?, &load)?;
            weights("UNet", unet.inventory().bytes());
            let (sample, text) = (noise(&[4, side, side])?, noise(&[77, arguments.features])?);
            let timestep = 500.0;
            best("a step of the UNet", arguments.repeats, || {
                let (added, guidance) = (None, None);
                unet.forward(UNetInput { sample: &sample, timestep, text: &text, added, guidance })
            })?;
        }
        if folder.join("transformer").is_dir() {
            let files = ModelSource::from(folder.join("transformer")).open()?;
            let flux = open_flux(&files, &load)?;
            weights("transformer", flux.inventory().bytes());
            // Patches of 2 by 2 latent pixels, and 512 tokens of T5.
            let (tokens, text) = (noise(&[side * side / 4, 64])?, noise(&[512, 4096])?);
            let pooled = noise(&[1, 768])?;
            let size = [side / 2; 2];
            best("a step of the transformer", arguments.repeats, || {
                flux.forward(FluxInput {
                    tokens: &tokens,
                    size,
                    sigma: 0.5,
                    guidance: 3.5,
                    text: &text,
                    pooled: &pooled,
                })
            })?;
        }
        if folder.join("vae").is_dir() {
            let vae = open_vae(&ModelSource::from(folder.join("vae")).open()?, &load)?;
            weights("autoencoder", vae.inventory().bytes());
            let latents = noise(&[vae.latent_channels(), side, side])?;
            best("decoding", arguments.repeats, || vae.decode_scaled(&latents, false))?;
        }
        Ok(())
    }

    fn weights(what: &str, bytes: usize) {
        println!("weights of the {what}: {:.0} MB", bytes as f64 / 1e6);
    }

    /// Prints the shortest time that it took.
    fn best(
        what: &str,
        repeats: usize,
        mut work: impl FnMut() -> sconce::Result<Tensor>,
    ) -> sconce::Result<()> {
        let mut shortest = f64::INFINITY;
        for _ in 0..repeats.max(1) {
            let started = Instant::now();
            work()?;
            shortest = shortest.min(started.elapsed().as_secs_f64());
        }
        println!("{what}: {shortest:.3} s");
        Ok(())
    }
}

#[cfg(feature = "image")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    bench::run()
}

#[cfg(not(feature = "image"))]
fn main() {
    eprintln!("this example needs `--features image`");
}
