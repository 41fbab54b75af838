//! Every field of config.json that the reference's code of a family reads, or that its class has, is
//! honoured or refused here; and what changes nothing there changes nothing here.
//!
//! `tests/goldens/config_fields.json` (`make_configs.py`) holds what the reference did with models of
//! which one field had another value.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Result;
use crate::models::decoder::families::FAMILIES;
use crate::models::decoder::{DecoderConfig, Family, HeadWeights};
use crate::models::encoder;
use crate::models::encoder::EncoderConfig;
use crate::models::heads::Labels;
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq;
use crate::models::seq2seq::Seq2SeqConfig;
#[cfg(feature = "audio")]
use crate::models::speech::{self, SpeechSeq2SeqConfig};
use crate::nn::layer::LayerConfig;
use crate::nn::mlp::MlpConfig;
use crate::nn::positions::AbsolutePositions;

/// What was tried with the models of one family.
#[derive(Deserialize)]
struct Tried {
    /// With the configs of these.
    folders: Vec<String>,
    /// Of a decoder's class without any field: vocabulary, hidden size, layers, heads, key-value heads,
    /// head size, width of the MLP or of an expert, context.
    sizes: Option<[usize; 8]>,
    /// Whether the reference has a class of a decoder that classifies.
    classifies: Option<bool>,
    values: Vec<Other>,
}

/// A field with another value than it has.
#[derive(Deserialize)]
struct Other {
    field: String,
    value: Value,
    /// The numbers of the folders whose models then compute something else.
    changes: Vec<usize>,
    /// Those whose models compute the same. With others it is an error.
    same: Vec<usize>,
}

/// What another value of a field does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Another,
    None,
    /// An error of the reference.
    Unknown,
}

/// What numbers depend on.
#[derive(Debug, PartialEq)]
enum Read {
    Decoder {
        config: DecoderConfig,
        labels: usize,
        ends_in_padding: bool,
    },
    Encoder {
        config: EncoderConfig,
        labels: usize,
    },
    Seq2Seq(Box<Seq2SeqConfig>),
    #[cfg(feature = "audio")]
    Speech(Box<SpeechSeq2SeqConfig>),
}

/// The family of models that hear whose fields are tried.
const WHISPER: &str = "whisper";

/// The last id of the text that the models were given.
const LAST_ID: f64 = 77.0;

/// What the code that all ropes share reads.
const OF_ROPES: &[&str] = &["head_dim", "partial_rotary_factor"];

/// What only classes that classify read.
const OF_CLASSIFIERS: &[&str] = &["id2label", "pad_token_id"];

/// Where ours differs on purpose: family, or `*`, field, and why.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("deberta-v2", "legacy", "the names of the head's tensors tell")];

#[test]
fn every_field_is_honoured_or_refused() {
    let goldens = goldens();
    let tried = tried(&goldens);
    let mut wrong = Vec::new();
    for (name, Tried { folders, values, classifies, .. }) in &tried {
        let fields: BTreeSet<&str> = values.iter().map(|other| other.field.as_str()).collect();
        let kind = |name: &str| (decoder(name).is_some(), seq2seq(name).is_some(), name == WHISPER);
        let of_kin = tried.iter().filter(|(kin, _)| kind(kin) == kind(name));
        let of_kin = of_kin.flat_map(|(_, tried)| &tried.values);
        let mut seen = BTreeSet::new();
        let unread = of_kin.filter(|Other { field, value, .. }| {
            let is_read = fields.contains(field.as_str()) || OF_ROPES.contains(&field.as_str());
            !is_read && seen.insert((field, value.to_string()))
        });
        let unread: Vec<&Other> = unread.collect();
        for (number, folder) in folders.iter().enumerate() {
            let text = fs::read_to_string(goldens.join(folder).join("config.json")).unwrap();
            let fields: Map<String, Value> = serde_json::from_str(&text).unwrap();
            let raw = RawConfig::of_fields(fields);
            let before = read(name, &raw).unwrap();
            let effect = |other: &Other| match other {
                other if other.changes.contains(&number) => Effect::Another,
                other if other.same.contains(&number) => Effect::None,
                _ => Effect::Unknown,
            };
            let of_family = values.iter().map(|other| (other, effect(other)));
            let unread = unread.iter().map(|&other| (other, Effect::None));
            for (Other { field, value, .. }, effect) in of_family.chain(unread) {
                let is_this = |&(family, other, _): &(&str, &str, &str)| {
                    [name, "*"].contains(&family) && other == field
                };
                let is_of_no_class =
                    *classifies == Some(false) && OF_CLASSIFIERS.contains(&field.as_str());
                if is_of_no_class || EXCEPTIONS.iter().any(is_this) {
                    continue;
                }
                let found = match (read(name, &raw.with(field, value.clone())), effect) {
                    (Ok(after), Effect::Another) if after == before => "is not read".to_owned(),
                    (Ok(after), Effect::None) if after != before => "is read".to_owned(),
                    (Err(error), Effect::None) => error.to_string(),
                    _ => continue,
                };
                wrong.push(format!("{folder}: {field} = {value} has effect {effect:?}, {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    let names: BTreeSet<&str> = tried.keys().map(String::as_str).collect();
    let decoders = FAMILIES.iter().flat_map(|family| family.hf.types);
    let encoders = encoder::families::FAMILIES.iter().flat_map(|family| family.model_types);
    // The one is a part of a larger config; of the other there is no class.
    let seq2seqs = seq2seq::families::FAMILIES.iter().flat_map(|family| family.model_types);
    let known = decoders.chain(encoders).chain(seq2seqs);
    #[cfg(feature = "audio")]
    let known = known.chain(&[WHISPER]);
    let known = known.filter(|name| !["gemma3", "nomic_bert"].contains(name));
    assert_eq!(names, known.copied().collect());
}

#[test]
fn an_empty_config_is_the_references() {
    for (name, Tried { sizes, .. }) in tried(&goldens()) {
        let Some(family) = decoder(&name) else { continue };
        let config = family.read(&family.hf, &RawConfig::of_fields(Map::new())).unwrap();
        let LayerConfig { attention, mlp, .. } = &config.layers[0];
        let wide = match mlp {
            MlpConfig::Experts(experts) => experts.hidden,
            MlpConfig::Gated { hidden, .. } | MlpConfig::Plain { hidden, .. } => *hidden,
        };
        let found = [
            config.vocab_size,
            config.hidden_size,
            config.layers.len(),
            attention.heads,
            attention.kv_heads,
            attention.head_dim,
            wide,
            config.max_positions,
        ];
        assert_eq!(Some(found), sizes, "{name}");
    }
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn tried(goldens: &Path) -> BTreeMap<String, Tried> {
    let text = fs::read_to_string(goldens.join("config_fields.json")).unwrap();
    let mut tried: BTreeMap<String, Tried> = serde_json::from_str(&text).unwrap();
    tried.retain(|name, _| cfg!(feature = "audio") || name != WHISPER);
    tried
}

fn decoder(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().copied().find(|family| family.hf.types.contains(&name))
}

fn seq2seq(name: &str) -> Option<&'static seq2seq::Family> {
    let mut families = seq2seq::families::FAMILIES.iter().copied();
    families.find(|family| family.model_types.contains(&name))
}

/// As a model of this family reads it; how long a text may be is no matter of numbers.
fn read(name: &str, raw: &RawConfig) -> Result<Read> {
    let labels = Labels::read(raw)?.names.len();
    if let Some(family) = decoder(name) {
        let mut config = family.read(&family.hf, raw)?;
        config.max_positions = 0;
        if config.looks_ahead() {
            // There are no logits of tokens.
            config.head = HeadWeights::TiedToEmbedding;
            config.logit_cap = None;
        }
        let padding = family.hf.fields(raw)?.optional_number("pad_token_id")?;
        let ends_in_padding = padding == Some(LAST_ID);
        return Ok(Read::Decoder { config, labels, ends_in_padding });
    }
    #[cfg(feature = "audio")]
    if let Some(family) =
        speech::families::FAMILIES.iter().find(|family| family.model_types == [name])
    {
        let mut config = family.read(raw)?;
        config.decoder.max_positions = 0;
        // The caller gives the first token.
        config.start_id = None;
        return Ok(Read::Speech(Box::new(config)));
    }
    if let Some(family) = seq2seq(name) {
        let mut config = family.read(raw)?;
        config.encoder.max_positions = 0;
        config.decoder.max_positions = 0;
        let tables = [&mut config.encoder.embeddings.positions, &mut config.decoder.positions];
        for table in tables {
            if let AbsolutePositions::Sinusoidal { rows } = table {
                *rows = 0;
            }
        }
        // The caller gives the first token.
        config.start_id = None;
        return Ok(Read::Seq2Seq(Box::new(config)));
    }
    let mut families = encoder::families::FAMILIES.iter();
    let family = families.find(|family| family.model_types.contains(&name)).unwrap();
    let config = EncoderConfig { max_positions: 0, ..(family.config)(raw)? };
    Ok(Read::Encoder { config, labels })
}
