//! Base64 without anything else between its digits.

/// The bytes; `None` where there is another character. Padding may be left out.
pub(crate) fn decode(base64: &str) -> Option<Vec<u8>> {
    let digits = base64.trim_end_matches('=').bytes().map(|digit| {
        Some(match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    });
    let digits = digits.collect::<Option<Vec<_>>>()?;
    let bytes = digits.chunks(4).flat_map(|digits| {
        let bits = digits.iter().fold(0_u32, |bits, &digit| bits << 6 | u32::from(digit));
        let bits = bits << (6 * (4 - digits.len()) + 8);
        bits.to_be_bytes().into_iter().take(digits.len() * 3 / 4)
    });
    Some(bytes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_may_be_left_out() {
        for (base64, bytes) in
            [("", &[][..]), ("AQ==", &[1]), ("AQI=", &[1, 2]), ("AQIDBA", &[1, 2, 3, 4])]
        {
            assert_eq!(decode(base64).unwrap(), bytes);
        }
        assert!(decode("A*==").is_none());
    }
}
