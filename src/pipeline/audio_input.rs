//! Recordings, as they come in.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::batch::Budget;
use crate::error::{Error, Result};
use crate::media::{Audio, Media};
use crate::pipeline::arguments;
use crate::pipeline::flow::{Measured, Pace};
use crate::pipeline::input::Input;
use crate::pipeline::skeleton::Items;

/// A recording.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AudioInput {
    /// An audio file, or a film with sound. It is read block by block.
    File(PathBuf),
    /// What is in such a file.
    Bytes(Vec<u8>),
    /// Samples of one channel.
    Samples {
        /// The samples.
        audio: Audio,
        /// How many of them at the beginning and at the end are only context, whose text is left out. For
        /// models that write letter by letter (CTC), and for Whisper with times.
        stride: Option<(usize, usize)>,
    },
}

impl AudioInput {
    /// Samples, of which some at the beginning and at the end are only context.
    #[must_use]
    pub fn with_stride(audio: Audio, left: usize, right: usize) -> Self {
        Self::Samples { audio, stride: Some((left, right)) }
    }

    /// Samples at the rate of the model, where they have none of their own.
    pub(super) fn read(input: &Value, rate: u32) -> Result<Self> {
        match input {
            Value::String(path) => Ok(Self::File(path.into())),
            Value::Object(fields) => Self::read_fields(fields),
            Value::Array(_) => Audio::new(samples(input)?, rate).map(Into::into),
            _ => Err(arguments::misshapen(input, WANTED)),
        }
    }

    fn read_fields(fields: &Map<String, Value>) -> Result<Self> {
        let raw = fields.get("raw").filter(|raw| !raw.is_null()).or_else(|| fields.get("array"));
        let (Some(raw), Some(rate)) = (raw, fields.get("sampling_rate")) else {
            let found = Value::Object(fields.clone());
            return Err(arguments::misshapen(&found, WANTED));
        };
        let rate = arguments::item(rate)
            .map_err(|error| Error::input(format!("sampling_rate: {error}")))?;
        let audio = Audio::new(samples(raw)?, rate)?;
        let stride = match fields.get("stride") {
            None | Some(Value::Null) => None,
            Some(stride) => {
                let stride = arguments::item::<(usize, usize)>(stride);
                Some(stride.map_err(|error| Error::input(format!("stride: {error}")))?)
            }
        };
        Ok(Self::Samples { audio, stride })
    }

    /// A recording, or a list of them. A list of numbers is one recording.
    pub(super) fn items(input: &Value, rate: u32) -> Result<Items<Self>> {
        match input {
            Value::Array(items) if !matches!(items.first(), Some(Value::Number(_))) => {
                let items = items.iter().map(|item| Self::read(item, rate));
                Ok(Items::many(items.collect::<Result<Vec<_>>>()?))
            }
            one => Self::read(one, rate).map(Items::One),
        }
    }

    /// A recording in whatever form.
    pub(super) fn of(input: Input, rate: u32) -> Result<Self> {
        match input {
            Input::Media(Media::Audio(audio)) => Ok(audio.into()),
            Input::Bytes(bytes) => Ok(bytes.into()),
            other => Self::read(&other.into_json()?, rate),
        }
    }

    /// All samples at another rate, where none is only context.
    pub(super) fn samples(self, rate: u32) -> Result<Vec<f32>> {
        if let Self::Samples { stride: Some(_), .. } = self {
            return Err(Error::input("samples with a `stride` are for speech recognition alone"));
        }
        let mut samples = Vec::new();
        for block in self.blocks(rate)? {
            samples.append(&mut block?);
        }
        Ok(samples)
    }

    /// What else stands beside the samples, which comes back with the text.
    pub(super) fn extra(input: &Value) -> Map<String, Value> {
        let Value::Object(fields) = input else { return Map::new() };
        let own = |name: &str| match name {
            "raw" | "sampling_rate" | "stride" => true,
            "array" | "path" => fields.get("raw").is_none_or(Value::is_null),
            _ => false,
        };
        let extra = fields.iter().filter(|(name, _)| !own(name));
        extra.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

impl Measured for AudioInput {
    /// Bytes, of which a second has few or many; 0 where a file cannot be read, which is said later.
    fn length(&self) -> usize {
        match self {
            Self::File(path) => {
                let size = path.metadata().map(|metadata| metadata.len()).unwrap_or(0);
                usize::try_from(size).unwrap_or(usize::MAX)
            }
            Self::Bytes(bytes) => bytes.len(),
            Self::Samples { audio, .. } => audio.samples.len().saturating_mul(size_of::<f32>()),
        }
    }
}

impl From<&str> for AudioInput {
    fn from(path: &str) -> Self {
        Self::File(path.into())
    }
}

impl From<String> for AudioInput {
    fn from(path: String) -> Self {
        Self::File(path.into())
    }
}

impl From<&Path> for AudioInput {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<PathBuf> for AudioInput {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<Vec<u8>> for AudioInput {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Audio> for AudioInput {
    fn from(audio: Audio) -> Self {
        Self::Samples { audio, stride: None }
    }
}

/// How much sound models that read recordings whole are given at once.
pub(super) fn of_recordings(batch_size: Option<usize>) -> Pace {
    let rows = batch_size.unwrap_or(MOST_ROWS);
    let batch = Budget { rows, tokens: usize::MAX, may_be_loose: usize::MAX };
    Pace { items: rows, length: MOST_BYTES, batch }
}

/// Samples of one channel out of a list of numbers, or of lists of them, one for each channel.
fn samples(value: &Value) -> Result<Vec<f32>> {
    let Value::Array(items) = value else { return Err(arguments::misshapen(value, WANTED)) };
    if !matches!(items.first(), Some(Value::Array(_))) {
        return numbers(value).map(scaled);
    }
    let rows = items.iter().map(numbers).collect::<Result<Vec<_>>>()?;
    let (height, width) = (rows.len(), rows[0].len());
    if rows.iter().any(|row| row.len() != width) {
        return Err(Error::input("the channels of the samples differ in length"));
    }
    let all = scaled(rows.concat());
    // A recording has few channels and many samples, whichever stands first.
    let mean =
        |values: &mut dyn Iterator<Item = f32>, count: usize| values.sum::<f32>() / count as f32;
    Ok(if width < height && width <= MOST_CHANNELS {
        all.chunks(width.max(1)).map(|frame| mean(&mut frame.iter().copied(), width)).collect()
    } else {
        let frame =
            |at: usize| mean(&mut (0..height).map(|channel| all[channel * width + at]), height);
        (0..width).map(frame).collect()
    })
}

fn numbers(value: &Value) -> Result<Vec<f64>> {
    let Value::Array(items) = value else { return Err(arguments::misshapen(value, WANTED)) };
    let number = |item: &Value| item.as_f64().ok_or_else(|| arguments::misshapen(item, "a sample"));
    items.iter().map(number).collect()
}

/// Samples from -1 to 1: whole numbers beyond are those of 16 bits.
fn scaled(samples: Vec<f64>) -> Vec<f32> {
    let is_whole = samples.iter().all(|sample| sample.fract() == 0.0);
    let is_wide = is_whole && samples.iter().any(|sample| sample.abs() > 1.0);
    let scale = if is_wide { 32_768.0 } else { 1.0 };
    samples.into_iter().map(|sample| (sample / scale) as f32).collect()
}

const WANTED: &str =
    "the path of an audio file, a list of samples, or `raw` or `array` with `sampling_rate`,";

/// More than these are no channels.
const MOST_CHANNELS: usize = 32;

/// Rows that are read together by default.
pub(super) const MOST_ROWS: usize = 8;

/// Of files that are prepared together.
const MOST_BYTES: usize = 1 << 24;
