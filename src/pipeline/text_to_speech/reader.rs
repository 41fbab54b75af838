//! From texts to what models that speak read.

use crate::error::{Error, Result};
use crate::pipeline::text_to_speech::output::SpokenSpan;
use crate::pipeline::text_to_text::sentences::parts;
use crate::source::ModelFiles;
use crate::speech::{KokoroTokenizer, SpokenIds, VitsTokenizer, XttsTokenizer};
use crate::tokenizer::CharacterTokenizer;

/// Turns texts into the ids of a model that speaks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SpeechReader {
    /// An id for each character, and one for the end: SpeechT5.
    Characters(CharacterTokenizer),
    /// An id for each phoneme, between zeros: Kokoro.
    Kokoro(KokoroTokenizer),
    /// An id for each character: VITS and MMS-TTS.
    Vits(VitsTokenizer),
    /// Pieces of words, in one of several languages: XTTS.
    Xtts(XttsTokenizer),
}

impl SpeechReader {
    /// Reads the tokenizer of a model that speaks.
    ///
    /// # Errors
    ///
    /// When a file is missing or malformed.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        Ok(match files.optional("spm_char.model")? {
            Some(_) => Self::Characters(CharacterTokenizer::from_files(files)?),
            None if has_own_config(files)? => Self::Kokoro(KokoroTokenizer::from_files(files)?),
            None => Self::Vits(VitsTokenizer::from_files(files)?),
        })
    }

    /// The ids of a text, or of phonemes, for a voice that is chosen by name: one after the other where the model
    /// reads less at once, and at least one.
    ///
    /// # Errors
    ///
    /// When the voice does not read such.
    pub fn read(
        &self,
        text: &str,
        is_phonemes: bool,
        voice: Option<&str>,
    ) -> Result<Vec<SpokenIds>> {
        self.read_in(text, is_phonemes, voice, None)
    }

    /// As [`read`](Self::read), in one of the languages of a voice that speaks several.
    ///
    /// # Errors
    ///
    /// As there, and where the voice does not speak the language, or none is given: the error lists those that there
    /// are.
    pub fn read_in(
        &self,
        text: &str,
        is_phonemes: bool,
        voice: Option<&str>,
        language: Option<&str>,
    ) -> Result<Vec<SpokenIds>> {
        let read = match self {
            Self::Kokoro(tokenizer) if is_phonemes => return Ok(tokenizer.encode_phonemes(text)),
            Self::Kokoro(tokenizer) => return tokenizer.encode(text, voice),
            Self::Xtts(_) if is_phonemes => {
                return Err(Error::option("phonemes", "this voice reads letters"));
            }
            Self::Xtts(tokenizer) => tokenizer.read(text, spoken(tokenizer, language)?)?,
            Self::Characters(_) if is_phonemes => {
                return Err(Error::option("phonemes", "this voice reads letters"));
            }
            Self::Characters(tokenizer) => {
                let (ids, unknown) = tokenizer.encode(text)?;
                SpokenIds::new(ids, unknown)
            }
            Self::Vits(tokenizer) if is_phonemes => tokenizer.encode_phonemes(text)?,
            Self::Vits(tokenizer) => tokenizer.encode(text)?,
        };
        Ok(vec![read])
    }

    /// When words, and letters or phonemes, are heard, of the samples of each id. Samples are counted from `start`.
    pub(super) fn times(
        &self,
        read: &SpokenIds,
        durations: &[usize],
        start: usize,
    ) -> [Vec<SpokenSpan>; 2] {
        let mut ends = vec![start];
        let mut end = start;
        for &samples in durations {
            end += samples;
            ends.push(end);
        }
        let place = |at: usize| ends.get(at).copied().unwrap_or(end);
        let symbols = read.symbols.iter().enumerate().filter_map(|(at, symbol)| {
            let text = symbol.filter(|symbol| !symbol.is_whitespace())?.to_string();
            Some(SpokenSpan { text, start: place(at), end: place(at + 1) })
        });
        let symbols = symbols.collect();
        let words = match self {
            Self::Kokoro(_) => {
                let times = KokoroTokenizer::word_times(read, durations);
                let words = read.words.iter().zip(times);
                words
                    .map(|((text, _), [from, to])| SpokenSpan {
                        text: text.clone(),
                        start: start + from,
                        end: start + to,
                    })
                    .collect()
            }
            Self::Characters(_) | Self::Vits(_) | Self::Xtts(_) => {
                let span = |(text, ids): (String, std::ops::Range<usize>)| SpokenSpan {
                    text,
                    start: place(ids.start),
                    end: place(ids.end),
                };
                read.spans().into_iter().map(span).collect()
            }
        };
        [words, symbols]
    }

    /// A text in parts that are not too long for the voice, cut between sentences: `enable_text_splitting`. Voices
    /// other than XTTS have no limit.
    ///
    /// # Errors
    ///
    /// As [`read_in`](Self::read_in), and for a word that is too long.
    pub fn split<'t>(&self, text: &'t str, language: Option<&str>) -> Result<Vec<&'t str>> {
        let Self::Xtts(tokenizer) = self else { return Ok(vec![text]) };
        let most = tokenizer.most_characters(spoken(tokenizer, language)?)?;
        parts(text, |part| Ok(part.chars().count() < most))
    }
}

fn spoken<'l>(tokenizer: &XttsTokenizer, language: Option<&'l str>) -> Result<&'l str> {
    language.ok_or_else(|| {
        let all = tokenizer.languages().join(", ");
        Error::option("language", format!("is missing; the voice speaks {all}"))
    })
}

/// Whether the phonemes are in `config.json`, which then names no architecture: Kokoro.
fn has_own_config(files: &ModelFiles) -> Result<bool> {
    let config: Option<serde_json::Map<String, serde_json::Value>> = files.json("config.json")?;
    Ok(config
        .is_some_and(|config| ["istftnet", "vocab"].iter().all(|key| config.contains_key(*key))))
}
