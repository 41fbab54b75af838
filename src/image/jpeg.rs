//! Whether a JPEG file is whole.

/// Whether the end of the image is there; a decoder fills what is missing with grey without a word. Segments are passed
/// over, because a preview inside one has an end of its own.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // In data of pixels a byte of all ones is followed by 0, or is a restart.
        let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xFF))
        else {
            return false;
        };
        at += found + 1;
        match bytes.get(at) {
            None => return false,
            Some(0xD9) => return true,
            Some(0x00 | 0x01 | 0xD0..=0xD8) => at += 1,
            Some(0xFF) => {}
            Some(_) => {
                let Some(&[high, low]) = bytes.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_inside_segments_do_not_count() {
        let segment = [0xFF, 0xE1, 0, 6, 0xFF, 0xD9, 1, 2];
        let mut file = vec![0xFF, 0xD8];
        file.extend(segment);
        file.extend([0xFF, 0xDA, 0, 2, 5, 0xFF, 0, 0xFF, 0xD0, 7]);
        assert!(!is_whole(&file));
        file.extend([0xFF, 0xFF, 0xD9]);
        assert!(is_whole(&file));
        assert!(
            !is_whole(&[])
                && !is_whole(&[0xFF, 0xD8, 0xFF])
                && !is_whole(&[0xFF, 0xD8, 0xFF, 0xE0])
        );
    }
}
