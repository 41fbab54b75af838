//! Files stored in Xet, the Hub's chunked storage, through hf-hub (feature `xet`).
//!
//! Xet fetches many chunks at once, which is several times faster for large weights. The Hub also
//! serves these files over plain HTTP, so nothing depends on it: when a transfer fails here, plain
//! HTTP takes over where it stopped.
//!
//! The rest of hf-hub 1.0.0 is not used. Its own downloads write whatever body comes, an error
//! page too, under the file's final name, begin anew when cut, have no time-outs and do not know
//! offline mode; its public metadata call follows redirects and so loses the headers of large files.

use std::path::Path;
use std::sync::Arc;

use hf_hub::HFClient;
use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};

use crate::source::hub::env;
use crate::source::hub::progress::Progress;

/// What hf-hub needs to know.
pub(super) struct XetFile<'a> {
    pub(super) endpoint: &'a str,
    pub(super) token: Option<&'a str>,
    /// The whole cache, not the repository's folder.
    pub(super) cache_dir: &'a Path,
    pub(super) id: &'a str,
    pub(super) commit: &'a str,
    pub(super) name: &'a str,
}

impl XetFile<'_> {
    /// Fetches the blob into the cache, under hf-hub's own lock (the same file as ours). Whether
    /// it is there then is for the caller to see.
    pub(super) fn fetch(&self, progress: &Progress) {
        let mut builder = HFClient::builder()
            .endpoint(self.endpoint)
            .cache_dir(self.cache_dir)
            .retry_max_attempts(1);
        if let Some(token) = self.token {
            builder = builder.token(token);
        }
        let Ok(client) = builder.build_sync() else { return };
        let (owner, name) = hf_hub::split_id(self.id);
        let _ = client
            .model(owner, name)
            .download_file()
            .filename(self.name)
            .revision(self.commit)
            .progress(Arc::new(Handler(progress.clone())))
            .send();
    }
}

/// Whether a file of this size is worth a Xet session, and Xet is wanted.
pub(super) fn is_worth_it(size: u64) -> bool {
    size >= SMALLEST && !env::switch("HF_HUB_DISABLE_XET")
}

struct Handler(Progress);

impl ProgressHandler for Handler {
    fn on_progress(&self, event: &ProgressEvent) {
        match event {
            ProgressEvent::Download(DownloadEvent::Progress { files }) => {
                files.iter().for_each(|file| self.0.at(file.bytes_completed));
            }
            ProgressEvent::Download(DownloadEvent::AggregateProgress {
                bytes_completed, ..
            }) => self.0.at(*bytes_completed),
            _ => {}
        }
    }
}

/// 16 MiB: below, one plain request is faster than setting up a session.
const SMALLEST: u64 = 16 << 20;
