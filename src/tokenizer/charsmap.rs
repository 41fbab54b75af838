//! SentencePiece's compiled normalization tables, checked before they are trusted.
//!
//! The reader in the tokenizers crate allocates on the table's word and follows its links without
//! looking. A table is a number of bytes, that many bytes of a double-array trie, and texts ended
//! by zeros; see `sentencepiece/src/normalizer.cc`, `Normalizer::DecodePrecompiledCharsMap`.

use serde_json::Value;
use tokenizers::normalizers::Precompiled;

/// Checks every `precompiled_charsmap` in a part of `tokenizer.json`.
pub(super) fn check_charsmaps(part: &Value) -> Result<(), String> {
    match part {
        Value::Array(parts) => parts.iter().try_for_each(check_charsmaps),
        Value::Object(parts) => parts.iter().try_for_each(|(key, value)| match value {
            Value::String(base64) if key == "precompiled_charsmap" => {
                let head =
                    decode_head(base64).ok_or("has a precompiled_charsmap that is no base64")?;
                check_length(head, base64.len() / 4 * 3)
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
    let head = table.first_chunk::<4>().ok_or("has a precompiled_charsmap of under four bytes")?;
    check_length(u32::from_le_bytes(*head), table.len())?;
    Precompiled::from(table).map(Some).map_err(|error| error.to_string())
}

fn check_length(trie: u32, bytes: usize) -> Result<(), String> {
    if trie as usize > bytes.saturating_sub(4) {
        return Err(format!(
            "has a precompiled_charsmap of {bytes} bytes whose trie would take {trie}"
        ));
    }
    Ok(())
}

/// The first four bytes of a base64 text, as a little-endian number.
fn decode_head(base64: &str) -> Option<u32> {
    let digits = base64.as_bytes().first_chunk::<6>()?;
    let bits = digits.iter().try_fold(0_u64, |bits, &digit| {
        let digit = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        Some(bits << 6 | u64::from(digit))
    })?;
    // 36 bits, of which the first 32 count.
    Some(((bits >> 4) as u32).swap_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_that_promises_more_than_it_holds_is_refused() {
        assert_eq!(decode_head("AQIDBA=="), Some(0x0403_0201));
        assert!(check_charsmaps(&json!({"precompiled_charsmap": "////fwAAAAA="})).is_err());
        assert!(check_charsmaps(&json!([{"precompiled_charsmap": "!"}])).is_err());
        assert!(normalizer(&[255, 255, 255, 127, 0]).is_err());
        assert!(normalizer(&[]).unwrap().is_none());
    }
}
