//! Server-sent events, one by one.
//!
//! Format: <https://html.spec.whatwg.org/multipage/server-sent-events.html>. What is left at the end without
//! an empty line counts as an event, too, as some servers forget the line.

use std::io::{self, Read};

/// The data of the events in a stream of bytes.
#[derive(Debug)]
pub(super) struct Events<R> {
    from: R,
    buffer: Vec<u8>,
    /// What is in the buffer and not taken.
    start: usize,
    /// How far the line that is being read was looked at.
    seen: usize,
    /// The lines of data so far.
    data: Option<String>,
    /// Whether a line feed belongs to the line before.
    after_return: bool,
    is_first: bool,
}

impl<R: Read> Events<R> {
    pub(super) fn new(from: R) -> Self {
        let (buffer, data) = (Vec::new(), None);
        Self { from, buffer, start: 0, seen: 0, data, after_return: false, is_first: true }
    }

    pub(super) fn source(&self) -> &R {
        &self.from
    }

    pub(super) fn into_source(self) -> R {
        self.from
    }

    /// The data of the next event; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        while let Some(line) = self.line()? {
            let mut line = line.as_str();
            if std::mem::take(&mut self.is_first) {
                line = line.strip_prefix('\u{feff}').unwrap_or(line);
            }
            if line.is_empty() {
                match self.data.take() {
                    Some(data) => return Ok(Some(data)),
                    None => continue,
                }
            }
            // What begins with a colon is a comment, which keeps the connection open.
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            if field == "data" {
                let value = value.strip_prefix(' ').unwrap_or(value);
                match &mut self.data {
                    Some(data) if data.len() + value.len() > LONGEST_EVENT => {
                        return Err(too_long());
                    }
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                }
            }
        }
        Ok(self.data.take())
    }

    /// A line without its end, which may be CR, LF or both; `None` at the end.
    fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if self.after_return && self.start < self.buffer.len() {
                self.start += usize::from(self.buffer[self.start] == b'\n');
                self.after_return = false;
            }
            let from = self.start.max(self.seen);
            let end = self.buffer[from..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            if let Some(end) = end.map(|end| from + end) {
                let line = self.take(end)?;
                self.after_return = self.buffer[end] == b'\r';
                self.start = end + 1;
                return Ok(Some(line));
            }
            self.seen = self.buffer.len();
            if self.buffer.len() - self.start > LONGEST_EVENT {
                return Err(too_long());
            }
            if !self.fill()? {
                if self.start == self.buffer.len() {
                    return Ok(None);
                }
                let line = self.take(self.buffer.len())?;
                self.start = self.buffer.len();
                return Ok(Some(line));
            }
        }
    }

    fn take(&self, end: usize) -> io::Result<String> {
        let line = std::str::from_utf8(&self.buffer[self.start..end]);
        let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "it holds what is no UTF-8");
        line.map(str::to_owned).map_err(wrong)
    }

    /// Reads on; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        let old = self.buffer.len();
        self.buffer.resize(old + CHUNK, 0);
        let read = loop {
            match self.from.read(&mut self.buffer[old..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(old + *read.as_ref().unwrap_or(&0));
        read.map(|read| read > 0)
    }
}

fn too_long() -> io::Error {
    let reason = format!("an event has more than {} MiB", LONGEST_EVENT >> 20);
    io::Error::new(io::ErrorKind::FileTooLarge, reason)
}

/// Bytes. Services send a few at a time.
const CHUNK: usize = 8 << 10;
const LONGEST_EVENT: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn events(text: &str, at_once: usize) -> Vec<String> {
        let mut events = Events::new(Slowly(text.as_bytes(), at_once));
        std::iter::from_fn(|| events.next().unwrap()).collect()
    }

    #[test]
    fn events_are_told_apart_however_they_come() {
        for (text, expected) in [
            ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", vec!["a", "b"]),
            ("data: a\r\rdata: b\r\r", vec!["a", "b"]),
            (": ping\n\ndata: a\n: ping\n\n:\n\n", vec!["a"]),
            ("data: a\ndata: b\ndata:c\n\n", vec!["a\nb\nc"]),
            ("\u{feff}data: a\n\n", vec!["a"]),
            ("event: x\nid: 1\nretry: 5\ndata: a\nother\n\n", vec!["a"]),
            ("event: x\n\ndata\n\ndata:  a\n\n", vec!["", " a"]),
            ("data: a\n\ndata: b", vec!["a", "b"]),
            ("data: é𝄞\n\n\n\n", vec!["é𝄞"]),
            ("", vec![]),
        ] {
            for at_once in [1, 2, 3, 1000] {
                assert_eq!(events(text, at_once), expected, "{text:?}, {at_once} at once");
            }
        }
    }

    #[test]
    fn what_is_too_long_or_no_text_is_an_error() {
        let mut endless = Events::new(io::repeat(b'x'));
        assert_eq!(endless.next().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let line = format!("data: {}\n", "x".repeat(1 << 20));
        let mut lines = Events::new(io::Cursor::new(line.repeat(17)));
        let is_refused = lines.next().is_err_and(|e| e.kind() == io::ErrorKind::FileTooLarge);
        assert!(is_refused);
        let mut bytes = Events::new(&b"data: \xff\n\n"[..]);
        assert_eq!(bytes.next().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
