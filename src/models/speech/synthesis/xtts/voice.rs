//! Voices, and those of the checkpoint.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::{NameTable, Weights};

/// A voice of XTTS.
#[derive(Debug, Clone)]
pub struct XttsVoice {
    /// What conditions the GPT, `(vectors, hidden)`.
    latents: Tensor,
    /// What conditions the decoder.
    speaker: Vec<f32>,
}

impl XttsVoice {
    /// A voice of latents `(vectors, hidden)` and a speaker's embedding, as Coqui's `get_conditioning_latents` gives
    /// them. Whether their sizes fit is checked where it speaks.
    ///
    /// # Errors
    ///
    /// When a number is not finite, or the latents are no matrix.
    pub fn new(latents: Tensor, speaker: Vec<f32>) -> Result<Self> {
        let (vectors, _) = latents.dims2().map_err(|_| {
            Error::input(format!("latents {:?}, not (vectors, hidden)", latents.dims()))
        })?;
        let numbers: Vec<f32> = latents.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        if vectors == 0 || numbers.iter().chain(&speaker).any(|number| !number.is_finite()) {
            return Err(Error::input("a voice with no vectors, or numbers that are not finite"));
        }
        Ok(Self { latents, speaker })
    }

    /// What conditions the GPT, `(vectors, hidden)`.
    #[must_use]
    pub fn latents(&self) -> &Tensor {
        &self.latents
    }

    /// What conditions the decoder.
    #[must_use]
    pub fn speaker(&self) -> &[f32] {
        &self.speaker
    }
}

/// Reads `speakers_xtts.pth` where there is one: the voices by name.
pub(super) fn stored(
    files: &ModelFiles,
    options: &LoadOptions,
    hidden: usize,
    size: usize,
) -> Result<Vec<(String, XttsVoice)>> {
    if files.optional(&format!("{FILE}.pth"))?.is_none()
        && files.optional(&format!("{FILE}.safetensors"))?.is_none()
    {
        return Ok(Vec::new());
    }
    let weights = Weights::open_stem(files, FILE, NameTable::stored_names(), options)?;
    let mut names: Vec<&str> =
        weights.stored_names().filter_map(|name| name.strip_suffix(".speaker_embedding")).collect();
    names.sort_unstable();
    let voice = |name: &str| -> Result<(String, XttsVoice)> {
        let latents = LATENTS.map(|latents| format!("{name}.{latents}"));
        let latents = latents.iter().find(|name| weights.contains(name)).unwrap_or(&latents[0]);
        let vectors = match weights.shape(latents) {
            Some(&[_, vectors, _] | &[vectors, _]) => vectors,
            _ => 1,
        };
        let latents = weights.tensor(latents, &[vectors, hidden])?;
        let speaker = weights.tensor(&format!("{name}.speaker_embedding"), &[size])?;
        let speaker = speaker.to_dtype(DType::F32)?.to_vec1()?;
        Ok((name.to_owned(), XttsVoice::new(latents, speaker)?))
    };
    names.into_iter().map(voice).collect()
}

/// Without its ending.
const FILE: &str = "speakers_xtts";
/// Older and newer files call the latents so.
const LATENTS: [&str; 2] = ["gpt_cond_latent", "gpt_conditioning_latents"];
