//! From a text to a row of the model, with nothing cut in silence.

use serde_json::Value;

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::fields::options;
use crate::models::{ModelLimits, TextModel};
use crate::pipeline::flow::Measured;
use crate::tokenizer::{
    EncodeOptions, Encoding, TextInput, Tokenizer, Truncation, TruncationStrategy, Unfit, Windows,
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

    /// The row of one text or pair. Where it is cut, the next part is its `overflowing`.
    pub(super) fn row(&self, input: TextInput<'_>) -> Result<Encoding, Unfit> {
        let default = match self.options.max_length {
            Some(_) => TruncationStrategy::LongestFirst,
            None => TruncationStrategy::DoNotTruncate,
        };
        let mut windows = self.windows(input, self.options.truncation.unwrap_or(default), 0)?;
        let mut first = windows.first()?;
        // Enough to tell that the text is cut.
        first.overflowing = windows.next().transpose()?.into_iter().collect();
        Ok(first)
    }

    /// The row of one text or pair, however long.
    pub(super) fn whole(&self, input: TextInput<'_>) -> Result<Encoding, Unfit> {
        Ok(self.windows(input, TruncationStrategy::DoNotTruncate, 0)?.first()?)
    }

    /// The windows of a text, `stride` tokens of which overlap. The first, which is the longest, is checked now.
    pub(super) fn windows(
        &self,
        input: TextInput<'_>,
        strategy: TruncationStrategy,
        stride: usize,
    ) -> Result<RowWindows, Unfit> {
        let special = self.options.add_special_tokens.unwrap_or(true);
        let cut = Truncation::to(self.longest()).strategy(strategy).stride(stride);
        let encode = EncodeOptions::default().add_special_tokens(special).truncation(cut);
        let mut windows = RowWindows {
            windows: self.tokenizer.windows(input, &encode)?,
            tokenizer: self.tokenizer.clone(),
            limits: self.limits,
            first: None,
        };
        windows.first = windows.checked()?;
        Ok(windows)
    }

    /// Refuses a row that is empty, longer than the model reads, or not of its vocabulary.
    pub(super) fn check(&self, row: &Encoding) -> Result<(), Unfit> {
        check(&self.tokenizer, self.limits, row)
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

/// The rows of a text, made one by one.
pub(super) struct RowWindows {
    windows: Windows,
    tokenizer: Tokenizer,
    limits: ModelLimits,
    /// Made already.
    first: Option<Encoding>,
}

impl RowWindows {
    /// The next ones, as many as make some batches; none at the end.
    pub(super) fn some(&mut self) -> Result<Vec<Encoding>> {
        let (mut rows, mut tokens) = (Vec::new(), 0);
        while tokens < SOME_TOKENS
            && let Some(row) = self.next().transpose()?
        {
            tokens += row.len();
            rows.push(row);
        }
        Ok(rows)
    }

    fn first(&mut self) -> Result<Encoding> {
        self.next().unwrap_or_else(|| Err(Error::input("the text has no tokens")))
    }

    fn checked(&mut self) -> Result<Option<Encoding>, Unfit> {
        let Some(mut row) = self.windows.next().transpose()? else { return Ok(None) };
        if !self.tokenizer.returns_type_ids() {
            // Models of one type have no other; the tokenizers crate numbers the second text of all
            // windows but the first 1, whatever the template says.
            row.type_ids.fill(0);
        }
        check(&self.tokenizer, self.limits, &row)?;
        Ok(Some(row))
    }
}

impl Iterator for RowWindows {
    type Item = Result<Encoding>;

    fn next(&mut self) -> Option<Result<Encoding>> {
        match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => self.checked().map_err(Error::from).transpose(),
        }
    }
}

fn check(tokenizer: &Tokenizer, limits: ModelLimits, row: &Encoding) -> Result<(), Unfit> {
    let (tokens, limit) = (row.len(), limits.context);
    if tokens == 0 {
        return Err(Error::input("the text is empty: it has no tokens").into());
    }
    if tokens > limit {
        return Err(Unfit::TooLong(format!(
            "a text of {tokens} tokens is longer than the {limit} that the model reads: set \
             `truncation` to cut it, or split it"
        )));
    }
    Ok(tokenizer.check_known(&row.ids, limits.vocab)?)
}

/// Of the windows of a text, as many tokens are in memory at once.
const SOME_TOKENS: usize = 1 << 14;

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
