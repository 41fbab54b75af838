//! SentencePiece's compiled normalization tables, checked before they are trusted.
//!
//! The reader in the tokenizers crate allocates on the table's word, follows its links without looking,
//! and puts a text of any length for a character. A table is a number of bytes, that many bytes of a double-array trie, and texts ended
//! by zeros; see `sentencepiece/src/normalizer.cc`, `Normalizer::DecodePrecompiledCharsMap`.

use serde_json::Value;
use tokenizers::normalizers::Precompiled;

use crate::base64;

/// Checks every `precompiled_charsmap` in a part of `tokenizer.json`.
pub(super) fn check_charsmaps(part: &Value) -> Result<(), String> {
    match part {
        Value::Array(parts) => parts.iter().try_for_each(check_charsmaps),
        Value::Object(parts) => parts.iter().try_for_each(|(key, value)| match value {
            Value::String(text) if key == "precompiled_charsmap" => {
                let table =
                    base64::decode(text).ok_or("has a precompiled_charsmap that is not base64")?;
                check(&table)
            }
            value => check_charsmaps(value),
        }),
        _ => Ok(()),
    }
}

/// The normalizer that a table describes; none where the table is empty.
pub(super) fn normalizer(table: &[u8]) -> Result<Option<Precompiled>, String> {
    if table.is_empty() {
        return Ok(None);
    }
    check(table)?;
    Precompiled::from(table).map(Some).map_err(|error| error.to_string())
}

fn check(table: &[u8]) -> Result<(), String> {
    split(table).map(drop)
}

/// The bytes of a table's trie, and its texts.
pub(super) fn split(table: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let (length, rest) =
        table.split_first_chunk().ok_or("has a precompiled_charsmap of under four bytes")?;
    let trie = u32::from_le_bytes(*length) as usize;
    let (trie, texts) = rest.split_at_checked(trie).ok_or_else(|| {
        let bytes = table.len();
        format!("has a precompiled_charsmap of {bytes} bytes whose trie would take {trie}")
    })?;
    match texts.split(|&byte| byte == 0).map(<[u8]>::len).max() {
        Some(longest) if longest > MOST_TEXT => Err(format!(
            "has a precompiled_charsmap that makes {longest} bytes of a character; {MOST_TEXT} is the limit"
        )),
        _ => Ok((trie, texts)),
    }
}

/// The longest text that stands for one character. Unicode's longest takes 33 bytes.
const MOST_TEXT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_that_promises_more_than_it_holds_is_refused() {
        assert!(check_charsmaps(&json!({"precompiled_charsmap": "////fwAAAAA="})).is_err());
        assert!(check_charsmaps(&json!([{"precompiled_charsmap": "!"}])).is_err());
        assert!(normalizer(&[255, 255, 255, 127, 0]).is_err());
        assert!(normalizer(&[]).unwrap().is_none());
        let table = |length| [&[0; 4], vec![b'a'; length].as_slice()].concat();
        assert!(normalizer(&table(64)).is_ok());
        assert!(normalizer(&table(65)).unwrap_err().contains("64 is the limit"));
    }
}
