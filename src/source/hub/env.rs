//! Settings from the environment, parsed as `huggingface_hub/constants.py` does it.

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

pub(super) fn endpoint() -> String {
    value("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned())
}

pub(super) fn offline() -> bool {
    value("HF_HUB_OFFLINE").or_else(|| value("TRANSFORMERS_OFFLINE")).is_some_and(|text| on(&text))
}

pub(super) fn switch(name: &str) -> bool {
    value(name).is_some_and(|text| on(&text))
}

/// A whole number of seconds; anything else, and 0, is the default.
pub(super) fn seconds(name: &str, default: u64) -> Duration {
    let given =
        value(name).and_then(|text| text.trim().parse().ok()).filter(|&seconds| seconds > 0);
    Duration::from_secs(given.unwrap_or(default))
}

pub(super) fn cache_dir() -> PathBuf {
    path("HF_HUB_CACHE")
        .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
        .unwrap_or_else(|| home().join("hub"))
}

pub(super) fn token() -> Option<String> {
    if switch("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
        return None;
    }
    let clean = |text: String| {
        let text = text.replace(['\r', '\n'], "").trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    value("HF_TOKEN")
        .and_then(clean)
        .or_else(|| value("HUGGING_FACE_HUB_TOKEN").and_then(clean))
        .or_else(|| {
            let file = path("HF_TOKEN_PATH").unwrap_or_else(|| home().join("token"));
            fs::read_to_string(file).ok().and_then(clean)
        })
}

fn home() -> PathBuf {
    path("HF_HOME").unwrap_or_else(|| {
        let caches = path("XDG_CACHE_HOME").unwrap_or_else(|| user_home().join(".cache"));
        caches.join("huggingface")
    })
}

fn path(name: &str) -> Option<PathBuf> {
    let text = env::var_os(name).filter(|text| !text.is_empty())?;
    match text.to_str().and_then(|text| text.strip_prefix("~/")) {
        Some(rest) => Some(user_home().join(rest)),
        None => Some(text.into()),
    }
}

fn user_home() -> PathBuf {
    env::home_dir().unwrap_or_default()
}

/// Empty is as good as not set.
fn value(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.is_empty())
}

fn on(text: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&text.to_ascii_uppercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches() {
        for text in ["1", "on", "Yes", "TRUE", "true"] {
            assert!(on(text), "{text}");
        }
        for text in ["", "0", "off", "no", "false", "2", " 1"] {
            assert!(!on(text), "{text}");
        }
    }
}
