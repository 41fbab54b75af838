//! Everything that can go wrong, grouped by who can put it right.

mod brief;
mod names;
mod service;

pub(crate) use brief::brief;
pub(crate) use names::{did_you_mean, none_of, quoted};

pub use service::ServiceFailure;

use std::fmt;
use std::path::{Path, PathBuf};

/// The result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, grouped by who can put it right.
///
/// Each message names what was asked for, what was found, and what to do about it. Printed, an error is at
/// most 2,000 bytes long and holds no control characters, whatever is in the file it is about. `Debug`
/// prints the message, too, so that a `main` that returns a [`Result`] shows it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // --- the network or the disk: try again, sign in, or look at the path ---------------------
    /// A file could not be fetched from the Hub.
    Hub {
        /// The repository id, with `@revision` where one was asked for.
        repo: String,
        /// The file inside the repository.
        file: String,
        /// What happened and what to do about it.
        reason: String,
        /// Whether the same call may succeed later (network down, 429, 503).
        transient: bool,
    },
    /// A service that runs a model refused, failed or could not be reached.
    Service(Box<ServiceFailure>),
    /// A local file could not be read.
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A local file or folder could not be written.
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },

    // --- the checkpoint: its files are missing, broken or not what they claim -----------------
    /// A file is there but does not say what it should.
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that this kind of source must have is missing.
    MissingFile {
        /// The folder or repository.
        origin: String,
        /// The missing file, or the alternatives that were looked for.
        file: String,
        /// What it is needed for.
        reason: String,
    },
    /// The model needs a tensor that the checkpoint does not have.
    MissingTensor {
        /// Our name for it.
        tensor: String,
        /// The name looked for in the checkpoint.
        stored_as: String,
        /// The checkpoint.
        path: PathBuf,
    },
    /// A tensor has another shape than the config says.
    ShapeMismatch {
        /// The tensor, as the checkpoint names it.
        tensor: String,
        /// What the config implies.
        expected: Vec<usize>,
        /// What the checkpoint holds.
        found: Vec<usize>,
        /// The checkpoint.
        path: PathBuf,
    },

    // --- the request: fix the call ------------------------------------------------------------
    /// Prompt and cache together are longer than the model's context.
    ContextOverflow {
        /// Tokens that would have been in the context.
        tokens: usize,
        /// The model's limit.
        limit: usize,
    },
    /// An option has a value that makes no sense, alone or with the others.
    InvalidOption {
        /// The option, by its Hugging Face name.
        option: String,
        /// Why the value is refused and what is accepted.
        reason: String,
    },
    /// A [`Checkpoint`](crate::models::Checkpoint) of the caller ended a forward pass.
    Interrupted,
    /// The input itself cannot be used: empty, mis-shaped, out of vocabulary.
    InvalidInput {
        /// What is wrong and what is accepted.
        reason: String,
    },

    // --- this crate does not do that, or not in this build ------------------------------------
    /// A model, or something its config asks for, that is not implemented.
    UnsupportedModel {
        /// The field, its value, and what is supported.
        reason: String,
    },
    /// The build lacks a cargo feature.
    FeatureDisabled {
        /// The feature to enable.
        feature: &'static str,
    },

    // --- below us -----------------------------------------------------------------------------
    /// A chat template failed to compile or to render.
    ChatTemplate {
        /// The file that the template comes from, where it is not the caller's own.
        file: Option<PathBuf>,
        /// The template's line, where known.
        line: Option<usize>,
        /// What the template engine, or the template's own `raise_exception`, said.
        reason: String,
    },
    /// The tokenizer refused its file or the text.
    Tokenizer {
        /// What it said.
        reason: String,
    },
    /// A tensor operation failed: out of memory, a device error, or a bug of ours.
    Tensor(#[from] candle_core::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&brief(&self.sentence()))
    }
}

impl Error {
    /// The whole text, however long.
    fn sentence(&self) -> String {
        match self {
            Self::Hub { repo, file, reason, .. } => {
                format!("cannot fetch {file:?} of {repo:?} from the Hub: {reason}")
            }
            Self::Service(failure) => failure.to_string(),
            Self::Read { path, source } => format!("cannot read {}: {source}", path.display()),
            Self::Write { path, source } => format!("cannot write {}: {source}", path.display()),
            Self::Malformed { path, reason } => format!("{}: {reason}", path.display()),
            Self::MissingFile { origin, file, reason } => {
                format!("{origin} has no {file}: {reason}")
            }
            Self::MissingTensor { tensor, stored_as, path } => {
                format!("{}: no tensor {stored_as:?} (our name: {tensor:?})", path.display())
            }
            Self::ShapeMismatch { tensor, expected, found, path } => format!(
                "{}: tensor {tensor:?} has shape {found:?} where the config asks for {expected:?}",
                path.display()
            ),
            Self::ContextOverflow { tokens, limit } => {
                format!(
                    "{tokens} tokens do not fit the model's context of {limit}: shorten the text, or let a \
                     pipeline do it: `truncation` leaves out the end of a text, `handle_long_generation` \
                     (\"hole\") the beginning of a prompt"
                )
            }
            Self::InvalidOption { option, reason } => format!("option `{option}`: {reason}"),
            Self::Interrupted => "interrupted by the caller".to_owned(),
            Self::InvalidInput { reason } => format!("invalid input: {reason}"),
            Self::UnsupportedModel { reason } => format!("unsupported model: {reason}"),
            Self::FeatureDisabled { feature } => {
                format!("this needs the cargo feature `{feature}`, which this build does not have")
            }
            Self::ChatTemplate { file, line, reason } => {
                let file = file.as_ref().map(|file| format!(" of {}", file.display()));
                let line = line.map(|line| format!(", line {line}"));
                let place = [file, line].into_iter().flatten().collect::<String>();
                format!("chat template{place}: {reason}")
            }
            Self::Tokenizer { reason } => format!("tokenizer: {reason}"),
            Self::Tensor(error) => format!("tensor operation: {error}"),
        }
    }

    /// Whether trying again unchanged may succeed (network down, rate limit).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Hub { transient, .. } => *transient,
            Self::Service(failure) => failure.transient,
            _ => false,
        }
    }

    /// Whether the caller asked for something impossible; the call must be fixed.
    #[must_use]
    pub fn is_caller_error(&self) -> bool {
        match self {
            Self::ContextOverflow { .. }
            | Self::InvalidOption { .. }
            | Self::InvalidInput { .. } => true,
            Self::Service(failure) => failure.is_caller_error(),
            _ => false,
        }
    }

    /// The same error with one more thing to do.
    pub(crate) fn advised(mut self, advice: &str) -> Self {
        if let Self::Hub { reason, .. }
        | Self::InvalidOption { reason, .. }
        | Self::Malformed { reason, .. }
        | Self::MissingFile { reason, .. } = &mut self
        {
            *reason += "; ";
            *reason += advice;
        }
        self
    }

    /// The same error of a chat template, with the file that the template comes from.
    pub(crate) fn of_template_in(mut self, path: Option<&Path>) -> Self {
        if let Self::ChatTemplate { file, .. } = &mut self {
            *file = path.map(Path::to_owned);
        }
        self
    }

    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }

    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Write { path, source }
    }

    pub(crate) fn malformed(path: impl AsRef<Path>, reason: impl ToString) -> Self {
        Self::Malformed { path: path.as_ref().to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn option(option: impl Into<String>, reason: impl ToString) -> Self {
        Self::InvalidOption { option: option.into(), reason: reason.to_string() }
    }

    pub(crate) fn input(reason: impl ToString) -> Self {
        Self::InvalidInput { reason: reason.to_string() }
    }

    pub(crate) fn unsupported(reason: impl ToString) -> Self {
        Self::UnsupportedModel { reason: reason.to_string() }
    }

    pub(crate) fn tokenizer(reason: impl ToString) -> Self {
        Self::Tokenizer { reason: reason.to_string() }
    }
}

/// The message, and what caused it where the message does not say it already.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.sentence();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        f.write_str(&brief(&text))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// What `fn main() -> Result<(), Error>` prints, and `fn main() -> Result<(), Box<dyn …>>`.
    #[test]
    fn a_program_that_ends_with_an_error_shows_its_sentence() {
        let missing = Error::read("./model")(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(format!("{missing:?}"), "cannot read ./model: entity not found");
        let boxed: Box<dyn std::error::Error> = Error::option("top_p", "must be in [0, 1]").into();
        assert_eq!(format!("{boxed:?}"), "option `top_p`: must be in [0, 1]");
        let below = Error::from(candle_core::Error::Msg("out of memory".to_owned()));
        assert_eq!(format!("{below:?}"), "tensor operation: out of memory");
        let long = Error::ContextOverflow { tokens: 9, limit: 8 };
        for option in ["`truncation`", "`handle_long_generation`"] {
            assert!(format!("{long:?}").contains(option), "{long:?}");
        }
    }
}
