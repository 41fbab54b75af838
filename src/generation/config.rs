//! Generation options, stacked in layers.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::generation::origin::Origin;
use crate::read::read;
use crate::source::json;

/// Declares every option once: the field, its setter, its place in
/// [`GenerationConfig::overlaid`] and its JSON name. After `=` stands the value that JSON's `null`
/// means; an option without one is left unset by `null`.
macro_rules! generation_config {
    ($(#[$about:meta])* { $($(#[$doc:meta])+ $name:ident: $kind:ty $(= $off:expr)?,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq)]
        #[non_exhaustive]
        pub struct GenerationConfig {
            $($(#[$doc])+ pub $name: Option<$kind>,)+
            /// Options of transformers that are not implemented, where their value asks for
            /// something: [`plan`](Self::plan) refuses them.
            pub(super) unsupported: BTreeMap<&'static str, Value>,
            pub(super) origin: Origin,
        }

        impl GenerationConfig {
            /// The names of all options.
            pub(crate) const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, $name: $kind) -> Self {
                    self.$name = Some($name);
                    self
                }
            )+

            /// Stacks two layers: every option set in `over` replaces ours.
            #[must_use]
            pub fn overlaid(mut self, over: &Self) -> Self {
                $(if over.$name.is_some() {
                    self.$name.clone_from(&over.$name);
                })+
                self.unsupported.extend(over.unsupported.clone());
                self.origin.extend(&over.origin);
                self
            }

            /// Whether both set the option, to the same value.
            pub(super) fn agrees(&self, other: &Self, option: &str) -> bool {
                match option {
                    $(stringify!($name) => self.$name.is_some() && self.$name == other.$name,)+
                    _ => {
                        let value = self.unsupported.get(option);
                        value.is_some() && value == other.unsupported.get(option)
                    }
                }
            }

            /// Sets the option called `name` from JSON; `false` when generation has no such option.
            ///
            /// As in transformers, `null` turns an option off, `eos_token_id` and `stop_strings`
            /// may be one value or a list, and a negative special token means that there is none.
            ///
            /// # Errors
            ///
            /// When the value is of the wrong type.
            pub fn set(&mut self, name: &str, value: &Value) -> Result<bool> {
                let value = normalized(name, value);
                match name {
                    $(stringify!($name) => {
                        self.$name = match value {
                            Value::Null => None $(.or(Some($off)))?,
                            value => Some(parsed(name, &value)?),
                        };
                    })+
                    _ => {
                        let Some(name) = UNSUPPORTED.iter().find(|known| **known == name) else {
                            return Ok(false);
                        };
                        self.unsupported.insert(name, value);
                    }
                }
                Ok(true)
            }
        }
    };
}

generation_config! {
    /// How to continue a prompt: every option by its Hugging Face name, all optional, so that layers
    /// can be [stacked](Self::overlaid): the model's generation_config.json, then the caller.
    /// [`plan`](Self::plan) fills in the defaults and refuses what makes no sense.
    ///
    /// Options marked *sampling* have no effect unless [`do_sample`](Self#structfield.do_sample) is
    /// on, as in transformers.
    ///
    /// ```
    /// use sconce::generation::GenerationConfig;
    ///
    /// let model = GenerationConfig::from_json(&serde_json::json!({"eos_token_id": 2, "top_p": 0.9}))?;
    /// let caller = GenerationConfig::default().do_sample(true).top_p(0.5).seed(7);
    /// let config = model.overlaid(&caller);
    /// assert_eq!((config.eos_token_id, config.top_p), (Some(vec![2]), Some(0.5)));
    /// # Ok::<(), sconce::Error>(())
    /// ```
    ///
    /// Reference: `generation/configuration_utils.py` of transformers 4.57.6.
    {
        // --- how long ---
        /// The most tokens to generate, at least 1. Wins over `max_length`. Default: what
        /// `max_length` allows, or 20.
        max_new_tokens: usize,
        /// The most tokens, prompt included.
        max_length: usize,
        /// No end-of-sequence token before this many new ones. Wins over `min_length`.
        min_new_tokens: usize = 0,
        /// No end-of-sequence token before this many, prompt included.
        min_length: usize = 0,
        /// Seconds after which no further token is begun, and no further 512 tokens of the prompt are
        /// read, counted from the making of the plan.
        max_time: f64,
        /// Ends the answer with the token that completes one of these. The text keeps it, and what
        /// else its last token holds, as in transformers;
        /// [`TextStream::trim_stop_strings`](super::TextStream::trim_stop_strings) cuts it off.
        stop_strings: Vec<String> = Vec::new(),

        // --- how to choose ---
        /// Draw from the distribution rather than take the likeliest token. Default: false.
        do_sample: bool = false,
        /// *Sampling:* logits are divided by this, above 0. Default: 1.
        temperature: f64 = 1.0,
        /// *Sampling:* keep the `top_k` likeliest tokens and those that tie with the last of them;
        /// 0 keeps all, and less is refused when a plan samples. Default: 50.
        top_k: i64 = 0,
        /// *Sampling:* keep the likeliest tokens that together reach this probability, 0 to 1.
        /// Default: 1, all.
        top_p: f64 = 1.0,
        /// *Sampling:* keep tokens at least this many times as likely as the likeliest, 0 to 1.
        /// Default: 0, all.
        min_p: f64 = 0.0,
        /// *Sampling:* keep the tokens whose information is closest to the entropy, until they
        /// reach this probability; above 0, at most 1. Default: 1, all. (arXiv 2202.00666)
        typical_p: f64 = 1.0,
        /// *Sampling:* keep tokens at least this likely, 0 up to 1. Default: 0, all.
        /// (arXiv 2210.15191)
        epsilon_cutoff: f64 = 0.0,
        /// *Sampling:* keep tokens at least `min(eta, sqrt(eta) exp(-entropy))` likely, 0 up to 1.
        /// Default: 0, all. (arXiv 2210.15191)
        eta_cutoff: f64 = 0.0,
        /// Seeds the sampler: the same seed, options and logits give the same tokens with every
        /// version of this crate. Not in transformers. Default: a random seed.
        seed: u64,
        /// Answers per prompt; more than one needs `do_sample` and
        /// [`generate_batch`](super::generate_batch). Default: 1.
        num_return_sequences: usize = 1,

        // --- what to favour and forbid ---
        /// Divides the positive and multiplies the negative logits of tokens seen before, above 0.
        /// Default: 1, none. (arXiv 1909.05858)
        repetition_penalty: f64 = 1.0,
        /// The same for tokens of the prompt only, with the inverse effect: above 1 favours them.
        /// Default: 1.
        encoder_repetition_penalty: f64 = 1.0,
        /// No sequence of this many tokens comes twice; 0 for no limit. Default: 0.
        no_repeat_ngram_size: usize = 0,
        /// No sequence of this many tokens from the prompt comes again; 0 for no limit. Default: 0.
        encoder_no_repeat_ngram_size: usize = 0,
        /// Sequences of ids that are never completed.
        bad_words_ids: Vec<Vec<u32>> = Vec::new(),
        /// Sequences of ids and what is added to the logit of the last when it would complete them.
        sequence_bias: Vec<(Vec<u32>, f64)> = Vec::new(),
        /// Ids that are never generated.
        suppress_tokens: Vec<u32> = Vec::new(),
        /// Ids that do not come first.
        begin_suppress_tokens: Vec<u32> = Vec::new(),
        /// The id that must come second, after a prompt of one token.
        forced_bos_token_id: u32,
        /// The ids, one or a list, of which one must come last when the greatest length is reached.
        forced_eos_token_id: Vec<u32> = Vec::new(),
        /// `(start, factor)`: from `start` new tokens on, the end-of-sequence logits grow by
        /// `|logit| (factor^n - 1)`.
        exponential_decay_length_penalty: (usize, f64),
        /// Replaces NaN by 0 and infinite logits by the largest finite ones. Default: false, and
        /// NaN is an error.
        remove_invalid_values: bool = false,
        /// Normalizes the logits after all else. Default: false.
        renormalize_logits: bool = false,

        // --- special tokens ---
        /// The ids, one or a list, that end the answer.
        eos_token_id: Vec<u32> = Vec::new(),
        /// The id that fills up the shorter rows of a batch. It is masked, so it changes no result.
        pad_token_id: u32,
        /// The id that begins a text. Generation itself does not use it.
        bos_token_id: u32,
    }
}

impl GenerationConfig {
    /// Reads a `generation_config.json`.
    ///
    /// A `max_length` of 20 is left unset: it is transformers' default, written out, and means 20
    /// new tokens there too.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is not a JSON object, or a value is of the wrong type.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(path.as_ref(), &json::read(path.as_ref())?)
    }

    /// The options that a file of a checkpoint holds.
    pub(super) fn read(path: &Path, options: &Map<String, Value>) -> Result<Self> {
        let mut config = Self::from_map(options).map_err(|error| Error::malformed(path, error))?;
        if config.max_length == Some(20) {
            config.max_length = None;
        }
        Ok(config.stored_in(path))
    }

    /// Reads the options of a JSON object by their Hugging Face names; see [`set`](Self::set).
    /// Keys that generation does not know are ignored.
    ///
    /// # Errors
    ///
    /// When `json` is not an object or a value is of the wrong type.
    pub fn from_json(json: &Value) -> Result<Self> {
        let object = json.as_object().ok_or_else(|| {
            Error::option("generation_config", format!("{json} is not a JSON object"))
        })?;
        Self::from_map(object)
    }

    fn from_map(json: &Map<String, Value>) -> Result<Self> {
        let mut config = Self::default();
        for (name, value) in json {
            config.set(name, value)?;
        }
        Ok(config)
    }

    /// An error for the first option that asks for something not implemented.
    pub(super) fn refuse_unsupported(&self) -> Result<()> {
        match self.unsupported.iter().find(|(name, value)| !asks_for_nothing(name, value)) {
            None => Ok(()),
            Some((name, value)) => {
                Err(Error::option(*name, format!("{value} is not supported; leave it unset")))
            }
        }
    }
}

/// Whether `value` leaves an unsupported option off.
fn asks_for_nothing(name: &str, value: &Value) -> bool {
    match name {
        "num_beams" | "num_beam_groups" | "guidance_scale" => {
            value.is_null() || value.as_f64() == Some(1.0)
        }
        "penalty_alpha" | "diversity_penalty" => value.is_null() || value.as_f64() == Some(0.0),
        "token_healing" => value.is_null() || value == &Value::Bool(false),
        _ => value.is_null(),
    }
}

/// What transformers accepts in more than one form, in ours.
fn normalized(name: &str, value: &Value) -> Value {
    let absent = |id: &Value| id.as_i64().is_some_and(|id| id < 0);
    let mut value = value.clone();
    if matches!(name, "eos_token_id" | "forced_eos_token_id" | "stop_strings")
        && !value.is_array()
        && !value.is_null()
    {
        value = Value::Array(vec![value]);
    }
    match (name, &mut value) {
        ("bos_token_id" | "pad_token_id", id) if absent(id) => Value::Null,
        ("eos_token_id", Value::Array(ids)) => {
            ids.retain(|id| !absent(id));
            value
        }
        _ => value,
    }
}

fn parsed<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T> {
    read(value).map_err(|wrong| Error::option(name, wrong))
}

/// Options of transformers that change what is generated and are not implemented. (Options of beam
/// search, which have no effect without `num_beams`, are not listed.)
const UNSUPPORTED: &[&str] = &[
    "constraints",
    "diversity_penalty",
    "dola_layers",
    "force_words_ids",
    "guidance_scale",
    "num_beam_groups",
    "num_beams",
    "penalty_alpha",
    "prompt_lookup_num_tokens",
    "token_healing",
    "top_h",
    "watermarking_config",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::models::ModelLimits;

    #[test]
    fn json_in_all_its_forms() {
        let config = GenerationConfig::from_json(&json!({
            "_from_model_config": true,
            "transformers_version": "4.57.6",
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": -1,
            "stop_strings": "###",
            "temperature": 1,
            "top_k": null,
            "sequence_bias": [[[3, 4], -2.5], [[5], 1]],
            "exponential_decay_length_penalty": [4, 1.5],
            "num_beams": 1,
        }))
        .unwrap();
        let expected = GenerationConfig::default()
            .bos_token_id(1)
            .eos_token_id(vec![2])
            .stop_strings(vec!["###".into()])
            .temperature(1.0)
            .top_k(0)
            .sequence_bias(vec![(vec![3, 4], -2.5), (vec![5], 1.0)])
            .exponential_decay_length_penalty((4, 1.5));
        assert_eq!(GenerationConfig { unsupported: BTreeMap::new(), ..config }, expected);
    }

    #[test]
    fn wrong_types_name_the_key() {
        for (name, value) in [
            ("top_k", json!("many")),
            ("top_k", json!(2.5)),
            ("do_sample", json!(1)),
            ("eos_token_id", json!("</s>")),
            ("eos_token_id", json!([1, null])),
            ("stop_strings", json!([1])),
            ("temperature", json!([])),
            ("bad_words_ids", json!([1])),
            ("sequence_bias", json!([[1, 2.0]])),
            ("max_new_tokens", json!(1e300)),
        ] {
            let error = GenerationConfig::from_json(&json!({name: value})).unwrap_err();
            assert!(
                matches!(&error, Error::InvalidOption { option, .. } if option == name),
                "{error}"
            );
            assert!(error.to_string().contains(" is wanted"), "{error}");
        }
        assert!(GenerationConfig::from_json(&json!([])).is_err());
    }

    /// As in transformers, where only the processor looks at it: files say -1 for "off".
    #[test]
    fn a_negative_top_k_is_refused_where_it_samples() {
        let config = GenerationConfig::from_json(&json!({"top_k": -1})).unwrap();
        let limits = ModelLimits::new(10, 10);
        assert!(config.plan(&[1], limits, None).is_ok());
        let error = config.do_sample(true).plan(&[1], limits, None).unwrap_err();
        assert!(matches!(&error, Error::InvalidOption { option, .. } if option == "top_k"));
    }

    #[test]
    fn layers_stack() {
        let below = GenerationConfig::from_json(&json!({"num_beams": 4, "top_k": 9})).unwrap();
        assert!(below.refuse_unsupported().unwrap_err().to_string().contains("`num_beams`: 4"));
        let over = GenerationConfig::from_json(&json!({"num_beams": 1, "seed": 3})).unwrap();
        let both = below.overlaid(&over);
        assert_eq!((both.top_k, both.seed), (Some(9), Some(3)));
        both.refuse_unsupported().unwrap();
    }

    #[test]
    fn files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generation_config.json");
        for (text, expected) in [
            (r#"{"max_length": 20, "top_k": 3}"#, Some(GenerationConfig::default().top_k(3))),
            (r#"{"max_length": 21}"#, Some(GenerationConfig::default().max_length(21))),
            (r#"{"top_k": "x"}"#, None),
            (r#"{"top_k": 3"#, None),
            ("[]", None),
        ] {
            std::fs::write(&path, text).unwrap();
            match (GenerationConfig::from_file(&path), expected) {
                (Ok(found), Some(expected)) => assert_eq!(found, expected),
                (Err(error), None) => assert!(error.to_string().contains("generation_config.json")),
                (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
            }
        }
        assert!(GenerationConfig::from_file(folder.path().join("none.json")).is_err());
    }
}
