//! How minutes are taken.

use serde::{Deserialize, Serialize};

use crate::generation::{CancelHandle, GenerationConfig};

/// How minutes are taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MinutesOptions {
    /// The title, if it is known before. Default: what the model makes of it.
    pub title: Option<String>,
    /// The date of the meeting, if it is known before. Default: what was said.
    pub date: Option<String>,
    /// Who took part, if it is known before. Default: who speaks, and who is named.
    pub attendees: Option<Vec<String>>,
    /// The language to write in. Default: up to the model, mostly that of the meeting.
    pub language: Option<String>,
    /// The address or path of the recording, for links to its times. Default: times without links.
    pub recording: Option<String>,
    /// The most tokens of the transcript that the model reads at once; fewer where its context is smaller.
    /// Default: 3,000. Small models lose track of more.
    pub max_part_tokens: usize,
    /// How the model answers. Default: greedy, up to 800 tokens.
    pub generation: GenerationConfig,
    /// The share of a claim's words that has to be said at its time, or anywhere in its part. Default: 0.5.
    pub least_evidence: f64,
    /// Whether claims that are not found are kept, with a mark. Default: true. Without, they are left out.
    pub keep_not_found: bool,
    /// Ends the work from another thread, with an error.
    #[serde(skip)]
    pub cancel: Option<CancelHandle>,
}

impl Default for MinutesOptions {
    fn default() -> Self {
        Self {
            title: None,
            date: None,
            attendees: None,
            language: None,
            recording: None,
            max_part_tokens: 3_000,
            generation: GenerationConfig::default().do_sample(false).max_new_tokens(800),
            least_evidence: 0.5,
            keep_not_found: true,
            cancel: None,
        }
    }
}

/// Declares setters.
macro_rules! setters {
    ($($(#[$doc:meta])+ $name:ident: $kind:ty => $value:expr;)+) => {
        impl MinutesOptions {
            $($(#[$doc])+
            #[must_use]
            pub fn $name(mut self, $name: $kind) -> Self {
                self.$name = $value;
                self
            })+
        }
    };
}

setters! {
    /// Sets [`title`](Self#structfield.title).
    title: impl Into<String> => Some(title.into());
    /// Sets [`date`](Self#structfield.date).
    date: impl Into<String> => Some(date.into());
    /// Sets [`attendees`](Self#structfield.attendees).
    attendees: Vec<String> => Some(attendees);
    /// Sets [`language`](Self#structfield.language).
    language: impl Into<String> => Some(language.into());
    /// Sets [`recording`](Self#structfield.recording).
    recording: impl Into<String> => Some(recording.into());
    /// Sets [`max_part_tokens`](Self#structfield.max_part_tokens).
    max_part_tokens: usize => max_part_tokens;
    /// Sets [`generation`](Self#structfield.generation).
    generation: GenerationConfig => generation;
    /// Sets [`least_evidence`](Self#structfield.least_evidence).
    least_evidence: f64 => least_evidence;
    /// Sets [`keep_not_found`](Self#structfield.keep_not_found).
    keep_not_found: bool => keep_not_found;
    /// Sets [`cancel`](Self#structfield.cancel).
    cancel: CancelHandle => Some(cancel);
}
