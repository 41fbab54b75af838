//! A tokenizer of older files in the words of `tokenizer.json`.

use serde_json::{Value, json};
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};

use crate::tokenizer::backend::Template;
use crate::tokenizer::bounded::Engine;
use crate::tokenizer::tokenizer_json::{FileDefaults, Parts, part};

/// A part of a tokenizer, as `tokenizer.json` would write it.
pub(super) struct Sketch {
    pub(super) normalizer: Option<NormalizerWrapper>,
    pub(super) pre_tokenizer: Value,
    pub(super) post_processor: Value,
    pub(super) decoder: Value,
}

impl Sketch {
    /// Puts the parts around a model.
    pub(super) fn complete(self, mut tokenizer: Engine) -> tokenizers::Result<Parts> {
        if let Some(normalizer) = self.normalizer {
            tokenizer.with_normalizer(Some(normalizer))?;
        }
        tokenizer.with_pre_tokenizer(part::<PreTokenizerWrapper>(self.pre_tokenizer)?);
        tokenizer.with_decoder(part::<DecoderWrapper>(self.decoder)?);
        let template = Template::new(part::<PostProcessorWrapper>(self.post_processor)?);
        Ok(Parts { tokenizer, template, file: FileDefaults::default(), is_converted: true })
    }
}

/// A template in the form of `tokenizer.json`, from `"[CLS]:0 $A:0 [SEP]:0"` and the like; ids are
/// looked up.
pub(super) fn template(
    single: &[&str],
    pair: &[&str],
    id: impl Fn(&str) -> Option<u32>,
) -> tokenizers::Result<Value> {
    let mut tokens = serde_json::Map::new();
    let mut pieces = |template: &[&str]| {
        template
            .iter()
            .map(|piece| {
                let (name, kind) = match piece.rsplit_once(':') {
                    Some((name, kind)) if !name.is_empty() => (name, kind.parse().unwrap_or(0)),
                    _ => (*piece, 0),
                };
                if let Some(text @ ("A" | "B")) = name.strip_prefix('$') {
                    return Ok(json!({"Sequence": {"id": text, "type_id": kind}}));
                }
                let id = id(name).ok_or_else(|| format!("has no token {name:?}"))?;
                let token = json!({"id": name, "ids": [id], "tokens": [name]});
                tokens.insert(name.to_owned(), token);
                Ok(json!({"SpecialToken": {"id": name, "type_id": kind}}))
            })
            .collect::<std::result::Result<Vec<_>, String>>()
    };
    let (single, pair) = (pieces(single)?, pieces(pair)?);
    Ok(json!({
        "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens,
    }))
}
