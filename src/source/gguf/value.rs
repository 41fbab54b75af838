//! The values of the metadata.

use std::fmt;

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GgufValue {
    /// Values of one type; of those read from a file, texts or arrays.
    Array(Vec<Self>),
    /// A boolean.
    Bool(bool),
    /// Either float type.
    Float(f64),
    /// Any signed integer type.
    Int(i64),
    /// Numbers or booleans of one type.
    Numbers(GgufNumbers),
    /// Text.
    String(String),
    /// Any unsigned integer type.
    UInt(u64),
}

impl GgufValue {
    /// The value as a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The value as a non-negative integer.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::UInt(value) => Some(*value),
            Self::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The value as a float; integers are converted.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            Self::UInt(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The value as text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// A number or boolean of GGUF's type `kind`, and how many bytes it takes; `None` where the type
    /// is another or there are fewer bytes.
    pub(super) fn scalar(kind: u32, bytes: &[u8]) -> Option<(Self, usize)> {
        macro_rules! read {
            ($variant:ident, $number:ty) => {{
                let (first, _) = bytes.split_first_chunk()?;
                (Self::$variant(<$number>::from_le_bytes(*first).into()), first.len())
            }};
        }
        Some(match kind {
            0 => read!(UInt, u8),
            1 => read!(Int, i8),
            2 => read!(UInt, u16),
            3 => read!(Int, i16),
            4 => read!(UInt, u32),
            5 => read!(Int, i32),
            6 => read!(Float, f32),
            7 => (Self::Bool(*bytes.first()? != 0), 1),
            10 => read!(UInt, u64),
            11 => read!(Int, i64),
            12 => read!(Float, f64),
            _ => return None,
        })
    }
}

/// What errors show of a value: never much of it.
impl From<&str> for GgufValue {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<bool> for GgufValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for GgufValue {
    /// Rounded to f32, which is what files hold.
    fn from(value: f64) -> Self {
        Self::Float(f64::from(value as f32))
    }
}

impl From<usize> for GgufValue {
    fn from(value: usize) -> Self {
        Self::UInt(value as u64)
    }
}

impl fmt::Display for GgufValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array(values) => write!(f, "a list of {}", values.len()),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Numbers(numbers) => write!(f, "a list of {}", numbers.len()),
            Self::String(text) if text.len() > SHOWN => write!(f, "a text of {} bytes", text.len()),
            Self::String(text) => write!(f, "{text:?}"),
            Self::UInt(value) => write!(f, "{value}"),
        }
    }
}

/// Numbers or booleans of one type, kept as they lie in the file: a list takes no more memory than
/// it takes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufNumbers {
    kind: u32,
    bytes: Vec<u8>,
}

impl GgufNumbers {
    /// `bytes` are those of whole elements of the type.
    pub(super) fn new(kind: u32, bytes: &[u8]) -> Self {
        Self { kind, bytes: bytes.to_vec() }
    }

    /// A list of bytes.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self::new(0, bytes)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        width(self.kind).map_or(0, |width| self.bytes.len() / width)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = GgufValue> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (value, width) = GgufValue::scalar(self.kind, rest)?;
            rest = &rest[width..];
            Some(value)
        })
    }

    /// The elements, where they are bytes, with or without a sign.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        (self.kind <= 1).then_some(&self.bytes)
    }

    /// GGUF's number for the type of the elements, and the elements as they are stored.
    pub(crate) fn as_stored(&self) -> (u32, &[u8]) {
        (self.kind, &self.bytes)
    }
}

/// The bytes of a number or boolean of GGUF's type `kind`.
pub(super) fn width(kind: u32) -> Option<usize> {
    GgufValue::scalar(kind, &[0; 8]).map(|(_, width)| width)
}

/// The longest text that an error shows.
const SHOWN: usize = 80;
