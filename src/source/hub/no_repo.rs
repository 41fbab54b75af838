//! A build without the feature `hub` opens no repository.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::source::hub::settings::HubRepo;

#[derive(Debug)]
pub(in crate::source) enum OpenRepo {}

impl OpenRepo {
    pub(super) fn open(_repo: &HubRepo, _probe: &str) -> Result<Self> {
        Err(Error::FeatureDisabled { feature: "hub" })
    }

    pub(in crate::source) fn optional(&self, _name: &str) -> Result<Option<PathBuf>> {
        match *self {}
    }

    pub(in crate::source) fn not_asked(&self, _name: &str) -> Option<Error> {
        match *self {}
    }
}

impl fmt::Display for OpenRepo {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}
