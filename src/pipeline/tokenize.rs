//! From a text to a row of the model, with nothing cut in silence.

use serde_json::Value;

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::fields::options;
use crate::models::{ModelLimits, TextModel};
use crate::pipeline::flow::Measured;
use crate::tokenizer::{
    EncodeOptions, Encoding, TextInput, Tokenizer, Truncation, TruncationStrategy, Unfit,
};

options! {
    /// How texts become tokens: the keyword arguments of Python's tokenizers that pipelines pass on.
    TokenizerOptions {
        /// Whether special tokens are put around a text. Default: `true`.
        add_special_tokens: bool,
        /// The most tokens of a row. Default: the tokenizer's `model_max_length`, or what the model
        /// can read. Given without `truncation`, it turns that on, as in transformers.
        max_length: usize,
        /// Accepted and not needed: rows are padded as batches need it, and padding changes no result.
        padding: Value,
        /// Which text is cut where a row is too long. Default: none, and a row longer than the model is
        /// an error.
        truncation: TruncationStrategy,
    }
}

/// Makes rows of texts for one call.
pub(super) struct Rows {
    tokenizer: Tokenizer,
    /// What the model reads.
    limits: ModelLimits,
    options: TokenizerOptions,
}

impl Rows {
    pub(super) fn new(
        tokenizer: &Tokenizer,
        model: &(impl TextModel + ?Sized),
        options: Option<&TokenizerOptions>,
    ) -> Self {
        let options = options.cloned().unwrap_or_default();
        Self { tokenizer: tokenizer.clone(), limits: model.limits(), options }
    }

    /// As [`new`](Self::new), for a model that reads texts beside something else.
    #[cfg(feature = "image")]
    pub(super) fn with_limits(
        tokenizer: &Tokenizer,
        limits: ModelLimits,
        options: TokenizerOptions,
    ) -> Self {
        Self { tokenizer: tokenizer.clone(), limits, options }
    }

    /// The row of one text or pair. What is cut off is its `overflowing`.
    pub(super) fn row(&self, input: TextInput<'_>) -> Result<Encoding, Unfit> {
        let default = match self.options.max_length {
            Some(_) => TruncationStrategy::LongestFirst,
            None => TruncationStrategy::DoNotTruncate,
        };
        let mut row = self.windows(input, self.options.truncation.unwrap_or(default), 0)?;
        let rest = row.split_off(1);
        let mut first = row.swap_remove(0);
        first.overflowing = rest;
        Ok(first)
    }

    /// The row of one text or pair, however long.
    pub(super) fn whole(&self, input: TextInput<'_>) -> Result<Encoding, Unfit> {
        Ok(self.windows(input, TruncationStrategy::DoNotTruncate, 0)?.swap_remove(0))
    }

    /// The windows of a text, `stride` tokens of which overlap.
    pub(super) fn windows(
        &self,
        input: TextInput<'_>,
        strategy: TruncationStrategy,
        stride: usize,
    ) -> Result<Vec<Encoding>, Unfit> {
        let special = self.options.add_special_tokens.unwrap_or(true);
        let cut = Truncation::to(self.longest()).strategy(strategy).stride(stride);
        let encode = EncodeOptions::default().add_special_tokens(special).truncation(cut);
        let mut first = self.tokenizer.fit(input, &encode)?;
        let rest = std::mem::take(&mut first.overflowing);
        let mut windows: Vec<_> = std::iter::once(first).chain(rest).collect();
        if !self.tokenizer.returns_type_ids() {
            // Models of one type have no other; the tokenizers crate numbers the second text of all
            // windows but the first 1, whatever the template says.
            windows.iter_mut().for_each(|window| window.type_ids.fill(0));
        }
        windows.iter().try_for_each(|window| self.check(window))?;
        Ok(windows)
    }

    /// Refuses a row that is empty, longer than the model reads, or not of its vocabulary.
    pub(super) fn check(&self, row: &Encoding) -> Result<(), Unfit> {
        let (tokens, limit) = (row.len(), self.limits.context);
        if tokens == 0 {
            return Err(Error::input("the text is empty: it has no tokens").into());
        }
        if tokens > limit {
            return Err(Unfit::TooLong(format!(
                "a text of {tokens} tokens is longer than the {limit} that the model reads: set \
                 `truncation` to cut it, or split it"
            )));
        }
        Ok(self.tokenizer.check_known(&row.ids, self.limits.vocab)?)
    }

    /// The most tokens of a row that may be cut.
    pub(super) fn longest(&self) -> usize {
        let context = self.limits.context;
        let default = || self.tokenizer.model_max_length().unwrap_or(context).min(context);
        self.options.max_length.unwrap_or_else(default)
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

impl Measured for Encoding {
    fn length(&self) -> usize {
        self.len()
    }

    fn is_cut(&self) -> bool {
        !self.overflowing.is_empty()
    }
}

/// Rows padded on the right. Padding is masked, so its id does not matter.
pub(super) fn token_batch(rows: &[&Encoding]) -> Result<TokenBatch> {
    let ids: Vec<Vec<u32>> = rows.iter().map(|row| row.ids.clone()).collect();
    let batch = TokenBatch::padded(&ids, 0, PaddingSide::Right)?;
    let mut types = Vec::with_capacity(batch.ids().len());
    for row in rows {
        types.extend(&row.type_ids);
        types.extend(std::iter::repeat_n(0, batch.tokens() - row.len()));
    }
    batch.with_type_ids(types)
}
