//! A tokenizer for texts of one language and translations into another.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::tokenizer::languages::Languages;
use crate::tokenizer::shared::Tokenizer;
use crate::tokenizer::unconverted::Side;

impl Tokenizer {
    /// The languages that a translation model's tokenizer marks texts with, by the codes of its class
    /// and in their order: `fra_Latn` (NLLB), `fr_XX` (mBART, mBART-50), `fr` (M2M100), `java`
    /// (PLBART), `>>fra<<` (Marian, the languages that the model translates to). Empty for all others.
    #[must_use]
    pub fn languages(&self) -> Vec<&str> {
        self.known_languages().into_iter().flat_map(Languages::codes).collect()
    }

    /// The id of a language's token.
    ///
    /// # Errors
    ///
    /// When the tokenizer does not know the language; the error names those that it knows.
    pub fn language_id(&self, language: &str) -> Result<u32> {
        Ok(self.languages_for("language")?.token("language", language)?.id)
    }

    /// The id that a translation into this language begins with: `forced_bos_token_id`. `None` for
    /// Marian, whose language stands before the text that is translated.
    ///
    /// # Errors
    ///
    /// When the tokenizer does not know the language; the error names those that it knows.
    pub fn forced_bos_id(&self, target: &str) -> Result<Option<u32>> {
        self.languages_for("tgt_lang")?.forced_bos(target)
    }

    /// The same tokenizer, for texts in `source` that are translated to `target`. Where a language is
    /// `None`, it is the one that the files name, or else the default of the class.
    ///
    /// ```no_run
    /// use sconce::tokenizer::Tokenizer;
    ///
    /// let nllb = Tokenizer::open("facebook/nllb-200-distilled-600M")?;
    /// let ids = nllb.with_languages(Some("deu_Latn"), Some("fra_Latn"))?.encode("Guten Tag!")?.ids;
    /// assert_eq!(ids[0], nllb.language_id("deu_Latn")?);
    /// # Ok::<(), sconce::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the tokenizer does not know a language; the error names those that it knows.
    pub fn with_languages(&self, source: Option<&str>, target: Option<&str>) -> Result<Self> {
        let languages =
            self.languages_for(if source.is_some() { "src_lang" } else { "tgt_lang" })?;
        if let Some(target) = target {
            languages.forced_bos(target)?;
        }
        let template = languages.template(source, target)?;
        Ok(Self { template, ..self.clone() })
    }

    /// The same tokenizer, for translations into `target` (`text_target` in Python), which training and
    /// scoring need. `None`: the language that the files name. Marian has one vocabulary model for
    /// texts and another for translations, and needs no language.
    ///
    /// # Errors
    ///
    /// When the tokenizer does not know the language, or no language is named.
    pub fn for_translations(&self, target: Option<&str>) -> Result<Self> {
        let template = match self.known_languages() {
            Some(languages) => languages.target_template(target)?,
            None if target.is_none() => self.template.clone(),
            None => return Err(no_languages("tgt_lang")),
        };
        Ok(Self { shared: Arc::clone(&self.shared), template, side: Side::Target })
    }

    /// Whether a translation needs both languages: all classes that know languages but Marian.
    pub(crate) fn needs_languages(&self) -> bool {
        self.known_languages().is_some_and(Languages::are_needed)
    }

    fn known_languages(&self) -> Option<&Languages> {
        self.shared.settings.languages.as_ref()
    }

    fn languages_for(&self, option: &str) -> Result<&Languages> {
        self.known_languages().ok_or_else(|| no_languages(option))
    }
}

fn no_languages(option: &str) -> Error {
    let reason = "this tokenizer marks no languages (NLLB, M2M100, mBART, mBART-50, PLBART and Marian do): \
                  leave the option out";
    Error::option(option, reason)
}
