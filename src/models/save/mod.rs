//! Saving models.

mod compare;
mod encoder_decoder;
mod metadata;
mod tensors;

use std::path::Path;

use crate::error::{Error, Result};
use crate::models::auto::{decoder_family, seq2seq_family};
use crate::models::decoder::families::FAMILIES;
use crate::models::decoder::{DecoderConfig, Dialect, HeadWeights, opened};
use crate::models::raw_config::RawConfig;
use crate::nn::rope::{RopePairing, RopeScaling};
use crate::nn::span::AttentionSpan;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::source::gguf::GgufFile;
use crate::tokenizer;
use crate::weights;
use crate::weights::{Inventory, Outgoing, Progress};

/// Saves a model as it was loaded, quantized or not, one tensor at a time.
///
/// `files` is the source that the model was loaded from, and `inventory` lists [its
/// parts](crate::models::Model::inventory). If `to` ends in `.gguf`, the result is a GGUF file,
/// which llama.cpp loads, too. Its metadata are those of the source file, or come from the folder's
/// config, tokenizer and chat template. Otherwise the result is a folder of our own:
/// `model.safetensors`, in which blocks are tensors of bytes with their types in the file's
/// metadata, and all other files of the source.
///
/// Loaded without options, the saved model has the same weights bit for bit.
///
/// ```no_run
/// use sconce::models::{AutoModel, CausalLm};
/// use sconce::{LoadOptions, ModelSource, QuantLevel, models};
///
/// let files = ModelSource::from("./SmolLM2-135M-Instruct").open()?;
/// let options = LoadOptions::default().quantize(QuantLevel::Q4K);
/// let model = AutoModel::from_files::<dyn CausalLm>(&files, &options)?;
/// models::save(&files, model.inventory(), "./SmolLM2-135M-Instruct-q4_k.gguf")?;
/// # Ok::<(), sconce::Error>(())
/// ```
///
/// # Errors
///
/// When `to` exists or cannot be written; when a GGUF file is to be saved as a folder; and when a
/// GGUF file cannot express the model: an encoder other than T5's, a sliding window where the architecture
/// has none, a tokenizer that llama.cpp does not know.
pub fn save(files: &ModelFiles, inventory: &Inventory, to: impl AsRef<Path>) -> Result<()> {
    save_with(files, inventory, to, &|_| {})
}

/// As [`save`], and calls `progress` with the name of each tensor before it is written.
///
/// # Errors
///
/// As there.
pub fn save_with(
    files: &ModelFiles,
    inventory: &Inventory,
    to: impl AsRef<Path>,
    progress: &dyn Fn(&str),
) -> Result<()> {
    let to = to.as_ref();
    let is_gguf = to.extension().is_some_and(|ending| ending == "gguf");
    match (files.gguf(), is_gguf) {
        (Some(_), true) | (None, false) => weights::save(files, inventory, to, progress),
        (None, true) => as_gguf(files, inventory, to, progress),
        (Some(_), false) => Err(Error::input(format!(
            "a GGUF file is saved as one: {} does not end in .gguf",
            to.display()
        ))),
    }
}

/// A folder as a GGUF file.
fn as_gguf(
    files: &ModelFiles,
    inventory: &Inventory,
    to: &Path,
    progress: Progress<'_>,
) -> Result<()> {
    weights::refuse_adapted(inventory)?;
    let raw = RawConfig::read(files)?;
    let unknown = || {
        let (origin, name) = (files.origin(), raw.model_type().unwrap_or_default());
        Error::unsupported(format!(
            "{origin} is of the architecture {name:?}, and only decoders that llama.cpp knows, T5 and its \
             kin can be saved as GGUF; save it as a folder"
        ))
    };
    if let Some(family) = seq2seq_family(files, &raw)? {
        let gguf = family.gguf.ok_or_else(unknown)?;
        return encoder_decoder::as_gguf(family, gguf, files, inventory, to, progress);
    }
    let family = decoder_family(files, &raw)?.ok_or_else(unknown)?;
    let dialect = &family.gguf;
    let architecture = *dialect.types.first().ok_or_else(unknown)?;
    let (config, weights) = opened(family, &raw, files, &LoadOptions::default())?;
    if !config.alibis.is_empty() {
        return Err(raw.refuse("alibi", "GGUF files cannot say that"));
    }
    check_head(architecture, dialect, &config)?;
    let (mut metadata, factors) = metadata::of(&config, architecture, dialect);
    metadata.extend(tokenizer::gguf_metadata(files, config.vocab_size)?);
    let factors = tensors::factors(factors)?;
    let tensors = tensors::of(&weights, inventory, &config, family)?;
    check_biases(architecture, dialect, &tensors)?;
    let check = |file: &GgufFile| {
        let read = read_back(file)?;
        check_windows(&config, &read, architecture)?;
        compare::same(&expected(config.clone(), dialect.pairing), &read).map_err(|difference| {
            Error::unsupported(format!(
                "{}: {difference}, which a GGUF file of the architecture {architecture:?} cannot say",
                files.origin()
            ))
        })
    };
    weights::write_gguf(metadata, [&factors, &tensors], check, to, progress)
}

/// llama.cpp gives some architectures no choice.
fn check_head(architecture: &str, dialect: &Dialect, config: &DecoderConfig) -> Result<()> {
    if dialect.head.is_none_or(|only| only == config.head) {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "`tie_word_embeddings` is {}, which llama.cpp does not support for {architecture:?}",
        config.head == HeadWeights::TiedToEmbedding
    )))
}

/// llama.cpp refuses files with tensors that it does not look for.
fn check_biases(architecture: &str, dialect: &Dialect, tensors: &[Outgoing<'_>]) -> Result<()> {
    let mut of_layers = tensors.iter().filter_map(|tensor| {
        let (_, name) = tensor.name.strip_prefix("blk.")?.split_once('.')?;
        name.strip_suffix(".bias").filter(|name| !name.contains("norm"))
    });
    match of_layers.find(|name| !dialect.biases.contains(name)) {
        Some(name) => Err(Error::unsupported(format!(
            "layers have a bias for {name:?}, which llama.cpp does not support for {architecture:?}"
        ))),
        None => Ok(()),
    }
}

/// What a reader would not know of, told in tokens and not, as [`compare`] would, in numbers of spans.
fn check_windows(config: &DecoderConfig, read: &DecoderConfig, architecture: &str) -> Result<()> {
    let span = |config: &DecoderConfig, layer: usize| {
        let layer = config.layers.get(layer)?;
        config.spans.get(layer.attention.span).copied()
    };
    for layer in 0..config.layers.len() {
        if let Some(AttentionSpan::Causal { window: Some(window) }) = span(config, layer)
            && span(read, layer) != span(config, layer)
        {
            return Err(Error::unsupported(format!(
                "layer {layer} attends to a sliding window of {window} tokens, which a GGUF file of the \
                 architecture {architecture:?} cannot say: whoever reads it would look further back. For \
                 shorter texts, switch the window off in config.json (`sliding_window` is null)"
            )));
        }
    }
    Ok(())
}

/// The config that a reader of the file will come to.
fn read_back(file: &GgufFile) -> Result<DecoderConfig> {
    let raw = RawConfig::of_gguf(file)?;
    let name = raw.model_type()?;
    let family = FAMILIES.iter().find(|family| family.gguf.types.contains(&name));
    let family = family.ok_or_else(|| Error::unsupported(format!("no architecture {name:?}")))?;
    family.read(&family.gguf, &raw)
}

/// The same model in GGUF's terms: other rope pairs, and divisors of frequencies wherever they come
/// from.
fn expected(mut config: DecoderConfig, pairing: RopePairing) -> DecoderConfig {
    for rope in &mut config.ropes {
        if matches!(rope.scaling, RopeScaling::Llama3 { .. }) {
            rope.scaling = RopeScaling::Factors(rope.divisors(config.max_positions));
        }
        rope.pairing = pairing;
    }
    config
}
