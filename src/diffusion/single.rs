//! A whole Stable Diffusion in one file.
//!
//! Reference: `single_file_utils.py` of diffusers.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::{ModelFiles, ModelSource};
use crate::weights::{NameTable, Weights};

/// A model that is told by its tensors.
struct Kind {
    /// The contents of the configs of a folder of diffusers.
    configs: &'static str,
    /// Where diffusers takes the tokenizers from.
    repository: &'static str,
}

/// What a file of weights is part of.
enum Found {
    Whole(Kind),
    /// The transformer of FLUX.
    Flux,
    /// Something else, by its name.
    Other(&'static str),
}

/// Files in which every part of a pipeline is found: of a folder, these; of a single file, with configs and
/// tokenizers beside it.
pub(super) fn complete(files: &ModelFiles) -> Result<ModelFiles> {
    if files.gguf().is_some() {
        return alone(files);
    }
    let Some(path) = files.weights() else { return Ok(files.same()) };
    let kind = match found(files)? {
        Found::Flux => return alone(files),
        Found::Other(what) => {
            let origin = path.display();
            return Err(Error::unsupported(format!(
                "{origin}: it holds {what}; whole Stable Diffusions 1, 2 and XL and its refiner in one file, and transformers of \
                 FLUX are read"
            )));
        }
        Found::Whole(kind) => kind,
    };
    if files.beside().is_some() {
        return Ok(files.same());
    }
    let configs: Map<String, Value> = serde_json::from_str(kind.configs)
        .map_err(|error| Error::unsupported(format!("the known configs: {error}")))?;
    let mut complete = files.with_beside(ModelFiles::given(configs.clone()));
    for (encoder, name) in [("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")] {
        let is_needed = configs.contains_key(&format!("{encoder}/config.json"));
        if is_needed && !files.has_part(name) {
            complete = complete.with_part(name, tokenizer(path, name, kind.repository)?);
        }
    }
    Ok(complete)
}

/// A transformer alone: the other parts are those of a folder.
fn alone(files: &ModelFiles) -> Result<ModelFiles> {
    const PART: &str = "transformer";
    match files.beside() {
        Some(folder) => Ok(folder.with_part(PART, files.alone())),
        None => {
            let origin = files.origin();
            Err(Error::unsupported(format!(
                "{origin} holds the transformer of a FLUX and no other part: name a folder with the others, and the \
                 file as a part of it: `ModelSource::from(\"./FLUX.1-schnell\").part({PART:?}, {origin:?})`"
            )))
        }
    }
}

/// A tokenizer from beside the file, or else from where diffusers takes it.
fn tokenizer(file: &Path, name: &str, repository: &str) -> Result<ModelFiles> {
    let beside = file.parent().unwrap_or_else(|| Path::new(".")).join(name);
    if beside.is_dir() {
        return ModelSource::directory(beside).open();
    }
    let origin = file.display();
    let advice = format!(
        "{origin} holds no tokenizer: put its files into a folder {name:?} beside the file, or name one: \
         `ModelSource::from({:?}).part({name:?}, \"./{name}\")`, or a folder of diffusers by `.config(…)`",
        file.display().to_string()
    );
    if !cfg!(feature = "hub") {
        return Err(Error::MissingFile {
            origin: origin.to_string(),
            file: name.to_owned(),
            reason: advice,
        });
    }
    let fetched = || -> Result<ModelFiles> {
        let files = ModelSource::from(ModelSource::hub(repository)).open()?.folder(name)?;
        files.required("vocab.json", "the tokenizer")?;
        Ok(files)
    };
    fetched().map_err(|error| error.advised(&advice))
}

/// `infer_diffusers_model_type`.
fn found(files: &ModelFiles) -> Result<Found> {
    let options = LoadOptions::default();
    let weights = Weights::open(files, NameTable::stored_names(), &options)?;
    let shape = |name: &str| {
        ["", "state_dict."].iter().find_map(|start| weights.shape(&format!("{start}{name}")))
    };
    let has = |name: &str| shape(name).is_some();
    let unet = "model.diffusion_model";
    let flux = "double_blocks.0.img_attn.norm.key_norm.scale";
    let channels =
        shape(&format!("{unet}.input_blocks.0.0.weight")).and_then(|shape| shape.get(1).copied());
    let text = format!("{unet}.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight");
    let is_v2 = shape(&text).and_then(<[usize]>::last) == Some(&1024)
        || has("cond_stage_model.model.token_embedding.weight");
    let is_xl = has("conditioner.embedders.1.model.token_embedding.weight");
    let is_refiner = has("conditioner.embedders.0.model.token_embedding.weight");
    Ok(match (channels, is_v2, is_xl) {
        _ if has(flux) || has(&format!("{unet}.{flux}")) => Found::Flux,
        (Some(9), true, _) => whole(SD2_INPAINT),
        (Some(9), _, true) => whole(SDXL_INPAINT),
        (Some(9), ..) => whole(SD1_INPAINT),
        (Some(_), true, _) => whole(SD2),
        _ if has("edm_mean") => Found::Other("Playground 2.5"),
        (Some(4), _, true) => whole(SDXL),
        (Some(4), ..) if is_refiner => whole(SDXL_REFINER),
        (Some(4), ..) if has("cond_stage_model.transformer.text_model.final_layer_norm.weight") => {
            whole(SD1)
        }
        (Some(8), ..) => Found::Other("InstructPix2Pix"),
        (Some(_), ..) => Found::Other("a UNet without text encoders, or of another kind"),
        (None, ..) if has("joint_blocks.0.context_block.adaLN_modulation.1.bias") => {
            Found::Other("Stable Diffusion 3")
        }
        (None, ..) if has("control_model.time_embed.0.weight") => Found::Other("a ControlNet"),
        (None, ..) => Found::Other("no model that is known"),
    })
}

fn whole([configs, repository]: [&'static str; 2]) -> Found {
    Found::Whole(Kind { configs, repository })
}

// Configs, and the repositories that they are from.
const SD1: [&str; 2] =
    [include_str!("configs/sd1.json"), "stable-diffusion-v1-5/stable-diffusion-v1-5"];
const SD1_INPAINT: [&str; 2] =
    [include_str!("configs/sd1_inpaint.json"), "stable-diffusion-v1-5/stable-diffusion-inpainting"];
const SD2: [&str; 2] = [include_str!("configs/sd2.json"), "stabilityai/stable-diffusion-2-1"];
const SD2_INPAINT: [&str; 2] =
    [include_str!("configs/sd2_inpaint.json"), "stabilityai/stable-diffusion-2-inpainting"];
const SDXL: [&str; 2] =
    [include_str!("configs/sdxl.json"), "stabilityai/stable-diffusion-xl-base-1.0"];
const SDXL_REFINER: [&str; 2] =
    [include_str!("configs/sdxl_refiner.json"), "stabilityai/stable-diffusion-xl-refiner-1.0"];
const SDXL_INPAINT: [&str; 2] =
    [include_str!("configs/sdxl_inpaint.json"), "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::index::Index;
    use crate::diffusion::schedulers::Scheduler;
    use crate::models::clip_text::ClipTextConfig;
    use crate::models::diffusion::UNetConfig;

    #[test]
    fn the_known_configs_are_read() -> Result<()> {
        for [text, repository] in
            [SD1, SD1_INPAINT, SD2, SD2_INPAINT, SDXL, SDXL_INPAINT, SDXL_REFINER]
        {
            let files = ModelFiles::given(serde_json::from_str(text).unwrap());
            let index = Index::read(&files)?;
            assert!(index.class.starts_with("StableDiffusion"), "{repository}");
            assert!(index.has("text_encoder") || index.has("text_encoder_2"), "{repository}");
            Scheduler::from_files(&files.folder("scheduler")?)?;
            UNetConfig::read(&files.folder("unet")?)?;
            for encoder in ["text_encoder", "text_encoder_2"] {
                if index.has(encoder) {
                    ClipTextConfig::from_files(&files.folder(encoder)?)?;
                }
            }
        }
        Ok(())
    }
}
