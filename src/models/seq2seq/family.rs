//! A family of encoder-decoders: data.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::config::Seq2SeqConfig;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::Weights;
use crate::weights::names::{NameTable, Rule};

/// A family of encoder-decoders: how its config is read and what its tensors are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    /// `model_type` in config.json.
    pub(crate) model_types: &'static [&'static str],
    /// Sizes and special ids of the reference's config class, which config.json may leave out.
    pub(crate) defaults: &'static [(&'static str, u32)],
    /// Fields that the class knows by two names: pairs of the common one, which wins, and its own.
    pub(crate) attribute_map: &'static [(&'static str, &'static str)],
    /// Reads the config.
    pub(crate) config: fn(&RawConfig) -> Result<Seq2SeqConfig>,
    /// What the tensors of the family and of its kin are called.
    pub(crate) base_names: &'static [Rule],
    /// What differs in the family.
    pub(crate) names: &'static [Rule],
    /// What checkpoints with a head put before the names of the base model's tensors.
    pub(crate) prefix: Option<&'static str>,
    /// Whether there is a class for the encoder alone.
    pub(crate) encoder: EncoderAlone,
    /// What the decoder of a model with another head than that of words reads before the text.
    pub(crate) first_token: FirstToken,
    /// GGUF files of the family, where there are such.
    pub(crate) gguf: Option<Gguf>,
}

/// A family in GGUF files, which do not tell its members apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gguf {
    /// `general.architecture` of a whole model, and of an encoder alone.
    pub(crate) architectures: [&'static str; 2],
    /// Reads the metadata.
    pub(crate) config: fn(&RawConfig) -> Result<Seq2SeqConfig>,
    /// What the tensors are called.
    pub(crate) names: &'static [Rule],
}

/// Whether the encoder is also used alone, so that a checkpoint of the family is one of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncoderAlone {
    /// It is: `T5EncoderModel` and its kin.
    Used,
    /// The hidden states of such a model are its decoder's: BART and its kin.
    Unused,
}

/// What the decoder of a model with another head than that of words reads before the text: `shift_tokens_right`
/// of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstToken {
    /// The text's last token, which is its language in mBART and PLBART.
    LastOfText,
    /// `decoder_start_token_id`.
    OfConfig,
}

impl Family {
    /// What the family is called in a config.json, or in the metadata of a GGUF file.
    pub(crate) fn types(&self, is_gguf: bool) -> &[&'static str] {
        match (is_gguf, &self.gguf) {
            (false, _) => self.model_types,
            (true, Some(gguf)) => &gguf.architectures,
            (true, None) => &[],
        }
    }

    /// What a model with this config.json is made of.
    pub(crate) fn read(&self, raw: &RawConfig) -> Result<Seq2SeqConfig> {
        (self.config)(&self.with_defaults(raw).with_attribute_map(self.attribute_map))
    }

    /// As [`read`](Self::read), with the config of these files.
    pub(crate) fn read_of(&self, raw: &RawConfig, files: &ModelFiles) -> Result<Seq2SeqConfig> {
        match self.gguf.filter(|_| files.gguf().is_some()) {
            Some(gguf) => (gguf.config)(raw),
            None => self.read(raw),
        }
    }

    /// A config with the sizes and special ids of the reference's class where it has none.
    pub(crate) fn with_defaults(&self, raw: &RawConfig) -> RawConfig {
        self.defaults
            .iter()
            .fold(raw.clone(), |raw, &(field, value)| raw.with_default(field, value))
    }

    /// The id of a special token, if there is one.
    pub(crate) fn id(&self, raw: &RawConfig, field: &str) -> Result<Option<u32>> {
        token_id(&self.with_defaults(raw), field)
    }

    /// The weights of an opened source under our names.
    pub(crate) fn weights(&self, files: &ModelFiles, options: &LoadOptions) -> Result<Weights> {
        let names = match self.gguf.filter(|_| files.gguf().is_some()) {
            Some(gguf) => NameTable { base: gguf.names, own: &[] },
            None => NameTable { base: self.base_names, own: self.names },
        };
        let weights = Weights::open(files, names, options)?;
        Ok(match self.prefix {
            Some(prefix) => weights.base_model_prefix(prefix),
            None => weights,
        })
    }
}

/// The id of a special token, if there is one.
pub(super) fn token_id(raw: &RawConfig, field: &str) -> Result<Option<u32>> {
    let Some(id) = raw.optional_number(field)? else { return Ok(None) };
    match id as u32 {
        whole if f64::from(whole) == id => Ok(Some(whole)),
        _ => Err(raw.refuse(field, "it should be the id of a token")),
    }
}
