//! What is wrong with a file.

use crate::error::Error;

/// A file that is damaged.
pub(super) fn broken(reason: impl std::fmt::Display) -> Error {
    Error::input(format!("the picture is broken or cut short: {reason}"))
}

/// A file of a form that is not read.
pub(super) fn unread(what: &str) -> Error {
    Error::input(format!("a JPEG picture of {what}, which is not read: save it again as another"))
}
