//! SentencePiece models whose pieces are single characters: those of SpeechT5.
//!
//! Source: `models/speecht5/tokenization_speecht5.py` of transformers 4.57, and SentencePiece 0.2.

use std::collections::{BTreeSet, HashMap};

use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};

use crate::error::{Error, Result};
use crate::source::{ModelFiles, file};
use crate::tokenizer::charsmap;
use crate::tokenizer::sentencepiece::SpmModel;

/// An id for each character of a text, and the end of the text behind them.
#[derive(Debug, Clone)]
pub struct CharacterTokenizer {
    ids: HashMap<String, u32>,
    unknown: u32,
    end: u32,
    normalizer: Option<NormalizerWrapper>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
}

impl CharacterTokenizer {
    /// Reads `spm_char.model`.
    ///
    /// # Errors
    ///
    /// When it is missing, malformed, or has no token for the end of a text.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let path = files.required("spm_char.model", "the characters that the voice reads")?;
        let model = SpmModel::parse(&file::read(&path)?)
            .map_err(|reason| Error::malformed(&path, reason))?;
        let id = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let pieces = model.pieces.iter().enumerate();
        let ids: HashMap<_, _> =
            pieces.map(|(number, piece)| (piece.text.clone(), id(number))).collect();
        let Some(&end) = ids.get("</s>") else {
            return Err(Error::malformed(&path, "it has no piece </s>, the end of a text"));
        };
        let normalizer = charsmap::normalizer(&model.charsmap)
            .map_err(|reason| Error::malformed(&path, reason))?;
        Ok(Self {
            ids,
            unknown: id(model.unk_id),
            end,
            normalizer: normalizer.map(NormalizerWrapper::Precompiled),
            add_dummy_prefix: model.add_dummy_prefix,
            remove_extra_whitespaces: model.remove_extra_whitespaces,
        })
    }

    /// The ids of a text, and the characters that have none of their own. Several such side by side have one id
    /// together. A text without characters has no ids.
    ///
    /// # Errors
    ///
    /// When the text cannot be normalized.
    pub fn encode(&self, text: &str) -> Result<(Vec<u32>, BTreeSet<char>)> {
        let mut normalized = NormalizedString::from(text);
        if let Some(normalizer) = &self.normalizer {
            normalizer.normalize(&mut normalized).map_err(Error::tokenizer)?;
        }
        let text = normalized.get();
        let text = match self.remove_extra_whitespaces {
            true => text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "),
            false => text.to_owned(),
        };
        let (mut ids, mut unknown) = (Vec::new(), BTreeSet::new());
        if text.is_empty() {
            return Ok((ids, unknown));
        }
        let prefix = if self.add_dummy_prefix { " " } else { "" };
        let mut is_after_unknown = false;
        for c in prefix.chars().chain(text.chars()) {
            let piece = if c == ' ' { '▁' } else { c };
            let known = self.ids.get(piece.encode_utf8(&mut [0; 4]) as &str);
            match known {
                Some(&id) => ids.push(id),
                None if is_after_unknown => {}
                None => ids.push(self.unknown),
            }
            is_after_unknown = known.is_none();
            if is_after_unknown {
                unknown.insert(c);
            }
        }
        ids.push(self.end);
        Ok((ids, unknown))
    }
}
