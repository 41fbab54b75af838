//! `multipart/form-data`, whose file is read while it is sent.
//!
//! Format: RFC 7578; names are escaped as browsers do it.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::remote::post::Payload;

/// Fields and one file.
#[derive(Debug)]
pub(super) struct Form {
    boundary: String,
    /// Before the file, and after it.
    head: Vec<u8>,
    tail: Vec<u8>,
    content: Content,
}

/// What is in the file.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Bytes(Arc<Vec<u8>>),
    File(PathBuf),
}

impl Form {
    /// A form with a file of this name in the field `file`.
    pub(super) fn new(fields: &[(&str, String)], file_name: &str, content: Content) -> Self {
        let boundary = format!("sconce-{:032x}", rand::random::<u128>());
        let mut head = String::new();
        for (name, value) in fields {
            head += &format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n{value}\r\n",
                escaped(name)
            );
        }
        head += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            escaped(file_name)
        );
        let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
        Self { boundary, head: head.into_bytes(), tail, content }
    }
}

impl Payload for Form {
    fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    fn open(&self) -> Result<(Box<dyn Read + '_>, u64)> {
        let (content, length): (Box<dyn Read + '_>, u64) = match &self.content {
            Content::Bytes(bytes) => (Box::new(Cursor::new(bytes.as_slice())), bytes.len() as u64),
            Content::File(path) => {
                let (file, length) = open_file(path)?;
                // One that grows meanwhile is sent as long as it was.
                (Box::new(file.take(length)), length)
            }
        };
        let whole = Cursor::new(&self.head).chain(content).chain(Cursor::new(&self.tail));
        Ok((Box::new(whole), length + (self.head.len() + self.tail.len()) as u64))
    }
}

fn open_file(path: &Path) -> Result<(File, u64)> {
    let file = File::open(path).map_err(Error::read(path))?;
    let length = file.metadata().map_err(Error::read(path))?.len();
    Ok((file, length))
}

fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_as_long_as_it_says() {
        let fields = [("model", "m\r\nx".to_owned())];
        let form = Form::new(&fields, "a\"b.wav", Content::Bytes(Arc::new(b"RIFF".to_vec())));
        let (mut body, length) = form.open().unwrap();
        let mut text = String::new();
        body.read_to_string(&mut text).unwrap();
        assert_eq!(text.len() as u64, length);
        let line = format!("--{}", form.boundary);
        let expected = format!(
            "{line}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\nx\r\n{line}\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"a%22b.wav\"\r\n\
             Content-Type: application/octet-stream\r\n\r\nRIFF\r\n{line}--\r\n"
        );
        assert_eq!(text, expected);
        let missing = Form::new(&[], "x", Content::File("/nothing/here.wav".into()));
        assert!(matches!(missing.open(), Err(Error::Read { .. })));
    }
}
