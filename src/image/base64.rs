//! Base64 as Python's `base64.decodebytes` reads it.

/// The bytes; `None` where the text is none. Characters outside the alphabet are passed over.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count, mut pads) = (0_u32, 0, 0);
    for byte in text.bytes() {
        if byte == b'=' {
            pads += 1;
            // Enough of them end the text.
            if count >= 2 && count + pads >= 4 {
                break;
            }
            continue;
        }
        let Some(value) = ALPHABET.iter().position(|&known| known == byte) else { continue };
        pads = 0;
        bits = bits << 6 | value as u32;
        count += 1;
        if count == 4 {
            bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    match count {
        0 => Some(bytes),
        2 if pads >= 2 => {
            bytes.push((bits >> 4) as u8);
            Some(bytes)
        }
        3 if pads >= 1 => {
            bytes.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]);
            Some(bytes)
        }
        _ => None,
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_python_reads_them() {
        for (text, expected) in [
            ("", Some("")),
            ("YQ==", Some("a")),
            ("YWI=", Some("ab")),
            ("YWJj", Some("abc")),
            ("YW\nJj ZA==", Some("abcd")),
            ("YQ==YQ==", Some("a")),
            ("YQ=", None),
            ("YQ", None),
            ("Y", None),
            ("YWI", None),
        ] {
            let found = decode(text);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }
}
