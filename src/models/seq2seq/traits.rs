//! The trait of encoder-decoders that read and write text.

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::heads::Encoder;
use crate::models::traits::{Autoregressive, EncoderTrace};
use crate::nn::cache::KvCache;

/// An encoder-decoder: the encoder reads a text, the source, once; the decoder writes another, and
/// attends to all of the source. `AutoModelForSeq2SeqLM` of transformers.
///
/// [`encode`](Self::encode) makes a cache with a row for each source. After that a model of this kind
/// is used as any other [`Autoregressive`] one: what it appends to the cache are the decoder's tokens,
/// and the first is [`start_id`](Self::start_id).
///
/// ```no_run
/// use sconce::batch::TokenBatch;
/// use sconce::models::{AutoModel, LogitsAt, Seq2SeqLm};
/// use sconce::tokenizer::Tokenizer;
/// use sconce::{LoadOptions, ModelSource};
///
/// # fn main() -> sconce::Result<()> {
/// let files = ModelSource::from("google/flan-t5-small").open()?;
/// let tokenizer = Tokenizer::from_files(&files)?;
/// let model = AutoModel::from_files::<dyn Seq2SeqLm>(&files, &LoadOptions::default())?;
///
/// let source = tokenizer.encode("translate English to German: The house is wonderful.")?;
/// let mut cache = model.encode(&TokenBatch::single(&source.ids)?)?;
/// let mut id = model.start_id().unwrap_or(0);
/// let mut answer = Vec::new();
/// for _ in 0..40 {
///     let logits = model.forward(&TokenBatch::single(&[id])?, &mut cache, LogitsAt::LastToken)?;
///     id = logits.get(0)?.argmax(0)?.to_scalar()?;
///     if id == 1 {
///         break; // </s>
///     }
///     answer.push(id);
/// }
/// println!("{}", tokenizer.decode(&answer, true)?);
/// # Ok(())
/// # }
/// ```
pub trait Seq2SeqLm: Autoregressive {
    /// The encoder, for the hidden states of sources and for how long sources may be
    /// ([`limits`](crate::models::TextModel::limits)). The limits of the model itself are the decoder's.
    fn encoder(&self) -> &dyn Encoder;

    /// Runs the encoder over a batch of sources and returns a cache with a row for each, which holds the
    /// keys and values of the sources and no tokens yet. They are computed once, and shared by what is
    /// made of the rows: [`KvCache::fork`], [`KvCache::select_rows`].
    ///
    /// # Errors
    ///
    /// When an id is outside the vocabulary, a source is empty, or longer than the encoder's context.
    fn encode(&self, sources: &TokenBatch) -> Result<KvCache>;

    /// As [`encode`](Self::encode), with what the encoder's layers have computed of each source, and their
    /// attentions if these are asked for, which take memory with the square of the source.
    ///
    /// # Errors
    ///
    /// As there, and when the encoder does not show its hidden states: that is what is provided here.
    fn encode_traced(
        &self,
        sources: &TokenBatch,
        attentions: bool,
    ) -> Result<(KvCache, Vec<EncoderTrace>)> {
        let option = if attentions { "output_attentions" } else { "output_hidden_states" };
        let (rows, reason) = (sources.rows(), "this model does not show what its encoder computes");
        Err(Error::option(option, format!("{reason} of {rows} sources")))
    }

    /// An empty cache without sources: for [`KvCache::load`], or to [admit](KvCache::admit) rows to.
    fn new_cache(&self) -> KvCache;

    /// The first token of the decoder, `decoder_start_token_id` of the config. `None` where the caller
    /// chooses it: mBART begins with the language of its answer.
    fn start_id(&self) -> Option<u32>;
}
