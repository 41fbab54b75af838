//! A repository at one commit.

use std::fmt;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::error::Error;
use crate::source::hub::cache::{self, Cache};
use crate::source::hub::client::{Client, Lookup, Remote};
use crate::source::hub::env;
use crate::source::hub::http::{Cause, Failure};
use crate::source::hub::progress::Progress;
use crate::source::hub::settings::{Callback, HubRepo};
#[cfg(feature = "xet")]
use crate::source::hub::xet::{self, XetFile};

pub(in crate::source) struct OpenRepo {
    /// The id, with `@revision` where one was asked for.
    name: String,
    commit: String,
    cache: Cache,
    client: Client,
    /// Set by the first request: nothing, or why only the cache is used from then on.
    cut_off: OnceLock<Option<Failure>>,
    progress: Option<Callback>,
}

impl OpenRepo {
    /// Learns the commit from the metadata of `probe`, which need not exist. The id and the
    /// revision are valid.
    pub(super) fn open(repo: &HubRepo, probe: &str) -> Result<Self, Error> {
        let root = repo.cache_dir.clone().unwrap_or_else(env::cache_dir);
        let endpoint = repo.endpoint.clone().unwrap_or_else(env::endpoint);
        let revision = repo.revision.as_deref().unwrap_or("main");
        let mut open = Self {
            name: match &repo.revision {
                Some(revision) => format!("{}@{revision}", repo.id),
                None => repo.id.clone(),
            },
            commit: String::new(),
            cache: Cache::new(&root, &repo.id),
            client: Client::new(&endpoint, &repo.id, repo.token.clone().or_else(env::token))?,
            cut_off: OnceLock::new(),
            progress: repo.progress.clone(),
        };
        let offline = repo.offline.unwrap_or_else(env::offline).then(|| Failure {
            reason: "offline mode (HF_HUB_OFFLINE)".to_owned(),
            cause: Cause::Denied,
        });
        if is_commit(revision) {
            open.commit = revision.to_owned();
            if offline.is_some() {
                open.cut_off = OnceLock::from(offline);
            }
        } else {
            let found = match offline {
                Some(offline) => Err(offline),
                None => open.find_commit(revision, probe),
            };
            let (commit, cut_off) = match found {
                Ok(commit) => (commit, None),
                Err(failure) => {
                    let (commit, why) = open
                        .fall_back(revision, failure)
                        .map_err(|failure| open.error(probe, failure))?;
                    (commit, Some(why))
                }
            };
            open.commit = commit;
            open.cut_off = OnceLock::from(cut_off);
        }
        Ok(open)
    }

    /// The local path of a file, fetched where need be; `None` where the repository has none of
    /// that name, or cannot be asked and the cache has none.
    pub(in crate::source) fn optional(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        if let Some(path) = self.cache.file(&self.commit, name) {
            return Ok(Some(path));
        }
        if self.cut_off().is_some() || self.cache.is_known_missing(&self.commit, name) {
            return Ok(None);
        }
        let found = self.client.look_up(&self.commit, name);
        // What a commit's files are does not change: when the Hub cannot be reached to begin
        // with, those in the cache do, as for a branch. Later, files would be mixed with gaps.
        if let Err(failure) = &found
            && failure.is_transient()
            && self.cache.has(&self.commit)
            && self.cut_off.get_or_init(|| Some(failure.clone())).is_some()
        {
            return Ok(None);
        }
        let _ = self.cut_off.set(None);
        let path = match found {
            Ok(Lookup::File(remote)) => self.fetch(name, &remote).map(Some),
            Ok(Lookup::Missing { .. }) => {
                self.cache.remember_missing(&self.commit, name);
                Ok(None)
            }
            Err(failure) => Err(failure),
        };
        path.map_err(|failure| self.error(name, failure))
    }

    /// The error for a file that [`optional`](Self::optional) did not find without asking the Hub.
    pub(in crate::source) fn not_asked(&self, name: &str) -> Option<Error> {
        let why = self.cut_off()?.clone();
        let folder = self.cache.folder().display();
        let reason = format!("{}; {folder} has no copy of it", why.reason);
        (!self.cache.is_known_missing(&self.commit, name))
            .then(|| self.error(name, Failure { reason, ..why }))
    }

    fn find_commit(&self, revision: &str, probe: &str) -> Result<String, Failure> {
        let commit = match self.client.look_up(revision, probe)? {
            Lookup::File(remote) => remote.commit,
            Lookup::Missing { commit: Some(commit) } => {
                self.cache.remember_missing(&commit, probe);
                commit
            }
            Lookup::Missing { commit: None } => {
                let endpoint = self.client.endpoint();
                return Err(Failure::broken(format!("{endpoint} names no commit (X-Repo-Commit)")));
            }
        };
        self.cache.remember_commit(revision, &commit);
        Ok(commit)
    }

    /// As in Python, the commit seen last stands in, unless the Hub says that the revision is no
    /// more. Gives the failure back as the reason why only the cache is used.
    fn fall_back(&self, revision: &str, failure: Failure) -> Result<(String, Failure), Failure> {
        if failure.cause == Cause::NoRevision {
            return Err(failure);
        }
        let Some(commit) = self.cache.commit_of(revision) else {
            let folder = self.cache.folder().display();
            let reason = format!("{}; {folder} has no copy of it either", failure.reason);
            return Err(Failure { reason, ..failure });
        };
        Ok((commit, failure))
    }

    fn cut_off(&self) -> Option<&Failure> {
        self.cut_off.get()?.as_ref()
    }

    fn fetch(&self, name: &str, remote: &Remote) -> Result<PathBuf, Failure> {
        let blob = self.cache.blob(&remote.etag);
        let progress = Progress::new(self.progress.as_ref(), name, remote.size);
        // Xet begins anew; what was begun is better continued.
        #[cfg(feature = "xet")]
        if remote.in_xet
            && cache::is_sha256(&remote.etag)
            && xet::is_worth_it(remote.size)
            && !blob.exists()
            && !self.cache.part(&remote.etag).exists()
        {
            self.fetch_through_xet(name, remote, &progress)?;
        }
        let _lock = self.cache.lock(&remote.etag).map_err(Failure::disk)?;
        // Another thread or process may have had the lock, and the blob is there now.
        if !blob.metadata().is_ok_and(|blob| blob.len() == remote.size) {
            self.fetch_blob(name, remote, &progress)?;
        }
        progress.finish();
        self.cache.link(&self.commit, name, &remote.etag).map_err(Failure::disk)
    }

    #[cfg(feature = "xet")]
    fn fetch_through_xet(
        &self,
        name: &str,
        remote: &Remote,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let Some(cache_dir) = self.cache.folder().parent() else { return Ok(()) };
        XetFile {
            endpoint: self.client.endpoint(),
            token: self.client.token(),
            cache_dir,
            id: self.client.id(),
            commit: &self.commit,
            name,
        }
        .fetch(progress);
        let _lock = self.cache.lock(&remote.etag).map_err(Failure::disk)?;
        let blob = self.cache.blob(&remote.etag);
        if blob.exists() && cache::sha256(&blob).map_err(Failure::disk)? != remote.etag {
            fs::remove_file(&blob).map_err(Failure::disk)?;
        }
        Ok(())
    }

    /// Under the blob's lock.
    fn fetch_blob(&self, name: &str, remote: &Remote, progress: &Progress) -> Result<(), Failure> {
        let path = self.cache.part(&remote.etag);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Failure::disk)?;
        }
        let mut part =
            File::options().create(true).append(true).open(&path).map_err(Failure::disk)?;
        loop {
            let had = part.metadata().map_err(Failure::disk)?.len();
            if had > remote.size {
                part.set_len(0).map_err(Failure::disk)?;
            }
            self.client.fetch(name, remote, &mut part, progress)?;
            if !cache::is_sha256(&remote.etag)
                || cache::sha256(&path).map_err(Failure::disk)? == remote.etag
            {
                return self.cache.finish(&remote.etag).map_err(Failure::disk);
            }
            part.set_len(0).map_err(Failure::disk)?;
            // What an earlier run left may have been to blame; what came whole was not.
            if had == 0 {
                let endpoint = self.client.endpoint();
                let reason = format!("what {endpoint} sent is damaged (SHA-256); try again");
                return Err(Failure::unreachable(reason));
            }
        }
    }

    fn error(&self, file: &str, failure: Failure) -> Error {
        let transient = failure.is_transient();
        Error::Hub {
            repo: self.name.clone(),
            file: file.to_owned(),
            reason: failure.reason,
            transient,
        }
    }
}

/// For messages; says when files may be missing because the Hub was not asked.
impl fmt::Display for OpenRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.cut_off() {
            Some(Failure { reason, .. }) => {
                write!(f, " (from {} only: {reason})", self.cache.folder().display())
            }
            None => Ok(()),
        }
    }
}

impl fmt::Debug for OpenRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenRepo")
            .field("name", &self.name)
            .field("commit", &self.commit)
            .field("cache", &self.cache)
            .field("cut_off", &self.cut_off)
            .finish_non_exhaustive()
    }
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
