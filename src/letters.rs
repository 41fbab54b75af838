//! The letters in which byte-level vocabularies are written.

/// The character that stands for each byte in a vocabulary: itself where it is printable, and else one
/// from 256 on. `bytes_to_unicode` of GPT-2.
pub(crate) fn letters() -> Vec<char> {
    let mut unseen = (256..).filter_map(char::from_u32);
    (0..=u8::MAX)
        .map(|byte| match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => unseen.next().unwrap_or_default(),
        })
        .collect()
}
