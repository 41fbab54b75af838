//! From config.json to the model that sees.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::models::auto::{FromFiles, checked};
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::vision::convnext;
use crate::models::vision::convnext::ConvNext;
use crate::models::vision::encoder::VisionEncoder;
use crate::models::vision::families::{FAMILIES, Family};
use crate::models::vision::heads::PictureClassifier;
use crate::models::vision::pair::ImageTextPair;
use crate::models::vision::traits::{ImageClassifier, ImageEncoder, ImageTextModel};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::Weights;
use crate::weights::names::NameTable;

/// An encoder of pictures; of CLIP and SigLIP the half that sees.
impl FromFiles for dyn ImageEncoder {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        let family = family(files, &raw, "a model that sees", |_| true, &[])?;
        let (encoder, weights) =
            encoder(family, &raw, files, options, Threads::new(options.threads)?)?;
        Ok(checked(encoder.with_inventory(weights.inventory()), options)?)
    }
}

/// An encoder of pictures with a classifier.
impl FromFiles for dyn ImageClassifier {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        if convnext::MODEL_TYPES.contains(&raw.model_type()?) && files.gguf().is_none() {
            let names = NameTable { base: convnext::NAMES, own: &[] };
            let weights = Weights::open(files, names, options)?;
            let weights = weights.base_model_prefix(raw.model_type()?);
            let threads = Threads::new(options.threads)?;
            return Ok(checked(ConvNext::load(&raw, &weights, threads)?, options)?);
        }
        let wanted = "a model that classifies pictures";
        let family = family(files, &raw, wanted, |_| true, &convnext::MODEL_TYPES)?;
        let (encoder, weights) =
            encoder(family, &raw, files, options, Threads::new(options.threads)?)?;
        Ok(checked(PictureClassifier::load(encoder, &raw, &weights)?, options)?)
    }
}

/// An encoder of pictures and one of texts.
impl FromFiles for dyn ImageTextModel {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        let wanted = "a model of pictures and texts";
        let family = family(files, &raw, wanted, |family| family.text.is_some(), &[])?;
        let threads = Threads::new(options.threads)?;
        let (vision, weights) = encoder(family, &raw, files, options, threads.clone())?;
        let Some(text) = family.text else { return Err(Error::unsupported(wanted)) };
        if !weights.contains("text.embed.words") {
            return Err(Error::unsupported(format!(
                "{}: the checkpoint sees and does not read: it is not {wanted}",
                raw.origin().display()
            )));
        }
        Ok(checked(ImageTextPair::load(vision, text(&raw)?, &weights, threads)?, options)?)
    }
}

fn encoder(
    family: &Family,
    raw: &RawConfig,
    files: &ModelFiles,
    options: &LoadOptions,
    threads: Threads,
) -> Result<(VisionEncoder, Weights)> {
    let config = (family.vision)(raw)?;
    let names = NameTable { base: family.base_names, own: family.names };
    let weights = Weights::open(files, names, options)?;
    let weights = match family.prefix {
        Some(prefix) => weights.base_model_prefix(prefix),
        None => weights,
    };
    Ok((VisionEncoder::load(config, &weights.scope("vision"), threads)?, weights))
}

fn family(
    files: &ModelFiles,
    raw: &RawConfig,
    wanted: &str,
    fits: impl Fn(&Family) -> bool,
    beside: &[&'static str],
) -> Result<&'static Family> {
    let name = raw.model_type()?;
    let mut fitting = FAMILIES.iter().filter(|family| fits(family));
    let found = fitting.clone().find(|family| family.model_types.contains(&name));
    if let (Some(family), None) = (found, files.gguf()) {
        return Ok(family);
    }
    let mut known: Vec<_> = fitting
        .by_ref()
        .flat_map(|family| family.model_types)
        .copied()
        .chain(beside.iter().copied())
        .collect();
    known.sort_unstable();
    Err(Error::unsupported(format!(
        "{} is of the architecture {name:?}, which is not known as {wanted}; supported are {}",
        files.origin(),
        known.join(", ")
    )))
}
