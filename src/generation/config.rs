//! Generation options, stacked in layers.

mod json;
mod schedule;

use std::path::Path;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use crate::error::{Error, Result, did_you_mean};
use crate::generation::beams::{EarlyStopping, ForcedWords};
use crate::generation::dola::DolaLayers;
use crate::generation::origin::Origin;
use crate::generation::processors::Watermarking;
use crate::source;
use json::{Unset, no_option, normalized, parsed};

pub use schedule::AssistantSchedule;

/// Declares every option once: the field, its setter, its place in [`GenerationConfig::overlaid`]
/// and its JSON name. After `=` comes the meaning of JSON's `null`; without it, `null` leaves the
/// option unset, in the layers below too.
macro_rules! generation_config {
    ($(#[$about:meta])* { $($(#[$doc:meta])+ $name:ident: $kind:ty $(= $off:expr)?,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq)]
        #[non_exhaustive]
        pub struct GenerationConfig {
            $($(#[$doc])+ pub $name: Option<$kind>,)+
            pub(super) unset: Unset,
            pub(super) origin: Origin<Self>,
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

            /// Stacks two layers: every option set in `over` replaces ours, and so does `null` in JSON.
            #[must_use]
            pub fn overlaid(mut self, over: &Self) -> Self {
                $(if over.$name.is_some() || over.unset.0.contains(&stringify!($name)) {
                    self.$name.clone_from(&over.$name);
                })+
                self.unset.0.extend(&over.unset.0);
                self.origin.extend(&over.origin);
                self
            }

            /// Whether both set the option, to the same value.
            fn agrees(&self, other: &Self, option: &str) -> bool {
                match option {
                    $(stringify!($name) => self.$name.is_some() && self.$name == other.$name,)+
                    _ => false,
                }
            }

            /// Sets the option called `name` from JSON; `false` when generation has no such option.
            ///
            /// As in transformers, `null` turns an option off, whatever the model says, `eos_token_id` and `stop_strings`
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
                        if self.$name.is_none() {
                            self.unset.0.push(stringify!($name));
                        }
                    })+
                    _ => return no_option(name, &value),
                }
                Ok(true)
            }
        }

        /// The options that are set, as an object by their names.
        impl Serialize for GenerationConfig {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                $(if let Some(value) = &self.$name {
                    map.serialize_entry(stringify!($name), value)?;
                })+
                map.end()
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
        /// read, counted from the making of the plan, or for a batch from the beginning of the call.
        max_time: f64,
        /// Ends the answer with the token that completes one of these strings. As in transformers,
        /// the text keeps the string and the rest of its last token;
        /// [`TextStream::trim_stop_strings`](super::TextStream::trim_stop_strings) removes them.
        stop_strings: Vec<String> = Vec::new(),

        // --- how to choose ---
        /// Sample from the distribution instead of taking the likeliest token. Default: false.
        do_sample: bool = false,
        /// *Sampling:* logits are divided by this, above 0. Default: 1.
        temperature: f64 = 1.0,
        /// *Sampling:* keep the `top_k` likeliest tokens and those that tie with the last of them;
        /// 0 keeps all; a negative number is an error if the plan samples. Default: 50.
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
        /// *Sampling:* of the 100 likeliest tokens, keep the likeliest that together have this share of
        /// the entropy; above 0, at most 1. Of transformers 5. Default: all. (arXiv 2509.02510)
        top_h: f64,
        /// *Sampling:* keep tokens whose logit is at most so many standard deviations below the largest,
        /// above 0; 0 and -1 keep all. As in llama.cpp. Default: 0. (arXiv 2411.07641)
        top_n_sigma: f64 = 0.0,
        /// *Sampling:* in this share of all steps, 0 to 1, the likeliest tokens are ruled out but for the
        /// last that reaches `xtc_threshold`. As in llama.cpp. Default: 0.
        xtc_probability: f64 = 0.0,
        /// *Sampling:* the probability that `xtc_probability` is about, 0 to 1. Default: 0.1.
        xtc_threshold: f64,
        /// *Sampling:* the temperature is moved by up to this, above 0, down where the model is certain and up
        /// where it is not. As in llama.cpp. Default: 0, not at all.
        dynatemp_range: f64 = 0.0,
        /// *Sampling:* how the temperature follows the entropy within `dynatemp_range`, above 0. Default: 1.
        dynatemp_exponent: f64,
        /// *Sampling:* 2 draws by Mirostat 2.0, which keeps the surprise of the text even, 0 does not. As in
        /// llama.cpp, the temperature is then the only option of sampling that counts. Default: 0.
        mirostat: usize = 0,
        /// *Sampling:* the surprise that Mirostat aims at, in bits per token, above 0. Default: 5.
        mirostat_tau: f64,
        /// *Sampling:* how fast Mirostat adapts, from 0 up. Default: 0.1.
        mirostat_eta: f64,
        /// Seeds the sampler: the same seed, options and logits give the same tokens with every
        /// version of this crate. Not in transformers. Default: a random seed.
        seed: u64,
        /// How many of the likeliest tokens are told beside each token, with their log-probabilities
        /// ([`Token::top_logprobs`](super::Token::top_logprobs)). Not in transformers. Default: 0.
        top_logprobs: usize = 0,
        /// Answers per prompt; more than one needs `do_sample`, or as many `num_beams`, and
        /// [`generate_batch`](super::generate_batch). Default: 1.
        num_return_sequences: usize = 1,

        // --- beams ---
        /// How many beginnings of an answer are followed at once, up to 256; needs
        /// [`generate_batch`](super::generate_batch). Default: 1.
        num_beams: usize = 1,
        /// *Beams:* when the search is over, in JSON `true`, `false` or `"never"`. Default: `false`.
        early_stopping: EarlyStopping = EarlyStopping::Heuristic,
        /// *Beams:* an answer is ranked by the sum of its log-probabilities, divided by its number of tokens
        /// to this power: above 0 favours long answers. Default: 1.
        length_penalty: f64 = 1.0,
        /// *Beams:* groups that the beams are divided into, each of which searches on its own. Default: 1.
        num_beam_groups: usize = 1,
        /// *Groups of beams:* what a token loses for each time that a group before has chosen it in the same
        /// step, above 0. Default: 0, which several groups do not accept. (arXiv 1610.02424)
        diversity_penalty: f64 = 0.0,
        /// *Beams:* what the answer must hold: for each item all its ids, or one of its lists of ids.
        force_words_ids: Vec<ForcedWords> = Vec::new(),

        // --- what to favour and forbid ---
        /// Divides the positive and multiplies the negative logits of tokens seen before, above 0.
        /// Default: 1, none. (arXiv 1909.05858)
        repetition_penalty: f64 = 1.0,
        /// The same for tokens of the prompt only, with the inverse effect: above 1 favours them.
        /// Default: 1.
        encoder_repetition_penalty: f64 = 1.0,
        /// Lowers the logits of tokens by this for each time that they have been generated; negative raises
        /// them. As in OpenAI's API, vLLM and llama.cpp. Default: 0.
        frequency_penalty: f64 = 0.0,
        /// Lowers the logits of tokens that have been generated by this; negative raises them. As in
        /// OpenAI's API, vLLM and llama.cpp. Default: 0.
        presence_penalty: f64 = 0.0,
        /// DRY: lowers the logits of tokens that would go on with a repetition, by this times `dry_base` to
        /// the power of its length beyond `dry_allowed_length`, from 0 up. As in llama.cpp. Default: 0.
        dry_multiplier: f64 = 0.0,
        /// The growth of the penalty of DRY with each token of a repetition, at least 1. Default: 1.75.
        dry_base: f64,
        /// Repetitions of up to this many tokens are free of DRY's penalty. Default: 2.
        dry_allowed_length: usize,
        /// How many of the last tokens DRY looks at, prompt included; -1 for all. Default: 64.
        dry_penalty_last_n: i64,
        /// Texts at which a repetition ends, for DRY. Default: a line break, `:`, `"` and `*`.
        dry_sequence_breakers: Vec<String>,
        /// No sequence of this many tokens comes twice; 0 for no limit. Default: 0.
        no_repeat_ngram_size: usize = 0,
        /// No sequence of this many tokens from the prompt comes again; 0 for no limit. Default: 0.
        encoder_no_repeat_ngram_size: usize = 0,
        /// Sequences of ids that are never completed.
        bad_words_ids: Vec<Vec<u32>> = Vec::new(),
        /// Sequences of ids, each with a bias for the logit of its last id when that would complete
        /// the sequence.
        sequence_bias: Vec<(Vec<u32>, f64)> = Vec::new(),
        /// Ids that are never generated.
        suppress_tokens: Vec<u32> = Vec::new(),
        /// Ids that do not come first.
        begin_suppress_tokens: Vec<u32> = Vec::new(),
        /// The id that must come second, after a prompt of one token.
        forced_bos_token_id: u32,
        /// One id or a list of ids, one of which is forced as the last token when the maximum
        /// length is reached.
        forced_eos_token_id: Vec<u32> = Vec::new(),
        /// `(start, factor)`: from `start` new tokens on, the end-of-sequence logits grow by
        /// `|logit| (factor^n - 1)`.
        exponential_decay_length_penalty: (usize, f64),
        /// Replaces NaN by 0 and infinite logits by the largest finite ones. Default: false, and
        /// NaN is an error.
        remove_invalid_values: bool = false,
        /// Classifier-free guidance: moves the log-probabilities away from those after another prompt, by this
        /// factor; 1 changes nothing. Each step costs a second forward pass. Default: 1. (arXiv 2306.17806)
        guidance_scale: f64 = 1.0,
        /// The other prompt for `guidance_scale`: an argument of transformers' `generate`. Default: the last
        /// token of the prompt.
        negative_prompt_ids: Vec<u32>,
        /// Marks the text so that a [`WatermarkDetector`](super::processors::WatermarkDetector) finds that it
        /// was generated. Default: no mark. (arXiv 2306.04634)
        watermarking_config: Watermarking,
        /// Normalizes the logits after all else. Default: false.
        renormalize_logits: bool = false,

        // --- contrasts ---
        /// *Contrastive search:* how much a token's likeness to what was said counts against its probability,
        /// from 0 to 1. Of the [`top_k`](Self#structfield.top_k) likeliest tokens the best is taken; needs
        /// [`generate_batch`](super::generate_batch). Default: 0, off. (arXiv 2202.06417)
        penalty_alpha: f64 = 0.0,
        /// *DoLa:* the layers whose early logits are contrasted with the last ones. Default: none. (arXiv
        /// 2309.03883)
        dola_layers: DolaLayers,

        // --- drafting ---
        /// The most tokens that are copied as a draft of what follows from where the last tokens came
        /// before ([`PromptLookup`](super::PromptLookup)). The answer stays the same. Default: nothing is
        /// looked up.
        prompt_lookup_num_tokens: usize,
        /// The longest n-gram that is looked for. Default: 2.
        max_matching_ngram_size: usize,
        /// The most tokens that a [`DraftModel`](super::DraftModel) drafts. Default: 20.
        num_assistant_tokens: usize,
        /// How that changes with how many are accepted. Default: constant.
        num_assistant_tokens_schedule: AssistantSchedule,
        /// A draft model's draft ends with the first token that is less probable. Default: 0.4.
        assistant_confidence_threshold: f64 = 0.0,
        /// How many of its last tokens a draft model with another tokenizer encodes again together with
        /// its draft. Default: 10.
        assistant_lookbehind: usize,
        /// The same for the tokens that it reads. Default: 10.
        target_lookbehind: usize,

        /// Drafts with the model's own first so many layers: for models that were trained for it, as LayerSkip
        /// does. The answer stays the same. (arXiv 2404.16710)
        assistant_early_exit: usize,

        // --- what comes out ---
        /// Keeps [`StepOutput`](super::StepOutput)s as the four options below say, which have no effect
        /// without it. Default: false.
        return_dict_in_generate: bool = false,
        /// Keeps what each token was chosen by ([`StepOutput::scores`](super::StepOutput::scores)).
        /// Default: false.
        output_scores: bool = false,
        /// Keeps the logits of each step ([`StepOutput::logits`](super::StepOutput::logits)). Default: false.
        output_logits: bool = false,
        /// Keeps the hidden states of each step
        /// ([`StepOutput::hidden_states`](super::StepOutput::hidden_states)). Default: false.
        output_hidden_states: bool = false,
        /// Keeps the attentions of each step ([`StepOutput::attentions`](super::StepOutput::attentions)).
        /// Default: false.
        output_attentions: bool = false,

        // --- the prompt ---
        /// Replaces the last token of the prompt by a longer one that begins like it, where the model finds
        /// that much likelier: [`heal_tokens`](super::heal_tokens). Needs a tokenizer. Default: false.
        token_healing: bool = false,

        // --- special tokens ---
        /// The ids, one or a list, that end the answer.
        eos_token_id: Vec<u32> = Vec::new(),
        /// The id that fills up the shorter rows of a batch in transformers. It has no effect here: what
        /// fills them up is masked.
        pad_token_id: u32,
        /// The id that begins a text. Generation itself does not use it.
        bos_token_id: u32,
        /// The id that the decoder of an encoder-decoder begins with, in pipelines; an argument of
        /// [`generate_seq2seq`](super::generate_seq2seq). Default: what the model's config says.
        decoder_start_token_id: u32,
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
        Self::read(path.as_ref(), &source::json::read(path.as_ref())?)
    }

    /// The options that a file of a checkpoint holds.
    ///
    /// Names that generation does not know are ignored: models keep settings of their own there.
    pub(super) fn read(path: &Path, options: &Map<String, Value>) -> Result<Self> {
        let mut config = Self::default();
        for (name, value) in options {
            config.set(name, value).map_err(|error| Error::malformed(path, error))?;
        }
        if config.max_length == Some(20) {
            config.max_length = None;
        }
        Ok(config.stored_in(path))
    }

    /// Reads the options of a JSON object by their Hugging Face names; see [`set`](Self::set).
    ///
    /// # Errors
    ///
    /// When `json` is not an object, there is no option of that name, or a value is of the wrong type.
    pub fn from_json(json: &Value) -> Result<Self> {
        let object = json.as_object().ok_or_else(|| {
            Error::option("generation_config", format!("{json} is not a JSON object"))
        })?;
        Self::from_map(object)
    }

    fn from_map(json: &Map<String, Value>) -> Result<Self> {
        let mut config = Self::default();
        for (name, value) in json {
            if !config.set(name, value)? {
                let reason = format!("there is no such option{}", did_you_mean(name, Self::NAMES));
                return Err(Error::option(name, reason));
            }
        }
        Ok(config)
    }

    /// The same options, remembered as those of a file.
    pub(super) fn stored_in(mut self, path: &Path) -> Self {
        self.origin = Origin::of(path, self.clone());
        self
    }

    /// The error about an option. It blames the file if the option still has the file's value.
    pub(super) fn blame(&self, error: Error) -> Error {
        let Error::InvalidOption { option, reason } = &error else { return error };
        match self.origin.find(|stored| self.agrees(stored, option)) {
            // It is refused only beside a longer prompt.
            Some(path) if option != "max_length" => {
                Error::malformed(path, format!("option `{option}`: {reason}"))
            }
            _ => error,
        }
    }
}

/// As [`from_json`](Self::from_json).
impl<'de> Deserialize<'de> for GenerationConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::from_map(&Map::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
