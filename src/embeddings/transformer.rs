//! The settings of the module `Transformer`: how texts become rows of tokens.
//!
//! Mirrors `Transformer.load_config` and `Transformer.__init__` of sentence-transformers 5.7.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::source::ModelFiles;

/// What of the settings makes a difference here.
#[derive(Debug, Default)]
pub(crate) struct TransformerSettings {
    pub(crate) task: String,
    /// The most tokens of a row.
    pub(crate) max_length: Option<usize>,
    pub(crate) lower_case: bool,
    /// Whether what each layer makes comes out, too: `output_hidden_states`.
    pub(crate) gives_layers: bool,
    /// Texts go through the tokenizer's chat template.
    pub(crate) messages: Option<MessageSettings>,
}

/// How texts become messages.
#[derive(Debug, Clone, Default)]
pub(crate) struct MessageSettings {
    /// `structured` (a list of parts) or `flat` (text); `None`: as the template looks.
    pub(crate) structured: Option<bool>,
    /// Variables of the template, `add_generation_prompt` among them.
    pub(crate) variables: Map<String, Value>,
    pub(crate) max_length: Option<usize>,
    /// Whether the end of the template is put back where a text was cut.
    pub(crate) restores_suffix: bool,
}

#[derive(Deserialize, Default)]
struct Fields {
    transformer_task: Option<String>,
    modality_config: Option<Map<String, Value>>,
    processing_kwargs: Option<Processing>,
    max_seq_length: Option<usize>,
    do_lower_case: Option<bool>,
    #[serde(alias = "tokenizer_args")]
    processor_kwargs: Option<Map<String, Value>>,
    #[serde(alias = "config_args")]
    config_kwargs: Option<Map<String, Value>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Processing {
    text: Map<String, Value>,
    common: Map<String, Value>,
    chat_template: Map<String, Value>,
}

impl TransformerSettings {
    /// Of a module's folder: the first of the files that is there and not empty.
    pub(crate) fn read(files: &ModelFiles) -> Result<Self> {
        for name in NAMES {
            let fields: Option<Map<String, Value>> = files.json(name)?;
            let Some(fields) = fields.filter(|fields| !fields.is_empty()) else { continue };
            let path = files.required(name, "the settings of a Transformer")?;
            let fields = Fields::deserialize(Value::Object(fields))
                .map_err(|error| Error::malformed(&path, error))?;
            return Self::of(fields)
                .map_err(|reason| Error::unsupported(format!("{}: {reason}", path.display())));
        }
        Ok(Self { task: FEATURES.to_owned(), ..Self::default() })
    }

    /// Of a repository that has no modules: texts go through a chat template, where there is one.
    pub(crate) fn of_a_model() -> Self {
        let messages = Some(MessageSettings::new());
        Self { task: FEATURES.to_owned(), messages, ..Self::default() }
    }

    fn of(fields: Fields) -> std::result::Result<Self, String> {
        let task = fields.transformer_task.unwrap_or_else(|| FEATURES.to_owned());
        let mut messages = None;
        if let Some(modalities) = &fields.modality_config {
            let output = if task == FEATURES { "last_hidden_state" } else { "logits" };
            for name in ["text", "message"] {
                let Some(ways) = modalities.get(name) else { continue };
                let named = match &ways["method_output_name"] {
                    Value::Array(path) if path.len() == 1 => &path[0],
                    other => other,
                };
                if ways["method"] != "forward" || named != output {
                    return Err(format!("the way {ways} from {name} to numbers is not built"));
                }
            }
            if let Some(message) = modalities.get("message") {
                let structured = match message["format"].as_str() {
                    Some("structured") => Some(true),
                    Some("flat") => Some(false),
                    _ => None,
                };
                messages = Some(MessageSettings { structured, ..MessageSettings::new() });
            } else if !modalities.contains_key("text") {
                return Err("the model takes no text".to_owned());
            }
        }
        let processing = fields.processing_kwargs.unwrap_or_default();
        let length = |kwargs: &Map<String, Value>, name: &str| {
            kwargs.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok())
        };
        let [text, common] = [&processing.text, &processing.common];
        only("processing_kwargs.text", text, TEXT_FIELDS)?;
        only("processing_kwargs.common", common, TEXT_FIELDS)?;
        let tokenizer = fields.processor_kwargs.unwrap_or_default();
        only("processor_kwargs", &tokenizer, TOKENIZER_FIELDS)?;
        let mut config = fields.config_kwargs.unwrap_or_default();
        let gives_layers = config.remove("output_hidden_states") == Some(Value::Bool(true));
        only("config_kwargs", &config, HUB_FIELDS)?;
        let stated = length(&tokenizer, "model_max_length").or(fields.max_seq_length);
        let [text, common] = [text, common].map(|kwargs| length(kwargs, "max_length"));
        if let Some(messages) = &mut messages {
            let mut variables = processing.chat_template;
            messages.max_length = length(&variables, "max_length").or(text).or(common);
            messages.restores_suffix =
                variables.remove("restore_suffix").and_then(|flag| flag.as_bool()) != Some(false);
            variables.retain(|name, _| !TEXT_FIELDS.contains(&name.as_str()));
            messages.variables = variables;
        }
        Ok(Self {
            task,
            max_length: common.or(text).or(stated),
            lower_case: fields.do_lower_case == Some(true),
            gives_layers,
            messages,
        })
    }
}

impl MessageSettings {
    fn new() -> Self {
        Self { restores_suffix: true, ..Self::default() }
    }
}

/// Refuses fields that would change what comes out.
fn only(
    name: &str,
    fields: &Map<String, Value>,
    known: &[&str],
) -> std::result::Result<(), String> {
    match fields.iter().find(|(field, value)| !known.contains(&field.as_str()) && !value.is_null())
    {
        Some((field, value)) => Err(format!(
            "`{name}` sets {field:?} to {value}, which is not supported there; write it into the \
             file that it is meant for"
        )),
        None => Ok(()),
    }
}

/// What the module gives where it does not say: a vector per token.
pub(crate) const FEATURES: &str = "feature-extraction";

/// In the order in which they are looked for.
const NAMES: &[&str] = &[
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Where files are fetched from, which is settled already.
const HUB_FIELDS: &[&str] =
    &["cache_dir", "local_files_only", "revision", "subfolder", "token", "trust_remote_code"];
/// Rows are padded as batches need it, and padding changes no result.
const TOKENIZER_FIELDS: &[&str] = &[
    "cache_dir",
    "clean_up_tokenization_spaces",
    "local_files_only",
    "model_max_length",
    "padding_side",
    "revision",
    "subfolder",
    "token",
    "trust_remote_code",
    "use_fast",
];
const TEXT_FIELDS: &[&str] = &[
    "max_length",
    "pad_to_multiple_of",
    "padding",
    "padding_side",
    "return_attention_mask",
    "return_tensors",
    "return_token_type_ids",
    "truncation",
];
