//! The image processors of transformers, as data.

use crate::image::resize::ResizeFilter;

/// A class of image processors: its defaults, and how it reads `size`.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) name: &'static str,
    /// The models that have it where the file names no class (`IMAGE_PROCESSOR_MAPPING_NAMES`).
    pub(super) model_types: &'static [&'static str],
    pub(super) sizing: Sizing,
    /// The default of `size`: an edge.
    pub(super) size: usize,
    pub(super) resample: ResizeFilter,
    /// The default of `crop_size`, an edge, of classes that crop.
    pub(super) crop: Option<usize>,
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
}

/// What `size` may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizing {
    /// Height and width; a number is both.
    Exact,
    /// The shorter edge, or height and width; a number is the former.
    Edge,
    /// The edge of a square, of which more is seen first: ConvNeXT.
    Share,
}

pub(super) const CLASSES: &[Class] = &[
    Class { name: "BeitImageProcessor", model_types: &["beit", "data2vec-vision"], ..DEIT },
    Class {
        name: "BitImageProcessor",
        model_types: &["bit", "dinov2", "dinov2_with_registers", "focalnet", "hiera"],
        ..CLIP
    },
    Class {
        name: "BlipImageProcessor",
        model_types: &["blip", "blip-2", "instructblip"],
        sizing: Sizing::Exact,
        size: 384,
        crop: None,
        ..CLIP
    },
    CLIP,
    Class {
        name: "ConvNextImageProcessor",
        model_types: &["convnext", "convnextv2", "cvt", "regnet", "resnet", "van"],
        sizing: Sizing::Share,
        size: 384,
        ..VIT
    },
    DEIT,
    Class {
        name: "SiglipImageProcessor",
        model_types: &["gemma3n", "paligemma", "siglip"],
        resample: ResizeFilter::Bicubic,
        ..VIT
    },
    VIT,
];

const VIT: Class = Class {
    name: "ViTImageProcessor",
    model_types: &[
        "clipseg",
        "dinat",
        "ijepa",
        "mgp-str",
        "nat",
        "swiftformer",
        "swin",
        "swinv2",
        "vit",
        "vit_mae",
        "vit_msn",
    ],
    sizing: Sizing::Exact,
    size: 224,
    resample: ResizeFilter::Bilinear,
    crop: None,
    mean: [0.5; 3],
    std: [0.5; 3],
};

const DEIT: Class = Class {
    name: "DeiTImageProcessor",
    model_types: &["deit"],
    size: 256,
    resample: ResizeFilter::Bicubic,
    crop: Some(224),
    ..VIT
};

const CLIP: Class = Class {
    name: "CLIPImageProcessor",
    model_types: &[
        "aimv2",
        "clip",
        "git",
        "groupvit",
        "kosmos-2",
        "metaclip_2",
        "mlcd",
        "vipllava",
        "xclip",
    ],
    sizing: Sizing::Edge,
    size: 224,
    resample: ResizeFilter::Bicubic,
    crop: Some(224),
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
};
