//! What minutes say, each with the time of the recording that it rests on.

use serde::{Deserialize, Serialize};

/// How a claim stands to what was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Evidence {
    /// Its words are said at its time.
    Said,
    /// The model gave another time or none; its words are said at the time that it has now.
    Moved,
    /// Its words are not said in that part of the recording.
    NotFound,
}

/// A sentence of the minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claim {
    /// The sentence, on one line.
    pub text: String,
    /// Where what it rests on begins, in seconds from the beginning of the recording.
    pub start: f64,
    /// Where it ends, in seconds.
    pub end: f64,
    /// How it stands to what was said.
    pub evidence: Evidence,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Action {
    /// What is to be done.
    pub claim: Claim,
    /// Who does it, if that was said.
    pub owner: Option<String>,
    /// By when, as it was said.
    pub due: Option<String>,
}

/// Something that the model wrote and that is not, or not as it was, in the minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Doubt {
    /// A claim whose words are not said where it says, or anywhere in its part of the recording. It is marked
    /// or left out, as the options say.
    NotFound(String),
    /// A claim with a time outside of the part that the model read, or none. It has the time at which its
    /// words are said.
    Moved(String),
    /// An owner of an action that nobody named and who does not speak; left out.
    Owner(String),
    /// A due date that nobody said; left out.
    Due(String),
    /// An attendee or a date that nobody named; left out.
    Named(String),
    /// An answer of the model that reached its limit, by the number of the part, from 0.
    CutAnswer(usize),
}
