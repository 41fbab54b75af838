//! Sound: audio files, resampling, and what speech models read.
//!
//! [`read`] takes a file to samples, [`AudioReader`] reads one block by block. [The guide](crate::guide::audio) lists
//! formats.

mod aiff_header;
mod conform;
mod container;
mod cut;
mod decoder;
mod ebml;
mod extractor;
mod features;
mod flac;
mod foreign;
mod log_mel;
mod mel;
mod mel_spectrogram;
mod mended;
mod mkv_end;
mod mkv_packing;
mod mp4_edits;
mod mp4_sound;
mod opus;
mod reader;
mod resample;
mod stft;
mod stream;
mod wav;
mod wav_header;
mod window;

pub use crate::media::Audio;
pub use extractor::{
    AstFeatureConfig, AstFeatureExtractor, ChromaFeatureConfig, ChromaFeatureExtractor,
    ClapFeatureConfig, ClapFeatureExtractor, ClapPadding, ClapTruncation, FeatureExtractor,
    SeamlessM4TFeatureConfig, SeamlessM4TFeatureExtractor, Wav2Vec2FeatureConfig,
    Wav2Vec2FeatureExtractor, WhisperFeatureConfig, WhisperFeatureExtractor, WhisperFeatureStream,
};
pub use features::AudioFeatures;
pub(crate) use mel_spectrogram::MelSpectrogram;
pub use reader::{AudioBlock, AudioReader, read, read_bytes};
pub use resample::Resampler;
pub use stft::Stft;
pub use stream::AudioStream;
pub use wav::WavSamples;
