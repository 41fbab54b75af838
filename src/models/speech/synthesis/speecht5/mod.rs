//! SpeechT5: a text and a speaker's embedding to a spectrogram, frame by frame. <https://arxiv.org/abs/2110.07205>
//!
//! Source: `models/speecht5/modeling_speecht5.py` of transformers 4.57.6.

mod attention;
mod config;
mod decoder;
mod encoder;
mod positions;
mod vocoder;

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::speech::synthesis::traits::{
    Speech, SpeechRequest, TextToWaveform, check_ids, within,
};
use crate::models::threads::Threads;
use crate::models::traits::{Checkpoint, Model};
use crate::options::LoadOptions;
use crate::random::Generator;
use crate::source::ModelFiles;
use crate::weights::names::NameTable;
use crate::weights::{Inventory, Weights};
pub use config::SpeechT5Config;
use decoder::{Postnet, SpeechDecoder};
use encoder::TextEncoder;
pub use vocoder::SpeechT5HifiGan;

/// `SpeechT5ForTextToSpeech` of transformers. Cloning shares the weights.
#[derive(Debug, Clone)]
pub struct SpeechT5ForTextToSpeech {
    network: Arc<Network>,
    vocoder: Option<Arc<SpeechT5HifiGan>>,
}

#[derive(Debug)]
struct Network {
    config: SpeechT5Config,
    encoder: TextEncoder,
    decoder: SpeechDecoder,
    postnet: Postnet,
    device: Device,
    inventory: Inventory,
    threads: Threads,
}

impl SpeechT5ForTextToSpeech {
    /// Reads a checkpoint, without a vocoder.
    ///
    /// # Errors
    ///
    /// As [`AutoModel::from_files`](crate::models::AutoModel::from_files).
    pub fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let config = SpeechT5Config::read(&RawConfig::read(files)?)?;
        let weights = Weights::open(files, NameTable::stored_names(), options)?;
        let body = weights.scope("speecht5");
        Ok(Self {
            network: Arc::new(Network {
                encoder: TextEncoder::load(&body.scope("encoder"), &config)?,
                decoder: SpeechDecoder::load(&body.scope("decoder"), &config)?,
                postnet: Postnet::load(&weights.scope("speech_decoder_postnet"), &config)?,
                device: weights.device().clone(),
                inventory: weights.inventory(),
                threads: Threads::new(options.threads)?,
                config,
            }),
            vocoder: None,
        })
    }

    /// The sizes of the model.
    #[must_use]
    pub fn config(&self) -> &SpeechT5Config {
        &self.network.config
    }

    /// The spectrogram of a text, `(frames, bins)`: `generate_speech` of transformers without a vocoder.
    ///
    /// # Errors
    ///
    /// As [`speak`](TextToWaveform::speak).
    pub fn spectrogram(
        &self,
        ids: &[u32],
        request: &SpeechRequest,
        generator: &mut Generator,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Tensor> {
        request.check(&["speaker_embeddings", "threshold", "minlenratio", "maxlenratio"])?;
        let network = &*self.network;
        let config = &network.config;
        check_ids(ids, config.vocab_size)?;
        let size = config.speaker_embedding_dim;
        let speaker = match &request.speaker_embeddings {
            Some(speaker) if speaker.len() == size && speaker.iter().all(|x| x.is_finite()) => {
                speaker
            }
            Some(speaker) => {
                let found = speaker.len();
                let reason = format!("{found} numbers where the model wants {size} finite ones");
                return Err(Error::option("speaker_embeddings", reason));
            }
            None => {
                let reason = format!("this model needs the embedding of a speaker: {size} numbers");
                return Err(Error::option("speaker_embeddings", reason));
            }
        };
        let threshold = within("threshold", request.threshold, 0.5, 0.0..=1e6)?;
        let least = within("minlenratio", request.minlenratio, 0.0, 0.0..=1e4)?;
        let most = within("maxlenratio", request.maxlenratio, 20.0, 0.0..=1e4)?;
        let steps =
            |ratio: f64| (ids.len() as f64 * ratio / config.reduction_factor as f64) as usize;
        let (least, most) = (steps(least), steps(most));
        network.threads.run_on(&network.device, || {
            let text = network.encoder.forward(ids, &network.device)?;
            let mut state = network.decoder.start(&text, speaker)?;
            let mut frames = Vec::new();
            for step in 1.. {
                checkpoint()?;
                if step > config.max_speech_positions {
                    let limit = config.max_speech_positions;
                    return Err(Error::input(format!(
                        "the speech is longer than {limit} steps, which the model can do: cut the text into \
                         sentences (`pause`), or lower `maxlenratio`"
                    )));
                }
                let x = network.decoder.step(&mut state, generator)?;
                let (new, stop) = network.postnet.read(&x)?;
                state.go_on(&new)?;
                frames.push(new);
                let is_end = step >= most || f64::from(stop) >= threshold;
                if step >= least && is_end {
                    break;
                }
            }
            network.postnet.refine(&Tensor::cat(&frames, 0)?)
        })
    }
}

impl Model for SpeechT5ForTextToSpeech {
    fn device(&self) -> &Device {
        &self.network.device
    }

    fn inventory(&self) -> &Inventory {
        &self.network.inventory
    }
}

impl TextToWaveform for SpeechT5ForTextToSpeech {
    fn sampling_rate(&self) -> u32 {
        self.vocoder.as_ref().map_or(16_000, |vocoder| vocoder.sampling_rate())
    }

    fn vocab(&self) -> usize {
        self.network.config.vocab_size
    }

    fn speaker_embedding_size(&self) -> Option<usize> {
        Some(self.network.config.speaker_embedding_dim)
    }

    fn generates(&self) -> bool {
        true
    }

    fn with_vocoder(&self, vocoder: Arc<SpeechT5HifiGan>) -> Result<Arc<dyn TextToWaveform>> {
        let (found, wanted) = (vocoder.bins(), self.network.config.num_mel_bins);
        if found != wanted {
            let reason =
                format!("it reads frames of {found} channels, and the model writes {wanted}");
            return Err(Error::option("vocoder", reason));
        }
        Ok(Arc::new(Self { network: Arc::clone(&self.network), vocoder: Some(vocoder) }))
    }

    fn speak(
        &self,
        ids: &[u32],
        request: &SpeechRequest,
        generator: &mut Generator,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Speech> {
        let Some(vocoder) = &self.vocoder else {
            return Err(Error::option(
                "vocoder",
                "this model writes spectrograms: name what makes sound of them, such as \
                 \"microsoft/speecht5_hifigan\"",
            ));
        };
        let spectrogram = self.spectrogram(ids, request, generator, checkpoint)?;
        checkpoint()?;
        let samples =
            self.network.threads.run_on(&self.network.device, || vocoder.forward(&spectrogram))?;
        Ok(Speech { samples, durations: None })
    }
}
