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
//! Opening a repository asks the Hub once for the commit of its revision. Every file then comes
//! from that commit, so a push in the meantime cannot mix two versions. A cached file of that
//! commit needs no request. A revision that is a full commit hash needs no request either. Only the
//! files asked for are downloaded.
//!
//! A download goes to `blobs/<etag>.incomplete`. It gets its final name when its size is right and,
//! for large files (whose ETag is a SHA-256), its hash. An interrupted download is continued.
//! Requests that the Hub answers with 429 or 5xx are repeated a few times, after the wait that the
//! Hub asks for. If the Hub cannot be reached or refuses, the commit seen last is loaded from the
//! cache alone. A file that is not cached then counts as missing, and
//! [`ModelFiles::origin`](crate::source::ModelFiles::origin), which is part of most messages, says
//! that only the cache was used.
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
#[cfg_attr(not(feature = "hub"), path = "hub/no_repo.rs")]
mod repo;
mod settings;
#[cfg(feature = "xet")]
mod xet;

use std::path::Path;

pub(super) use repo::OpenRepo;
pub use settings::{DownloadProgress, HubRepo};

use crate::error::{Error, Result};
use crate::warning::warn;

impl HubRepo {
    /// Finds the commit, by asking for the metadata of the file `probe`.
    pub(super) fn open(&self, probe: &str) -> Result<OpenRepo> {
        self.validate()?;
        OpenRepo::open(self, probe)
    }

    /// As [`open`](Self::open). If a file or folder of that name is on the disk, and may have been
    /// meant, the error or a warning says so.
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ModelSource;

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

    #[cfg(not(feature = "hub"))]
    #[test]
    fn a_build_without_the_feature_says_so() {
        for source in [HubRepo::new("a/b").into(), HubRepo::new("a/b").gguf("c.gguf")] {
            let error = source.open().unwrap_err();
            assert!(matches!(error, Error::FeatureDisabled { feature: "hub" }), "{error:?}");
        }
    }
}
