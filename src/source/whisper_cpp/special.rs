//! Which tokens are no text, and the heads that tell times: what follows from the sizes of a model.

use crate::source::whisper_cpp::reader::{Parsed, Sizes};

/// The numbers of the tokens behind the text's. All of OpenAI's vocabularies have them in this order: the
/// end, the start, languages, `translate`, `transcribe`, `startoflm`, `startofprev`, `nospeech`,
/// `notimestamps`, and a time for each fiftieth of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Special {
    /// `<|endoftext|>`.
    pub(super) end: u32,
    pub(super) languages: usize,
    pub(super) is_multilingual: bool,
}

/// 0.00 to 30.00.
const TIMES: usize = 1501;

impl Special {
    /// Of a model with so many ids, `words` of which are in the file.
    pub(super) fn of(vocab: usize, words: usize) -> Parsed<Self> {
        let is_multilingual = vocab >= 51_865;
        let end = 50_256 + usize::from(is_multilingual);
        // The end and the start of a text, six tokens behind the languages, and times.
        let languages = vocab.checked_sub(end + 2 + 6 + TIMES);
        match languages.filter(|&languages| (1..=LANGUAGES.len()).contains(&languages)) {
            Some(languages) if (end..=end + 1).contains(&words) => {
                Ok(Self { end: end as u32, languages, is_multilingual })
            }
            _ => Err(format!(
                "has a vocabulary of {vocab} tokens, {words} of them of text, which is none of Whisper's"
            )),
        }
    }

    /// Of a model with so many ids, whose words lie elsewhere.
    pub(super) fn of_sizes(vocab: usize) -> Parsed<Self> {
        let words = 50_256 + usize::from(vocab >= 51_865);
        Self::of(vocab, words)
    }

    pub(super) fn start(&self) -> u32 {
        self.end + 1
    }

    pub(super) fn translate(&self) -> u32 {
        self.start() + 1 + self.languages as u32
    }

    pub(super) fn transcribe(&self) -> u32 {
        self.translate() + 1
    }

    pub(super) fn start_of_previous(&self) -> u32 {
        self.translate() + 3
    }

    pub(super) fn no_timestamps(&self) -> u32 {
        self.translate() + 5
    }

    /// Languages and their ids.
    pub(super) fn languages(&self) -> impl Iterator<Item = (String, u32)> {
        let languages = LANGUAGES[..self.languages].iter().zip(self.start() + 1..);
        languages.map(|(code, id)| (format!("<|{code}|>"), id))
    }

    /// All of them in their order, from the end of a text to the last time.
    pub(super) fn all(&self) -> impl Iterator<Item = (String, Kind)> {
        let special = |name: &str| (format!("<|{name}|>"), Kind::Special);
        // Newer vocabularies call it by what it means.
        let none = if self.languages > 99 { "nospeech" } else { "nocaptions" };
        let behind = ["translate", "transcribe", "startoflm", "startofprev", none, "notimestamps"];
        let times =
            (0..TIMES).map(|time| (format!("<|{}.{:02}|>", time / 50, time % 50 * 2), Kind::Time));
        ["endoftext", "startoftranscript"]
            .map(special)
            .into_iter()
            .chain(self.languages().map(|(name, _)| (name, Kind::Special)))
            .chain(behind.map(special))
            .chain(times)
    }
}

/// What a token behind those of the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Special,
    Time,
}

/// The heads of the decoder whose attention follows the sound, pairs of a layer and a head:
/// `_ALIGNMENT_HEADS` of OpenAI's `whisper/__init__.py`. Of the two large models that have the same sizes,
/// the second's. `None` for a model that is none of OpenAI's.
pub(super) fn alignment_heads(sizes: &Sizes, special: &Special) -> Option<&'static [[u32; 2]]> {
    let shape = [sizes.audio_layers, sizes.text_layers];
    Some(match (shape, special.is_multilingual, special.languages) {
        ([4, 4], false, _) => &[[1, 0], [2, 0], [2, 5], [3, 0], [3, 1], [3, 2], [3, 3], [3, 4]],
        ([4, 4], true, _) => &[[2, 2], [3, 0], [3, 2], [3, 3], [3, 4], [3, 5]],
        ([6, 6], false, _) => &[[3, 3], [4, 7], [5, 1], [5, 5], [5, 7]],
        ([6, 6], true, _) => &[[3, 1], [4, 2], [4, 3], [4, 7], [5, 1], [5, 2], [5, 4], [5, 6]],
        ([12, 12], false, _) => &[
            [6, 6],
            [7, 0],
            [7, 3],
            [7, 8],
            [8, 2],
            [8, 5],
            [8, 7],
            [9, 0],
            [9, 4],
            [9, 8],
            [9, 10],
            [10, 0],
            [10, 1],
            [10, 2],
            [10, 3],
            [10, 6],
            [10, 11],
            [11, 2],
            [11, 4],
        ],
        ([12, 12], true, _) => {
            &[[5, 3], [5, 9], [8, 0], [8, 4], [8, 7], [8, 8], [9, 0], [9, 7], [9, 9], [10, 5]]
        }
        ([24, 24], false, _) => &[
            [11, 4],
            [14, 1],
            [14, 12],
            [14, 14],
            [15, 4],
            [16, 0],
            [16, 4],
            [16, 9],
            [17, 12],
            [17, 14],
            [18, 7],
            [18, 10],
            [18, 15],
            [20, 0],
            [20, 3],
            [20, 9],
            [20, 14],
            [21, 12],
        ],
        ([24, 24], true, _) => &[[13, 15], [15, 4], [15, 15], [16, 1], [20, 0], [23, 4]],
        ([32, 32], true, 99) => &[
            [10, 12],
            [13, 17],
            [16, 11],
            [16, 12],
            [16, 13],
            [17, 15],
            [17, 16],
            [18, 4],
            [18, 11],
            [18, 19],
            [19, 11],
            [21, 2],
            [21, 3],
            [22, 3],
            [22, 9],
            [22, 12],
            [23, 5],
            [23, 7],
            [23, 13],
            [25, 5],
            [26, 1],
            [26, 12],
            [27, 15],
        ],
        ([32, 32], true, 100) => &[
            [7, 0],
            [10, 17],
            [12, 18],
            [13, 12],
            [16, 1],
            [17, 14],
            [19, 11],
            [21, 4],
            [24, 1],
            [25, 6],
        ],
        ([32, 4], true, 100) => &[[2, 4], [2, 11], [3, 3], [3, 6], [3, 11], [3, 14]],
        _ => return None,
    })
}

/// The codes of languages in the order of their tokens: `LANGUAGES` of OpenAI's `whisper/tokenizer.py`.
#[rustfmt::skip]
const LANGUAGES: [&str; 100] = [
    "en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "tr", "pl", "ca", "nl", "ar", "sv", "it", "id", "hi", "fi", "vi",
    "he", "uk", "el", "ms", "cs", "ro", "da", "hu", "ta", "no", "th", "ur", "hr", "bg", "lt", "la", "mi", "ml", "cy", "sk",
    "te", "fa", "lv", "bn", "sr", "az", "sl", "kn", "et", "mk", "br", "eu", "is", "hy", "ne", "mn", "bs", "kk", "sq", "sw",
    "gl", "mr", "pa", "si", "km", "sn", "yo", "so", "af", "oc", "ka", "be", "tg", "sd", "gu", "am", "yi", "lo", "uz", "fo",
    "ht", "ps", "tk", "nn", "mt", "sa", "lb", "my", "bo", "tl", "mg", "as", "tt", "haw", "ln", "ha", "ba", "jw", "su", "yue",
];
