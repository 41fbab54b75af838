//! The tokenizers crate, held at arm's length: its panics become errors.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;
use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    Decoder, InputSequence, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper,
    PostProcessor, PostProcessorWrapper,
};

use crate::error::{Error, Result};
use crate::quiet::caught;
use crate::tokenizer::bounded::{Bounded, Engine};
use crate::tokenizer::cuts;
use crate::tokenizer::special::{AddedToken, SpecialToken};
use crate::tokenizer::unconverted::{Side, Unconverted};

/// Splits and joins; knows nothing of special tokens around a text, padding or truncation.
pub(super) struct Backend(Core);

enum Core {
    Fast(Box<Engine>),
    /// A class that has no fast form in transformers.
    Unconverted(Box<Unconverted>),
}

/// Puts special tokens around one or two texts.
#[derive(Clone)]
pub(super) struct Template(Option<Arc<PostProcessorWrapper>>);

/// What a tokenizer is made of.
pub(super) struct Parts {
    /// As `tokenizer.json` has it.
    pub(super) json: Value,
    pub(super) added: Vec<(u32, tokenizers::AddedToken)>,
}

impl Backend {
    /// Takes over a tokenizer without post-processor, padding and truncation.
    pub(super) fn new(tokenizer: Engine) -> Self {
        Self(Core::Fast(Box::new(tokenizer)))
    }

    pub(super) fn unconverted(tokenizer: Unconverted) -> Self {
        Self(Core::Unconverted(Box::new(tokenizer)))
    }

    /// The tokenizers crate's tokenizer.
    fn engine(&self, wanted_for: &str) -> Result<&Engine> {
        match &self.0 {
            Core::Fast(engine) => Ok(engine),
            Core::Unconverted(_) => Err(Error::unsupported(format!(
                "{wanted_for}: the tokenizer's class has no fast form (Marian, M2M100, PLBART, ByT5, Wav2Vec2CTC)"
            ))),
        }
    }

    /// The same with texts in lower case before all else, unless that is done already.
    pub(super) fn lower_cased(&self) -> Result<Self> {
        let is_lowercase =
            |normalizer: &NormalizerWrapper| matches!(normalizer, NormalizerWrapper::Lowercase(_));
        let engine = self.engine("texts in lower case")?;
        let normalizers = match engine.get_normalizer().map(Bounded::part) {
            None => Vec::new(),
            Some(NormalizerWrapper::Sequence(sequence)) => sequence.as_ref().to_vec(),
            Some(one) => vec![one.clone()],
        };
        let mut tokenizer = engine.clone();
        if !normalizers.iter().any(is_lowercase) {
            let all = [vec![Lowercase.into()], normalizers].concat();
            let all = NormalizerWrapper::Sequence(Sequence::new(all));
            tokenizer.with_normalizer(Some(all)).map_err(Error::tokenizer)?;
        }
        Ok(Self::new(tokenizer))
    }

    /// Everything, as `tokenizer.json` would write it.
    pub(super) fn parts(&self) -> Result<Parts> {
        let engine = self.engine("a tokenizer for a GGUF file")?;
        // The crate goes through all numbers up to the largest id, and keeps a list of those that are none.
        if let Some((token, id)) = engine.get_vocab(true).iter().max_by_key(|(_, id)| **id)
            && *id >= MOST_IDS
        {
            let reason =
                format!("the token {token:?} has the id {id}; {MOST_IDS} ids are the limit");
            return Err(Error::tokenizer(reason));
        }
        let json = serde_json::to_value(engine).map_err(Error::tokenizer)?;
        Ok(Parts { json, added: engine.get_added_tokens_decoder().into_iter().collect() })
    }

    pub(super) fn split(
        &self,
        text: InputSequence<'_>,
        side: Side,
    ) -> Result<tokenizers::Encoding> {
        if let InputSequence::Raw(text) = &text
            && text.len() > MOST_TEXT
        {
            let bytes = text.len();
            let reason = format!("a text of {bytes} bytes; {MOST_TEXT} are the limit: split it");
            return Err(Error::input(reason));
        }
        match &self.0 {
            Core::Fast(engine) => guarded(|| engine.encode_char_offsets(text, false)),
            Core::Unconverted(tokenizer) => match text {
                InputSequence::Raw(text) => tokenizer.encode(&text, side),
                InputSequence::PreTokenized(words) => tokenizer.encode_words(&words, side),
                InputSequence::PreTokenizedOwned(words) => tokenizer.encode_words(&words, side),
                InputSequence::PreTokenizedCow(words) => tokenizer.encode_words(&words, side),
            },
        }
        .map_err(Error::tokenizer)
    }

    /// Whether the parts of a long text have together the tokens of the whole.
    pub(super) fn cuts_are_safe(&self) -> bool {
        matches!(&self.0, Core::Fast(engine) if cuts::are_safe(engine))
    }

    /// Whether the class puts no end behind a text that ends with one.
    pub(super) fn leaves_ends(&self) -> bool {
        matches!(&self.0, Core::Unconverted(tokenizer) if tokenizer.leaves_ends())
    }

    /// An added token gives the text it was added with, though it be looked for in normalized text.
    pub(super) fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        if let Core::Unconverted(tokenizer) = &self.0 {
            return Ok(tokenizer.decode(ids, skip_special_tokens));
        }
        let kept = ids.iter().filter(|&&id| !(skip_special_tokens && self.is_special(id)));
        self.join(kept.filter_map(|&id| self.id_to_token(id)).collect())
    }

    /// The text of tokens; with spaces between them where there is no decoder, as in transformers.
    pub(super) fn join(&self, tokens: Vec<String>) -> Result<String> {
        let engine = match &self.0 {
            Core::Fast(engine) => engine,
            Core::Unconverted(tokenizer) => return Ok(tokenizer.join(&tokens)),
        };
        guarded(|| match engine.get_decoder() {
            Some(decoder) => decoder.decode(tokens),
            None => Ok(tokens.join(" ")),
        })
        .map_err(Error::tokenizer)
    }

    /// Whether text that comes later may change how the text of these ids ends.
    pub(super) fn is_open(&self, ids: &[u32]) -> bool {
        matches!(&self.0, Core::Unconverted(tokenizer) if tokenizer.is_open(ids))
    }

    pub(super) fn marks_continued_words(&self) -> bool {
        let Core::Fast(engine) = &self.0 else { return false };
        match engine.get_model() {
            ModelWrapper::WordPiece(model) => !model.continuing_subword_prefix.is_empty(),
            ModelWrapper::BPE(model) => {
                model.continuing_subword_prefix.as_ref().is_some_and(|prefix| !prefix.is_empty())
            }
            _ => false,
        }
    }

    pub(super) fn token_to_id(&self, token: &str) -> Option<u32> {
        match &self.0 {
            Core::Fast(engine) => engine.token_to_id(token),
            Core::Unconverted(tokenizer) => tokenizer.id(token),
        }
    }

    pub(super) fn id_to_token(&self, id: u32) -> Option<String> {
        match &self.0 {
            Core::Fast(engine) => {
                let added = engine.get_added_vocabulary().get_added_tokens_decoder().get(&id);
                added.map(|token| token.content.clone()).or_else(|| engine.id_to_token(id))
            }
            Core::Unconverted(tokenizer) => tokenizer.token(id).map(str::to_owned),
        }
    }

    /// The token that an id is decoded to.
    pub(super) fn text_token(&self, id: u32) -> Option<String> {
        match &self.0 {
            Core::Fast(_) => self.id_to_token(id),
            Core::Unconverted(tokenizer) => tokenizer.text_token(id).map(str::to_owned),
        }
    }

    /// Every token with its id.
    pub(super) fn vocabulary(&self) -> HashMap<String, u32> {
        match &self.0 {
            Core::Fast(engine) => engine.get_vocab(true).into_iter().collect(),
            Core::Unconverted(tokenizer) => {
                tokenizer.vocabulary().map(|(token, id)| (token.to_owned(), id)).collect()
            }
        }
    }

    pub(super) fn vocab_size(&self) -> usize {
        match &self.0 {
            Core::Fast(engine) => engine.get_vocab_size(true),
            Core::Unconverted(tokenizer) => tokenizer.vocabulary().count(),
        }
    }

    /// The bytes of the longest token.
    pub(super) fn longest_token(&self) -> usize {
        self.vocabulary().keys().map(String::len).max().unwrap_or(0)
    }

    /// Whether decoding can leave an id out: by its text, since a vocabulary may have two tokens of one text.
    pub(super) fn is_special(&self, id: u32) -> bool {
        match &self.0 {
            Core::Fast(engine) => {
                let token = self.id_to_token(id);
                token.is_some_and(|token| engine.get_added_vocabulary().is_special_token(&token))
            }
            Core::Unconverted(tokenizer) => tokenizer.is_special(id),
        }
    }

    pub(super) fn added_tokens(&self) -> Vec<AddedToken> {
        let one = |id: u32, token: &tokenizers::AddedToken, special: bool| AddedToken {
            content: token.content.clone(),
            id,
            special,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
            normalized: token.normalized,
            single_word: token.single_word,
        };
        let mut tokens: Vec<_> = match &self.0 {
            Core::Fast(engine) => {
                let added = engine.get_added_vocabulary();
                let tokens = added.get_added_tokens_decoder().iter();
                tokens
                    .map(|(&id, token)| one(id, token, added.is_special_token(&token.content)))
                    .collect()
            }
            Core::Unconverted(tokenizer) => {
                tokenizer.added_tokens().map(|(id, token)| one(id, token, token.special)).collect()
            }
        };
        tokens.sort_unstable_by_key(|token| token.id);
        tokens
    }
}

impl Template {
    pub(super) fn new(processor: Option<PostProcessorWrapper>) -> Self {
        Self(processor.map(Arc::new))
    }

    /// `prefix A suffix`, and for a pair `prefix A suffix prefix B suffix`, the second half with
    /// type id 1: the form of transformers' Llama class.
    pub(super) fn around(prefix: &[SpecialToken], suffix: &[SpecialToken]) -> Result<Self> {
        let half = |text: &str, kind: usize| {
            let named = |tokens: &[SpecialToken]| {
                let named = tokens.iter().map(|token| format!("{}:{kind}", token.content));
                named.collect::<Vec<_>>()
            };
            [named(prefix), vec![format!("{text}:{kind}")], named(suffix)].concat()
        };
        let single = half("$A", 0);
        let pair = [single.clone(), half("$B", 1)].concat();
        Self::from_pieces(single, pair, prefix.iter().chain(suffix))
    }

    /// From the pieces of tokenizers' template language: `$A:0`, `[CLS]:0`.
    pub(super) fn from_pieces<'a>(
        single: Vec<String>,
        pair: Vec<String>,
        tokens: impl IntoIterator<Item = &'a SpecialToken>,
    ) -> Result<Self> {
        let tokens: Vec<_> =
            tokens.into_iter().map(|token| (token.content.clone(), token.id)).collect();
        let mut builder = TemplateProcessing::builder();
        builder
            .try_single(single)
            .and_then(|builder| builder.try_pair(pair))
            .map_err(Error::tokenizer)?;
        let template = builder.special_tokens(tokens).build().map_err(Error::tokenizer)?;
        Ok(Self::new(Some(template.into())))
    }

    /// The number of tokens that are put around one text or a pair.
    pub(super) fn length(&self, is_pair: bool) -> usize {
        self.0.as_ref().map_or(0, |processor| processor.added_tokens(is_pair))
    }

    pub(super) fn apply(
        &self,
        first: tokenizers::Encoding,
        second: Option<tokenizers::Encoding>,
        add_special_tokens: bool,
    ) -> Result<tokenizers::Encoding> {
        guarded(|| match (&self.0, second) {
            (Some(processor), second) => processor.process(first, second, add_special_tokens),
            (None, None) => Ok(first),
            (None, Some(mut second)) => {
                let mut whole = first;
                whole.set_sequence_id(0);
                second.set_sequence_id(1);
                second.set_type_ids(vec![1; second.len()]);
                whole.merge_with(second, false);
                Ok(whole)
            }
        })
        .map_err(Error::tokenizer)
    }
}

/// Adds tokens as version 0.22 of the tokenizers crate did:
///
/// * a special token that is there already is looked for where it was, in the text as written or in
///   the normalized text, whatever is said now; another token in the normalized text if it was ever
///   to be looked for there;
/// * two tokens may have one normalized form. Here the second is looked for as written.
pub(super) fn add_tokens(
    tokenizer: &mut Engine,
    mut tokens: Vec<tokenizers::AddedToken>,
) -> tokenizers::Result<()> {
    let there = tokenizer.get_added_vocabulary();
    let normal_form = |content: &str| {
        let mut text = NormalizedString::from(content);
        if let Some(normalizer) = tokenizer.get_normalizer() {
            normalizer.normalize(&mut text)?;
        }
        Ok::<_, tokenizers::Error>(text.get().to_owned())
    };
    let mut forms = HashSet::new();
    for token in there.get_added_tokens_decoder().values().filter(|token| token.normalized) {
        forms.insert(normal_form(&token.content)?);
    }
    let mut first: HashMap<String, bool> = HashMap::new();
    for token in &mut tokens {
        let id = there.get_vocab().get(&token.content);
        let old = id.and_then(|id| there.get_added_tokens_decoder().get(id));
        let old_place = old.filter(|old| old.special).map(|old| old.normalized);
        if let Some(place) = old_place.or_else(|| first.get(&token.content).copied()) {
            token.normalized = place;
        } else if token.normalized || old.is_some_and(|old| old.normalized) {
            let form = normal_form(&token.content)?;
            let is_its_own = old.is_some_and(|old| old.normalized);
            token.normalized = !form.is_empty() && (forms.insert(form) || is_its_own);
        }
        if token.special {
            first.entry(token.content.clone()).or_insert(token.normalized);
        }
    }
    tokenizer.add_tokens(tokens)?;
    Ok(())
}

/// The longest text, in bytes: two hundred times as many are needed to find its tokens and their places.
pub(super) const MOST_TEXT: usize = 1 << 24;

/// The ids of a vocabulary that is written to a file. No vocabulary is near it.
const MOST_IDS: u32 = 1 << 24;

/// Runs the tokenizers crate, which on some broken files panics where it should fail.
pub(super) fn guarded<T>(
    work: impl FnOnce() -> tokenizers::Result<T>,
) -> std::result::Result<T, String> {
    match caught(work) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("the tokenizer's file is inconsistent: {}", text_of(&*panic))),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown panic")
}

#[cfg(test)]
mod tests {
    use tokenizers::models::wordlevel::WordLevel;

    use super::*;

    #[test]
    fn ids_of_billions_are_not_written() {
        let vocab = [("a".to_owned(), 1_000_000_000)].into_iter().collect();
        let model = WordLevel::builder().vocab(vocab).unk_token("a".to_owned()).build().unwrap();
        let backend = Backend::new(Engine::new(model.into()));
        assert_eq!(backend.split("a".into(), Side::Source).unwrap().get_ids(), [1_000_000_000]);
        let error = backend.parts().err().unwrap().to_string();
        assert!(error.contains("1000000000") && error.contains("ids are the limit"), "{error}");
    }
}
