//! What a model reads of a recording, as preprocessor_config.json describes it.

mod ast;
mod check;
mod chroma;
mod clap;
mod kaldi;
mod seamless_m4t;
mod wav2vec2;
mod whisper;

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::audio::features::AudioFeatures;
use crate::error::{Error, Result, quoted};
use crate::read;
use crate::source::ModelFiles;
pub use ast::{AstFeatureConfig, AstFeatureExtractor};
pub use chroma::{ChromaFeatureConfig, ChromaFeatureExtractor};
pub use clap::{ClapFeatureConfig, ClapFeatureExtractor, ClapPadding, ClapTruncation};
pub use seamless_m4t::{SeamlessM4TFeatureConfig, SeamlessM4TFeatureExtractor};
pub use wav2vec2::{Wav2Vec2FeatureConfig, Wav2Vec2FeatureExtractor};
pub use whisper::{WhisperFeatureConfig, WhisperFeatureExtractor, WhisperFeatureStream};

/// Turns recordings into what a model reads: `AutoFeatureExtractor` of transformers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FeatureExtractor {
    /// Log-mel values of 30 seconds or more.
    Whisper(WhisperFeatureExtractor),
    /// Samples.
    Wav2Vec2(Wav2Vec2FeatureExtractor),
    /// Log-mel values as of Kaldi, two frames in one.
    SeamlessM4T(SeamlessM4TFeatureExtractor),
    /// Log-mel values as of Kaldi, some 10 seconds.
    Ast(AstFeatureExtractor),
    /// Log-mel values in decibels of 10 seconds, or four such views of a recording.
    Clap(ClapFeatureExtractor),
}

impl FeatureExtractor {
    /// Reads preprocessor_config.json, or else the feature extractor in processor_config.json. The class
    /// is `feature_extractor_type`, or else follows from `model_type` in config.json.
    ///
    /// # Errors
    ///
    /// When there is neither file, the class is not supported, or an option makes no sense; the error names
    /// the file and the option.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let (path, fields) = fields(files)?;
        let class = class(files, &path, &fields)?;
        let extractor = match class.as_str() {
            "WhisperFeatureExtractor" => {
                options(&path, &fields).and_then(WhisperFeatureExtractor::new).map(Self::Whisper)
            }
            "Wav2Vec2FeatureExtractor" => {
                options(&path, &fields).and_then(Wav2Vec2FeatureExtractor::new).map(Self::Wav2Vec2)
            }
            "SeamlessM4TFeatureExtractor" => options(&path, &fields)
                .and_then(SeamlessM4TFeatureExtractor::new)
                .map(Self::SeamlessM4T),
            "ASTFeatureExtractor" => {
                options(&path, &fields).and_then(AstFeatureExtractor::new).map(Self::Ast)
            }
            "ClapFeatureExtractor" => {
                options(&path, &fields).and_then(ClapFeatureExtractor::new).map(Self::Clap)
            }
            other => {
                let name = quoted(other);
                return Err(Error::unsupported(format!(
                    "{}: the feature extractor {name} is not supported; known are {}",
                    path.display(),
                    CLASSES.map(|(class, _)| class).join(", ")
                )));
            }
        };
        extractor.map_err(|error| match error {
            Error::InvalidOption { option, reason } => {
                Error::malformed(&path, format!("`{option}`: {reason}"))
            }
            error => error,
        })
    }

    /// Samples per second of the recordings that the model reads.
    #[must_use]
    pub fn sampling_rate(&self) -> u32 {
        match self {
            Self::Whisper(extractor) => extractor.config().sampling_rate,
            Self::Wav2Vec2(extractor) => extractor.config().sampling_rate,
            Self::SeamlessM4T(extractor) => extractor.config().sampling_rate,
            Self::Ast(extractor) => extractor.config().sampling_rate,
            Self::Clap(extractor) => extractor.config().sampling_rate,
        }
    }

    /// What the model reads of a recording, padded as Python's pipelines pad it: Whisper's to 30 seconds,
    /// others' as little as the class does. Nothing is cut but where the class itself has a fixed length.
    ///
    /// # Errors
    ///
    /// When the sampling rate is not the model's, a sample is no finite number, or there are too few samples.
    pub fn extract(&self, samples: &[f32], sampling_rate: u32) -> Result<AudioFeatures> {
        match self {
            Self::Whisper(extractor) => extractor.extract(samples, sampling_rate),
            Self::Wav2Vec2(extractor) => extractor.extract(samples, sampling_rate),
            Self::SeamlessM4T(extractor) => extractor.extract(samples, sampling_rate),
            Self::Ast(extractor) => extractor.extract(samples, sampling_rate),
            Self::Clap(extractor) => extractor.extract(samples, sampling_rate),
        }
    }

    /// What the model reads of a batch of recordings, each padded to the longest: `padding="longest"` of
    /// Python, and for Whisper `truncation=False`.
    ///
    /// # Errors
    ///
    /// As [`extract`](Self::extract).
    pub fn extract_batch(&self, rows: &[&[f32]], sampling_rate: u32) -> Result<Vec<AudioFeatures>> {
        if let Self::Clap(extractor) = self {
            return extractor.extract_batch(rows, sampling_rate);
        }
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let rows = rows.iter().map(|row| match self {
            Self::Whisper(extractor) => extractor.extract_padded(row, sampling_rate, longest),
            Self::Wav2Vec2(extractor) => extractor.extract_padded(row, sampling_rate, longest),
            Self::SeamlessM4T(extractor) => extractor.extract_padded(row, sampling_rate, longest),
            Self::Ast(extractor) => extractor.extract(row, sampling_rate),
            Self::Clap(extractor) => extractor.extract(row, sampling_rate),
        });
        rows.collect()
    }
}

/// The file and its fields.
fn fields(files: &ModelFiles) -> Result<(PathBuf, Map<String, Value>)> {
    let path = match files.optional(PREPROCESSOR)? {
        Some(path) => path,
        None => match files.optional(PROCESSOR)? {
            Some(path) => path,
            None => files.required(PREPROCESSOR, "how the model reads recordings")?,
        },
    };
    let mut fields: Map<String, Value> = crate::source::json::read(&path)?;
    match fields.remove("feature_extractor") {
        None => Ok((path, fields)),
        Some(Value::Object(inner)) => Ok((path, inner)),
        Some(other) => {
            let found = read::described(&other);
            Err(Error::malformed(path, format!("`feature_extractor`: {found} is no object")))
        }
    }
}

/// The class of the reference.
fn class(files: &ModelFiles, path: &PathBuf, fields: &Map<String, Value>) -> Result<String> {
    let given = match fields.get("feature_extractor_type") {
        Some(class) => read::read_field("feature_extractor_type", class)
            .map_err(|wrong| Error::malformed(path, wrong))?,
        None => None,
    };
    if let Some(class) = given {
        return Ok(class);
    }
    // Files of before 2022 do not say.
    let config: Option<Map<String, Value>> = files.json("config.json")?;
    let model_type =
        config.as_ref().and_then(|config| config.get("model_type")).and_then(Value::as_str);
    let known = model_type.and_then(|model_type| {
        CLASSES.iter().find(|(_, types)| types.contains(&model_type)).map(|(class, _)| *class)
    });
    known.map(str::to_owned).ok_or_else(|| {
        let model_type = model_type.map_or_else(|| "missing".to_owned(), quoted);
        Error::malformed(
            path,
            format!("`feature_extractor_type` is missing, and `model_type` of config.json ({model_type}) does not tell it"),
        )
    })
}

fn options<T: DeserializeOwned>(path: &PathBuf, fields: &Map<String, Value>) -> Result<T> {
    read::read_fields(fields).map_err(|wrong| Error::malformed(path, wrong))
}

/// The classes, each with the types of models that have it where the file names none
/// (`FEATURE_EXTRACTOR_MAPPING_NAMES`).
const CLASSES: [(&str, &[&str]); 5] = [
    ("ASTFeatureExtractor", &["audio-spectrogram-transformer"]),
    ("ClapFeatureExtractor", &["clap"]),
    ("SeamlessM4TFeatureExtractor", &["seamless_m4t", "seamless_m4t_v2"]),
    (
        "Wav2Vec2FeatureExtractor",
        &[
            "data2vec-audio",
            "hubert",
            "moonshine",
            "sew",
            "sew-d",
            "unispeech",
            "unispeech-sat",
            "wav2vec2",
            "wav2vec2-bert",
            "wav2vec2-conformer",
            "wavlm",
        ],
    ),
    ("WhisperFeatureExtractor", &["whisper"]),
];
const PREPROCESSOR: &str = "preprocessor_config.json";
const PROCESSOR: &str = "processor_config.json";
