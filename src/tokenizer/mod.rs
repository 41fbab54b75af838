//! Text to token ids and back.
//!
//! [`Tokenizer`] reads what model repositories hold: `tokenizer.json` with its companions
//! (`tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json`), the older formats
//! (`vocab.txt`, `vocab.json` with `merges.txt`, SentencePiece `.model`), and the vocabulary inside
//! a GGUF file. Ids, texts and offsets are those of Python's fast tokenizers (transformers 4.57).
//!
//! This folder is the only place that knows the `tokenizers` crate.
//!
//! ```no_run
//! use sconce::tokenizer::Tokenizer;
//!
//! let tokenizer = Tokenizer::load("HuggingFaceTB/SmolLM2-135M-Instruct")?;
//! let encoding = tokenizer.encode("Why is the sky blue?")?;
//! assert_eq!(tokenizer.decode(&encoding.ids, true)?, "Why is the sky blue?");
//! # Ok::<(), sconce::Error>(())
//! ```

pub mod chat;

mod backend;
mod batch;
mod bounded;
mod charsmap;
mod class;
mod config;
mod conversation;
mod decode;
mod encode;
mod fields;
mod gguf;
mod json;
mod model_types;
mod named;
mod pattern;
mod pretokenizer;
mod quiet;
mod sentencepiece;
mod slow;
mod special;
mod spm;
mod to_gguf;
mod truncation;

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;

pub use batch::{BatchEncoding, BatchOptions, Padding};
pub use conversation::EncodedChat;
pub use decode::DecodeStream;
pub use encode::{EncodeOptions, Encoding, TextInput};
pub use special::{AddedToken, SpecialToken};
pub(crate) use to_gguf::gguf_metadata;
pub(crate) use truncation::Unfit;
pub use truncation::{Truncation, TruncationStrategy};

use crate::batch::PaddingSide;
use crate::error::Error;
use crate::error::Result;
use crate::source::ModelFiles;
use crate::source::ModelSource;
use backend::Backend;
use backend::Template;
use chat::ChatTemplate;
use special::SpecialTokens;

/// Text to token ids and back. Cheap to clone: clones share one vocabulary.
#[derive(Clone)]
pub struct Tokenizer {
    shared: Arc<Shared>,
    /// Puts special tokens around texts; apart from the rest so that it can be changed cheaply.
    template: Template,
}

/// What no call changes.
struct Shared {
    backend: Backend,
    settings: Settings,
    chat: Option<ChatTemplate>,
    longest_token: OnceLock<usize>,
}

/// What is known about a tokenizer besides how it splits text.
#[derive(Debug, Clone, Default)]
struct Settings {
    special: SpecialTokens,
    model_max_length: Option<usize>,
    padding_side: PaddingSide,
    truncation_side: PaddingSide,
    pad_type_id: u32,
    /// Token types are no input of the model.
    omits_type_ids: bool,
    /// Words are not to be given one by one.
    refuses_words: bool,
    clean_up_spaces: bool,
    /// CLIP's class puts a space for each `</w>` when decoding.
    marks_word_ends: bool,
    /// Where an answer ends, if the eos token is not all.
    ends: Vec<u32>,
}

/// What a loader makes of the files.
struct Loaded {
    backend: Backend,
    template: Template,
    settings: Settings,
}

impl Tokenizer {
    /// Opens a source and reads its tokenizer.
    ///
    /// # Errors
    ///
    /// When the source cannot be opened, and as [`from_files`](Self::from_files).
    pub fn load(source: impl Into<ModelSource>) -> Result<Self> {
        Self::from_files(&source.into().open()?)
    }

    /// Reads the tokenizer of an opened source: the metadata of a GGUF file, else
    /// `tokenizer.json`, else one of the older formats, whichever the class named in
    /// `tokenizer_config.json` (or implied by `config.json`) uses.
    ///
    /// Files of every age are read as transformers reads them; what its classes change in a
    /// `tokenizer.json`, and every field of `tokenizer_config.json`, is told in the guide
    /// [tokenizers](crate::guide::tokenizers).
    ///
    /// # Errors
    ///
    /// When there is no tokenizer, a file is broken, or its kind is not supported.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let Loaded { backend, template, settings } = match files.gguf() {
            Some(file) => gguf::load(file)?,
            None => config::load(files)?,
        };
        let chat = ChatTemplate::from_files(files)?;
        Ok(Self::of(backend, settings, chat, template))
    }

    fn of(
        backend: Backend,
        settings: Settings,
        chat: Option<ChatTemplate>,
        template: Template,
    ) -> Self {
        let shared = Shared { backend, settings, chat, longest_token: OnceLock::new() };
        Self { shared: Arc::new(shared), template }
    }

    /// Reads `tokenizer.json` as the tokenizers library alone does, whatever is beside it, and how it
    /// says that texts are cut.
    pub(crate) fn plain(files: &ModelFiles) -> Result<(Self, Option<Truncation>)> {
        let path = files.required(config::TOKENIZER_JSON, "the tokenizer")?;
        let (json::Parts { tokenizer, template, .. }, truncation) = json::load_plain(&path)?;
        let backend = Backend::new(tokenizer);
        Ok((Self::of(backend, Settings::default(), None, template), truncation))
    }

    /// The same tokenizer for texts in lower case: sentence-transformers' `do_lower_case`. A special
    /// token in a text stays one.
    pub(crate) fn lower_cased(&self) -> Result<Self> {
        let Shared { backend, settings, chat, .. } = &*self.shared;
        let template = self.template.clone();
        Ok(Self::of(backend.lower_cased()?, settings.clone(), chat.clone(), template))
    }

    /// The same tokenizer with other special tokens around each text: `prefix` before it and
    /// `suffix` after it. A pair is put together as `prefix first suffix prefix second suffix`.
    ///
    /// For translation models, whose source language is such a token, and for Whisper's task
    /// tokens.
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
        Ok(Self { shared: Arc::clone(&self.shared), template })
    }

    /// The ids of one text, special tokens around it: transformers' `tokenizer(text)`.
    ///
    /// # Errors
    ///
    /// When the vocabulary cannot express the text (it lacks both the characters and an unknown
    /// token).
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        self.encode_with(text, &EncodeOptions::default())
    }

    /// The ids of a text, a pair of texts or a list of words.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and when `truncation` leaves no room for special tokens.
    pub fn encode_with<'a>(
        &self,
        input: impl Into<TextInput<'a>>,
        options: &EncodeOptions,
    ) -> Result<Encoding> {
        Ok(self.fit(input.into(), options)?)
    }

    /// As [`encode_with`](Self::encode_with), with the reason as a kind where a text cannot be cut as
    /// asked.
    pub(crate) fn fit(
        &self,
        input: TextInput<'_>,
        options: &EncodeOptions,
    ) -> Result<Encoding, Unfit> {
        encode::encode(self, input, options)
    }

    /// Many texts at once, in parallel, cut and padded to one length.
    ///
    /// # Errors
    ///
    /// As [`encode_with`](Self::encode_with) and [`pad`](Self::pad).
    pub fn encode_batch(
        &self,
        texts: &[impl AsRef<str> + Sync],
        options: &BatchOptions,
    ) -> Result<BatchEncoding> {
        let inputs: Vec<_> = texts.iter().map(|text| TextInput::from(text.as_ref())).collect();
        self.encode_batch_with(&inputs, options)
    }

    /// As [`encode_batch`](Self::encode_batch), for pairs and lists of words too.
    ///
    /// # Errors
    ///
    /// As [`encode_with`](Self::encode_with) and [`pad`](Self::pad).
    pub fn encode_batch_with(
        &self,
        inputs: &[TextInput<'_>],
        options: &BatchOptions,
    ) -> Result<BatchEncoding> {
        batch::encode(self, inputs, options)
    }

    /// Pads rows to one length; `options.encode` is not looked at. For rows from elsewhere, such
    /// as the windows of a long text ([`Encoding::overflowing`]).
    ///
    /// # Errors
    ///
    /// When a row needs padding and there is no padding token, when a row is longer than
    /// [`Padding::MaxLength`], or when a row would be nothing but padding.
    pub fn pad(&self, rows: Vec<Encoding>, options: &BatchOptions) -> Result<BatchEncoding> {
        batch::pad(self, rows, options)
    }

    /// The text of ids, as Python's `tokenizer.decode`: ids outside the vocabulary are left out,
    /// and spaces before punctuation too where `clean_up_tokenization_spaces` says so.
    ///
    /// # Errors
    ///
    /// When the tokenizer's decoder fails, which only a broken file can bring about.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        self.decode_with(ids, skip_special_tokens, self.shared.settings.clean_up_spaces)
    }

    /// As [`decode`](Self::decode), whatever the tokenizer's own `clean_up_tokenization_spaces`.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn decode_with(
        &self,
        ids: &[u32],
        skip_special_tokens: bool,
        clean_up_spaces: bool,
    ) -> Result<String> {
        let text = self.shared.decode(ids, skip_special_tokens)?;
        Ok(match clean_up_spaces {
            true => decode::clean_up_spaces(&text),
            false => text,
        })
    }

    /// Decodes ids one by one, for text that appears while it is generated.
    #[must_use]
    pub fn decode_stream(&self, skip_special_tokens: bool) -> DecodeStream {
        DecodeStream::new(Arc::clone(&self.shared), skip_special_tokens)
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

    /// Refuses ids that a model of so many does not have.
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
    /// When the tokenizer's decoder fails, which only a broken file can bring about.
    pub fn tokens_to_string(&self, tokens: Vec<String>) -> Result<String> {
        self.shared.backend.join(tokens)
    }

    /// Whether the vocabulary marks tokens that continue a word, as WordPiece does with `##`.
    #[must_use]
    pub fn marks_continued_words(&self) -> bool {
        self.shared.backend.marks_continued_words()
    }

    /// Whether the class refuses words given one by one ([`TextInput::Words`]), because they would
    /// lose the spaces that mark their beginnings: RoBERTa's, GPT-2's and their kin without
    /// `add_prefix_space`. Other byte-level tokenizers take the words as they are.
    #[must_use]
    pub fn refuses_words(&self) -> bool {
        self.shared.settings.refuses_words
    }

    /// Whether `token_type_ids` are among the inputs of the model (`model_input_names`). Where they
    /// are not, batches hold zeros, whatever [`Encoding::type_ids`] says.
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

    /// The ids at which an answer ends, ascending: the eos token; of a GGUF file all that llama.cpp ends
    /// an answer at (`llama_vocab_is_eog`), by the file's keys and by the tokens' names. Hub folders
    /// list theirs in `generation_config.json`.
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

    /// More bytes of text than a prompt of so many tokens has, short of one made to swallow
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

    /// The most tokens the model was made for; `None` where the files do not say.
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
