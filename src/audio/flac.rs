//! FLAC files are written: half the bytes of a wav file, and the same samples.

use std::io::{self, Write};

use flacenc::bitsink::ByteSink;
use flacenc::component::BitRepr;
use flacenc::config::Encoder;
use flacenc::error::Verify;
use flacenc::source::MemSource;

use crate::audio::wav::sixteen_bits;
use crate::media::Audio;

impl Audio {
    /// Writes a FLAC file of 16 bits, with the samples that [`write`](Self::write) writes as
    /// [`Int16`](crate::audio::WavSamples::Int16).
    ///
    /// # Errors
    ///
    /// When writing fails, or there are more than 96,000 samples per second.
    pub fn write_flac(&self, mut to: impl Write) -> io::Result<()> {
        if self.sampling_rate > MOST_RATE {
            return Err(io::Error::other(format!(
                "{} samples per second, of at most {MOST_RATE} in a FLAC file: resample, or write a wav file",
                self.sampling_rate
            )));
        }
        let samples: Vec<i32> = self.samples.iter().map(|&x| sixteen_bits(x).into()).collect();
        let config = Encoder::default().into_verified().map_err(|(_, error)| other(error))?;
        let source = MemSource::from_samples(&samples, 1, 16, self.sampling_rate as usize);
        drop(samples);
        let block = config.block_size;
        let mut stream =
            flacenc::encode_with_fixed_block_size(&config, source, block).map_err(other)?;
        // The last block, which may be shorter, does not count. The encoder writes the shortest of all.
        stream.stream_info_mut().set_block_sizes(block, block).map_err(other)?;
        let mut sink = ByteSink::new();
        stream.write(&mut sink).map_err(other)?;
        to.write_all(sink.as_slice())?;
        to.flush()
    }
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// Samples per second.
const MOST_RATE: u32 = 96_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{WavSamples, read, read_bytes};

    #[test]
    fn what_is_written_is_read_again() -> crate::Result<()> {
        let folder = tempfile::tempdir().unwrap();
        for (count, rate) in [(1, 8_000), (5_000, 24_000), (70_001, 44_100), (0, 16_000)] {
            let wave =
                |at: usize| ((at * at % 977) as f32 / 977.0 - 0.5) * (at as f32 * 0.02).sin();
            let mut samples: Vec<f32> = (0..count).map(wave).collect();
            if let Some(first) = samples.first_mut() {
                *first = 1.5;
            }
            let audio = Audio::new(samples, rate)?;
            let path = folder.path().join("sound.FLAC");
            audio.save(&path)?;
            let mut wav = io::Cursor::new(Vec::new());
            audio.write(&mut wav, WavSamples::Int16).unwrap();
            if count == 0 {
                continue;
            }
            let (flac, wav) = (read(&path)?, read_bytes(&wav.into_inner())?);
            assert_eq!(flac, wav, "{count} samples");
        }
        let fast = Audio::new(vec![0.0], 192_000)?;
        assert!(fast.save(folder.path().join("fast.flac")).is_err());
        assert!(fast.save(folder.path().join("fast.wav")).is_ok());
        Ok(())
    }
}
