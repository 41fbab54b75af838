//! In place of what makes phonemes of English texts, in builds without the feature `g2p`.

use crate::error::{Error, Result};
use crate::speech::kokoro_tokenizer::cut::Token;

pub(super) fn tokens(_text: &str, _is_british: bool) -> Result<Vec<Token>> {
    Err(Error::FeatureDisabled { feature: "g2p" })
}
