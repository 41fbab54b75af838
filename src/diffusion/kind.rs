//! Stable Diffusion, SDXL and its refiner: which options they have, and which sizes they read.

use crate::diffusion::options::PaintOptions;
use crate::diffusion::picture::is_given;
use crate::error::{Error, Result};

/// Which of the models it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Stable Diffusion 1 and 2.
    Plain,
    /// SDXL.
    Xl,
    /// SDXL's refiner, which goes on with pictures.
    Refiner,
}

impl Kind {
    /// Refuses options of other models.
    pub(super) fn check(self, options: &PaintOptions) -> Result<()> {
        let refused = |names: &[(&str, bool)], reason: &str| match names
            .iter()
            .find(|(_, is_given)| *is_given)
        {
            Some((name, _)) => Err(Error::option(*name, reason)),
            None => Ok(()),
        };
        refused(&[("true_cfg_scale", options.true_cfg_scale.is_some())], "for FLUX alone")?;
        let second = [
            ("prompt_2", options.prompt_2.is_some()),
            ("negative_prompt_2", options.negative_prompt_2.is_some()),
        ];
        let target = [
            ("target_size", options.target_size.is_some()),
            ("negative_target_size", options.negative_target_size.is_some()),
        ];
        let scores = [
            ("aesthetic_score", options.aesthetic_score.is_some()),
            ("negative_aesthetic_score", options.negative_aesthetic_score.is_some()),
        ];
        if self != Self::Refiner {
            refused(&scores, "for the refiner of SDXL alone")?;
        }
        match self {
            Self::Plain => {
                let reason = "for SDXL; the model has one encoder of texts and reads no sizes";
                refused(&second, reason)?;
                refused(&target, reason)?;
                let crop = options.negative_crops_coords_top_left;
                refused(
                    &[
                        ("original_size", options.original_size.is_some()),
                        ("crops_coords_top_left", options.crops_coords_top_left.is_some()),
                        ("negative_original_size", options.negative_original_size.is_some()),
                        ("negative_crops_coords_top_left", crop.is_some()),
                    ],
                    reason,
                )?;
                refused(
                    &[
                        ("denoising_start", options.denoising_start.is_some()),
                        ("denoising_end", options.denoising_end.is_some()),
                    ],
                    "for SDXL and its refiner",
                )
            }
            Self::Xl => Ok(()),
            Self::Refiner => {
                refused(&second, "the refiner of SDXL has one encoder of texts")?;
                refused(&target, "the refiner of SDXL reads a score in the place of this size")?;
                let lacks = !is_given(options);
                let reason =
                    "the refiner of SDXL goes on with a picture: name one, or `image_latents`";
                refused(&[("image", lacks)], reason)
            }
        }
    }

    /// The sizes that SDXL reads, of the text and of what is not to be in the picture; of its refiner the last is how
    /// beautiful the picture is to be.
    pub(super) fn sizes(self, options: &PaintOptions, size: [usize; 2]) -> [Vec<f32>; 2] {
        let is_refiner = self == Self::Refiner;
        let all = |original: [usize; 2], crop: [usize; 2], target: [usize; 2], score: f64| {
            let four = original.into_iter().chain(crop).map(|size| size as f32);
            match is_refiner {
                true => four.chain([score as f32]).collect(),
                false => four.chain(target.map(|size| size as f32)).collect::<Vec<f32>>(),
            }
        };
        let (original, target) =
            (options.original_size.unwrap_or(size), options.target_size.unwrap_or(size));
        let crop = options.crops_coords_top_left.unwrap_or([0, 0]);
        let positive = all(original, crop, target, options.aesthetic_score.unwrap_or(6.0));
        let score = options.negative_aesthetic_score.unwrap_or(2.5);
        let negative_crop = options.negative_crops_coords_top_left.unwrap_or([0, 0]);
        let negative = match (options.negative_original_size, options.negative_target_size) {
            // With a picture, each has its own default, and the crop of the text is taken but by the refiner.
            (other, negative_target) if is_given(options) => {
                let crop = if is_refiner { negative_crop } else { crop };
                all(other.unwrap_or(original), crop, negative_target.unwrap_or(target), score)
            }
            (Some(original), Some(target)) => all(original, negative_crop, target, score),
            _ => positive.clone(),
        };
        [positive, negative]
    }
}
