//! From a text to what the encoder reads.

use crate::error::{Error, Result};
use crate::generation::GenerationConfig;
use crate::pipeline::text_to_text::sentences::parts;
use crate::pipeline::text_to_text::{Kind, TextToText, TextToTextOptions};
use crate::pipeline::tokenize::{Rows, TokenizerOptions};
use crate::tokenizer::{Encoding, Unfit};
use crate::warning::warn;

/// How texts are read in one call, and what the decoder is asked for.
pub(super) struct Reading {
    kind: Kind,
    rows: Rows,
    prefix: String,
    pub(super) splits: bool,
    pub(super) config: GenerationConfig,
    pub(super) start: u32,
}

impl TextToText {
    /// Settles what the options leave open.
    pub(super) fn reading(&self, options: &TextToTextOptions) -> Result<Reading> {
        options.check(self.kind)?;
        if let Some(task) = &self.taken_for {
            warn(&format!(
                "the task is `translation`; the model names `{task}`, and so it is done"
            ));
        }
        let mut config = self.config(options)?;
        let mut tokenizer = self.tokenizer.clone();
        let mut prefix = self.prefix.clone();
        if self.kind == Kind::Translation && !tokenizer.languages().is_empty() {
            let asked = (options.src_lang.as_deref(), options.tgt_lang.as_deref());
            let named = self.languages.as_ref().map(|(from, to)| (from.as_str(), to.as_str()));
            let source = asked.0.or_else(|| named.map(|(source, _)| source));
            let target = asked.1.or_else(|| named.map(|(_, target)| target));
            if tokenizer.needs_languages() {
                let (Some(source), Some(target)) = (source, target) else {
                    return Err(self.missing_language(source.is_none()));
                };
                if options.generation.forced_bos_token_id.is_some() {
                    let reason = "the token of `tgt_lang` is the one that is forced: leave it out";
                    return Err(Error::option("forced_bos_token_id", reason));
                }
                tokenizer = tokenizer.with_languages(Some(source), Some(target))?;
                config.forced_bos_token_id = self.tokenizer.forced_bos_id(target)?;
                prefix.clear();
            } else if let Some(target) = asked.1 {
                tokenizer = tokenizer.with_languages(None, Some(target))?;
            }
        } else if options.src_lang.is_some() || options.tgt_lang.is_some() {
            warn(
                "`src_lang` and `tgt_lang` have no effect: the model's tokenizer knows no languages; what T5 \
                 translates is said by the task (`translation_en_to_fr`, `TranslationPipeline::between`)",
            );
        }
        let of_rows = TokenizerOptions { truncation: options.truncation, ..Default::default() };
        let start = self.start(&config)?;
        let rows = Rows::new(&tokenizer, self.model.encoder(), Some(&of_rows));
        Ok(Reading { kind: self.kind, rows, prefix, splits: options.splits(), config, start })
    }

    fn missing_language(&self, is_source: bool) -> Error {
        let option = if is_source { "src_lang" } else { "tgt_lang" };
        let known = self.tokenizer.languages();
        let few: Vec<_> = known.iter().take(5).copied().collect();
        Error::option(
            option,
            format!(
                "this model translates between {} languages and needs both `src_lang` and `tgt_lang`: {}{}",
                known.len(),
                few.join(", "),
                if known.len() > few.len() { ", …" } else { "" }
            ),
        )
    }
}

impl Reading {
    /// The rows of a text: one, or the parts of a long one.
    pub(super) fn rows_of(&self, text: &str) -> Result<Vec<Encoding>> {
        if text.trim().is_empty() {
            return Err(Error::input("the text is empty"));
        }
        if !self.splits {
            return Ok(vec![self.row(text)?]);
        }
        let fits = |part: &str| match self.rows.whole(self.prefixed(part).as_str().into()) {
            Ok(row) => Ok(row.len() <= self.rows.longest()),
            Err(Unfit::TooLong(_)) => Ok(false),
            Err(unfit) => Err(unfit.into()),
        };
        parts(text, fits)?.into_iter().map(|part| self.row(part)).collect()
    }

    fn row(&self, text: &str) -> Result<Encoding> {
        self.rows.row(self.prefixed(text).as_str().into()).map_err(|unfit| match unfit {
            Unfit::TooLong(reason) if self.kind == Kind::Summarization => {
                Error::option("truncation", format!("{reason}, as `split_long_texts` does"))
            }
            unfit => unfit.into(),
        })
    }

    fn prefixed(&self, text: &str) -> String {
        format!("{}{text}", self.prefix)
    }
}
