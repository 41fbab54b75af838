//! Kokoro: StyleTTS 2 with the decoder of iSTFTNet, as `hexgrad/Kokoro-82M` ships it.
//! <https://huggingface.co/hexgrad/Kokoro-82M>
//!
//! Source: `model.py`, `modules.py` and `istftnet.py` of kokoro 0.9.4. PL-BERT, an ALBERT, reads the phonemes; a
//! predictor says how long each is heard and with which pitch; a text encoder says what is heard; and a decoder makes
//! samples of all that, of the voice, and of a tone with its overtones and noise.

mod adaptive;
mod config;
mod decoder;
mod generator;
mod prosody;
mod source;
mod text;
mod voices;

use candle_core::{DType, Device, Tensor};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::encoder::TextEncoder;
use crate::models::raw_config::RawConfig;
use crate::models::speech::synthesis::lists::of_frames;
use crate::models::speech::synthesis::traits::{
    Speech, SpeechRequest, TextToWaveform, check_ids, within,
};
use crate::models::threads::Threads;
use crate::models::traits::{Checkpoint, Model};
use crate::options::LoadOptions;
use crate::random::Generator;
use crate::source::ModelFiles;
use crate::weights::names::NameTable;
use crate::weights::{Bias, Inventory, Linear, Weights};
pub use config::KokoroConfig;
use decoder::Decoder;
use prosody::ProsodyPredictor;
use text::PhonemeEncoder;
use voices::Voices;

/// `KModel` of the package kokoro.
#[derive(Debug)]
pub struct KokoroModel {
    config: KokoroConfig,
    device: Device,
    /// Of activations.
    dtype: DType,
    bert: TextEncoder,
    bert_projection: Linear,
    predictor: ProsodyPredictor,
    text_encoder: PhonemeEncoder,
    decoder: Decoder,
    voices: Voices,
    inventory: Inventory,
    threads: Threads,
}

/// What Kokoro computes on the way to samples, for comparing it with the reference.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KokoroStages {
    /// The last layer of PL-BERT, `(ids, hidden)`.
    pub bert: Tensor,
    /// What durations are predicted from, `(ids, hidden + style)`.
    pub prosody: Tensor,
    /// The frames of each id, not rounded yet.
    pub durations: Vec<f32>,
    /// The frames of each id.
    pub frames: Vec<usize>,
    /// In Hertz, two for each frame.
    pub pitch: Vec<f32>,
    /// Two for each frame.
    pub energy: Vec<f32>,
    /// What is heard in each id, `(ids, hidden)`.
    pub text: Tensor,
    /// A tone with overtones and noise, as many samples as of the waveform.
    pub source: Vec<f32>,
    /// What is made into samples, two for each frame: `(2 frames, channels)`.
    pub decoded: Tensor,
    /// The samples.
    pub waveform: Vec<f32>,
}

impl KokoroModel {
    /// Reads a checkpoint: `config.json` with `kokoro-v1_0.pth`, `kokoro-v1_1-zh.pth` or `model.safetensors`, and
    /// `voices/*.pt` as they are asked for. [`AutoModel`](crate::models::AutoModel) does so, too, for
    /// `dyn TextToWaveform`.
    ///
    /// # Errors
    ///
    /// As [`AutoModel::from_files`](crate::models::AutoModel::from_files).
    pub fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let raw = RawConfig::read(files)?;
        let config = KokoroConfig::read(&raw)?;
        let names = NameTable::stored_names();
        let mut stem = None;
        for known in STEMS {
            if stem.is_none() && files.optional(&format!("{known}.pth"))?.is_some() {
                stem = Some(known);
            }
        }
        let weights = match stem {
            Some(stem) => Weights::open_stem(files, stem, names, options)?,
            None => Weights::open(files, names, options)?,
        };
        // As they were trained, on several processors at once.
        let is_wrapped = weights.stored_names().any(|name| name.starts_with("decoder.module."));
        let part = |name: &str| if is_wrapped { format!("{name}.module") } else { name.to_owned() };
        let bert = raw.section("plbert")?.ok_or_else(|| raw.missing("plbert"))?;
        let bert = bert.with("vocab_size", config.n_token);
        let threads = Threads::new(options.threads)?;
        let bert = TextEncoder::inside("albert", &bert, &weights, &part("bert"), threads.clone())?;
        let width = bert.config().hidden_size;
        let scope = |name: &str| weights.scope(part(name));
        Ok(Self {
            bert_projection: weights.linear(
                &part("bert_encoder"),
                width,
                config.hidden_dim,
                Bias::Present,
            )?,
            bert,
            predictor: ProsodyPredictor::load(&scope("predictor"), &config)?,
            text_encoder: PhonemeEncoder::load(&scope("text_encoder"), &config)?,
            decoder: Decoder::load(&scope("decoder"), &config)?,
            voices: Voices::new(files, 2 * config.style_dim)?,
            device: weights.device().clone(),
            dtype: weights.dtype(),
            inventory: weights.inventory(),
            threads,
            config,
        })
    }

    /// The sizes of the model.
    #[must_use]
    pub fn config(&self) -> &KokoroConfig {
        &self.config
    }

    /// As [`speak`](TextToWaveform::speak), with all that is computed on the way.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn stages(
        &self,
        ids: &[u32],
        request: &SpeechRequest,
        generator: &mut Generator,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<KokoroStages> {
        request.check(&["voice", "speed"])?;
        check_ids(ids, self.config.n_token)?;
        let most = self.config.max_position_embeddings;
        if !(3..=most).contains(&ids.len()) {
            return Err(Error::input(format!(
                "{} ids: this model reads 1 to {} phonemes at once, between zeros",
                ids.len(),
                most.saturating_sub(2)
            )));
        }
        let speed = within("speed", request.speed, 1.0, 0.05..=20.0)?;
        let voice = request.voice.as_deref().ok_or_else(|| {
            let known = self.voices.names().join(", ");
            Error::option("voice", format!("this model needs one; there are {known}"))
        })?;
        let row = self.voices.style(voice, ids.len() - 2)?;
        self.threads.run_on(&self.device, || {
            let half = self.config.style_dim;
            let style = |numbers: &[f32]| -> Result<Tensor> {
                let style = Tensor::from_slice(numbers, (1, half), &self.device)?;
                Ok(style.to_dtype(self.dtype)?)
            };
            let (sound, melody) = (style(&row[..half])?, style(&row[half..])?);
            let (_, bert) = self.bert.packed(&TokenBatch::single(ids)?)?;
            let projected = self.bert_projection.forward(&bert)?;
            let prosody = self.predictor.encode(&projected, &melody)?;
            let durations = self.predictor.durations(&prosody, speed as f32)?;
            let frames = self.frames(&durations)?;
            checkpoint()?;
            let of_frame = of_frames(&frames);
            let count = of_frame.len();
            let index = Tensor::from_vec(of_frame, count, &self.device)?;
            let [pitch, energy] =
                self.predictor.melody(&prosody.index_select(&index, 0)?, &melody)?;
            let text = self.text_encoder.forward(ids, &self.device)?;
            let phonemes = text.index_select(&index, 0)?;
            checkpoint()?;
            let decoded = self.decoder.forward(
                &phonemes,
                [&pitch, &energy],
                &sound,
                generator,
                checkpoint,
            )?;
            let (source, waveform) = (decoded.source, decoded.waveform);
            let decoded = decoded.frames;
            Ok(KokoroStages {
                bert,
                prosody,
                durations,
                frames,
                pitch,
                energy,
                text,
                source,
                decoded,
                waveform,
            })
        })
    }

    /// The last part alone, for comparing it with the reference without what is random: the samples of
    /// [`decoded`](KokoroStages::decoded), `(2 frames, channels)`, and of the spectra of a source,
    /// `(spectra, 2 bins)`: the magnitudes of each, and then its phases. As many samples as a spectrum begins after the one
    /// before are `gen_istft_hop_size` of the config, and there is one spectrum more than fit in. The voice is that for so
    /// many phonemes.
    ///
    /// # Errors
    ///
    /// When there is no such voice, or the sizes do not fit.
    pub fn generate(
        &self,
        decoded: &Tensor,
        spectra: &Tensor,
        voice: &str,
        phonemes: usize,
    ) -> Result<Vec<f32>> {
        let config = &self.config;
        let (frames, channels) = decoded.dims2()?;
        let samples = config.pitch_hop();
        let wanted = [frames * samples / config.gen_istft_hop_size + 1, config.gen_istft_n_fft + 2];
        if frames == 0 || channels != config.upsample_initial_channel || spectra.dims() != wanted {
            let (channels, found) = (config.upsample_initial_channel, spectra.dims());
            return Err(Error::input(format!(
                "{:?} for frames of {channels} channels, and {found:?} where spectra {wanted:?} go with them",
                decoded.dims()
            )));
        }
        let row = self.voices.style(voice, phonemes)?;
        let half = &row[..config.style_dim];
        let on_device = |x: &Tensor| x.to_device(&self.device)?.to_dtype(self.dtype);
        let style = on_device(&Tensor::from_slice(half, (1, half.len()), &Device::Cpu)?)?;
        let (decoded, spectra) = (on_device(decoded)?, on_device(spectra)?);
        self.threads.run_on(&self.device, || {
            self.decoder.generator().of_spectrum(&decoded, &spectra, &style)
        })
    }

    /// How many frames each id is heard in, one at least.
    fn frames(&self, durations: &[f32]) -> Result<Vec<usize>> {
        let most = MOST_SECONDS * source::SAMPLES_PER_SECOND as usize / self.config.hop();
        let all: f64 = durations.iter().copied().map(f64::from).sum();
        if all.is_nan() || all > most as f64 {
            return Err(Error::input(format!(
                "the text would be spoken for more than {MOST_SECONDS} seconds; cut it into sentences"
            )));
        }
        Ok(durations.iter().map(|&frames| frames.round_ties_even().max(1.0) as usize).collect())
    }
}

impl Model for KokoroModel {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl TextToWaveform for KokoroModel {
    fn sampling_rate(&self) -> u32 {
        source::SAMPLES_PER_SECOND as u32
    }

    fn vocab(&self) -> usize {
        self.config.n_token
    }

    fn voices(&self) -> Vec<String> {
        self.voices.names()
    }

    fn speak(
        &self,
        ids: &[u32],
        request: &SpeechRequest,
        generator: &mut Generator,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Speech> {
        let KokoroStages { waveform, frames, .. } =
            self.stages(ids, request, generator, checkpoint)?;
        let hop = self.config.hop();
        let durations = frames.into_iter().map(|frames| frames * hop).collect();
        Ok(Speech { samples: waveform, durations: Some(durations) })
    }
}

/// What the weights of published models are called.
const STEMS: [&str; 2] = ["kokoro-v1_0", "kokoro-v1_1-zh"];
/// Speech of one text is not longer.
const MOST_SECONDS: usize = 300;
