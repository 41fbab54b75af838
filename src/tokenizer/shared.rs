//! A tokenizer and what its clones share.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::batch::PaddingSide;
use crate::error::{Error, Result};
use crate::tokenizer::backend::{Backend, Template};
use crate::tokenizer::chat::ChatTemplate;
use crate::tokenizer::languages::Languages;
use crate::tokenizer::special::{AddedToken, SpecialToken, SpecialTokens};
use crate::tokenizer::unconverted::Side;

/// Text to token ids and back. Cheap to clone: clones share one vocabulary.
#[derive(Clone)]
pub struct Tokenizer {
    pub(super) shared: Arc<Shared>,
    /// Puts special tokens around texts; apart from the rest so that it can be changed cheaply.
    pub(super) template: Template,
    /// Which of a translation's two texts is encoded.
    pub(super) side: Side,
}

/// What no call changes.
pub(super) struct Shared {
    pub(super) backend: Backend,
    pub(super) settings: Settings,
    pub(super) chat: Option<ChatTemplate>,
    pub(super) longest_token: OnceLock<usize>,
    /// Whether a long text can be encoded in parts.
    pub(super) cuts: OnceLock<bool>,
}

/// What is known about a tokenizer besides how it splits text.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) special: SpecialTokens,
    pub(super) model_max_length: Option<usize>,
    pub(super) padding_side: PaddingSide,
    pub(super) truncation_side: PaddingSide,
    pub(super) pad_type_id: u32,
    /// Token types are not an input of the model.
    pub(super) omits_type_ids: bool,
    /// Words are not to be given one by one.
    pub(super) refuses_words: bool,
    pub(super) clean_up_spaces: bool,
    /// CLIP's class puts a space for each `</w>` when decoding.
    pub(super) marks_word_ends: bool,
    /// The languages that texts are marked with.
    pub(super) languages: Option<Languages>,
    /// Where an answer ends, if the eos token is not all.
    pub(super) ends: Vec<u32>,
}

/// What a loader makes of the files.
pub(super) struct Loaded {
    pub(super) backend: Backend,
    pub(super) template: Template,
    pub(super) settings: Settings,
}

impl Tokenizer {
    pub(super) fn of(
        backend: Backend,
        settings: Settings,
        chat: Option<ChatTemplate>,
        template: Template,
    ) -> Self {
        let shared = Shared {
            backend,
            settings,
            chat,
            longest_token: OnceLock::new(),
            cuts: OnceLock::new(),
        };
        Self { shared: Arc::new(shared), template, side: Side::default() }
    }

    /// The same tokenizer, which lowercases texts first: sentence-transformers' `do_lower_case`.
    /// Special tokens in a text stay special.
    pub(crate) fn lower_cased(&self) -> Result<Self> {
        let Shared { backend, settings, chat, .. } = &*self.shared;
        let template = self.template.clone();
        Ok(Self::of(backend.lower_cased()?, settings.clone(), chat.clone(), template))
    }

    /// The same tokenizer with other special tokens around each text: `prefix` before it and
    /// `suffix` after it. A pair becomes `prefix first suffix prefix second suffix`.
    ///
    /// For Whisper's task tokens, among others. Translation models have
    /// [`with_languages`](Self::with_languages).
    ///
    /// # Errors
    ///
    /// When a token is not in the vocabulary.
    pub fn with_template(&self, prefix: &[&str], suffix: &[&str]) -> Result<Self> {
        let known = |tokens: &[&str]| {
            tokens
                .iter()
                .map(|&token| {
                    let id = self.token_to_id(token);
                    let id = id.ok_or_else(|| Error::input(format!("no token {token:?}")))?;
                    Ok(SpecialToken { content: token.to_owned(), id })
                })
                .collect::<Result<Vec<_>>>()
        };
        let template = Template::around(&known(prefix)?, &known(suffix)?)?;
        Ok(Self { template, ..self.clone() })
    }

    /// The id of a token as the vocabulary spells it (`Ġthe`, `▁the`, `##ing`, `<s>`).
    #[must_use]
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.shared.backend.token_to_id(token)
    }

    /// A token as the vocabulary spells it.
    #[must_use]
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.shared.backend.id_to_token(id)
    }

    /// Rejects ids that are outside a model's vocabulary.
    pub(crate) fn check_known(&self, ids: &[u32], vocab: usize) -> Result<()> {
        let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab) else { return Ok(()) };
        let token = self.id_to_token(id).unwrap_or_default();
        Err(Error::tokenizer(format!(
            "{token:?} has the id {id}, and the model's vocabulary ends before {vocab}: they do not \
             belong together"
        )))
    }

    /// The text of tokens as the vocabulary spells them: Python's `convert_tokens_to_string`.
    ///
    /// # Errors
    ///
    /// When the tokenizer's decoder fails, which only a broken file can cause.
    pub fn tokens_to_string(&self, tokens: Vec<String>) -> Result<String> {
        self.shared.backend.join(tokens)
    }

    /// Whether the vocabulary marks tokens that continue a word, as WordPiece does with `##`.
    #[must_use]
    pub fn marks_continued_words(&self) -> bool {
        self.shared.backend.marks_continued_words()
    }

    /// Whether the class refuses words given one by one
    /// ([`TextInput::Words`](crate::tokenizer::TextInput::Words)), because the words would lose the
    /// spaces that mark their beginnings: RoBERTa, GPT-2 and similar classes without
    /// `add_prefix_space`. Other byte-level tokenizers accept words.
    #[must_use]
    pub fn refuses_words(&self) -> bool {
        self.shared.settings.refuses_words
    }

    /// Whether `token_type_ids` are among the inputs of the model (`model_input_names`). If not,
    /// batches hold zeros, whatever [`Encoding::type_ids`](crate::tokenizer::Encoding::type_ids)
    /// says.
    #[must_use]
    pub fn returns_type_ids(&self) -> bool {
        !self.shared.settings.omits_type_ids
    }

    /// The number of tokens, added ones included: Python's `len(tokenizer)`. A model may have more
    /// rows in its embedding.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.shared.backend.vocab_size()
    }

    /// The token that begins a text.
    #[must_use]
    pub fn bos_token(&self) -> Option<&SpecialToken> {
        self.shared.settings.special.bos.as_ref()
    }

    /// The token that ends a text or an answer.
    #[must_use]
    pub fn eos_token(&self) -> Option<&SpecialToken> {
        self.shared.settings.special.eos.as_ref()
    }

    /// The token for what the vocabulary cannot express.
    #[must_use]
    pub fn unk_token(&self) -> Option<&SpecialToken> {
        self.shared.settings.special.unk.as_ref()
    }

    /// The token between two texts.
    #[must_use]
    pub fn sep_token(&self) -> Option<&SpecialToken> {
        self.shared.settings.special.sep.as_ref()
    }

    /// The token that fills up rows of a batch.
    #[must_use]
    pub fn pad_token(&self) -> Option<&SpecialToken> {
        self.shared.settings.special.pad.as_ref()
    }

    /// The token whose state stands for the whole text.
    #[must_use]
    pub fn cls_token(&self) -> Option<&SpecialToken> {
        self.shared.settings.special.cls.as_ref()
    }

    /// The token to be guessed.
    #[must_use]
    pub fn mask_token(&self) -> Option<&SpecialToken> {
        self.shared.settings.special.mask.as_ref()
    }

    /// `additional_special_tokens`.
    #[must_use]
    pub fn additional_special_tokens(&self) -> &[SpecialToken] {
        &self.shared.settings.special.additional
    }

    /// A special token by its name in `tokenizer_config.json`: `bos_token`, or the model's own such
    /// as `image_token` (`extra_special_tokens`).
    #[must_use]
    pub fn special_token(&self, name: &str) -> Option<&SpecialToken> {
        self.shared.settings.special.get(name)
    }

    /// The ids that end an answer, ascending: the eos token. For a GGUF file, all ids that end an
    /// answer in llama.cpp (`llama_vocab_is_eog`), by the file's keys and by the names of tokens.
    /// Hub folders list theirs in `generation_config.json`.
    #[must_use]
    pub fn stop_ids(&self) -> Vec<u32> {
        let settings = &self.shared.settings;
        match settings.ends.is_empty() {
            true => self.eos_token().map(|token| token.id).into_iter().collect(),
            false => settings.ends.clone(),
        }
    }

    /// The ids of the named special tokens, ascending: Python's `all_special_ids`.
    #[must_use]
    pub fn special_ids(&self) -> &[u32] {
        &self.shared.settings.special.ids
    }

    /// More bytes of text than a prompt of this many tokens has, unless the text is made to absorb
    /// whitespace.
    pub(crate) fn most_bytes(&self, tokens: usize) -> usize {
        let longest = self.shared.longest_token.get_or_init(|| self.shared.backend.longest_token());
        tokens.saturating_mul(*longest).max(LEAST_PROMPT)
    }

    /// Whether decoding without special tokens leaves this id out.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        self.shared.backend.is_special(id)
    }

    /// The tokens that are looked for in a text before it is split, by id.
    #[must_use]
    pub fn added_tokens(&self) -> Vec<AddedToken> {
        self.shared.backend.added_tokens()
    }

    /// The most tokens that the model was made for; `None` if the files do not say.
    #[must_use]
    pub fn model_max_length(&self) -> Option<usize> {
        self.shared.settings.model_max_length
    }

    /// Where padding goes unless a call says otherwise.
    #[must_use]
    pub fn padding_side(&self) -> PaddingSide {
        self.shared.settings.padding_side
    }

    /// Which end of a text is cut unless a call says otherwise.
    #[must_use]
    pub fn truncation_side(&self) -> PaddingSide {
        self.shared.settings.truncation_side
    }
}

/// Bytes that no prompt is refused for.
const LEAST_PROMPT: usize = 1 << 20;

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}
