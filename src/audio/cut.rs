//! What a file's samples are without those that its encoder added.

use std::mem;

/// Cuts the samples that an encoder added: its delay at the beginning of the stream, and what fills up the last
/// packets at the end.
///
/// Where the end is, is known when it is there. So samples that may be padding are held back until more sound
/// comes, and then they were none.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// Samples of each channel to leave out before the sound.
    skip: u64,
    held: Vec<f32>,
}

impl Cut {
    pub(super) fn new(skip: u64) -> Self {
        Self { skip, held: Vec::new() }
    }

    /// Cuts a packet's samples, `(samples, channels)`.
    ///
    /// `head` samples of each channel are left out at its beginning. `tail` at its end are padding if no sound
    /// follows. The last `padding` of the stream are padding, in however many packets.
    pub(super) fn apply(&mut self, samples: &mut Vec<f32>, channels: usize, trim: Trim) {
        let frames = samples.len() / channels;
        let head = self.skip.max(trim.head).min(frames as u64);
        self.skip = self.skip.saturating_sub(head);
        samples.drain(..head as usize * channels);
        let sound = samples.len() - trim.tail.min(frames as u64 - head) as usize * channels;
        let waiting = usize::try_from(trim.padding).unwrap_or(usize::MAX).saturating_mul(channels);
        // Sound follows what was held back, or there is so much of it that it is no padding.
        let free = if sound > 0 { self.held.len() + sound } else { 0 };
        self.held.append(samples);
        let free =
            free.saturating_sub(waiting).max(self.held.len().saturating_sub(MOST_HELD * channels));
        let rest = self.held.split_off(free);
        *samples = mem::replace(&mut self.held, rest);
    }
}

/// What is left out of a packet, in samples of each channel.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trim {
    /// At its beginning.
    pub(super) head: u64,
    /// At its end, if the stream ends there.
    pub(super) tail: u64,
    /// At the end of the stream.
    pub(super) padding: u64,
}

/// More than any packet has, of each channel.
const MOST_HELD: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(
        cut: &mut Cut,
        samples: &[f32],
        channels: usize,
        [head, tail, padding]: [u64; 3],
    ) -> Vec<f32> {
        let mut samples = samples.to_vec();
        cut.apply(&mut samples, channels, Trim { head, tail, padding });
        samples
    }

    #[test]
    fn what_may_be_padding_waits_for_the_next_packet() {
        let mut stereo = Cut::new(3);
        assert!(cut(&mut stereo, &[1.0, 2.0, 3.0, 4.0], 2, [0, 0, 0]).is_empty());
        assert_eq!(cut(&mut stereo, &[5.0, 6.0, 7.0, 8.0, 9.0, 10.0], 2, [0, 1, 0]), [7.0, 8.0]);
        // A packet of padding alone, and then sound: all of it was sound.
        assert!(cut(&mut stereo, &[11.0, 12.0], 2, [0, 5, 0]).is_empty());
        assert_eq!(
            cut(&mut stereo, &[13.0, 14.0], 2, [0, 0, 0]),
            [9.0, 10.0, 11.0, 12.0, 13.0, 14.0]
        );
        assert_eq!(cut(&mut stereo, &[15.0, 16.0, 17.0, 18.0], 2, [1, 0, 0]), [17.0, 18.0]);
    }

    #[test]
    fn padding_may_be_longer_than_a_packet() {
        let mut mono = Cut::new(1);
        let found: Vec<_> = (0..5)
            .flat_map(|n| cut(&mut mono, &[n as f32, n as f32 + 0.5], 1, [0, 0, 3]))
            .collect();
        assert_eq!(found, [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut mono = Cut::new(0);
        let sound: usize =
            (0..100).map(|_| cut(&mut mono, &[0.5; 1000], 1, [0, 1000, 0]).len()).sum();
        assert_eq!((sound, mono.held.len()), (100_000 - MOST_HELD, MOST_HELD));
    }
}
