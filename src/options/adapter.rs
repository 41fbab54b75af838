//! Adapters: small matrices that change what a model does.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// A LoRA that a model is loaded with: an adapter of PEFT, or one for pictures by diffusers or Kohya's scripts.
///
/// ```
/// use sconce::{Adapter, LoadOptions};
///
/// let options = LoadOptions::default()
///     .adapter("./lora.safetensors", 0.8)
///     .with_adapter(Adapter::new("owner/adapter").beside());
/// assert_eq!(options.adapters.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Adapter {
    /// A folder, a file (`.safetensors`, `.gguf`) or a repository of the Hub, as a text is read by
    /// [`ModelSource`](crate::ModelSource).
    pub source: String,
    /// The file in the folder, where it is neither `adapter_model` nor `pytorch_lora_weights`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_name: Option<String>,
    /// How strong it is; what the adapter itself says (`lora_alpha`) is multiplied by this. Default: 1.
    #[serde(default = "whole")]
    pub scale: f32,
    /// Where it goes. Default: into the weights.
    #[serde(default)]
    pub place: AdapterPlace,
}

/// Where an adapter goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdapterPlace {
    /// Into the weights while they are read, before they are quantized: nothing is slower for it. Beside
    /// weights that the checkpoint itself holds in blocks, and that stay in them.
    #[default]
    Merged,
    /// Beside the weights of linear layers, which stay as they are: exact also where these are quantized.
    /// Convolutions and embeddings take it in, in any case.
    Beside,
}

const fn whole() -> f32 {
    1.0
}

impl Adapter {
    /// An adapter of that source, at the scale 1, merged.
    #[must_use]
    pub fn new(source: impl AsRef<Path>) -> Self {
        Self {
            source: source.as_ref().to_string_lossy().into_owned(),
            weight_name: None,
            scale: whole(),
            place: AdapterPlace::default(),
        }
    }

    /// Sets [`scale`](Self#structfield.scale).
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// Sets [`weight_name`](Self#structfield.weight_name).
    #[must_use]
    pub fn weight_name(self, name: impl Into<String>) -> Self {
        Self { weight_name: Some(name.into()), ..self }
    }

    /// Keeps it [beside](AdapterPlace::Beside) the weights.
    #[must_use]
    pub fn beside(self) -> Self {
        Self { place: AdapterPlace::Beside, ..self }
    }
}

/// The part of a larger model that options are for: adapters hold modules of all of them.
#[cfg_attr(not(feature = "image"), allow(dead_code, reason = "for models that paint"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModelPart {
    pub(crate) name: &'static str,
    /// All parts that an adapter may be for.
    pub(crate) all: &'static [&'static str],
}

#[cfg(feature = "image")]
impl ModelPart {
    /// Another of the parts.
    pub(crate) fn named(self, name: &str) -> Option<Self> {
        let name = self.all.iter().copied().find(|part| *part == name)?;
        Some(Self { name, ..self })
    }
}
