//! What Kokoro reads: an id for each phoneme.

mod cut;
#[cfg_attr(not(feature = "g2p"), path = "no_g2p.rs")]
mod g2p;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::source::{ModelFiles, json};
use crate::speech::spoken::SpokenIds;
use cut::Token;

/// Turns phonemes into the ids of Kokoro, and with the feature `g2p` English texts into phonemes, by the crate
/// misaki-rs, which does what the package misaki 0.9.4 does.
#[derive(Debug, Clone)]
pub struct KokoroTokenizer {
    vocabulary: BTreeMap<char, u32>,
    /// Phonemes that are read at once.
    most: usize,
}

/// What is read of `config.json`.
#[derive(Debug, Deserialize)]
struct Config {
    vocab: BTreeMap<String, u32>,
    plbert: Bert,
}

#[derive(Debug, Deserialize)]
struct Bert {
    max_position_embeddings: usize,
}

impl KokoroTokenizer {
    /// Reads `config.json`.
    ///
    /// # Errors
    ///
    /// When the file or its field `vocab` is missing or malformed.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let path = files.required("config.json", "the ids of phonemes")?;
        let config: Config = json::read(&path)?;
        let single = |(text, id): (String, u32)| {
            let mut symbols = text.chars();
            match (symbols.next(), symbols.next()) {
                (Some(symbol), None) => Ok((symbol, id)),
                _ => Err(Error::malformed(&path, format!("{text:?} in `vocab` is not one symbol"))),
            }
        };
        let Some(most @ 1..) = config.plbert.max_position_embeddings.checked_sub(2) else {
            return Err(Error::malformed(&path, "`max_position_embeddings` leaves no phonemes"));
        };
        Ok(Self { vocabulary: config.vocab.into_iter().map(single).collect::<Result<_>>()?, most })
    }

    /// The ids of phonemes as misaki writes them, between zeros, cut to what the model reads at once: at the ends
    /// of sentences, else at other marks, else at words. At least one, which has no ids where nothing is spoken.
    #[must_use]
    pub fn encode_phonemes(&self, phonemes: &str) -> Vec<SpokenIds> {
        let mut tokens: Vec<Token> = Vec::new();
        for piece in phonemes.split_inclusive(|c: char| c.is_whitespace() || MARKS.contains(c)) {
            let word = piece.trim_end_matches(|c: char| c.is_whitespace() || MARKS.contains(c));
            for text in
                [word, piece[word.len()..].trim()].into_iter().filter(|text| !text.is_empty())
            {
                let (text, phonemes) = (text.to_owned(), text.to_owned());
                tokens.push(Token { text, phonemes, whitespace: String::new() });
            }
            if piece.ends_with(char::is_whitespace)
                && let Some(last) = tokens.last_mut()
            {
                " ".clone_into(&mut last.whitespace);
            }
        }
        self.encode_tokens(tokens)
    }

    /// The ids of an English text, as [`encode_phonemes`](Self::encode_phonemes) cuts them. `voice` is the name of a
    /// voice, whose first letter says whether it speaks American (`a`) or British English (`b`).
    ///
    /// # Errors
    ///
    /// [`Error::FeatureDisabled`] in a build without the feature `g2p`, and for a voice of another language, which
    /// takes phonemes.
    pub fn encode(&self, text: &str, voice: Option<&str>) -> Result<Vec<SpokenIds>> {
        let language = voice.and_then(|voice| voice.chars().next()).unwrap_or('a');
        if let Some((_, language)) = OTHERS.iter().find(|(first, _)| *first == language) {
            return Err(Error::input(format!(
                "this voice speaks {language}, of which texts are not made into phonemes here: give phonemes \
                 (`phonemes` of the options), as misaki writes them"
            )));
        }
        Ok(self.encode_tokens(g2p::tokens(text, language == 'b')?))
    }

    fn encode_tokens(&self, mut tokens: Vec<Token>) -> Vec<SpokenIds> {
        let mut unknown = BTreeSet::new();
        for token in &mut tokens {
            token.phonemes.retain(|symbol| {
                let is_known = self.vocabulary.contains_key(&symbol);
                if !is_known && !symbol.is_whitespace() {
                    unknown.insert(symbol);
                }
                is_known
            });
        }
        let groups = cut::cut(tokens, self.most);
        let mut read: Vec<_> = groups.iter().map(|group| self.read(group)).collect();
        match read.first_mut() {
            Some(first) => first.unknown = unknown,
            None => read.push(SpokenIds::new(Vec::new(), unknown)),
        }
        read
    }

    fn read(&self, tokens: &[Token]) -> SpokenIds {
        let symbols: Vec<char> = cut::phonemes(tokens).chars().collect();
        let ids = symbols.iter().filter_map(|symbol| self.vocabulary.get(symbol)).copied();
        let ids: Vec<u32> = [0].into_iter().chain(ids).chain([0]).collect();
        // Spaces between words may have no id.
        let known = symbols.into_iter().filter(|symbol| self.vocabulary.contains_key(symbol));
        let symbols = [None].into_iter().chain(known.map(Some)).chain([None]).collect();
        let mut at = 1;
        let mut words = Vec::new();
        for token in tokens {
            let end = at + token.phonemes.chars().count();
            if end > at {
                words.push((token.text.clone(), at..end));
            }
            let has_space = !token.whitespace.is_empty() && self.vocabulary.contains_key(&' ');
            at = end + usize::from(has_space);
        }
        SpokenIds { ids, symbols, words, text: Some(cut::text(tokens)), unknown: BTreeSet::new() }
    }

    /// When each word is heard, in samples, of the samples of each id: as the reference counts, which gives half of
    /// a space to either word beside it, and takes three frames of what is heard before the first for its beginning.
    #[must_use]
    pub fn word_times(read: &SpokenIds, durations: &[usize]) -> Vec<[usize; 2]> {
        let is_space = |at: usize| read.symbols.get(at).is_some_and(|symbol| *symbol == Some(' '));
        let words: Vec<_> = read.words.iter().map(|(_, ids)| ids.clone()).collect();
        let times = cut::times(&words, is_space, durations, QUIET);
        times.into_iter().map(|time| time.map(|half| half / 2)).collect()
    }
}

/// What is taken for the first word of the silence before it, in samples: three frames.
const QUIET: usize = 3 * 600;
/// Marks of the phonemes that stand by themselves.
const MARKS: &str = "!.?…:;,—)”";
/// The first letter of voices' names, where they speak another language.
const OTHERS: &[(char, &str)] = &[
    ('e', "Spanish"),
    ('f', "French"),
    ('h', "Hindi"),
    ('i', "Italian"),
    ('j', "Japanese"),
    ('p', "Portuguese"),
    ('z', "Mandarin"),
];
