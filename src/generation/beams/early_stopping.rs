//! When a beam search is over.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// When a beam search that has found `num_beams` answers is over: `early_stopping`, in JSON `true`,
/// `false` or `"never"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum EarlyStopping {
    /// `true`: at once.
    Always,
    /// `false`: when the best beam, scored as if it ended here, is no better than the worst answer.
    #[default]
    Heuristic,
    /// `"never"`: when no beam can become better than the worst answer, however long it grows.
    Never,
}

/// As in Python: `true` is [`Always`](EarlyStopping::Always), `false`
/// [`Heuristic`](EarlyStopping::Heuristic).
impl From<bool> for EarlyStopping {
    fn from(stops: bool) -> Self {
        if stops { Self::Always } else { Self::Heuristic }
    }
}

impl Serialize for EarlyStopping {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Always => serializer.serialize_bool(true),
            Self::Heuristic => serializer.serialize_bool(false),
            Self::Never => serializer.serialize_str(NEVER),
        }
    }
}

impl<'de> Deserialize<'de> for EarlyStopping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(stops) => Ok(stops.into()),
            Value::String(text) if text == NEVER => Ok(Self::Never),
            other => {
                Err(de::Error::custom(format!("{other}, but true, false or \"never\" is wanted")))
            }
        }
    }
}

const NEVER: &str = "never";
