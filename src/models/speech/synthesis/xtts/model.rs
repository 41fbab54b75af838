//! XTTS 2 with its weights.

use candle_core::{Device, Tensor};

use super::config::XttsConfig;
use super::gpt::{self, Gpt, XttsStep};
use super::speaker::SpeakerEncoder;
use super::style::StyleEncoder;
use super::voice::{self, XttsVoice};
use crate::error::{Error, Result};
use crate::models::memory::Memory;
use crate::models::raw_config::RawConfig;
use crate::models::speech::synthesis::hifigan::HifiGan;
use crate::models::threads::Threads;
use crate::models::traits::{Model, TextModel};
use crate::nn::cache::KvCache;
use crate::nn::pieces::Slots;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::tokenizer::Tokenizer;
use crate::warning::warn;
use crate::weights::names::NameTable;
use crate::weights::{Inventory, Weights};

/// XTTS 2, read from Coqui's own files: config.json, model.pth, vocab.json and speakers_xtts.pth.
///
/// Coqui's weights are under the Coqui Public Model License, which forbids commercial use: loading says so by a
/// [warning](crate::pipeline::on_warning).
///
/// [`sound::utter`](crate::sound::utter) speaks with it.
#[derive(Debug)]
pub struct Xtts {
    pub(super) config: XttsConfig,
    gpt: Gpt,
    pub(super) style: StyleEncoder,
    pub(super) speaker_encoder: SpeakerEncoder,
    decoder: HifiGan,
    pub(super) voices: Vec<(String, XttsVoice)>,
    tokenizer: Tokenizer,
    inventory: Inventory,
    device: Device,
    pub(super) threads: Threads,
}

impl Xtts {
    /// Whether these are the files of an XTTS.
    pub(crate) fn is_in(files: &ModelFiles) -> Result<bool> {
        Self::is_of(&RawConfig::read(files)?)
    }

    /// Whether this is the config of an XTTS.
    pub(in crate::models) fn is_of(raw: &RawConfig) -> Result<bool> {
        let is_xtts = |value: &serde_json::Value| value.as_str() == Some("xtts");
        Ok(raw.value("model").is_some_and(is_xtts))
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    ///
    /// When it is another model or XTTS 1, or a file is missing or broken.
    pub fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let raw = RawConfig::read(files)?;
        if !Self::is_of(&raw)? {
            return Err(raw.refuse("model", "it should be \"xtts\", Coqui's name of XTTS"));
        }
        let config = XttsConfig::read(&raw)?;
        let (tokenizer, _) = Tokenizer::plain_named(files, "vocab.json")?;
        let end = |token: &str| {
            tokenizer.token_to_id(token).ok_or_else(|| {
                Error::malformed(files.origin(), format!("vocab.json has no token {token}"))
            })
        };
        let ends = [end("[START]")?, end("[STOP]")?];
        let names = NameTable { base: gpt::NAMES, own: &[] };
        let weights = Weights::open_stem(files, "model", names, options)?;
        let plain = weights.named(NameTable::stored_names());
        // The weights may be a part of what a trainer saves, and of its wrapper.
        let [named, stored] =
            [weights, plain].map(|it| it.base_model_prefix("model").inside_multimodal("xtts"));
        let stored = stored.scope("model");
        let threads = Threads::new(options.threads)?;
        let hidden = config.gpt.hidden_size;
        let heads = config.gpt.layers.first().map_or(1, |layer| layer.attention.heads);
        let decoder = stored.scope("hifigan_decoder.waveform_decoder");
        let channels = decoder.shape("conv_pre.weight").and_then(|shape| shape.first().copied());
        let channels = channels.ok_or_else(|| {
            Error::unsupported("no tensor `hifigan_decoder.waveform_decoder.conv_pre.weight`")
        })?;
        let decoder = HifiGan::load(&decoder, &config.decoder(&raw, channels)?)?;
        let speaker = stored.scope("hifigan_decoder.speaker_encoder");
        let speaker_encoder = SpeakerEncoder::load(&speaker, config.speaker_size)?;
        let style = StyleEncoder::load(&named, &stored, hidden, heads)?;
        let gpt = Gpt::load(&config, &named, ends, threads.clone())?;
        let voices = voice::stored(files, options, hidden, config.speaker_size)?;
        warn(LICENCE);
        Ok(Self {
            inventory: stored.inventory(),
            device: stored.device().clone(),
            config,
            gpt,
            style,
            speaker_encoder,
            decoder,
            voices,
            tokenizer,
            threads,
        })
    }

    /// The sizes of the model and its defaults.
    #[must_use]
    pub fn config(&self) -> &XttsConfig {
        &self.config
    }

    /// The tokenizer of texts that are cleaned already: [`XttsTokenizer`](crate::speech::XttsTokenizer) cleans them.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Ids of texts are below this.
    #[must_use]
    pub fn vocab(&self) -> usize {
        self.gpt.vocab()
    }

    /// Reads a voice and the ids of a text. Returns the cache that the codes go to, and what comes before the first.
    ///
    /// # Errors
    ///
    /// When the text has no ids, too many or one outside the vocabulary, or the voice is of another model.
    pub fn begin(&self, ids: &[u32], voice: &XttsVoice) -> Result<(KvCache, XttsStep)> {
        let (count, most, vocab) = (ids.len(), self.config.max_text_tokens, self.vocab());
        if ids.is_empty() {
            return Err(Error::input("nothing to speak: the text is empty"));
        }
        if count >= most {
            return Err(Error::input(format!(
                "a text of {count} tokens, and XTTS reads {} at most: set `enable_text_splitting`, or \
                 `pause`, or speak it in parts",
                most - 1
            )));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::input(format!("id {id} for a vocabulary of {vocab}")));
        }
        self.check(voice)?;
        self.gpt.begin(voice.latents(), ids, self.config.start_code)
    }

    /// Appends a code, the first of which has the place 1.
    ///
    /// # Errors
    ///
    /// When the code is too large, or there are too many.
    pub fn step(&self, code: u32, place: usize, cache: &mut KvCache) -> Result<XttsStep> {
        let (codes, most) = (self.config.gpt.vocab_size, self.config.max_codes + 5);
        if code as usize >= codes || place == 0 || place > most {
            let reason = format!("code {code} at {place}, where {codes} codes have {most} places");
            return Err(Error::input(reason));
        }
        self.gpt.step(code, place, cache)
    }

    /// Where the model computes.
    pub(super) fn on(&self) -> &Device {
        &self.device
    }

    /// The next frames of a row, or its end, to samples.
    pub(super) fn sound(
        &self,
        frames: Option<Tensor>,
        speaker: &Tensor,
        is_last: bool,
        slots: &mut Slots,
    ) -> Result<Vec<f32>> {
        let decoder = &self.decoder;
        self.threads
            .run_on(&self.device, || decoder.forward_piece(frames, Some(speaker), is_last, slots))
    }

    pub(super) fn check(&self, voice: &XttsVoice) -> Result<()> {
        let (hidden, size) = (self.config.gpt.hidden_size, self.config.speaker_size);
        let (vectors, width) = voice.latents().dims2()?;
        if voice.speaker().len() != size || width != hidden || vectors > MOST_VECTORS {
            let found = voice.speaker().len();
            return Err(Error::input(format!(
                "the voice is of another model: {found} numbers of a speaker and {vectors} vectors of {width}, \
                 where this one wants {size}, and vectors of {hidden}"
            )));
        }
        Ok(())
    }
}

impl Model for Xtts {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn memory(&self) -> Memory {
        Memory::new(&self.inventory, self.gpt.layers().cache_bytes_per_token())
    }
}

/// What is said where a checkpoint is loaded.
const LICENCE: &str = "the weights of XTTS are under the Coqui Public Model License, which forbids commercial use: \
                       https://coqui.ai/cpml";
/// Vectors of a voice; XTTS 2 has 32.
const MOST_VECTORS: usize = 64;
