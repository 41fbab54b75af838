//! Cutting texts that are too long.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizers::TruncationDirection;

use crate::batch::PaddingSide;
use crate::error::{Error, none_of};
use crate::fields::choices;
use crate::read::described;
use crate::tokenizer::shared::Tokenizer;
use crate::tokenizer::tokens::Tokens;
use crate::tokenizer::windows::Ranges;

/// How to truncate a text that is too long. The rest is kept in
/// [`Encoding::overflowing`](crate::tokenizer::Encoding::overflowing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Truncation {
    /// The most tokens to keep, special tokens included.
    pub max_length: usize,
    /// Which text of a pair is cut.
    #[serde(default)]
    pub strategy: TruncationStrategy,
    /// The number of tokens that consecutive windows of the text share.
    #[serde(default)]
    pub stride: usize,
    /// Which end is cut. `None`: the tokenizer's `truncation_side`.
    #[serde(default)]
    pub side: Option<PaddingSide>,
}

impl Truncation {
    /// Cuts to `max_length` tokens, the longer text of a pair first.
    #[must_use]
    pub fn to(max_length: usize) -> Self {
        Self { max_length, strategy: TruncationStrategy::LongestFirst, stride: 0, side: None }
    }

    /// Sets [`strategy`](Self::strategy).
    #[must_use]
    pub fn strategy(mut self, strategy: TruncationStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Sets [`stride`](Self::stride).
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets [`side`](Self::side).
    #[must_use]
    pub fn side(mut self, side: PaddingSide) -> Self {
        self.side = Some(side);
        self
    }
}

choices! {
    /// Which text of a pair is cut. In JSON `true` is `longest_first` and `false`
    /// `do_not_truncate`.
    #[derive(Default)]
    #[serde(try_from = "Value")]
    TruncationStrategy, "truncation" {
        /// None.
        DoNotTruncate = "do_not_truncate",
        /// The longer one, until both are of one length.
        #[default]
        LongestFirst = "longest_first",
        /// The first.
        OnlyFirst = "only_first",
        /// The second: the context behind a question.
        OnlySecond = "only_second",
    }
}

impl TryFrom<Value> for TruncationStrategy {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::Bool(false) => Ok(Self::DoNotTruncate),
            Value::Bool(true) => Ok(Self::LongestFirst),
            Value::String(name) => name.parse().map_err(|_| none_of(name, Self::NAMES)),
            _ => Err(format!(
                "{} is none of true, false, {}",
                described(&value),
                Self::NAMES.join(", ")
            )),
        }
    }
}

/// Why a text cannot be cut as asked.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// Special tokens alone are more than the `max_length`.
    NoRoom(String),
    /// Windows that share so many tokens do not get on, or are too many.
    Stride(String),
    /// The text that may not be cut is longer than the model reads.
    TooLong(String),
    /// The text that may be cut is shorter than what is to go.
    TooShort(String),
    Other(Error),
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Unfit> for Error {
    /// The error of an option, by the name that tokenizers have for it.
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::NoRoom(reason) => Self::option("max_length", reason),
            Unfit::Stride(reason) => Self::option("stride", reason),
            Unfit::TooLong(reason) | Unfit::TooShort(reason) => Self::option("truncation", reason),
            Unfit::Other(error) => error,
        }
    }
}

/// Which text of a pair.
#[derive(Clone, Copy)]
pub(super) enum Of {
    First,
    Second,
}

/// Where a text or a pair that will have so many special tokens around it is to be cut. Where both of a pair are, they
/// are cut here, with their windows as overflowing parts.
pub(super) fn truncate(
    tokenizer: &Tokenizer,
    first: &mut Tokens,
    second: Option<&mut Tokens>,
    truncation: &Truncation,
    special: usize,
) -> Result<Option<(Of, Ranges)>, Unfit> {
    if truncation.strategy == TruncationStrategy::DoNotTruncate {
        return Ok(None);
    }
    let length = truncation.max_length;
    let room = length.checked_sub(special).ok_or_else(|| {
        Unfit::NoRoom(format!("{length} is less than the {special} special tokens"))
    })?;
    let direction = match truncation.side.unwrap_or(tokenizer.shared.settings.truncation_side) {
        PaddingSide::Left => TruncationDirection::Left,
        PaddingSide::Right => TruncationDirection::Right,
    };
    let lengths = (first.len(), second.as_ref().map(|second| second.len()));
    let (keep_first, keep_second) = kept(truncation.strategy, lengths, room)?;
    let mut texts: Vec<_> = [
        Some((Of::First, first, keep_first)),
        second.map(|second| (Of::Second, second, keep_second)),
    ]
    .into_iter()
    .flatten()
    .filter(|(_, text, keep)| *keep < text.len())
    .collect();
    // The windows of a pair are those of one text with each of those of the other.
    let stride = truncation.stride;
    let mut windows = 1_usize;
    for (_, text, keep) in &texts {
        let (whole, keep) = (text.len(), *keep);
        if keep > 0 && stride >= keep {
            let reason = format!("{stride} must be less than the {keep} tokens left");
            return Err(Unfit::Stride(reason));
        }
        let own = (whole - keep).checked_div(keep.saturating_sub(stride)).unwrap_or(0) + 1;
        let tokens = own.saturating_mul(keep);
        if tokens > MOST_WINDOWED.max(whole) {
            let reason = format!(
                "with {stride}, the windows of {whole} tokens hold {tokens}; {MOST_WINDOWED} are the limit"
            );
            return Err(Unfit::Stride(reason));
        }
        windows = windows.saturating_mul(own);
    }
    if let [(of, text, keep)] = texts.as_slice() {
        return Ok(Some((*of, Ranges::new(text.len(), *keep, stride, direction))));
    }
    for (_, text, keep) in &mut texts {
        text.change(|text| text.truncate(*keep, stride, direction));
    }
    if windows.saturating_mul(length) > MOST_WINDOWED {
        for (_, text, _) in texts {
            text.change(|text| {
                let next = text.take_overflowing().into_iter().next();
                text.set_overflowing(next.into_iter().collect());
            });
        }
    }
    Ok(None)
}

/// The tokens of a text's windows where they overlap, and of a pair's where both texts are cut.
const MOST_WINDOWED: usize = 1 << 22;

/// How many tokens of each text stay, as `truncate_encodings` of the tokenizers crate has it.
fn kept(
    strategy: TruncationStrategy,
    (first, second): (usize, Option<usize>),
    room: usize,
) -> Result<(usize, usize), Unfit> {
    let other = second.unwrap_or(0);
    if first.saturating_add(other) <= room {
        return Ok((first, other));
    }
    let excess = first + other - room;
    let short = |which: &str| {
        Unfit::TooShort(format!("the {which} text is too short to be cut by {excess} tokens"))
    };
    match strategy {
        TruncationStrategy::DoNotTruncate => Ok((first, other)),
        _ if room == 0 => Ok((0, 0)),
        TruncationStrategy::LongestFirst if second.is_none() => Ok((room, 0)),
        TruncationStrategy::LongestFirst => {
            let (short, long) = (first.min(other), first.max(other));
            let (short, long) = match short + short > room {
                true => (room / 2, room - room / 2),
                false => (short, long - excess),
            };
            Ok(if first > other { (long, short) } else { (short, long) })
        }
        TruncationStrategy::OnlyFirst if first > excess => Ok((first - excess, other)),
        TruncationStrategy::OnlyFirst => Err(short("first")),
        TruncationStrategy::OnlySecond if other > excess => Ok((first, other - excess)),
        TruncationStrategy::OnlySecond => Err(short("second")),
    }
}
