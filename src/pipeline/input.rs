//! What goes into a pipeline and comes out where the task is chosen at run time: JSON, sound, pictures.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::media::{Audio, Image, Media};

/// What a pipeline is called with.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// Texts and what is made of them, in the shapes that the Python pipelines take.
    Json(Value),
    /// Several inputs: a batch.
    List(Vec<Self>),
    /// Sound or a picture.
    Media(Media),
    /// What is in a file of sound, or of a picture.
    Bytes(Vec<u8>),
}

/// What a pipeline returns.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Output {
    /// The result in the shape of the Python pipeline, without sound and pictures.
    pub json: Value,
    /// Sound and pictures, in the order of the inputs.
    pub media: Vec<Media>,
    /// The numbers of the inputs that were longer than the model or `max_length` and were cut, from 0 on.
    pub truncated: Vec<usize>,
}

impl Input {
    /// The input of a task that is called with JSON alone.
    ///
    /// # Errors
    ///
    /// When it is something else, or a list that holds something else.
    pub fn into_json(self) -> Result<Value> {
        match self {
            Self::Json(value) => Ok(value),
            Self::List(items) => items.into_iter().map(Self::into_json).collect(),
            Self::Media(Media::Audio(_)) => Err(Error::input("audio where text is wanted")),
            Self::Bytes(_) => Err(Error::input("a file where text is wanted")),
            Self::Media(Media::Image(_)) => Err(Error::input("an image where text is wanted")),
        }
    }
}

impl From<&Value> for Input {
    fn from(json: &Value) -> Self {
        Self::Json(json.clone())
    }
}

impl From<Value> for Input {
    fn from(json: Value) -> Self {
        Self::Json(json)
    }
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        Self::Json(text.into())
    }
}

impl From<Vec<u8>> for Input {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Audio> for Input {
    fn from(audio: Audio) -> Self {
        Self::Media(Media::Audio(audio))
    }
}

impl From<Image> for Input {
    fn from(image: Image) -> Self {
        Self::Media(Media::Image(image))
    }
}

impl From<Value> for Output {
    fn from(json: Value) -> Self {
        Self { json, ..Self::default() }
    }
}

impl From<Output> for Value {
    /// Without the sound and the pictures.
    fn from(output: Output) -> Self {
        output.json
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn media_are_no_json() {
        let audio = Input::from(Audio::new(vec![0.5, -0.5], 16_000).unwrap());
        let image = Input::from(Image::new(1, 2, vec![0; 6]).unwrap());
        let texts = Input::List(vec!["a".into(), "b".into()]);
        assert_eq!(texts.into_json().unwrap(), json!(["a", "b"]));
        for (input, found) in [(audio, "audio"), (Input::List(vec!["a".into(), image]), "an image")]
        {
            let message = input.into_json().unwrap_err().to_string();
            assert!(message.contains(&format!("{found} where text is wanted")), "{message}");
        }
    }
}
