//! VITS, and MMS-TTS, which is VITS in a thousand languages. <https://arxiv.org/abs/2106.06103>
//!
//! Source: `models/vits/modeling_vits.py` of transformers 4.57.6. A text goes through an encoder to the mean and the
//! deviation of what is heard in each of its characters, a predictor says how long each is heard, a flow makes a
//! spectrogram of them and of noise, and HiFi-GAN makes samples of the spectrogram.

mod attention;
mod config;
mod duration;
mod encoder;
mod flow;
mod spline;
mod wavenet;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::speech::synthesis::hifigan::HifiGan;
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
use crate::weights::{Embedding, Inventory, Weights};
pub use config::VitsConfig;
use config::{NOISES, RATES};
use duration::DurationPredictor;
use encoder::TextEncoder;
use flow::CouplingFlow;

/// `VitsModel` of transformers.
#[derive(Debug)]
pub struct VitsModel {
    config: VitsConfig,
    device: Device,
    encoder: TextEncoder,
    durations: DurationPredictor,
    flow: CouplingFlow,
    vocoder: HifiGan,
    speakers: Option<Embedding>,
    inventory: Inventory,
    threads: Threads,
}

/// What VITS computes on the way to samples, for comparing it with the reference.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VitsStages {
    /// The text encoder's last layer, `(ids, hidden)`.
    pub hidden_states: Tensor,
    /// Of each id, `(ids, flow)`.
    pub prior_means: Tensor,
    /// Of each id, `(ids, flow)`.
    pub prior_log_variances: Tensor,
    /// Of each id, the logarithm of its frames at a speaking rate of 1.
    pub log_durations: Vec<f32>,
    /// The frames of each id.
    pub durations: Vec<usize>,
    /// The frames that the vocoder reads, `(frames, flow)`.
    pub spectrogram: Tensor,
    /// The samples.
    pub waveform: Vec<f32>,
}

impl VitsModel {
    /// Reads a checkpoint. [`AutoModel`](crate::models::AutoModel) does so, too, for `dyn TextToWaveform`.
    ///
    /// # Errors
    ///
    /// As [`AutoModel::from_files`](crate::models::AutoModel::from_files).
    pub fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let config = VitsConfig::read(&RawConfig::read(files)?)?;
        let weights =
            Weights::open(files, NameTable::stored_names(), options)?.base_model_prefix("vits");
        let speakers = match config.num_speakers {
            0 | 1 => None,
            count => Some(weights.embedding("embed_speaker", count, config.speaker_size)?),
        };
        Ok(Self {
            encoder: TextEncoder::load(&weights.scope("text_encoder"), &config)?,
            durations: DurationPredictor::load(&weights.scope("duration_predictor"), &config)?,
            flow: CouplingFlow::load(&weights.scope("flow"), &config)?,
            vocoder: HifiGan::load(&weights.scope("decoder"), &config.vocoder)?,
            speakers,
            device: weights.device().clone(),
            threads: Threads::new(options.threads)?,
            inventory: weights.inventory(),
            config,
        })
    }

    /// The sizes of the model.
    #[must_use]
    pub fn config(&self) -> &VitsConfig {
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
    ) -> Result<VitsStages> {
        let mut known = vec!["speaking_rate", "noise_scale", "noise_scale_duration"];
        if self.speakers.is_some() {
            known.push("speaker_id");
        }
        request.check(&known)?;
        check_ids(ids, self.config.vocab_size)?;
        if ids.len() > MOST_IDS {
            let count = ids.len();
            let reason =
                format!("a text of {count} ids, of at most {MOST_IDS}; cut it into sentences");
            return Err(Error::input(reason));
        }
        let config = &self.config;
        let rate = within("speaking_rate", request.speaking_rate, config.speaking_rate, RATES)?;
        let noise = within("noise_scale", request.noise_scale, config.noise_scale, NOISES)?;
        let duration_noise = within(
            "noise_scale_duration",
            request.noise_scale_duration,
            config.noise_scale_duration,
            NOISES,
        )?;
        let speaker = self.speaker(request.speaker_id)?;
        self.threads.run_on(&self.device, || {
            let encoded = self.encoder.forward(ids, &self.device)?;
            let log_durations = self.durations.forward(
                &encoded.hidden_states,
                speaker.as_ref(),
                duration_noise as f32,
                generator,
            )?;
            let durations = self.frames(&log_durations, rate)?;
            checkpoint()?;
            let of_frame = of_frames(&durations);
            let count = of_frame.len();
            let index = Tensor::from_vec(of_frame, count, &self.device)?;
            let means = encoded.prior_means.index_select(&index, 0)?;
            let logs = encoded.prior_log_variances.index_select(&index, 0)?;
            // As torch draws for a tensor whose channels lie side by side: one number after the other.
            let numbers: Vec<f32> =
                (0..means.elem_count()).flat_map(|_| generator.randn::<f32>(1)).collect();
            let drawn = Tensor::from_vec(numbers, means.shape(), &self.device)?;
            let spread = ((drawn.to_dtype(means.dtype())? * logs.exp()?)? * noise)?;
            let spectrogram = self.flow.reverse(&(means + spread)?, speaker.as_ref())?;
            checkpoint()?;
            let waveform = self.vocoder.forward(&spectrogram, speaker.as_ref())?;
            Ok(VitsStages {
                hidden_states: encoded.hidden_states,
                prior_means: encoded.prior_means,
                prior_log_variances: encoded.prior_log_variances,
                log_durations,
                durations,
                spectrogram,
                waveform,
            })
        })
    }

    /// The embedding of a speaker, `(1, size)`.
    fn speaker(&self, number: Option<usize>) -> Result<Option<Tensor>> {
        let (Some(speakers), Some(number)) = (&self.speakers, number) else { return Ok(None) };
        let count = self.config.num_speakers;
        let Some(id) = u32::try_from(number).ok().filter(|_| number < count) else {
            let reason = format!("{number} of a voice with the speakers 0 to {}", count - 1);
            return Err(Error::option("speaker_id", reason));
        };
        Ok(Some(speakers.forward(&Tensor::new(&[id], &self.device)?)?))
    }

    /// How many frames each id is heard in; one at least in all.
    fn frames(&self, log_durations: &[f32], rate: f64) -> Result<Vec<usize>> {
        let most = MOST_SECONDS * self.config.sampling_rate as usize / self.config.vocoder.hop();
        let scale = (1.0 / rate) as f32;
        let frames: Vec<f32> = log_durations.iter().map(|log| (log.exp() * scale).ceil()).collect();
        let all: f64 = frames.iter().copied().map(f64::from).sum();
        if all.is_nan() || all > most as f64 {
            return Err(Error::input(format!(
                "the text would be spoken for more than {MOST_SECONDS} seconds; cut it into sentences"
            )));
        }
        let mut frames: Vec<usize> = frames.into_iter().map(|frames| frames as usize).collect();
        if frames.iter().all(|&frames| frames == 0)
            && let Some(first) = frames.first_mut()
        {
            *first = 1;
        }
        Ok(frames)
    }
}

impl Model for VitsModel {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl TextToWaveform for VitsModel {
    fn sampling_rate(&self) -> u32 {
        self.config.sampling_rate
    }

    fn vocab(&self) -> usize {
        self.config.vocab_size
    }

    fn speakers(&self) -> usize {
        if self.speakers.is_some() { self.config.num_speakers } else { 0 }
    }

    fn speak(
        &self,
        ids: &[u32],
        request: &SpeechRequest,
        generator: &mut Generator,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Speech> {
        let VitsStages { waveform, durations, .. } =
            self.stages(ids, request, generator, checkpoint)?;
        let hop = self.config.vocoder.hop();
        let durations = durations.into_iter().map(|frames| frames * hop).collect();
        Ok(Speech { samples: waveform, durations: Some(durations) })
    }
}

/// Numbers of the normal distribution for a plain tensor, in the dtype of the model.
fn drawn(
    generator: &mut Generator,
    shape: &[usize],
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let numbers = generator.randn::<f32>(shape.iter().product());
    Ok(Tensor::from_vec(numbers, shape, device)?.to_dtype(dtype)?)
}

/// Of one text: more take minutes of attention and speak for longer than is allowed.
const MOST_IDS: usize = 1 << 15;
/// Speech of one text is not longer.
const MOST_SECONDS: usize = 600;
