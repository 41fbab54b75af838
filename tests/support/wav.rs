//! Wav files, also such that lie.

/// The header of a wav file and what follows. `format` 1: integers, 3: floating point.
pub(crate) fn wav(
    format: u16,
    channels: u16,
    rate: u32,
    bits: u16,
    stated: u32,
    data: &[u8],
) -> Vec<u8> {
    let frame = channels.saturating_mul(bits / 8);
    let mut wav = b"RIFF".to_vec();
    wav.extend(stated.saturating_add(36).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0");
    wav.extend(format.to_le_bytes());
    wav.extend(channels.to_le_bytes());
    wav.extend(rate.to_le_bytes());
    wav.extend(rate.wrapping_mul(frame.into()).to_le_bytes());
    wav.extend(frame.to_le_bytes());
    wav.extend(bits.to_le_bytes());
    wav.extend(b"data");
    wav.extend(stated.to_le_bytes());
    wav.extend(data);
    wav
}
