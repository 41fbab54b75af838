//! `config.json` or GGUF metadata, under Hugging Face names either way.

use std::path::{Path, PathBuf};

use serde_json::Map;
use serde_json::Number;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::nn::activation::Activation;
use crate::source::ModelFiles;
use crate::source::gguf::{GgufFile, GgufValue};

/// The fields of `config.json`. GGUF metadata is translated into the same fields, so families read
/// both in the same way.
#[derive(Debug, Clone)]
pub(crate) struct RawConfig {
    origin: PathBuf,
    fields: Map<String, Value>,
    /// A family's own names of fields, behind the common ones.
    spellings: &'static [(&'static str, &'static str)],
}

impl RawConfig {
    /// Reads the config of an opened source.
    pub(crate) fn read(files: &ModelFiles) -> Result<Self> {
        if let Some(file) = files.gguf() {
            return Self::of_gguf(file);
        }
        files.refuse_adapter()?;
        let needed_for = "the model's architecture and sizes";
        let (fields, origin) = files.required_map("config.json", needed_for)?;
        Ok(Self { fields, origin, spellings: &[] })
    }

    /// Translates the metadata of a GGUF file.
    pub(crate) fn of_gguf(file: &GgufFile) -> Result<Self> {
        Ok(Self { origin: file.path().to_owned(), fields: from_gguf(file)?, spellings: &[] })
    }

    /// These fields, as if they had been read.
    #[cfg(test)]
    pub(crate) fn of_fields(fields: Map<String, Value>) -> Self {
        Self { origin: PathBuf::from("config.json"), fields, spellings: &[] }
    }

    /// The file.
    pub(crate) fn origin(&self) -> &Path {
        &self.origin
    }

    /// The architecture: `model_type` of a config.json, `general.architecture` of a GGUF file.
    pub(crate) fn model_type(&self) -> Result<&str> {
        self.required(self.text("model_type")?, "model_type")
    }

    /// A number of things that the model cannot do without; at least one.
    pub(crate) fn size(&self, field: &str) -> Result<usize> {
        self.required(self.optional_size(field)?, field)
    }

    /// As [`size`](Self::size), where the field may be missing or null.
    pub(crate) fn optional_size(&self, field: &str) -> Result<Option<usize>> {
        let size = |value: &Value| {
            value
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| (1..MAX_SIZE).contains(n))
        };
        self.read_as(field, size, &format!("a whole number from 1 to {}", MAX_SIZE - 1))
    }

    /// The number of layers. Bounded, because memory is allocated for each before any weight is
    /// read.
    pub(crate) fn layers(&self) -> Result<Option<usize>> {
        self.layers_of("num_hidden_layers")
    }

    /// As [`layers`](Self::layers), by another field: of one half of an encoder-decoder.
    pub(crate) fn layers_of(&self, field: &str) -> Result<Option<usize>> {
        match self.optional_size(field)? {
            Some(layers) if layers > MOST_LAYERS => {
                Err(self.refuse(field, "no model has that many"))
            }
            layers => Ok(layers),
        }
    }

    /// A number, or the default of the reference where it is missing or null.
    pub(crate) fn number(&self, field: &str, default: f64) -> Result<f64> {
        Ok(self.read_as(field, Value::as_f64, "a number")?.unwrap_or(default))
    }

    /// Checkpoints with pruned heads have tensors of other sizes.
    pub(crate) fn refuse_pruned_heads(&self) -> Result<()> {
        let none = |heads: &Value| heads.as_object().is_some_and(Map::is_empty);
        match self.fields.get("pruned_heads") {
            None | Some(Value::Null) => Ok(()),
            Some(heads) if none(heads) => Ok(()),
            Some(_) => {
                Err(self.refuse("pruned_heads", "models without some heads are not supported"))
            }
        }
    }

    /// The epsilon of a norm, or the default of the reference; not below 0.
    pub(crate) fn epsilon(&self, field: &str, default: f64) -> Result<f64> {
        let eps = self.number(field, default)?;
        if eps >= 0.0 && (eps as f32).is_finite() {
            return Ok(eps);
        }
        Err(self.refuse(field, "it should be a small number, not below 0"))
    }

    /// A number, where there is one.
    pub(crate) fn optional_number(&self, field: &str) -> Result<Option<f64>> {
        self.read_as(field, Value::as_f64, "a number")
    }

    /// A number that the model cannot do without.
    pub(crate) fn required_number(&self, field: &str) -> Result<f64> {
        self.required(self.read_as(field, Value::as_f64, "a number")?, field)
    }

    /// True or false, or the default of the reference where it is missing or null.
    pub(crate) fn flag(&self, field: &str, default: bool) -> Result<bool> {
        Ok(self.read_as(field, Value::as_bool, "true or false")?.unwrap_or(default))
    }

    /// Text, where there is some.
    pub(crate) fn text(&self, field: &str) -> Result<Option<&str>> {
        self.read_as(field, Value::as_str, "text")
    }

    /// As [`activation`](Self::activation), where no weights are loaded for it: none that has some.
    pub(crate) fn plain_activation(&self, field: &str, default: &str) -> Result<Activation> {
        let activation = self.activation(field, default)?;
        match activation.has_weights() {
            false => Ok(activation),
            true => Err(self.refuse(field, "it has weights, which are not read there")),
        }
    }

    /// The activation that a field names, or the default of the reference. Its weights are loaded with those of the MLP.
    pub(crate) fn activation(&self, field: &str, default: &str) -> Result<Activation> {
        let name = self.text(field)?.unwrap_or(default);
        name.parse().map_err(|error: Error| match error {
            Error::UnsupportedModel { reason } => self.refuse(field, reason),
            error => error,
        })
    }

    /// What stands in a field, where it is not null.
    #[cfg(feature = "audio")]
    pub(crate) fn value(&self, field: &str) -> Option<&Value> {
        self.fields.get(self.spelled(field)).filter(|value| !value.is_null())
    }

    /// An array of numbers, where there is one.
    pub(crate) fn numbers(&self, field: &str) -> Result<Option<Vec<f32>>> {
        let numbers = |value: &Value| -> Option<Vec<f32>> {
            value.as_array()?.iter().map(|value| Some(value.as_f64()? as f32)).collect()
        };
        self.read_as(field, numbers, "a list of numbers")
    }

    /// A list of texts, where there is one.
    pub(crate) fn texts(&self, field: &str) -> Result<Option<Vec<&str>>> {
        self.read_as(
            field,
            |value| value.as_array()?.iter().map(Value::as_str).collect(),
            "a list of texts",
        )
    }

    /// An object that names texts by number, from 0 on and none left out, where there is one:
    /// `id2label`. Numbers become texts.
    pub(crate) fn numbered_texts(&self, field: &str) -> Result<Option<Vec<String>>> {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let numbered = |value: &Value| -> Option<Vec<String>> {
            let mut texts = vec![None; value.as_object()?.len()];
            for (number, value) in value.as_object()? {
                *texts.get_mut(number.parse::<usize>().ok()?)? = Some(text(value)?);
            }
            texts.into_iter().collect::<Option<Vec<_>>>().filter(|texts| !texts.is_empty())
        };
        self.read_as(field, numbered, "an object with a text for each number from 0 on")
    }

    /// An object that numbers texts, in its order, where there is one: `label2id`.
    pub(crate) fn text_numbers(&self, field: &str) -> Result<Option<Vec<(String, usize)>>> {
        let numbered = |value: &Value| -> Option<Vec<(String, usize)>> {
            let number = |number: &Value| number.as_u64()?.try_into().ok();
            let texts = value.as_object()?.iter();
            texts.map(|(text, value)| Some((text.clone(), number(value)?))).collect()
        };
        self.read_as(field, numbered, "an object with a number for each text")
    }

    /// The same config with another default for a field. The default applies if the field is
    /// missing; null means "none", as in the reference.
    pub(crate) fn with_default(&self, field: &str, value: impl Into<Value>) -> Self {
        let mut config = self.clone();
        config.fields.entry(self.spelled(field)).or_insert_with(|| value.into());
        config
    }

    /// The same config with the fields of another where it has none of its own.
    pub(crate) fn with_defaults_of(mut self, other: Self) -> Self {
        for (field, value) in other.fields {
            let own = self.fields.entry(field).or_insert(Value::Null);
            if own.is_null() {
                *own = value;
            }
        }
        self
    }

    /// All fields.
    pub(crate) fn into_fields(self) -> Map<String, Value> {
        self.fields
    }

    /// The same config with another section.
    pub(crate) fn with_section(&self, field: &str, section: Self) -> Self {
        self.with(field, Value::Object(section.fields))
    }

    /// The same config without a field.
    pub(crate) fn without(&self, field: &str) -> Self {
        let mut config = self.clone();
        config.fields.shift_remove(field);
        config
    }

    /// The same config with another value of a field.
    pub(crate) fn with(&self, field: &str, value: impl Into<Value>) -> Self {
        let mut config = self.clone();
        config.fields.insert(self.spelled(field).to_owned(), value.into());
        config
    }

    /// The same config with other names for fields: pairs of the common name and the family's own,
    /// which wins if both exist.
    pub(crate) fn with_spellings(
        &self,
        spellings: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { spellings, ..self.clone() }
    }

    /// As [`with_spellings`](Self::with_spellings), but the common name wins: `attribute_map` of the
    /// reference.
    pub(crate) fn with_attribute_map(
        &self,
        spellings: &'static [(&'static str, &'static str)],
    ) -> Self {
        let mut config = self.with_spellings(spellings);
        for (common, own) in spellings {
            if config.fields.contains_key(*common) {
                config.fields.shift_remove(*own);
            }
        }
        config
    }

    /// An object inside this one, where there is one, read with the same methods.
    pub(crate) fn section(&self, field: &str) -> Result<Option<Self>> {
        let fields = self.read_as(field, Value::as_object, "an object")?;
        Ok(fields.map(|fields| Self {
            origin: self.origin.clone(),
            fields: fields.clone(),
            spellings: &[],
        }))
    }

    /// The error for a value that is well formed but means nothing here.
    pub(crate) fn refuse(&self, field: &str, reason: impl AsRef<str>) -> Error {
        let field = self.spelled(field);
        let value = self.fields.get(field).map_or_else(|| "missing".to_owned(), Value::to_string);
        let reason = reason.as_ref();
        Error::unsupported(format!("{}: `{field}` is {value}; {reason}", self.origin.display()))
    }

    /// The error for a field that the model cannot do without.
    pub(crate) fn missing(&self, field: &str) -> Error {
        Error::malformed(&self.origin, format!("has no field `{}`", self.spelled(field)))
    }

    fn spelled<'a>(&self, field: &'a str) -> &'a str {
        let own =
            |&&(common, own): &&(&str, &str)| common == field && self.fields.contains_key(own);
        self.spellings.iter().find(own).map_or(field, |&(_, own)| own)
    }

    fn required<T>(&self, value: Option<T>, field: &str) -> Result<T> {
        value.ok_or_else(|| self.missing(field))
    }

    fn read_as<'a, T>(
        &'a self,
        field: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>> {
        let field = self.spelled(field);
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => convert(value).map(Some).ok_or_else(|| {
                let reason = format!("field `{field}` is {value}; it should be {expected}");
                Error::malformed(&self.origin, reason)
            }),
        }
    }
}

/// No model has more layers, or is near it.
const MOST_LAYERS: usize = 1 << 12;

/// No size of a model is near this; what is above would overflow products of sizes.
const MAX_SIZE: usize = 1 << 31;

/// GGUF's keys behind the architecture's prefix that all architectures share, and the fields of
/// config.json they become. Others keep their name, and families know them by it.
const FIELDS: &[(&str, &str)] = &[
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.layer_norm_epsilon", "layer_norm_eps"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.sliding_window", "sliding_window"),
    ("block_count", "num_hidden_layers"),
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("expert_count", "num_experts"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_used_count", "num_experts_per_tok"),
    ("feed_forward_length", "intermediate_size"),
    ("rope.freq_base", "rope_theta"),
];

/// Keys of the rope scaling, and the fields of `rope_scaling` they become.
const ROPE_FIELDS: &[(&str, &str)] = &[
    ("rope.scaling.attn_factor", "attention_factor"),
    ("rope.scaling.factor", "factor"),
    ("rope.scaling.original_context_length", "original_max_position_embeddings"),
    ("rope.scaling.type", "rope_type"),
    ("rope.scaling.yarn_beta_fast", "beta_fast"),
    ("rope.scaling.yarn_beta_slow", "beta_slow"),
];

/// The spec: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. What metadata does not
/// say is read off the directory of tensors: the vocabulary, a tied head, biases. Each tensor of the first
/// layer is a field that is true.
fn from_gguf(file: &GgufFile) -> Result<Map<String, Value>> {
    let missing = |key: &str| Error::malformed(file.path(), format!("has no metadata key {key:?}"));
    let architecture =
        file.string("general.architecture")?.ok_or_else(|| missing("general.architecture"))?;
    let value = |key: &str| {
        let expected = "text, true, false, a finite number or a short list of such";
        let value = file.read_as(&format!("{architecture}.{key}"), json, expected);
        value.map_err(|reason| Error::malformed(file.path(), reason))
    };
    let section = |keys: &[(&str, &str)]| -> Result<Map<String, Value>> {
        let field = |&(key, field): &(&str, &str)| {
            value(key).map(|value| Some((field.to_owned(), value?))).transpose()
        };
        keys.iter().filter_map(field).collect()
    };
    let prefix = format!("{architecture}.");
    let own = file.metadata().iter().filter_map(|(key, value)| {
        // What JSON cannot hold is told by whoever asks for it.
        let value = json(value).unwrap_or_else(|| value.to_string().into());
        Some((key.strip_prefix(&prefix)?.to_owned(), value))
    });
    let first = ["blk.0.", "enc.blk.0.", "enc.blk.1."];
    let is_first = |name: &&String| first.iter().any(|first| name.starts_with(first));
    let of_first_layer = file.tensors().keys().filter(is_first);
    let mut fields: Map<_, _> =
        own.chain(of_first_layer.map(|name| (name.clone(), true.into()))).collect();
    fields.extend(section(FIELDS)?);
    let mut rope = section(ROPE_FIELDS)?;
    let factors = |name: &str| rope_factors(file, name);
    if let Some(factors) = factors("rope_freqs.weight")? {
        rope.insert("rope_type".to_owned(), "factors".into());
        rope.insert("factors".to_owned(), factors.into());
    }
    if let (Some(short), Some(long)) =
        (factors("rope_factors_short.weight")?, factors("rope_factors_long.weight")?)
    {
        rope.insert("rope_type".to_owned(), "longrope".into());
        rope.insert("short_factor".to_owned(), short.into());
        rope.insert("long_factor".to_owned(), long.into());
        if let Some(original) = value("rope.scaling.original_context_length")? {
            fields.insert("original_max_position_embeddings".to_owned(), original);
        }
    }
    if !rope.is_empty() {
        fields.insert("rope_scaling".to_owned(), rope.into());
    }
    // True where a layer slides.
    if let Some(Value::Array(slides)) = fields.get("attention.sliding_window_pattern") {
        let kinds = ["full_attention", "sliding_attention"];
        let types: Vec<_> =
            slides.iter().map(|slides| kinds[usize::from(*slides == true)]).collect();
        fields.insert("layer_types".to_owned(), types.into());
    }
    // As llama.cpp has it.
    if let Some(heads) = fields.get("num_attention_heads").cloned() {
        fields.entry("num_key_value_heads").or_insert(heads);
    }
    let has = |tensor: &str| file.tensors().contains_key(tensor);
    if let Some(embedding) = file.tensors().get("token_embd.weight") {
        fields.insert("vocab_size".to_owned(), embedding.shape.first().copied().into());
    }
    if let Some(types) = file.tensors().get("token_types.weight") {
        fields.insert("type_vocab_size".to_owned(), types.shape.first().copied().into());
    }
    if let Some(Value::Array(labels)) = value("classifier.output_labels")? {
        let named = labels.into_iter().enumerate();
        let named = named.map(|(label, name)| (label.to_string(), name)).collect::<Map<_, _>>();
        fields.insert("id2label".to_owned(), named.into());
    } else if let Some(out) = file.tensors().get("cls.output.weight") {
        fields.insert("num_labels".to_owned(), out.shape.first().copied().into());
    }
    fields.insert("model_type".to_owned(), architecture.into());
    fields.insert("tie_word_embeddings".to_owned(), (!has("output.weight")).into());
    let qkv_bias = has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias");
    fields.insert("attention_bias".to_owned(), qkv_bias.into());
    fields.insert("attention_output_bias".to_owned(), has("blk.0.attn_output.bias").into());
    fields.insert("mlp_bias".to_owned(), has("blk.0.ffn_down.bias").into());
    Ok(fields)
}

/// The divisors of the rope frequencies that some files store as a tensor of f32.
fn rope_factors(file: &GgufFile, name: &str) -> Result<Option<Vec<f32>>> {
    let (Some(tensor), Some(bytes)) = (file.tensors().get(name), file.bytes(name)) else {
        return Ok(None);
    };
    let (numbers, rest) = bytes.as_chunks::<4>();
    if tensor.ggml_type != GGML_F32 || !rest.is_empty() {
        return Err(Error::malformed(file.path(), format!("tensor {name:?} is not of type f32")));
    }
    let factors: Vec<_> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    match factors.iter().find(|factor| !factor.is_finite() || **factor <= 0.0) {
        Some(factor) => {
            let reason = format!("tensor {name:?} holds {factor}, by which nothing can be divided");
            Err(Error::malformed(file.path(), reason))
        }
        None => Ok(Some(factors)),
    }
}

/// `GGML_TYPE_F32`.
const GGML_F32: u32 = 0;

/// As JSON, which has no number for NaN and the infinities.
fn json(value: &GgufValue) -> Option<Value> {
    Some(match value {
        GgufValue::Array(values) => values.iter().map(json).collect::<Option<_>>()?,
        GgufValue::Bool(value) => (*value).into(),
        GgufValue::Float(value) => Number::from_f64(*value)?.into(),
        GgufValue::Int(value) => (*value).into(),
        GgufValue::Numbers(numbers) if numbers.len() > MOST_LAYERS => return None,
        GgufValue::Numbers(numbers) => {
            numbers.iter().map(|value| json(&value)).collect::<Option<_>>()?
        }
        GgufValue::String(value) => value.as_str().into(),
        GgufValue::UInt(value) => (*value).into(),
    })
}
