//! Wav files are written.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};

use crate::error::{Error, Result};
use crate::media::Audio;

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WavSamples {
    /// 16-bit integers, which every program reads: values are multiplied by 32,768, rounded and kept within
    /// -32,768 to 32,767, as soundfile does.
    #[default]
    Int16,
    /// 32-bit floating point: exactly what is in memory.
    Float32,
}

impl Audio {
    /// Writes a file of 16 bits, over an older one if there is one: FLAC where its name ends in `.flac`, else wav.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or would be longer than the 4 GiB that a wav file can be, or as
    /// [`write_flac`](Self::write_flac).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let file = File::create(path).map_err(Error::write(path))?;
        let is_flac = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("flac"));
        let file = BufWriter::new(file);
        let written =
            if is_flac { self.write_flac(file) } else { self.write(file, WavSamples::Int16) };
        written.map_err(|error| Error::write(path)(error))
    }

    /// Writes a wav file to anything that can be written to and rewound, such as a file or a
    /// [`Cursor`](io::Cursor).
    ///
    /// # Errors
    ///
    /// When writing fails, or the file would be longer than the 4 GiB that a wav file can be.
    pub fn write(&self, to: impl Write + Seek, samples: WavSamples) -> io::Result<()> {
        let (bits_per_sample, sample_format) = match samples {
            WavSamples::Int16 => (16, SampleFormat::Int),
            WavSamples::Float32 => (32, SampleFormat::Float),
        };
        let bytes = self.samples.len() as u64 * u64::from(bits_per_sample / 8);
        if bytes > MOST_BYTES {
            return Err(io::Error::other("a wav file has at most 4 GiB: write the sound in parts"));
        }
        let spec = WavSpec {
            channels: 1,
            sample_rate: self.sampling_rate,
            bits_per_sample,
            sample_format,
        };
        let mut writer = WavWriter::new(to, spec).map_err(io_error)?;
        for sample in &self.samples {
            match samples {
                WavSamples::Int16 => writer.write_sample(sixteen_bits(*sample)),
                WavSamples::Float32 => writer.write_sample(*sample),
            }
            .map_err(io_error)?;
        }
        writer.finalize().map_err(io_error)
    }
}

/// A sample as an integer of 16 bits, kept within what there is.
pub(super) fn sixteen_bits(sample: f32) -> i16 {
    (sample * 32_768.0).round_ties_even() as i16
}

fn io_error(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        error => io::Error::other(error),
    }
}

/// 4 GiB, and room for the headers.
const MOST_BYTES: u64 = u32::MAX as u64 - 1_024;
