//! Minutes of a meeting, out of what was said.
//!
//! [`take_minutes`] reads a transcript ([`Utterance`]s) part by part with a language model ([`Writer`]), checks
//! what the model writes against what was said, and puts it together ([`Minutes`]). The transcript comes from a
//! model here or from a service, and so does what writes; see the [guide](crate::guide::minutes).
//!
//! ```
//! use sconce::minutes::{MinutesOptions, Utterance, Writer, Written, take_minutes};
//! # use sconce::{Result, generation::GenerationConfig, tokenizer::chat::Message};
//! # struct Model;
//! # impl Writer for Model {
//! #     fn count_tokens(&self, text: &str) -> Result<usize> { Ok(text.len() / 3) }
//! #     fn context(&self) -> Option<usize> { None }
//! #     fn write(&self, _: &[Message], _: &GenerationConfig, piece: &mut dyn FnMut(&str)) -> Result<Written> {
//! #         let text = "TITLE: Printers\nACTION [00:04] Ben | Friday | Order a printer.";
//! #         piece(text);
//! #         Ok(Written::new(text, false))
//! #     }
//! # }
//! # let model = Model;
//!
//! let said = [
//!     Utterance::new("The printer is broken.", 0.0, 4.0).by("Anna"),
//!     Utterance::new("I will order a new one by Friday.", 4.0, 8.0).by("Ben"),
//! ];
//! let minutes = take_minutes(&said, &model, &MinutesOptions::default(), &mut |_| {})?;
//! assert_eq!(minutes.actions[0].owner.as_deref(), Some("Ben"));
//! println!("{}", minutes.to_markdown(Some("recording.wav")));
//! # Ok::<(), sconce::Error>(())
//! ```

mod check;
mod claim;
mod draft;
mod line;
mod markdown;
mod options;
mod part;
mod prompt;
mod take;
mod utterance;
mod writer;

use serde::{Deserialize, Serialize};

pub use claim::{Action, Claim, Doubt, Evidence};
pub use options::MinutesOptions;
pub use take::{MinutesEvent, take_minutes};
pub use utterance::{Utterance, assign_speakers};
pub use writer::{Writer, Written};

/// The minutes of a meeting.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Minutes {
    /// What the meeting was about, in a few words.
    pub title: Option<String>,
    /// When it was.
    pub date: Option<String>,
    /// Who took part.
    pub attendees: Vec<String>,
    /// What was said, in short.
    pub summary: Vec<Claim>,
    /// What was talked about.
    pub topics: Vec<Claim>,
    /// What was decided.
    pub decisions: Vec<Claim>,
    /// What is to be done.
    pub actions: Vec<Action>,
    /// What else the model wrote, which could not be read as any of these.
    pub notes: Vec<String>,
    /// What did not stand up to what was said.
    pub doubts: Vec<Doubt>,
    /// How many parts the transcript was read in.
    pub parts: usize,
}
