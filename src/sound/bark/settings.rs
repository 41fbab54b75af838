//! How Bark's stages go: `BarkGenerationConfig` of the reference.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::generation::GenerationConfig;
use crate::models::TextModel;
use crate::models::bark::Bark;
use crate::source::ModelFiles;

/// How Bark's stages go: `generation_config.json` of a checkpoint, with the defaults of the reference's classes. As JSON
/// it has the form of that file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
#[non_exhaustive]
pub struct BarkSettings {
    /// What is said.
    #[serde(rename = "semantic_config")]
    pub semantic: SemanticSettings,
    /// The first codebooks.
    #[serde(rename = "coarse_acoustics_config")]
    pub coarse: CoarseSettings,
    /// The other codebooks.
    #[serde(rename = "fine_acoustics_config")]
    pub fine: FineSettings,
    /// Codes are below this.
    pub codebook_size: u32,
}

/// The first stage: a text becomes semantic tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SemanticSettings {
    /// How tokens are chosen, and when they end.
    #[serde(flatten)]
    pub generation: GenerationConfig,
    /// Added to the ids of the tokenizer.
    pub text_encoding_offset: u32,
    /// Stands where the text is over.
    pub text_pad_token: u32,
    /// Stands where nothing was said before; also the token that ends the answer: the first
    /// `eos_token_id` of the file.
    #[serde(skip)]
    pub semantic_pad_token: u32,
    /// After the text: now it is to be said.
    pub semantic_infer_token: u32,
    /// Semantic tokens are below this.
    pub semantic_vocab_size: u32,
    /// Tokens of a text, at most.
    pub max_input_semantic_length: usize,
    /// Semantic tokens per second.
    pub semantic_rate_hz: f64,
    /// The answer ends where its end is likelier than this.
    pub min_eos_p: Option<f64>,
}

/// The second stage: semantic tokens become the codes of the first codebooks.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CoarseSettings {
    /// How codes are chosen.
    #[serde(flatten)]
    pub generation: GenerationConfig,
    /// Stands where semantic tokens are over.
    pub coarse_semantic_pad_token: u32,
    /// Frames per second.
    pub coarse_rate_hz: f64,
    /// How many codebooks.
    pub n_coarse_codebooks: usize,
    /// After the semantic tokens: now come codes.
    pub coarse_infer_token: u32,
    /// Semantic tokens that are seen at a time.
    pub max_coarse_input_length: usize,
    /// Codes before, that are seen at a time.
    pub max_coarse_history: usize,
    /// Codes that are written before the window moves on.
    pub sliding_window_len: usize,
}

/// The third stage: the codes of the other codebooks.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FineSettings {
    /// Of sampling; without one, and where it is 1, the likeliest code is taken.
    pub temperature: Option<f64>,
    /// By how many frames the window moves on, and how many of a voice it sees.
    pub max_fine_history_length: usize,
    /// Frames that are seen at a time.
    pub max_fine_input_length: usize,
    /// How many codebooks there are.
    pub n_fine_codebooks: usize,
}

/// Codes for each semantic token; those of the published models are three.
const MOST_CODES: f64 = 64.0;

impl TryFrom<Map<String, Value>> for BarkSettings {
    type Error = Error;

    fn try_from(fields: Map<String, Value>) -> Result<Self> {
        Self::of(&Fields { path: Path::new("generation_config.json"), fields: &fields })
    }
}

impl Default for BarkSettings {
    fn default() -> Self {
        match Self::try_from(Map::new()) {
            Ok(settings) => settings,
            Err(_) => unreachable!("the defaults of the reference are well formed"),
        }
    }
}

impl BarkSettings {
    /// Those of an opened source.
    ///
    /// # Errors
    ///
    /// When `generation_config.json` cannot be read or is malformed.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let Some(path) = files.optional("generation_config.json")? else {
            return Ok(Self::default());
        };
        let fields: Map<String, Value> = crate::source::json::read(&path)?;
        Self::of(&Fields { path: &path, fields: &fields })
    }

    fn of(all: &Fields<'_>) -> Result<Self> {
        let none = Map::new();
        let section = |name: &str| -> Result<Fields<'_>> {
            match all.fields.get(name) {
                None | Some(Value::Null) => Ok(Fields { path: all.path, fields: &none }),
                Some(Value::Object(fields)) => Ok(Fields { path: all.path, fields }),
                Some(_) => Err(Error::malformed(all.path, format!("`{name}` should be an object"))),
            }
        };
        let semantic = section("semantic_config")?;
        let coarse = section("coarse_acoustics_config")?;
        let fine = section("fine_acoustics_config")?;
        let end = semantic.first_id("eos_token_id", 10_000)?;
        let mut of_semantic = semantic.generation()?;
        of_semantic.max_new_tokens.get_or_insert(768);
        of_semantic.eos_token_id.get_or_insert_with(|| vec![end]);
        of_semantic.renormalize_logits.get_or_insert(true);
        let mut of_coarse = coarse.generation()?;
        of_coarse.renormalize_logits.get_or_insert(true);
        let settings = Self {
            semantic: SemanticSettings {
                generation: of_semantic,
                text_encoding_offset: semantic.id("text_encoding_offset", 10_048)?,
                text_pad_token: semantic.id("text_pad_token", 129_595)?,
                semantic_pad_token: end,
                semantic_infer_token: semantic.id("semantic_infer_token", 129_599)?,
                semantic_vocab_size: semantic.id("semantic_vocab_size", 10_000)?,
                max_input_semantic_length: semantic.size("max_input_semantic_length", 256)?,
                semantic_rate_hz: semantic.rate("semantic_rate_hz", 49.9)?,
                min_eos_p: semantic.number("min_eos_p")?,
            },
            coarse: CoarseSettings {
                generation: of_coarse,
                coarse_semantic_pad_token: coarse.id("coarse_semantic_pad_token", 12_048)?,
                coarse_rate_hz: coarse.rate("coarse_rate_hz", 75.0)?,
                n_coarse_codebooks: coarse.size("n_coarse_codebooks", 2)?,
                coarse_infer_token: coarse.id("coarse_infer_token", 12_050)?,
                max_coarse_input_length: coarse.size("max_coarse_input_length", 256)?,
                max_coarse_history: coarse.size("max_coarse_history", 630)?,
                sliding_window_len: coarse.size("sliding_window_len", 60)?,
            },
            fine: FineSettings {
                temperature: Some(fine.number("temperature")?.unwrap_or(1.0)),
                max_fine_history_length: fine.size("max_fine_history_length", 512)?,
                max_fine_input_length: fine.size("max_fine_input_length", 1024)?,
                n_fine_codebooks: fine.size("n_fine_codebooks", 8)?,
            },
            codebook_size: all.id("codebook_size", 1024)?.max(1),
        };
        let CoarseSettings { coarse_rate_hz, n_coarse_codebooks, .. } = settings.coarse;
        let codes = coarse_rate_hz / settings.semantic.semantic_rate_hz * n_coarse_codebooks as f64;
        if codes > MOST_CODES {
            let reason = format!(
                "`coarse_rate_hz`, `semantic_rate_hz` and `n_coarse_codebooks` ask for {codes} codes for each \
                 semantic token; {MOST_CODES} are the limit"
            );
            return Err(Error::malformed(all.path, reason));
        }
        Ok(settings)
    }

    /// Refuses what does not go with a model: other codebooks, or options of a stage that make no sense. Whoever
    /// loads both finds out before the first text.
    ///
    /// # Errors
    ///
    /// Names the stage.
    pub fn check(&self, model: &Bark) -> Result<()> {
        let Self { semantic, coarse, fine, .. } = self;
        let (given, total) = (coarse.n_coarse_codebooks, fine.n_fine_codebooks);
        let of_model = model.fine_config();
        let fits = given <= total
            && given >= of_model.given
            && total <= of_model.codebooks
            && fine.max_fine_history_length <= fine.max_fine_input_length;
        if !fits {
            let reason = format!(
                "{given} codebooks of {total}, windows of {} that move by {}: the model has {} codebooks, of which {} \
                 are given",
                fine.max_fine_input_length,
                fine.max_fine_history_length,
                of_model.codebooks,
                of_model.given
            );
            return Err(Error::option("fine_acoustics_config", reason));
        }
        let stages = [
            ("semantic_config", &semantic.generation, model.semantic()),
            ("coarse_acoustics_config", &coarse.generation, model.coarse()),
        ];
        for (name, generation, model) in stages {
            let planned = generation.plan(&[0], TextModel::limits(&**model), None);
            planned.map_err(|error| Error::option(name, error.to_string()))?;
        }
        Ok(())
    }

    /// With options of a call, by the names of the reference: those that begin with `semantic_`, `coarse_` or
    /// `fine_` are for one stage, others for all stages for which there is none of their own. `min_eos_p` is the
    /// first stage's.
    ///
    /// # Errors
    ///
    /// When there is no such option, or a value is of the wrong type.
    pub fn with_options(mut self, options: &Map<String, Value>) -> Result<Self> {
        let is_for_one = |name: &str| {
            ["semantic_", "coarse_", "fine_"].iter().any(|stage| name.starts_with(stage))
        };
        let (own, shared): (Vec<_>, Vec<_>) =
            options.iter().partition(|(name, _)| is_for_one(name));
        for (name, value) in shared.into_iter().chain(own) {
            if name.ends_with("num_return_sequences") && value.as_u64() != Some(1) {
                let reason = format!("is {value}; a text becomes one sound: give it several times");
                return Err(Error::option(name, reason));
            }
            let (stages, bare) = match name.split_once('_') {
                Some(("semantic", bare)) => ([true, false, false], bare),
                Some(("coarse", bare)) => ([false, true, false], bare),
                Some(("fine", bare)) => ([false, false, true], bare),
                _ if name == "min_eos_p" => ([true, false, false], name.as_str()),
                _ => ([true; 3], name.as_str()),
            };
            let unknown = || Error::option(name, "there is no such option");
            if stages[0] && bare == "min_eos_p" {
                self.semantic.min_eos_p = option(name, value)?;
                continue;
            }
            if stages[0] && !self.semantic.generation.set(bare, value)? {
                return Err(unknown());
            }
            if stages[1] && !self.coarse.generation.set(bare, value)? {
                return Err(unknown());
            }
            match bare {
                "temperature" if stages[2] => self.fine.temperature = option(name, value)?,
                // The third stage has no other, and the reference ignores what is meant for all.
                _ if stages[2] && !stages[0] => return Err(unknown()),
                _ => {}
            }
        }
        Ok(self)
    }
}

fn option(name: &str, value: &Value) -> Result<Option<f64>> {
    match value {
        Value::Null => Ok(None),
        value => match value.as_f64().filter(|number| *number > 0.0) {
            Some(number) => Ok(Some(number)),
            None => Err(Error::option(name, format!("is {value}; it should be a number above 0"))),
        },
    }
}

/// The fields of an object of a file.
struct Fields<'a> {
    path: &'a Path,
    fields: &'a Map<String, Value>,
}

impl Fields<'_> {
    fn number(&self, name: &str) -> Result<Option<f64>> {
        self.as_number(name, self.fields.get(name))
    }

    fn as_number(&self, name: &str, value: Option<&Value>) -> Result<Option<f64>> {
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64().filter(|number| number.is_finite()) {
                Some(number) => Ok(Some(number)),
                None => Err(self.malformed(name, "a number")),
            },
        }
    }

    fn rate(&self, name: &str, default: f64) -> Result<f64> {
        match self.number(name)?.unwrap_or(default) {
            rate if (0.1..=1e6).contains(&rate) => Ok(rate),
            _ => Err(self.malformed(name, "a number per second")),
        }
    }

    fn size(&self, name: &str, default: usize) -> Result<usize> {
        match self.number(name)?.unwrap_or(default as f64) {
            size if (1.0..=1e6).contains(&size) && size.fract() == 0.0 => Ok(size as usize),
            _ => Err(self.malformed(name, "a whole number of at least 1")),
        }
    }

    fn id(&self, name: &str, default: u32) -> Result<u32> {
        self.as_id(name, self.fields.get(name), default)
    }

    /// An id, or the first of a list of them.
    fn first_id(&self, name: &str, default: u32) -> Result<u32> {
        match self.fields.get(name) {
            Some(Value::Array(ids)) => self.as_id(name, ids.first(), default),
            value => self.as_id(name, value, default),
        }
    }

    fn as_id(&self, name: &str, value: Option<&Value>, default: u32) -> Result<u32> {
        match self.as_number(name, value)?.unwrap_or_else(|| f64::from(default)) {
            id if (0.0..=1e9).contains(&id) && id.fract() == 0.0 => Ok(id as u32),
            _ => Err(self.malformed(name, "the id of a token")),
        }
    }

    /// The options of generation among them.
    fn generation(&self) -> Result<GenerationConfig> {
        let mut config = GenerationConfig::default();
        for (name, value) in self.fields {
            config.set(name, value).map_err(|error| Error::malformed(self.path, error))?;
        }
        config.max_length = None;
        Ok(config)
    }

    fn malformed(&self, name: &str, wanted: &str) -> Error {
        let value = self.fields.get(name).unwrap_or(&Value::Null);
        Error::malformed(self.path, format!("`{name}` is {value}; it should be {wanted}"))
    }
}
