//! What the decoder begins with.

use crate::error::{Error, Result};
use crate::speech::whisper::config::WhisperConfig;
use crate::speech::whisper::options::WhisperOptions;
use crate::speech::whisper_tokenizer::{WhisperTask, language_code, unknown};

/// What the decoder begins with, but for a language that is still to be detected
/// (`_retrieve_init_tokens`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    ids: Vec<u32>,
    /// Where the language is missing.
    detected_at: Option<usize>,
}

impl Start {
    /// For recordings of a language, or of none that is known, with or without timestamps. `first` is the
    /// token that all begins with.
    pub(super) fn new(
        first: u32,
        config: &WhisperConfig,
        options: &WhisperOptions,
        language: Option<&str>,
        timestamps: bool,
    ) -> Result<Self> {
        check(config, options)?;
        let language = language.or(config.language.as_deref());
        let task = options.task.or(config.task);
        let mut ids = vec![Some(first)];
        if task.is_none() && language.is_none() {
            ids.extend(forced(config)?);
        }
        let mut detected_at = None;
        let languages = config.lang_to_id.as_ref();
        let is_open = matches!(ids.get(1), None | Some(None));
        match (language, languages) {
            (Some(language), Some(_)) => {
                set_language(&mut ids, Some(language_id(language, config)?))
            }
            (Some(_), None) => return Err(outdated("language", "lang_to_id")),
            (None, Some(_)) if is_open => {
                detected_at = Some(1);
                set_language(&mut ids, None);
            }
            (None, _) => {}
        }
        let tasks = config.task_to_id.as_ref();
        let id_of = |task: WhisperTask| -> Result<u32> {
            let tasks = tasks.ok_or_else(|| outdated("task", "task_to_id"))?;
            tasks.get(task.name()).copied().ok_or_else(|| {
                Error::option("task", format!("this model has no task `{task}` in `task_to_id`"))
            })
        };
        match (task, tasks) {
            (Some(task), _) => ids.push(Some(id_of(task)?)),
            (None, Some(tasks)) if language.is_some() => {
                let has_task = ids.iter().flatten().any(|id| tasks.values().any(|task| task == id));
                if !has_task {
                    ids.push(Some(id_of(WhisperTask::Transcribe)?));
                }
            }
            (None, _) => {}
        }
        if let Some(none) = config.no_timestamps_token_id {
            let is_last = ids.last() == Some(&Some(none));
            match (timestamps, is_last) {
                (true, true) => {
                    ids.pop();
                }
                (false, false) => ids.push(Some(none)),
                _ => {}
            }
        }
        // A place that is open is filled later, or left out.
        let ids =
            ids.iter().enumerate().filter(|(at, id)| id.is_some() || Some(*at) == detected_at);
        Ok(Self { ids: ids.map(|(_, id)| id.unwrap_or_default()).collect(), detected_at })
    }

    /// Whether the language is to be detected.
    pub(super) fn detects_language(&self) -> bool {
        self.detected_at.is_some()
    }

    /// With the language that was detected.
    pub(super) fn with_language(&self, id: u32) -> Vec<u32> {
        let mut ids = self.ids.clone();
        if let Some(place) = self.detected_at {
            ids[place] = id;
        }
        ids
    }

    /// Without a language, where none is to be detected.
    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }
}

/// Whether timestamps are written about a recording of more than a window, or of less
/// (`_set_return_timestamps`).
pub(super) fn writes_timestamps(
    config: &WhisperConfig,
    options: &WhisperOptions,
    is_long: bool,
) -> Result<bool> {
    let asked = options.return_timestamps.or(config.return_timestamps);
    if is_long && asked == Some(false) {
        return Err(Error::option(
            "return_timestamps",
            "is false, but a recording of more than 30 seconds is read window after window, by its \
             timestamps; set it to true, or cut the recording",
        ));
    }
    let writes = asked.unwrap_or(is_long);
    if writes && config.no_timestamps_token_id.is_none() {
        return Err(Error::option(
            "return_timestamps",
            "the model's generation config has no `no_timestamps_token_id`, so it writes none",
        ));
    }
    Ok(writes)
}

/// Refuses languages and tasks where the model knows none.
fn check(config: &WhisperConfig, options: &WhisperOptions) -> Result<()> {
    let is_multilingual = match (options.is_multilingual, config.is_multilingual) {
        (Some(_), None) => return Err(outdated("is_multilingual", "is_multilingual")),
        (asked, known) => asked.or(known),
    };
    if is_multilingual == Some(false) {
        for (option, is_set) in
            [("language", options.language.is_some()), ("task", options.task.is_some())]
        {
            if is_set {
                let reason = "the model knows English alone: leave it out, or set `is_multilingual` if \
                              the model's generation config is wrong about that";
                return Err(Error::option(option, reason));
            }
        }
    }
    Ok(())
}

/// The ids that older files put behind the first.
fn forced(config: &WhisperConfig) -> Result<Vec<Option<u32>>> {
    let forced = config.forced_decoder_ids.as_deref().unwrap_or_default();
    if forced.first().is_none_or(|(place, _)| *place != 1) {
        return Ok(Vec::new());
    }
    let in_order = (1..).zip(forced).take_while(|(place, forced)| *place == forced.0).count();
    match forced.get(in_order) {
        None => Ok(forced.iter().map(|(_, id)| *id).collect()),
        Some((place, _)) => Err(Error::option(
            "forced_decoder_ids",
            format!("has place {place} behind place {in_order}: places must follow each other"),
        )),
    }
}

fn set_language(ids: &mut Vec<Option<u32>>, id: Option<u32>) {
    match ids.get_mut(1) {
        Some(place) => *place = id,
        None => ids.push(id),
    }
}

/// The id of a language that a caller names.
fn language_id(language: &str, config: &WhisperConfig) -> Result<u32> {
    let languages = config.lang_to_id.iter().flatten();
    let lower = language.to_lowercase();
    let token = match languages.clone().any(|(token, _)| *token == lower) {
        true => lower,
        false => {
            let code = language_code(language);
            let code = code.ok_or_else(|| Error::option("language", unknown(language)))?;
            format!("<|{code}|>")
        }
    };
    languages.clone().find(|(known, _)| **known == token).map(|(_, id)| *id).ok_or_else(|| {
        let reason = format!("this model has no {token} in `lang_to_id` of its generation config");
        Error::option("language", reason)
    })
}

fn outdated(option: &str, field: &str) -> Error {
    let reason = format!("the model's generation config has no `{field}`, which it needs");
    Error::option(option, reason)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn config() -> WhisperConfig {
        let map = |pairs: &[(&str, u32)]| -> BTreeMap<String, u32> {
            pairs.iter().map(|&(name, id)| (name.to_owned(), id)).collect()
        };
        WhisperConfig {
            lang_to_id: Some(map(&[("<|en|>", 11), ("<|fr|>", 12)])),
            task_to_id: Some(map(&[("transcribe", 21), ("translate", 20)])),
            no_timestamps_token_id: Some(30),
            is_multilingual: Some(true),
            ..WhisperConfig::default()
        }
    }

    fn start(
        config: &WhisperConfig,
        options: &WhisperOptions,
        timestamps: bool,
    ) -> Result<Vec<u32>> {
        let language = options.language.as_ref().map(|it| it[0].as_str());
        let start = Start::new(10, config, options, language, timestamps)?;
        Ok(start.with_language(99))
    }

    #[test]
    fn languages_tasks_and_timestamps() {
        let options = WhisperOptions::default;
        let config = config();
        assert_eq!(start(&config, &options(), false).unwrap(), [10, 99, 30]);
        assert_eq!(start(&config, &options(), true).unwrap(), [10, 99]);
        assert_eq!(start(&config, &options().language("FR"), false).unwrap(), [10, 12, 21, 30]);
        assert_eq!(start(&config, &options().language("<|fr|>"), true).unwrap(), [10, 12, 21]);
        let translate = options().task(WhisperTask::Translate);
        assert_eq!(start(&config, &translate, true).unwrap(), [10, 99, 20]);
        assert_eq!(start(&config, &translate.language("french"), true).unwrap(), [10, 12, 20]);
    }

    /// As the first exports of multilingual and of English models.
    #[test]
    fn forced_ids() {
        let old = |ids: &[(usize, Option<u32>)]| WhisperConfig {
            forced_decoder_ids: Some(ids.to_vec()),
            ..config()
        };
        let none = WhisperOptions::default();
        let multilingual = old(&[(1, None), (2, Some(21))]);
        assert_eq!(start(&multilingual, &none, false).unwrap(), [10, 99, 21, 30]);
        let all = old(&[(1, Some(11)), (2, Some(20)), (3, Some(30))]);
        assert_eq!(start(&all, &none, false).unwrap(), [10, 11, 20, 30]);
        assert_eq!(start(&all, &none, true).unwrap(), [10, 11, 20]);
        assert_eq!(start(&all, &none.clone().language("fr"), true).unwrap(), [10, 12, 21]);
        let english = WhisperConfig {
            lang_to_id: None,
            task_to_id: None,
            is_multilingual: Some(false),
            ..old(&[(1, Some(30))])
        };
        assert_eq!(start(&english, &none, false).unwrap(), [10, 30]);
        assert_eq!(start(&english, &none, true).unwrap(), [10]);
        let without = WhisperConfig { lang_to_id: None, ..multilingual };
        assert_eq!(start(&without, &none, true).unwrap(), [10, 21]);
        assert!(start(&old(&[(1, Some(11)), (3, Some(30))]), &none, true).is_err());
    }

    #[test]
    fn what_the_model_does_not_know_is_refused() {
        let english = WhisperConfig { is_multilingual: Some(false), ..config() };
        let french = WhisperOptions::default().language("fr");
        let error = start(&english, &french, true).unwrap_err().to_string();
        assert!(error.contains("English alone"), "{error}");
        assert!(start(&english, &french.clone().is_multilingual(true), true).is_ok());
        for (language, message) in [("frensh", "did you mean \"french\""), ("de", "<|de|>")] {
            let options = WhisperOptions::default().language(language);
            let error = start(&config(), &options, true).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let old = WhisperConfig { lang_to_id: None, task_to_id: None, ..config() };
        assert!(start(&old, &french, true).is_err());
        assert!(
            start(&old, &WhisperOptions::default().task(WhisperTask::Translate), true).is_err()
        );
    }

    #[test]
    fn long_recordings_need_timestamps() {
        let none = WhisperOptions::default();
        assert!(!writes_timestamps(&config(), &none, false).unwrap());
        assert!(writes_timestamps(&config(), &none, true).unwrap());
        let without = WhisperConfig { return_timestamps: Some(false), ..config() };
        assert!(writes_timestamps(&without, &none, true).is_err());
        assert!(writes_timestamps(&without, &none.clone().return_timestamps(true), true).unwrap());
        let old = WhisperConfig { no_timestamps_token_id: None, ..config() };
        assert!(writes_timestamps(&old, &none.return_timestamps(true), false).is_err());
    }
}
