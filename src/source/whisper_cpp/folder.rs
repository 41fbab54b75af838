//! A temporary folder, which is made when the first file is put into it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// A temporary folder, which is deleted with its files when it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    /// How it is called: as the file that it stands for, so that errors name it.
    name: PathBuf,
    /// The folder around it, once there is one.
    made: Mutex<Option<PathBuf>>,
}

impl Folder {
    /// For what is in this file.
    pub(super) fn new(file: &Path) -> Self {
        let name = file.file_name().map(PathBuf::from).unwrap_or_default();
        Self { name, made: Mutex::new(None) }
    }

    /// The path of a file of that name with this content, written when it is first asked for.
    pub(super) fn file(
        &self,
        name: &str,
        content: impl FnOnce() -> Result<Option<Vec<u8>>>,
    ) -> Result<Option<PathBuf>> {
        let mut made = self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(around) = &*made {
            let path = around.join(&self.name).join(name);
            if path.is_file() {
                return Ok(Some(path));
            }
        }
        let Some(content) = content()? else { return Ok(None) };
        let folder = match &*made {
            Some(around) => around.join(&self.name),
            None => {
                let around = new_folder()?;
                let folder = around.join(&self.name);
                *made = Some(around);
                fs::create_dir(&folder).map_err(Error::write(&folder))?;
                folder
            }
        };
        let path = folder.join(name);
        let written = File::create_new(&path).and_then(|mut file| file.write_all(&content));
        if written.is_err() {
            // Half a file must not be taken for one.
            let _ = fs::remove_file(&path);
        }
        written.map_err(Error::write(&path))?;
        Ok(Some(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let made = self.made.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(folder) = made.take() {
            // What cannot be deleted stays where the system keeps such things.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// A folder that nobody has.
fn new_folder() -> Result<PathBuf> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sconce-{}-{number}", process::id()));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            // Of an earlier process of that number.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 10_000 => {}
            Err(error) => return Err(Error::write(&path)(error)),
        }
    }
}
