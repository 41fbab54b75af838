//! One repository's folder in the cache of Python's `huggingface_hub`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::source::file;

#[derive(Debug)]
pub(super) struct Cache {
    /// `models--owner--name`.
    folder: PathBuf,
    locks: PathBuf,
}

impl Cache {
    pub(super) fn new(root: &Path, id: &str) -> Self {
        let name = format!("models--{}", id.replace('/', "--"));
        Self { folder: root.join(&name), locks: root.join(".locks").join(&name) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The commit that a branch or tag was at when last asked.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        let text = file::read_text(&self.folder.join("refs").join(revision)).ok()?;
        let commit = text.trim();
        is_plain_name(commit).then(|| commit.to_owned())
    }

    /// A failure is ignored, so that a cache on a read-only disk can be used.
    pub(super) fn remember_commit(&self, revision: &str, commit: &str) {
        if self.commit_of(revision).as_deref() != Some(commit) {
            let path = self.folder.join("refs").join(revision);
            let _ = create_parent(&path).and_then(|()| fs::write(&path, commit));
        }
    }

    /// Whether any file of the commit was fetched.
    pub(super) fn has(&self, commit: &str) -> bool {
        self.folder.join("snapshots").join(commit).is_dir()
    }

    pub(super) fn file(&self, commit: &str, name: &str) -> Option<PathBuf> {
        let path = self.pointer(commit, name);
        path.is_file().then_some(path)
    }

    pub(super) fn is_known_missing(&self, commit: &str, name: &str) -> bool {
        self.no_exist(commit, name).exists()
    }

    /// Saves requests later; a failure is ignored.
    pub(super) fn remember_missing(&self, commit: &str, name: &str) {
        let path = self.no_exist(commit, name);
        let _ = create_parent(&path).and_then(|()| File::create(&path));
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Where a download is kept until it is whole; Python's name for it, so that either side
    /// continues what the other began.
    pub(super) fn part(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// Keeps other threads and processes, Python's among them, from fetching the same blob.
    /// `None` where the file system has no locks.
    pub(super) fn lock(&self, etag: &str) -> io::Result<Option<File>> {
        let path = self.locks.join(format!("{etag}.lock"));
        create_parent(&path)?;
        let file = File::options().create(true).append(true).open(&path)?;
        match file.lock() {
            Ok(()) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a whole download its name.
    pub(super) fn finish(&self, etag: &str) -> io::Result<()> {
        let part = self.part(etag);
        // Else a power cut could leave the name without the bytes.
        File::options().append(true).open(&part)?.sync_all()?;
        fs::rename(part, self.blob(etag))
    }

    /// Makes the blob the file of that name in the commit's snapshot.
    pub(super) fn link(&self, commit: &str, name: &str, etag: &str) -> io::Result<PathBuf> {
        let pointer = self.pointer(commit, name);
        if pointer.is_file() {
            return Ok(pointer);
        }
        create_parent(&pointer)?;
        // A link whose blob was deleted.
        match fs::remove_file(&pointer) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.point(&pointer, name, etag)?;
        Ok(pointer)
    }

    /// Relative, as in Python, so that the cache can be moved.
    #[cfg(unix)]
    fn point(&self, pointer: &Path, name: &str, etag: &str) -> io::Result<()> {
        let up = "../".repeat(2 + name.matches('/').count());
        match std::os::unix::fs::symlink(format!("{up}blobs/{etag}"), pointer) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    /// Links need a privilege on Windows; Python copies there, too.
    #[cfg(not(unix))]
    fn point(&self, pointer: &Path, _name: &str, etag: &str) -> io::Result<()> {
        let copy = pointer.with_extension("incomplete");
        fs::copy(self.blob(etag), &copy)?;
        fs::rename(copy, pointer)
    }

    fn pointer(&self, commit: &str, name: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(name)
    }

    fn no_exist(&self, commit: &str, name: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit).join(name)
    }
}

/// Whether the Hub's word for a commit or an ETag can be a file name, and nothing but that.
pub(super) fn is_plain_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether the ETag is the content's SHA-256: that of every file in LFS or Xet.
pub(super) fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn create_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}
