//! The Hugging Face Hub, as users of Python's `huggingface_hub` know it (feature `hub`).
//!
//! Files are kept in the cache that Python uses, and either side reads what the other fetched:
//!
//! ```text
//! ~/.cache/huggingface/hub/
//!   models--owner--name/
//!     blobs/<etag>               the files, each once
//!     refs/<revision>            the commit that a branch or tag was at when last asked
//!     snapshots/<commit>/<file>  links to the blobs
//!     .no_exist/<commit>/<file>  files known to be missing
//!   .locks/models--owner--name/<etag>.lock
//! ```
//!
//! Opening a repository asks the Hub once which commit its revision is at; every file then comes
//! from that commit, so a push in the meantime cannot mix two versions. A file of that commit that
//! is in the cache is used without a request, and a revision that is a full commit hash needs none
//! at all. Only the files asked for are fetched.
//!
//! A download goes to `blobs/<etag>.incomplete` and gets its name when its size is right and, for
//! large files (whose ETag is one), its SHA-256. What an interrupted run left there is continued.
//! Requests that the Hub answers with 429 or 5xx are repeated a few times, after the wait it asks
//! for. When the Hub cannot be reached or refuses, the commit seen last is served from the cache
//! alone; then a file that is not there counts as missing, and
//! [`ModelFiles::origin`](crate::source::ModelFiles::origin), which is part of most messages, says
//! so.
//!
//! # Environment
//!
//! | Variable | Meaning | Default |
//! |---|---|---|
//! | `HF_ENDPOINT` | the Hub's address | `https://huggingface.co` |
//! | `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE` | the cache | `$HF_HOME/hub` |
//! | `HF_HOME` | home of cache and token | `$XDG_CACHE_HOME/huggingface`, `~/.cache/huggingface` |
//! | `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN` | the access token | the token file |
//! | `HF_TOKEN_PATH` | the token file, as `hf auth login` writes it | `$HF_HOME/token` |
//! | `HF_HUB_DISABLE_IMPLICIT_TOKEN` | send only a token given in code | off |
//! | `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE` | no requests, only the cache | off |
//! | `HF_HUB_DISABLE_PROGRESS_BARS` | no progress bars | off |
//! | `HF_HUB_DISABLE_XET` | with the feature `xet`: plain HTTP also for files stored in Xet | off |
//! | `HF_HUB_ETAG_TIMEOUT` | seconds to wait for a file's metadata | 10 |
//! | `HF_HUB_DOWNLOAD_TIMEOUT` | seconds without a byte before a transfer counts as cut | 10 |
//! | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` | proxies | none |
//! | `SSL_CERT_FILE`, `SSL_CERT_DIR` | certificates to trust, on Linux | the system's |
//!
//! TLS is rustls with the certificates that the system trusts. Its cryptography is graviola: Rust and
//! verified assembler inside of it, no C. It needs a processor with AES, AVX2 and ADX (x86-64: Intel since
//! Broadwell, AMD since Zen) or AES and SHA-2 (ARM: Apple's, Graviton's, not a Raspberry Pi 4). Elsewhere, and
//! where another is preferred, install a provider of rustls 0.23 first:
//! `rustls::crypto::ring::default_provider().install_default()`.
//!
//! Switches are on when they say `1`, `on`, `yes` or `true` in any case; a leading `~/` in a path is
//! the home folder. What is set on [`HubRepo`] wins over the environment.

#[cfg(feature = "hub")]
mod address;
#[cfg(feature = "hub")]
mod cache;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod env;
#[cfg(feature = "hub")]
mod http;
#[cfg(feature = "hub")]
mod progress;
#[cfg(feature = "hub")]
mod repo;
#[cfg(feature = "xet")]
mod xet;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "hub")]
pub(super) use repo::OpenRepo;

use crate::error::{Error, Result};
use crate::source::ModelSource;
use crate::warning::warn;

/// A repository on the Hugging Face Hub. What is not set here comes from the environment, see the
/// [module](self).
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
    id: String,
    revision: Option<String>,
    token: Option<String>,
    cache_dir: Option<PathBuf>,
    endpoint: Option<String>,
    offline: Option<bool>,
    progress: Option<Callback>,
    /// Whether a text was taken for its id, so that a path may have been meant.
    is_guess: bool,
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

type Callback = Arc<dyn Fn(&DownloadProgress) + Send + Sync>;

impl HubRepo {
    pub(super) fn new(id: impl Into<String>) -> Self {
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

    /// The repository that a text names which is no local path by its looks.
    pub(super) fn from_text(id: &str) -> Self {
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

    /// Reports progress to `callback` in place of the bars on stderr. It is called on the thread that
    /// asks for the file, or by Xet on others: first with what is on the disk already, then for every piece
    /// that arrives. It should return quickly. A file that is in the cache is not reported.
    #[must_use]
    pub fn progress(
        mut self,
        callback: impl Fn(&DownloadProgress) + Send + Sync + 'static,
    ) -> Self {
        self.progress = Some(Arc::new(callback));
        self
    }

    /// A GGUF file inside this repository. Of a split file (`-00001-of-0000N.gguf`) any part may
    /// be named.
    #[must_use]
    pub fn gguf(self, file: impl Into<String>) -> ModelSource {
        ModelSource::HubGguf { repo: self, file: file.into() }
    }

    /// Finds the commit. `probe` is the file whose metadata is asked for to learn it.
    #[cfg(feature = "hub")]
    pub(super) fn open(&self, probe: &str) -> Result<OpenRepo> {
        self.validate()?;
        OpenRepo::open(self, probe)
    }

    #[cfg(not(feature = "hub"))]
    pub(super) fn open(&self, _probe: &str) -> Result<OpenRepo> {
        self.validate()?;
        Err(Error::FeatureDisabled { feature: "hub" })
    }

    /// As [`open`](Self::open); where a file or folder of that name is on the disk, which may have been
    /// meant, the error says so, or a warning.
    pub(super) fn open_unless_meant_local(&self, probe: &str) -> Result<OpenRepo> {
        let opened = self.open(probe);
        if !Path::new(&self.id).exists() {
            return opened;
        }
        let there =
            format!("{:?} is on the disk, too: write \"./{}\" to load that", self.id, self.id);
        match opened {
            Ok(opened) => {
                if self.is_guess {
                    warn(&format!(
                        "the model is that of the Hub's repository {:?}. {there}, or \
                         `ModelSource::hub` for the repository",
                        self.id
                    ));
                }
                Ok(opened)
            }
            Err(Error::FeatureDisabled { feature }) => {
                let reason = format!("means the Hub, which needs the cargo feature `{feature}`");
                Err(Error::option("model", format!("{:?} {reason}; {there}", self.id)))
            }
            Err(error) => Err(error.advised(&there)),
        }
    }

    /// The rules of `huggingface_hub.utils.validate_repo_id`, and that the revision, which names a
    /// file in the cache, stays there.
    fn validate(&self) -> Result<()> {
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
            Some(revision) if !super::stays_inside(revision) => Err(Error::option(
                "revision",
                format!("{revision:?} is no branch, tag or commit (by default `main`)"),
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

/// A build without the feature opens no repository.
#[cfg(not(feature = "hub"))]
#[derive(Debug)]
pub(super) enum OpenRepo {}

#[cfg(not(feature = "hub"))]
impl OpenRepo {
    pub(super) fn optional(&self, _name: &str) -> Result<Option<PathBuf>> {
        match *self {}
    }

    pub(super) fn not_asked(&self, _name: &str) -> Option<Error> {
        match *self {}
    }
}

#[cfg(not(feature = "hub"))]
impl fmt::Display for OpenRepo {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
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

    /// Tests run in the folder of the crate.
    #[test]
    fn what_is_on_the_disk_may_have_been_meant() {
        let open = |id: &str| {
            let cache = tempfile::tempdir().unwrap();
            let repo = HubRepo::from_text(id).offline(true).cache_dir(cache.path());
            ModelSource::from(repo).open().unwrap_err().to_string()
        };
        for there in ["src", "src/source", "src/source/hub", "Cargo.toml"] {
            assert!(open(there).contains(&format!("write \"./{there}\"")), "{}", open(there));
        }
        assert!(!open("src/nothing").contains("write"), "{}", open("src/nothing"));
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

    #[cfg(not(feature = "hub"))]
    #[test]
    fn a_build_without_the_feature_says_so() {
        for source in [HubRepo::new("a/b").into(), HubRepo::new("a/b").gguf("c.gguf")] {
            let error = source.open().unwrap_err();
            assert!(matches!(error, Error::FeatureDisabled { feature: "hub" }), "{error:?}");
        }
    }

    #[test]
    fn the_token_is_not_printed() {
        let printed = format!("{:?}", HubRepo::new("a/b").token("hf_secret"));
        assert!(!printed.contains("secret"), "{printed}");
    }
}
