//! One formatter for all files of transcripts.

use std::io::{self, Write};

use serde_json::json;

use crate::error::{Error, Result};
use crate::speech::transcript::cues::{Cue, Cues};
use crate::speech::transcript::timing::{Clock, TimedSegment, milliseconds};
use crate::speech::transcript::{Segment, Transcript, TranscriptFormat, TranscriptOptions};

/// Writes a transcript segment by segment, while it is made.
///
/// Subtitles, tables and JSON are those of the writers of OpenAI's whisper. Where those fail or write what
/// players cannot read, this does not: times are never negative, an end is never before its start, a
/// missing end is the start of the next segment, and texts hold nothing that the format takes for its own
/// (`-->`, empty lines, `&` and `<` in WebVTT, line breaks in tables).
#[derive(Debug)]
pub struct TranscriptWriter<W> {
    out: W,
    format: TranscriptFormat,
    options: TranscriptOptions,
    clock: Clock,
    cues: Cues,
    /// Segments written so far, or subtitles.
    count: usize,
    /// What the end of a JSON file says.
    text: String,
    language: Option<String>,
}

impl<W: Write> TranscriptWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// When an option is invalid ([`Error::InvalidOption`] inside), or the file cannot be written.
    pub fn new(out: W, format: TranscriptFormat, options: TranscriptOptions) -> io::Result<Self> {
        options.check().map_err(io::Error::other)?;
        let escape = match format {
            TranscriptFormat::Vtt => escape_vtt,
            _ => escape_cue,
        };
        let cues = Cues::new(&options, escape);
        let (clock, text) = (Clock::default(), String::new());
        let mut writer = Self { out, format, options, clock, cues, count: 0, text, language: None };
        writer.begin()?;
        Ok(writer)
    }

    /// Adds a segment. Where the format needs its end, and the segment has none, it is written when the
    /// next one comes.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&mut self, segment: &Segment) -> io::Result<()> {
        match self.format {
            TranscriptFormat::Text => writeln!(self.out, "{}", segment.text.trim())?,
            TranscriptFormat::Json => self.json(segment)?,
            TranscriptFormat::Markdown => self.markdown(segment)?,
            TranscriptFormat::Srt | TranscriptFormat::Vtt | TranscriptFormat::Tsv => {
                for segment in self.clock.push(segment) {
                    self.timed(segment)?;
                }
            }
        }
        self.out.flush()
    }

    /// Ends the file and gives back what it was written to.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(segment) = self.clock.finish(self.options.duration) {
            self.timed(segment)?;
        }
        for cue in self.cues.finish() {
            self.cue(&cue)?;
        }
        if self.format == TranscriptFormat::Json {
            let end = json!({ "text": self.text, "language": self.language }).to_string();
            write!(self.out, "], {}", &end[1..])?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn begin(&mut self) -> io::Result<()> {
        match self.format {
            TranscriptFormat::Vtt => self.out.write_all(b"WEBVTT\n\n"),
            TranscriptFormat::Tsv => self.out.write_all(b"start\tend\ttext\n"),
            TranscriptFormat::Json => self.out.write_all(b"{\"segments\": ["),
            TranscriptFormat::Markdown => match &self.options.title {
                Some(title) => write!(self.out, "# {}\n\n", escape_markdown(title)),
                None => Ok(()),
            },
            TranscriptFormat::Srt | TranscriptFormat::Text => Ok(()),
        }
    }

    fn json(&mut self, segment: &Segment) -> io::Result<()> {
        let mut fields = serde_json::to_value(segment)?;
        fields["id"] = self.count.into();
        let comma = if self.count == 0 { "" } else { ", " };
        self.count += 1;
        self.text.push_str(&segment.text);
        if self.language.is_none() {
            self.language.clone_from(&segment.language);
        }
        write!(self.out, "{comma}{fields}")
    }

    fn markdown(&mut self, segment: &Segment) -> io::Result<()> {
        let text = escape_markdown(segment.text.trim());
        let start = segment.start.or_else(|| segment.words.first().and_then(|word| word.start));
        let Some(start) = start.filter(|start| *start >= 0.0) else {
            return write!(self.out, "{text}\n\n");
        };
        let time = clock_time(start);
        match &self.options.media {
            Some(media) => {
                let seconds = (start * 100.0).round() / 100.0;
                write!(self.out, "[{time}]({}#t={seconds}) {text}\n\n", link(media))
            }
            None => write!(self.out, "**{time}** {text}\n\n"),
        }
    }

    fn timed(&mut self, segment: TimedSegment) -> io::Result<()> {
        if self.format == TranscriptFormat::Tsv {
            let (start, end) = (milliseconds(segment.whole.start), milliseconds(segment.whole.end));
            let text = segment.whole.text.trim().replace(['\t', '\n', '\r'], " ");
            return writeln!(self.out, "{start}\t{end}\t{text}");
        }
        for cue in self.cues.push(segment) {
            self.cue(&cue)?;
        }
        Ok(())
    }

    fn cue(&mut self, Cue { start, end, text }: &Cue) -> io::Result<()> {
        let (start, end) = match self.format {
            TranscriptFormat::Srt => {
                self.count += 1;
                writeln!(self.out, "{}", self.count)?;
                (cue_time(*start, true, ','), cue_time(*end, true, ','))
            }
            _ => (cue_time(*start, false, '.'), cue_time(*end, false, '.')),
        };
        write!(self.out, "{start} --> {end}\n{text}\n\n")
    }
}

impl Transcript {
    /// The transcript as the text of a file, whose text and language are the transcript's own and not those of
    /// its segments.
    ///
    /// # Errors
    ///
    /// When an option is invalid.
    pub fn to_text(&self, format: TranscriptFormat, options: &TranscriptOptions) -> Result<String> {
        options.check()?;
        let write = || {
            let mut writer = TranscriptWriter::new(Vec::new(), format, options.clone())?;
            for segment in &self.segments {
                writer.write(segment)?;
            }
            writer.text.clone_from(&self.text);
            writer.language.clone_from(&self.language);
            writer.finish()
        };
        let bytes = write().map_err(|error: io::Error| Error::input(error))?;
        String::from_utf8(bytes).map_err(Error::input)
    }
}

/// `00:01:02,345`.
fn cue_time(milliseconds: u64, has_hours: bool, marker: char) -> String {
    let (seconds, milliseconds) = (milliseconds / 1000, milliseconds % 1000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let hours = match has_hours || hours > 0 {
        true => format!("{hours:02}:"),
        false => String::new(),
    };
    format!("{hours}{minutes:02}:{seconds:02}{marker}{milliseconds:03}")
}

/// `01:02`, and `1:01:02` from an hour on.
fn clock_time(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// An empty line would end the subtitle, and an arrow would begin one.
fn escape_cue(text: &str) -> String {
    let text = text.replace("-->", "->");
    match text.trim_start_matches('\n').contains(['\n', '\r']) {
        false => text,
        true => {
            let begins = if text.starts_with('\n') { "\n" } else { "" };
            let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            format!("{begins}{}", lines.join("\n"))
        }
    }
}

fn escape_vtt(text: &str) -> String {
    escape_cue(text).replace('&', "&amp;").replace('<', "&lt;")
}

/// One paragraph in which every character stands for itself.
fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let is_mark = |c: char| "\\`*_[]<>#|~&".contains(c);
    for c in text.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            c if is_mark(c) => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A link's target: what would end it is written in percent.
fn link(target: &str) -> String {
    let mut link = String::with_capacity(target.len());
    for c in target.chars() {
        match c {
            c if c.is_whitespace() || c.is_control() || "()<>\\".contains(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    link.push_str(&format!("%{byte:02X}"));
                }
            }
            c => link.push(c),
        }
    }
    link
}
