//! From a packet of a container to samples.

use std::fmt;
use std::io::ErrorKind;

use symphonia::core::audio::Channels;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3, CODEC_ID_OPUS, CODEC_ID_VORBIS,
};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;

use crate::audio::opus::{self, Opus, OpusHead};
use crate::quiet::caught;

/// The decoder of a track.
pub(super) enum Decoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Opus),
}

/// What a track is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sound {
    pub(super) sampling_rate: u32,
    pub(super) channels: usize,
}

impl Decoder {
    /// The decoder of a track, and how many samples it gives before the sound, as far as the codec says so.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(super) fn new(track: &Track, is_mp4: bool) -> Result<(Self, u64), Failure> {
        let broken = |reason: &str| Failure::Other(reason.to_owned());
        let parameters =
            audio(track).ok_or_else(|| broken("the audio track does not say what it holds"))?;
        if parameters.codec == CODEC_ID_OPUS {
            let head = parameters.extra_data.as_deref().unwrap_or_default();
            let head =
                OpusHead::parse(head, is_mp4).ok_or_else(|| broken("Opus without its header"))?;
            let decoder = Opus::new(&head)
                .ok_or_else(|| broken("the header of its Opus stream is broken"))?;
            // In an mp4, the edit list says it.
            let skip = if is_mp4 { 0 } else { u64::from(head.pre_skip) };
            return Ok((Self::Opus(decoder), skip));
        }
        let codecs = symphonia::default::get_codecs();
        if codecs.get_audio_decoder(parameters.codec).is_none() {
            return Err(broken(&format!(
                "its sound is of a codec that cannot be decoded here: {CONVERT}"
            )));
        }
        // Symphonia makes a mixture of noise and sound of them.
        let channels = vorbis_channels(parameters.extra_data.as_deref().unwrap_or_default())
            .unwrap_or_else(|| parameters.channels.as_ref().map_or(0, Channels::count));
        if parameters.codec == CODEC_ID_VORBIS && channels > 2 {
            return Err(broken(&format!("its sound is Vorbis of {channels} channels: {CONVERT}")));
        }
        let core = aac_core(parameters);
        let decoder = guarded(|| {
            codecs.make_audio_decoder(
                core.as_ref().unwrap_or(parameters),
                &AudioDecoderOptions::default(),
            )
        });
        let decoder = decoder.map_err(|failure| match failure {
            Failure::Error(SymphoniaError::Unsupported(what)) => {
                broken(&format!("its sound cannot be decoded here ({what}): {CONVERT}"))
            }
            failure => failure,
        })?;
        Ok((Self::Symphonia(decoder), 0))
    }

    /// What the track says it is; decoding may show something else.
    pub(super) fn sound(&self, track: &Track) -> Option<Sound> {
        match self {
            Self::Opus(opus) => {
                Some(Sound { sampling_rate: opus::SAMPLING_RATE, channels: opus.channels })
            }
            Self::Symphonia(_) => {
                let parameters = audio(track)?;
                let channels = parameters.channels.as_ref()?.count();
                Some(Sound { sampling_rate: parameters.sample_rate?, channels })
            }
        }
    }

    /// Decodes a packet that could not be decoded, where that is because the sound has become another: files of mp3 are
    /// joined end to end.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub(super) fn decode_changed(
        &mut self,
        packet: &Packet,
        samples: &mut Vec<f32>,
        before: Sound,
    ) -> Result<Sound, Failure> {
        let Self::Symphonia(decoder) = self else { return Err(Failure::Lost) };
        let parameters = decoder.codec_params();
        if ![CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3].contains(&parameters.codec) {
            return Err(Failure::Lost);
        }
        let options = AudioDecoderOptions::default();
        let codecs = symphonia::default::get_codecs();
        let new = guarded(|| codecs.make_audio_decoder(parameters, &options))?;
        let mut new = Self::Symphonia(new);
        let sound = new.decode(packet, samples)?;
        if sound == before {
            return Err(Failure::Lost);
        }
        *self = new;
        Ok(sound)
    }

    /// Decodes a packet into `samples`, `(samples, channels)`.
    ///
    /// # Errors
    ///
    /// Why not. After [`Failure::Lost`], the next packet can be decoded.
    pub(super) fn decode(
        &mut self,
        packet: &Packet,
        samples: &mut Vec<f32>,
    ) -> Result<Sound, Failure> {
        let decoded = guarded(|| match self {
            Self::Opus(decoder) => {
                decoder.decode(&packet.data, samples).map_err(SymphoniaError::DecodeError)?;
                Ok(Sound { sampling_rate: opus::SAMPLING_RATE, channels: decoder.channels })
            }
            Self::Symphonia(decoder) => {
                let decoded = decoder.decode(packet)?;
                decoded.copy_to_vec_interleaved(samples);
                let (spec, channels) = (decoded.spec(), decoded.num_planes());
                Ok(Sound { sampling_rate: spec.rate(), channels })
            }
        });
        decoded.map_err(|failure| match failure {
            Failure::Error(SymphoniaError::DecodeError(_) | SymphoniaError::IoError(_)) => {
                Failure::Lost
            }
            failure => failure,
        })
    }
}

/// The parameters of the core of HE-AAC, plain AAC at half the sampling rate, where they are stated around it.
/// Symphonia decodes no more than that; it has what speech has.
fn aac_core(parameters: &AudioCodecParameters) -> Option<AudioCodecParameters> {
    const LC: u16 = 2;
    const SBR: u16 = 5;
    const PARAMETRIC_STEREO: u16 = 29;
    if parameters.codec != CODEC_ID_AAC {
        return None;
    }
    // Five bits of the kind, four of the sampling rate, four of the channels, three that LC has.
    let bits = u16::from_be_bytes(*parameters.extra_data.as_deref()?.first_chunk()?);
    let options = match bits >> 11 {
        LC => bits & 7,
        SBR | PARAMETRIC_STEREO => 0,
        _ => return None,
    };
    let rate = bits >> 7 & 0xF;
    if rate == 0xF {
        return None;
    }
    let core = LC << 11 | bits & 0x7F8 | options;
    let mut parameters = parameters.clone();
    parameters.with_extra_data(Box::new(core.to_be_bytes()));
    Some(parameters)
}

/// The parameters of a track of sound.
pub(super) fn audio(track: &Track) -> Option<&AudioCodecParameters> {
    match track.codec_params.as_ref()? {
        CodecParameters::Audio(parameters) => Some(parameters),
        _ => None,
    }
}

/// Why a call into a decoder or demuxer gave nothing.
#[derive(Debug)]
pub(super) enum Failure {
    Error(SymphoniaError),
    /// What is wrong, found here.
    Other(String),
    /// The packet could not be decoded.
    Lost,
    /// It panicked, and must not be called again.
    Panic,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(SymphoniaError::IoError(error))
                if error.kind() == ErrorKind::UnexpectedEof =>
            {
                f.write_str("the file breaks off")
            }
            Self::Error(error) => error.fmt(f),
            Self::Other(reason) => f.write_str(reason),
            Self::Lost => f.write_str("a packet could not be decoded"),
            Self::Panic => f.write_str("the decoder panicked on the file, which must be damaged"),
        }
    }
}

impl From<SymphoniaError> for Failure {
    fn from(error: SymphoniaError) -> Self {
        Self::Error(error)
    }
}

/// Calls into decoders and demuxers, which other people's files reach first: what panics there is one more way in
/// which a file is broken. The caller drops what panicked.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, SymphoniaError>) -> Result<T, Failure> {
    caught(call).map_err(|_| Failure::Panic)?.map_err(Failure::Error)
}

/// What to do about a codec.
pub(super) const CONVERT: &str = "convert the file, such as with `ffmpeg -i FILE -vn sound.flac`";

/// The channels that a Vorbis stream's own header tells of: those of a container may be others.
fn vorbis_channels(headers: &[u8]) -> Option<usize> {
    let start = headers.windows(7).position(|bytes| bytes == b"\x01vorbis")?;
    // Behind its version.
    headers.get(start + 11).copied().map(usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_of_vorbis_are_those_of_its_header() {
        // In Matroska, behind the lengths of the headers.
        assert_eq!(vorbis_channels(b"\x02\x1e\x40\x01vorbis\0\0\0\0\x03\x44\xac\0\0"), Some(3));
        assert_eq!(vorbis_channels(b"\x01vorbis\0\0\0\0\x02\x44\xac\0\0"), Some(2));
        assert_eq!(vorbis_channels(b"\x01vorbis\0\0\0\0"), None);
        assert_eq!(vorbis_channels(b""), None);
    }
}
