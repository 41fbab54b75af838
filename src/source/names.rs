//! Names of files inside a model's folder.

use std::path::{Component, Path};

use crate::error::{Error, Result};

pub(super) fn check_name(name: &str) -> Result<()> {
    if stays_inside(name) {
        return Ok(());
    }
    Err(Error::input(format!("{name:?} is not a path inside a model's folder")))
}

/// Rejects the name of a file or folder in one of the model's own files; the error blames that
/// file.
pub(crate) fn check_named_by(file: &Path, name: &str) -> Result<()> {
    if stays_inside(name) {
        return Ok(());
    }
    Err(Error::malformed(
        file,
        format!("names {name:?}, which is not a path inside a model's folder"),
    ))
}

/// Whether a relative path parted by `/` names something below the folder it is joined to.
pub(crate) fn stays_inside(path: &str) -> bool {
    !path.contains(['\\', '\0'])
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        // A drive, on Windows.
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for name in ["config.json", "a/b/c.json", "...", "a..b", ".hidden", "1_Pooling/config.json"]
        {
            assert!(stays_inside(name), "{name}");
        }
        let outside =
            ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "./a", "a/", "a\\b", "a\0"];
        for name in outside {
            assert!(!stays_inside(name), "{name}");
        }
    }
}
