//! The tensors of a GGUF file, and of one of whisper.cpp's; their headers are read on the floor `source`.

use candle_core::quantized::GgmlDType;

use crate::error::Result;
use crate::source::ggml::GgmlType;
use crate::source::gguf::{GgufFile, GgufTensor};
#[cfg(feature = "audio")]
use crate::source::whisper_cpp::{Tensor, WhisperCppFile};
use crate::weights::blocks;
use crate::weights::elements::Elements;
use crate::weights::store::{Entry, Order, Store};

pub(super) fn open(file: &GgufFile) -> Result<Store> {
    let entry = |(name, tensor): (&String, &GgufTensor)| {
        let (part, range) = tensor.location();
        let elements = elements(tensor.ggml_type);
        (
            name.clone(),
            Entry { file: part, range, shape: tensor.shape.clone(), elements, order: Order::Rows },
        )
    };
    let tensors = file.tensors().iter().map(entry).collect();
    Ok(Store::of_files(file.path().to_owned(), file.parts().to_vec(), tensors))
}

#[cfg(feature = "audio")]
pub(super) fn open_whisper_cpp(file: &WhisperCppFile) -> Store {
    let entry = |(name, tensor): (&String, &Tensor)| {
        let Tensor { shape, ggml_type, range } = tensor.clone();
        (
            name.clone(),
            Entry { file: 0, range, shape, elements: elements(ggml_type), order: Order::Rows },
        )
    };
    let tensors = file.tensors().iter().map(entry).collect();
    Store::of_files(file.path().to_owned(), vec![file.mapped().clone()], tensors)
}

fn elements(ggml_type: u32) -> Elements {
    match ggml_type {
        0 => Elements::F32,
        1 => Elements::F16,
        2 => Elements::Blocks(GgmlDType::Q4_0),
        3 => Elements::Blocks(GgmlDType::Q4_1),
        6 => Elements::Blocks(GgmlDType::Q5_0),
        7 => Elements::Blocks(GgmlDType::Q5_1),
        8 => Elements::Blocks(GgmlDType::Q8_0),
        10 => Elements::Blocks(GgmlDType::Q2K),
        11 => Elements::Blocks(GgmlDType::Q3K),
        12 => Elements::Blocks(GgmlDType::Q4K),
        13 => Elements::Blocks(GgmlDType::Q5K),
        14 => Elements::Blocks(GgmlDType::Q6K),
        28 => Elements::F64,
        30 => Elements::BF16,
        other => match GgmlType::from_number(other) {
            Some(kind) if blocks::reader(kind).is_some() => Elements::ReadOnlyBlocks(kind),
            Some(kind) => Elements::Other(kind.name.to_owned()),
            None => Elements::Other(format!("number {other}, which ggml does not have")),
        },
    }
}
