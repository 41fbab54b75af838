//! The formats of transcripts, and what a call may ask of them.

use crate::error::{Error, Result};
use crate::fields::{choices, options};

choices! {
    /// What a transcript is written as.
    TranscriptFormat, "output_format" {
        /// Plain text, a line for each segment.
        Text = "txt" | "text",
        /// SubRip subtitles.
        Srt = "srt",
        /// WebVTT subtitles.
        Vtt = "vtt" | "webvtt",
        /// A table with tabs: start and end in milliseconds, and the text.
        Tsv = "tsv",
        /// The JSON of OpenAI's whisper.
        Json = "json",
        /// Markdown: a paragraph for each segment, which begins with its time.
        Markdown = "md" | "markdown",
    }
}

impl TranscriptFormat {
    /// The usual extension of such a file, without a dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        self.name()
    }
}

options! {
    /// Options of the files of a transcript. Those of subtitles have the names of OpenAI's whisper and
    /// apply where the segments have words.
    TranscriptOptions {
        /// The length of the recording in seconds: where a last segment without an end ends. Default: two
        /// seconds after it began.
        duration: f64,
        /// Subtitles: whether each word is underlined while it is said. Default: `false`.
        highlight_words: bool,
        /// Subtitles: lines of a subtitle at most; needs `max_line_width`. Default: no limit, and a
        /// subtitle for each segment.
        max_line_count: usize,
        /// Subtitles: characters of a line at most, unless one word is longer. Default: 1000.
        max_line_width: usize,
        /// Subtitles: words of a subtitle at most. No effect with `max_line_count`. Default: no limit.
        max_words_per_line: usize,
        /// Markdown: the recording, as the target of links to times: `[01:15](talk.mp3#t=75.2)`. Default:
        /// times are no links.
        media: String,
        /// Markdown: the heading. Default: none.
        title: String,
    }
}

impl TranscriptOptions {
    pub(super) fn check(&self) -> Result<()> {
        for (name, value) in [
            ("max_line_count", self.max_line_count),
            ("max_line_width", self.max_line_width),
            ("max_words_per_line", self.max_words_per_line),
        ] {
            if value == Some(0) {
                return Err(Error::option(name, "should be at least 1"));
            }
        }
        if self.max_line_count.is_some() && self.max_line_width.is_none() {
            return Err(Error::option("max_line_count", "needs `max_line_width`"));
        }
        if self.duration.is_some_and(|seconds| !(seconds >= 0.0 && seconds.is_finite())) {
            return Err(Error::option("duration", "should be a number of seconds"));
        }
        Ok(())
    }
}
