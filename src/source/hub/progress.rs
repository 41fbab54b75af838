//! Where the progress of a download is shown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::source::hub::env;
use crate::source::hub::settings::{Callback, DownloadProgress};

/// The progress of one file. Clones report the same download.
#[derive(Clone)]
pub(super) struct Progress {
    file: String,
    total: u64,
    /// A download that has to begin anew is not reported again until it is past this.
    most: Arc<AtomicU64>,
    sink: Sink,
}

#[derive(Clone)]
enum Sink {
    Bar(ProgressBar),
    Callback(Callback),
    None,
}

impl Progress {
    pub(super) fn new(callback: Option<&Callback>, file: &str, total: u64) -> Self {
        let sink = match callback {
            Some(callback) => Sink::Callback(callback.clone()),
            None if env::switch("HF_HUB_DISABLE_PROGRESS_BARS") => Sink::None,
            None => Sink::Bar(bar(file, total)),
        };
        Self { file: file.to_owned(), total, most: Arc::default(), sink }
    }

    pub(super) fn at(&self, done: u64) {
        let done = done.min(self.total);
        let done = done.max(self.most.fetch_max(done, Ordering::Relaxed));
        match &self.sink {
            Sink::Bar(bar) => bar.set_position(done),
            Sink::Callback(report) => {
                report(&DownloadProgress { file: self.file.clone(), done, total: self.total })
            }
            Sink::None => {}
        }
    }

    /// The file is whole. One that another thread fetched meanwhile was never reported.
    pub(super) fn finish(&self) {
        let most = self.most.load(Ordering::Relaxed);
        if (1..self.total).contains(&most) {
            self.at(self.total);
        }
        if let Sink::Bar(bar) = &self.sink
            && most > 0
        {
            bar.finish();
        }
    }
}

/// Draws on stderr, and where that is no terminal, nothing.
fn bar(file: &str, total: u64) -> ProgressBar {
    static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    BARS.add(ProgressBar::new(total)).with_style(style).with_message(file.to_owned())
}
