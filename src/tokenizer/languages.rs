//! The languages of translation models, and how their classes mark the language of a text.

use crate::error::{Error, Result};
use crate::tokenizer::backend::{Backend, Template};
use crate::tokenizer::class::Class;
use crate::tokenizer::config::Config;
use crate::tokenizer::language_codes::{self as codes, each};
use crate::tokenizer::special::SpecialToken;

/// What a translation model's class knows about languages.
#[derive(Debug, Clone)]
pub(super) struct Languages {
    mark: Mark,
    /// Codes as callers give them, and their tokens.
    known: Vec<(String, SpecialToken)>,
    /// The language of texts, and of translations, where no call says otherwise.
    pub(super) source: Option<String>,
    pub(super) target: Option<String>,
    eos: Vec<SpecialToken>,
}

/// Where a text's language stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// `fra_Latn text </s>`: NLLB, M2M100, mBART-50.
    Before,
    /// `text </s> fr_XX`: mBART, PLBART.
    After,
    /// `>>fra<< text </s>`: Marian, which is told what to translate to.
    Target,
}

impl Languages {
    /// None where the class knows of no languages.
    pub(super) fn of(
        config: &Config,
        backend: &Backend,
        eos: &[SpecialToken],
    ) -> Result<Option<Self>> {
        let field = |name: &str| config.raw(name).and_then(|value| value.as_str());
        let legacy = config.boolean("legacy_behaviour") == Some(true);
        let (mark, default) = match config.class {
            Class::Nllb if legacy => (Mark::After, Some("eng_Latn")),
            Class::Nllb => (Mark::Before, Some("eng_Latn")),
            Class::MBart => (Mark::After, Some("en_XX")),
            Class::MBart50 => (Mark::Before, Some("en_XX")),
            Class::M2m100 => (Mark::Before, Some("en")),
            Class::PlBart => (Mark::After, (!plbart(config)?.1).then_some("en_XX")),
            Class::Marian => (Mark::Target, None),
            _ => return Ok(None),
        };
        let token = |content: &str| {
            let id = backend.token_to_id(content)?;
            Some(SpecialToken { content: content.to_owned(), id })
        };
        let added = config.special.iter().map(|token| token.content.as_str());
        let known: Vec<_> = match config.class {
            Class::M2m100 => {
                let codes = m2m100(config)?.into_iter();
                codes
                    .filter_map(|code| Some((code.to_owned(), token(&format!("__{code}__"))?)))
                    .collect()
            }
            Class::PlBart => {
                let codes = plbart(config)?.0.into_iter();
                codes
                    .filter_map(|code| Some((code.trim_matches('_').to_owned(), token(code)?)))
                    .collect()
            }
            Class::Marian => {
                let mut known: Vec<_> = backend
                    .vocabulary()
                    .into_iter()
                    .filter(|(content, _)| content.starts_with(">>") && content.ends_with("<<"))
                    .map(|(content, id)| (content.clone(), SpecialToken { content, id }))
                    .collect();
                known.sort_unstable_by_key(|(_, token)| token.id);
                known
            }
            class => {
                let own = class.languages();
                let more = added.filter(|code| is_language(code) && !own.contains(code));
                let all = own.iter().copied().chain(more);
                all.filter_map(|code| Some((code.to_owned(), token(code)?))).collect()
            }
        };
        let source = field("src_lang").or(default).map(str::to_owned);
        let target = field("tgt_lang").map(str::to_owned);
        Ok(Some(Self { mark, known, source, target, eos: eos.to_vec() }))
    }

    pub(super) fn codes(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|(code, _)| code.as_str())
    }

    /// A language's token.
    pub(super) fn token(&self, option: &str, language: &str) -> Result<&SpecialToken> {
        let inner = |text: &str| {
            text.trim_start_matches(['>', '_']).trim_end_matches(['<', '_']).to_owned()
        };
        let found = self.known.iter().find(|(code, token)| {
            code == language
                || token.content == language
                || self.mark == Mark::Target && inner(code) == language
        });
        found.map(|(_, token)| token).ok_or_else(|| {
            let alike = |code: &&str| {
                let start = language.get(..2).unwrap_or(language);
                inner(code).starts_with(start)
            };
            let mut named: Vec<_> = self.codes().filter(alike).take(MOST_NAMED).collect();
            if named.is_empty() {
                named = self.codes().take(MOST_NAMED).collect();
            }
            let rest = match self.known.len() - named.len() {
                0 => String::new(),
                rest => format!(" and {rest} more (`Tokenizer::languages`)"),
            };
            let known = match named.is_empty() {
                true => "this model has no language codes: leave the option out".to_owned(),
                false => format!("it knows {}{rest}", named.join(", ")),
            };
            Error::option(option, format!("the tokenizer does not know {language:?}; {known}"))
        })
    }

    /// What stands around texts.
    pub(super) fn template(&self, source: Option<&str>, target: Option<&str>) -> Result<Template> {
        let language = match (self.mark, source.or(self.source.as_deref()), target) {
            (Mark::Target, _, Some(target)) => Some(self.token("tgt_lang", target)?),
            (Mark::Before | Mark::After, Some(source), _) => Some(self.token("src_lang", source)?),
            _ => None,
        };
        self.around(language)
    }

    /// What stands around translations.
    pub(super) fn target_template(&self, target: Option<&str>) -> Result<Template> {
        if self.mark == Mark::Target {
            return self.around(None);
        }
        let target = target.or(self.target.as_deref()).ok_or_else(|| self.no_target())?;
        self.around(Some(self.token("tgt_lang", target)?))
    }

    /// The id that a translation begins with.
    pub(super) fn forced_bos(&self, target: &str) -> Result<Option<u32>> {
        let token = self.token("tgt_lang", target)?;
        Ok((self.mark != Mark::Target).then_some(token.id))
    }

    /// Whether both languages must be given.
    pub(super) fn are_needed(&self) -> bool {
        self.mark != Mark::Target
    }

    fn no_target(&self) -> Error {
        let examples: Vec<_> = self.codes().take(3).collect();
        let reason = format!("no language is given; for example {}", examples.join(", "));
        Error::option("tgt_lang", reason)
    }

    fn around(&self, language: Option<&SpecialToken>) -> Result<Template> {
        let language: Vec<_> = language.into_iter().cloned().collect();
        match self.mark {
            Mark::After => one_template(&[], &[self.eos.as_slice(), &language].concat()),
            Mark::Before | Mark::Target => one_template(&language, &self.eos),
        }
    }
}

/// Both texts of a pair inside one frame, as translation models have it.
fn one_template(prefix: &[SpecialToken], suffix: &[SpecialToken]) -> Result<Template> {
    let names = |tokens: &[SpecialToken]| {
        tokens.iter().map(|token| token.content.clone()).collect::<Vec<_>>()
    };
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let framed = |middle| [names(prefix), middle, names(suffix)].concat();
    let all = prefix.iter().chain(suffix);
    Template::from_pieces(framed(texts(&["$A"])), framed(texts(&["$A", "$B"])), all)
}

/// M2M100's codes.
pub(super) fn m2m100(config: &Config) -> Result<Vec<&'static str>> {
    let list = choice(config, "m2m100", &[("m2m100", codes::M2M100), ("wmt21", codes::WMT21)])?;
    Ok(each(list).collect())
}

/// PLBART's tokens of languages, and whether there is a mask token behind them.
pub(super) fn plbart(config: &Config) -> Result<(Vec<&'static str>, bool)> {
    let count = choice(config, "base", &[("base", codes::PLBART_BASE), ("multi", usize::MAX)])?;
    Ok((each(codes::PLBART).take(count).collect(), count == codes::PLBART_BASE))
}

/// `language_codes`.
fn choice<T: Copy>(config: &Config, default: &str, known: &[(&str, T)]) -> Result<T> {
    let name = config.raw("language_codes").and_then(|value| value.as_str()).unwrap_or(default);
    let found = known.iter().find(|(known, _)| *known == name);
    found.map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        Error::tokenizer(format!("language_codes is {name:?}; known are {}", names.join(", ")))
    })
}

/// `fra_Latn`, `fr_XX`.
fn is_language(token: &str) -> bool {
    token.split_once('_').is_some_and(|(language, region)| {
        matches!(language.len(), 2 | 3)
            && language.bytes().all(|byte| byte.is_ascii_lowercase())
            && matches!(region.len(), 2 | 4)
            && region.bytes().all(|byte| byte.is_ascii_alphabetic())
            && region.starts_with(|c: char| c.is_ascii_uppercase())
    })
}

/// The languages that an error names.
const MOST_NAMED: usize = 12;
