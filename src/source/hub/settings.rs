//! Which repository of the Hub, and how it is asked.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::source::names::stays_inside;

/// A repository on the Hugging Face Hub. What is not set here comes from the environment, see the
/// [module](crate::source::hub).
///
/// ```
/// use sconce::ModelSource;
///
/// let source = ModelSource::hub("Qwen/Qwen3-0.6B")
///     .revision("main")
///     .progress(|at| eprintln!("{}: {} of {} bytes", at.file, at.done, at.total));
/// ```
#[derive(Clone)]
pub struct HubRepo {
    pub(super) id: String,
    pub(super) revision: Option<String>,
    pub(super) token: Option<String>,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) endpoint: Option<String>,
    pub(super) offline: Option<bool>,
    pub(super) progress: Option<Callback>,
    /// Whether the id was guessed from a text, so that a path may have been meant.
    pub(super) is_guess: bool,
}

/// How far the download of one file is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DownloadProgress {
    /// The file's path in the repository.
    pub file: String,
    /// Bytes that are on the disk, those of an earlier, interrupted run included. Never falls;
    /// equal to `total` in the last report.
    pub done: u64,
    /// The file's size in bytes.
    pub total: u64,
}

pub(super) type Callback = Arc<dyn Fn(&DownloadProgress) + Send + Sync>;

impl HubRepo {
    pub(in crate::source) fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            revision: None,
            token: None,
            cache_dir: None,
            endpoint: None,
            offline: None,
            progress: None,
            is_guess: false,
        }
    }

    /// The repository that a text names, if the text does not look like a local path.
    pub(in crate::source) fn from_text(id: &str) -> Self {
        Self { is_guess: true, ..Self::new(id) }
    }

    /// A branch, a tag or a commit. By default `main`. Only a full commit hash always means the
    /// same files, and needs no request once they are in the cache.
    #[must_use]
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = Some(revision.into());
        self
    }

    /// The access token, for private and gated repositories. By default `HF_TOKEN`, else what
    /// `hf auth login` stored. It is sent to the endpoint only, not to where that redirects.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The cache folder, in the layout of Python's `huggingface_hub`. By default `HF_HUB_CACHE`,
    /// else `~/.cache/huggingface/hub`.
    #[must_use]
    pub fn cache_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(path.into());
        self
    }

    /// The Hub's address. By default `HF_ENDPOINT`, else `https://huggingface.co`.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Whether to use the cache only and make no request. By default what `HF_HUB_OFFLINE` says.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = Some(offline);
        self
    }

    /// Reports progress to `callback` in place of the bars on stderr. It is called on the thread
    /// that asks for the file, or by Xet on others: first with what is on the disk already, then
    /// for every piece that arrives. It should return quickly. A file that is in the cache is not
    /// reported.
    #[must_use]
    pub fn progress(
        mut self,
        callback: impl Fn(&DownloadProgress) + Send + Sync + 'static,
    ) -> Self {
        self.progress = Some(Arc::new(callback));
        self
    }

    /// The rules of `huggingface_hub.utils.validate_repo_id`, and that the revision, which names a
    /// file in the cache, stays there.
    pub(super) fn validate(&self) -> Result<()> {
        let id = &self.id;
        let wrong = |why: &str| {
            Err(Error::option(
                "model",
                format!(
                    "{id:?} is no Hub id (`name` or `owner/name`): {why}; a local folder begins \
                     with `/`, `./`, `../` or `~/`"
                ),
            ))
        };
        let parts: Vec<&str> = id.split('/').collect();
        if let Some(("https:" | "http:", rest)) = id.split_once("//")
            && let [_, owner, name, ..] = rest.split('/').collect::<Vec<_>>()[..]
        {
            return wrong(&format!("it is an address of the web; write \"{owner}/{name}\""));
        }
        if parts.len() > 2 {
            return wrong("more than one `/`");
        }
        for part in parts {
            if part.is_empty() || part.len() > MAX_NAME {
                return wrong("a name has 1 to 96 characters");
            }
            if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
                return wrong("letters, digits, `-`, `_` and `.` are allowed");
            }
            if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
                return wrong("a name neither begins nor ends with `-` or `.`");
            }
        }
        if id.contains("--") || id.contains("..") || id.ends_with(".git") {
            return wrong("`--`, `..` and a final `.git` are not allowed");
        }
        match &self.revision {
            Some(revision) if !stays_inside(revision) => Err(Error::option(
                "revision",
                format!("{revision:?} is not a branch, tag or commit (by default `main`)"),
            )),
            _ => Ok(()),
        }
    }
}

/// Leaves out the token, which must not end up in a log.
impl fmt::Debug for HubRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubRepo")
            .field("id", &self.id)
            .field("revision", &self.revision)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("cache_dir", &self.cache_dir)
            .field("endpoint", &self.endpoint)
            .field("offline", &self.offline)
            .field("progress", &self.progress.as_ref().map(|_| "callback"))
            .finish_non_exhaustive()
    }
}

/// Characters in an owner's or repository's name.
const MAX_NAME: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for id in ["gpt2", "owner/name", "123", "Foo-BAR_foo.bar123", "_a/b_", "a/b.c"] {
            assert!(HubRepo::new(id).validate().is_ok(), "{id}");
        }
        let long = "x".repeat(97);
        let bad = [
            "", "/", "a/", "/b", "a/b/c", "a b", "a/..", "../b", "-a", "a-", ".a", "foo--bar",
            "foo..bar", "foo.git", "a\\b", "a/b?c", "a/b#c", "ä/b", "a:b", "a\0b", &long,
        ];
        for id in bad {
            let error = HubRepo::new(id).validate().unwrap_err();
            assert!(error.is_caller_error() && error.to_string().contains("no Hub id"), "{id}");
        }
    }

    #[test]
    fn revisions() {
        for revision in ["main", "v1.0", "refs/pr/1", "feature/x-y"] {
            assert!(HubRepo::new("a/b").revision(revision).validate().is_ok(), "{revision}");
        }
        for revision in ["", "..", "../main", "a/../../b", "/etc", "a\\b", "a//b", "a\0"] {
            assert!(HubRepo::new("a/b").revision(revision).validate().is_err(), "{revision}");
        }
    }

    #[test]
    fn the_token_is_not_printed() {
        let printed = format!("{:?}", HubRepo::new("a/b").token("hf_secret"));
        assert!(!printed.contains("secret"), "{printed}");
    }

    #[test]
    fn addresses_of_the_web_are_told_as_names() {
        for address in ["https://huggingface.co/owner/name", "http://hf.co/owner/name/tree/main"] {
            let error = HubRepo::new(address).validate().unwrap_err().to_string();
            assert!(error.contains("write \"owner/name\""), "{error}");
        }
    }
}
