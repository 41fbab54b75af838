//! A folder like a repository's, with blocks in `model.safetensors`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use safetensors::tensor::View;
use safetensors::{Dtype, serialize_to_file};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::source::{ModelFiles, json};
use crate::weights::Weights;
use crate::weights::elements::{Elements, block_name};
use crate::weights::safetensors::{Blocks, KEY};
use crate::weights::save::written::{Progress, Written, WrittenForm, bytes, in_place_of, length};

/// What a repository may hold beside its weights.
const FILES: &[&str] = &[
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "normalizer.json",
    "preprocessor_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "spm.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
];

pub(super) fn save(
    files: &ModelFiles,
    from: &Weights,
    written: &BTreeMap<&str, Written<'_>>,
    to: &Path,
    progress: Progress<'_>,
) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::write(to))?;
    in_place_of(&to.join("model.safetensors"), |path| weights(from, written, path, progress))?;
    for name in FILES {
        if let Some(from) = files.optional(name)? {
            let copy = to.join(name);
            fs::copy(from, &copy).map_err(Error::write(&copy))?;
        }
    }
    let path = files.required("config.json", "what the model is")?;
    let mut config: Value = json::read(&path)?;
    // So that other programs do not take bytes for weights.
    config["quantization_config"] = json!({"quant_method": "sconce"});
    let copy = to.join("config.json");
    fs::write(&copy, format!("{config:#}\n")).map_err(Error::write(&copy))
}

/// A tensor that is made when its turn to be written comes.
struct Tensor<'a> {
    weights: &'a Weights,
    name: &'a str,
    written: &'a Written<'a>,
    dtype: Dtype,
    shape: Vec<usize>,
    length: usize,
    failure: &'a RefCell<Option<Error>>,
    progress: Progress<'a>,
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        (self.progress)(self.name);
        Cow::Owned(bytes(self.weights, self.name, self.written).unwrap_or_else(|error| {
            self.failure.borrow_mut().get_or_insert(error);
            vec![0; self.length]
        }))
    }

    fn data_len(&self) -> usize {
        self.length
    }
}

fn weights(
    weights: &Weights,
    written: &BTreeMap<&str, Written<'_>>,
    to: &Path,
    progress: Progress<'_>,
) -> Result<()> {
    let failure = RefCell::new(None);
    let mut tensors = Vec::with_capacity(written.len());
    let mut kinds = BTreeMap::new();
    for (&name, written) in written {
        let stored = weights.store.tensors.get(name);
        let held = match (written.form, stored.map(|stored| &stored.elements)) {
            (WrittenForm::Blocks(kind), _) => Err(kind),
            // Blocks that were saved before stay blocks.
            (WrittenForm::AsStored, Some(Elements::Blocks(kind))) => Err(*kind),
            (WrittenForm::Dense("bf16"), _) | (WrittenForm::AsStored, Some(Elements::BF16)) => {
                Ok(Dtype::BF16)
            }
            (WrittenForm::Dense("f16"), _) | (WrittenForm::AsStored, Some(Elements::F16)) => {
                Ok(Dtype::F16)
            }
            (WrittenForm::Dense(_), _) | (WrittenForm::AsStored, Some(Elements::F32)) => {
                Ok(Dtype::F32)
            }
            (WrittenForm::AsStored, Some(Elements::F64)) => Ok(Dtype::F64),
            (WrittenForm::AsStored, Some(Elements::F8E4M3)) => Ok(Dtype::F8_E4M3),
            (WrittenForm::AsStored, _) => {
                let reason = format!("tensor {name:?} is of a type that cannot be saved");
                return Err(Error::unsupported(reason));
            }
        };
        let mut shape = written.shape.to_vec();
        let (dtype, shape, length) = match held {
            Err(kind) => {
                let length = length(kind, &shape);
                let rows = shape.first().copied().unwrap_or(1).max(1);
                kinds.insert(name, Blocks { r#type: block_name(kind).to_owned(), shape });
                (Dtype::U8, vec![rows, length / rows], length)
            }
            Ok(dtype) => {
                if written.transposed {
                    shape.reverse();
                }
                let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
                (dtype, shape, length)
            }
        };
        let failure = &failure;
        let tensor = Tensor { weights, name, written, dtype, shape, length, failure, progress };
        tensors.push((name, tensor));
    }
    let kinds = serde_json::to_string(&kinds).map_err(|error| Error::malformed(to, error))?;
    let metadata = HashMap::from([(KEY.to_owned(), kinds)]);
    let outcome = serialize_to_file(tensors, Some(metadata), to)
        .map_err(|error| Error::write(to)(std::io::Error::other(error)));
    match failure.into_inner() {
        Some(error) => Err(error),
        None => outcome,
    }
}
