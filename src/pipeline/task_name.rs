//! Task names, with the parameters that some of them contain: `translation_en_to_fr`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::pipeline::Task;

/// A task, and the languages that its name may hold: `translation_en_to_fr` is `translation` from `en` to
/// `fr`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TaskName {
    /// The task.
    pub task: Task,
    /// The language to read and the one to write, by the codes of the model.
    pub languages: Option<(String, String)>,
}

/// The name of the task, and the languages behind it, as Python's `PipelineRegistry.check_task` takes it
/// apart.
fn split(name: &str) -> (&str, Option<(&str, &str)>) {
    let parts: Vec<_> = name.split('_').collect();
    match parts[..] {
        [task, source, "to", target] => (task, Some((source, target))),
        _ => (name, None),
    }
}

impl From<Task> for TaskName {
    fn from(task: Task) -> Self {
        Self { task, languages: None }
    }
}

impl FromStr for TaskName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let (task, languages) = split(name);
        let languages = languages.map(|(source, target)| (source.to_owned(), target.to_owned()));
        Ok(Self { task: task.parse()?, languages })
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, languages } = self;
        match languages {
            None => write!(f, "{task}"),
            Some((source, target)) => write!(f, "{task}_{source}_to_{target}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_taken_apart() {
        for (name, expected) in [
            ("translation_en_to_fr", ("translation", Some(("en", "fr")))),
            ("translation_pt-BR_to_de", ("translation", Some(("pt-BR", "de")))),
            ("translation", ("translation", None)),
            ("translation_en_fr", ("translation_en_fr", None)),
            ("translation_en_to_fr_CA", ("translation_en_to_fr_CA", None)),
        ] {
            assert_eq!(split(name), expected);
        }
    }

    #[test]
    fn names_are_read_and_written() {
        for name in ["fill-mask", "fill-mask_en_to_fr"] {
            assert_eq!(name.parse::<TaskName>().unwrap().to_string(), name);
        }
        assert_eq!("ner".parse::<TaskName>().unwrap(), Task::TokenClassification.into());
        assert!("translate_en_to_fr".parse::<TaskName>().is_err());
    }
}
