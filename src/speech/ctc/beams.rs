//! A search over prefixes of texts, without a language model.

use std::collections::HashMap;
use std::rc::Rc;

use candle_core::{D, DType, Tensor};
use candle_nn::ops;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fields::options;
use crate::speech::ctc::decode::CtcOffset;
use crate::speech::ctc::set_order::set_order;
use crate::speech::ctc::tokenizer::CtcTokenizer;

options! {
    /// How wide a search over prefixes is, by pyctcdecode's names.
    CtcBeamOptions {
        /// The most prefixes that are kept. Default: 100.
        beam_width: usize,
        /// Prefixes whose log-probability is so much below the best one's are dropped. Default: -10.
        beam_prune_logp: f64,
        /// Letters below this log-probability are not tried, except the best one of a frame. Default: -5.
        token_min_logp: f64,
    }
}

/// A text that a search has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CtcBeam {
    /// The text.
    pub text: String,
    /// The logarithm of the probability of all ways to read it that were kept.
    pub score: f64,
    /// Its words, and the frames from each one's first letter to its last.
    pub words: Vec<CtcOffset>,
}

/// A prefix and what its last frame was.
#[derive(Clone)]
struct Beam {
    /// A number into [`Prefixes`].
    prefix: usize,
    /// `None` before the first frame.
    last: Option<u32>,
    /// Of words that have ended.
    spans: Option<Rc<Span>>,
    /// Of the word that has not.
    span: Option<[usize; 2]>,
    score: f64,
}

/// The frames of a word, after those of the words before.
struct Span {
    frames: [usize; 2],
    before: Option<Rc<Self>>,
}

/// All prefixes that were tried: each is another one and a letter; the first is empty.
struct Prefixes {
    nodes: Vec<(usize, u32)>,
    longer: HashMap<(usize, u32), usize>,
}

impl CtcTokenizer {
    /// The best texts of `(frames, vocab)` logits, the best one first: the search over prefixes of
    /// pyctcdecode (<https://github.com/kensho-technologies/pyctcdecode>) without a language model. The
    /// probabilities of all ways to read a text are summed; several delimiters, and such at the ends,
    /// are one and none.
    ///
    /// # Errors
    ///
    /// When the model has no blank, the width is 0, or the tensor has another number of dimensions.
    pub fn beams(&self, logits: &Tensor, options: &CtcBeamOptions) -> Result<Vec<CtcBeam>> {
        self.beams_of(std::slice::from_ref(logits), options)
    }

    /// As [`beams`](Self::beams) of frames that come in parts, one after the other.
    ///
    /// # Errors
    ///
    /// As [`beams`](Self::beams).
    pub fn beams_of(&self, parts: &[Tensor], options: &CtcBeamOptions) -> Result<Vec<CtcBeam>> {
        let width = options.beam_width.unwrap_or(100);
        if width == 0 {
            return Err(Error::option("beam_width", "a search keeps at least one prefix"));
        }
        let prune_logp = options.beam_prune_logp.unwrap_or(-10.0);
        let token_min_logp = options.token_min_logp.unwrap_or(-5.0);
        let Some(blank) = self.blank_id() else {
            return Err(Error::unsupported("the tokenizer has no `pad_token`, which CTC needs"));
        };
        let delimiter = self.delimiter_id();
        let mut prefixes = Prefixes { nodes: vec![(0, 0)], longer: HashMap::new() };
        let mut beams = vec![Beam { prefix: 0, last: None, spans: None, span: None, score: 0.0 }];
        let mut frame = 0;
        for part in parts {
            for row in log_probabilities(part)? {
                let mut next = Merged::default();
                for id in tried(&row, token_min_logp) {
                    let log_probability = f64::from(row[id as usize]).clamp(LEAST, 0.0);
                    for beam in &beams {
                        let longer = beam.longer(id, blank, delimiter, frame, &mut prefixes);
                        next.add(Beam { score: beam.score + log_probability, ..longer });
                    }
                }
                beams = pruned(next.beams, width, prune_logp);
                if prefixes.nodes.len() > MOST_PREFIXES {
                    prefixes = prefixes.of(&mut beams);
                }
                frame += 1;
            }
        }
        let mut ended = Merged::default();
        for beam in beams {
            let spans = beam.ended_spans();
            let prefix = prefixes.without_end(beam.prefix, delimiter);
            ended.add(Beam { prefix, last: None, spans, span: None, score: beam.score });
        }
        let beams = pruned(ended.beams, width, prune_logp);
        Ok(beams.iter().map(|beam| self.beam(beam, &prefixes, delimiter)).collect())
    }

    fn beam(&self, beam: &Beam, prefixes: &Prefixes, delimiter: Option<u32>) -> CtcBeam {
        let ids = prefixes.ids(beam.prefix);
        let words = ids.split(|id| Some(*id) == delimiter).filter(|word| !word.is_empty());
        let words = words.map(|word| -> String {
            let word: String = word.iter().map(|&id| self.token_or_unknown(id)).collect();
            if self.lower_case { word.to_lowercase() } else { word }
        });
        let mut spans = Vec::new();
        let mut span = &beam.spans;
        while let Some(Span { frames, before }) = span.as_deref() {
            spans.push(*frames);
            span = before;
        }
        spans.reverse();
        let words: Vec<CtcOffset> =
            words.zip(spans).map(|(text, [start, end])| CtcOffset { text, start, end }).collect();
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        CtcBeam { text: texts.join(&self.between_words), score: beam.score, words }
    }
}

/// Of each letter in each frame.
fn log_probabilities(logits: &Tensor) -> Result<Vec<Vec<f32>>> {
    Ok(ops::log_softmax(&logits.to_dtype(DType::F32)?, D::Minus1)?.to_vec2::<f32>()?)
}

/// From so many prefixes on, those that no beam has are forgotten.
const MOST_PREFIXES: usize = 1 << 20;

/// What pyctcdecode does not let probabilities fall below.
const LEAST: f64 = -34.538_776_394_910_684;

/// The letters that are tried: likely ones, and the best, in the order of the reference.
fn tried(row: &[f32], least: f64) -> Vec<u32> {
    let mut best = 0;
    for (id, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = id;
        }
    }
    let is_tried = |&(id, value): &(usize, &f32)| id == best || f64::from(*value) >= least;
    let ids = row.iter().enumerate().filter(is_tried).map(|(id, _)| id as u32);
    set_order(&ids.collect::<Vec<_>>())
}

/// The best of them, the best one first.
fn pruned(mut beams: Vec<Beam>, width: usize, prune_logp: f64) -> Vec<Beam> {
    let best = beams.iter().map(|beam| beam.score).fold(f64::NEG_INFINITY, f64::max);
    beams.retain(|beam| beam.score >= best + prune_logp);
    beams.sort_by(|a, b| b.score.total_cmp(&a.score));
    beams.truncate(width);
    beams
}

/// Beams of which those with the same prefix and the same last frame are one.
#[derive(Default)]
struct Merged {
    beams: Vec<Beam>,
    places: HashMap<(usize, Option<u32>), usize>,
}

impl Merged {
    fn add(&mut self, beam: Beam) {
        match self.places.get(&(beam.prefix, beam.last)) {
            Some(&place) => {
                // The frames are those of the way that came last, as in the reference.
                let before = self.beams[place].score;
                let (most, least) = (before.max(beam.score), before.min(beam.score));
                let score = most + (least - most).exp().ln_1p();
                self.beams[place] = Beam { score, ..beam };
            }
            None => {
                self.places.insert((beam.prefix, beam.last), self.beams.len());
                self.beams.push(beam);
            }
        }
    }
}

impl Beam {
    /// After another frame.
    fn longer(
        &self,
        id: u32,
        blank: u32,
        delimiter: Option<u32>,
        frame: usize,
        prefixes: &mut Prefixes,
    ) -> Self {
        let last = Some(id);
        if id == blank {
            return Self { last, ..self.clone() };
        }
        if self.last == last {
            let span = self.span.map(|[start, _]| [start, frame + 1]);
            return Self { last, span, ..self.clone() };
        }
        if Some(id) == delimiter {
            let ends = self.prefix == 0 || prefixes.nodes[self.prefix].1 == id;
            let prefix = if ends { self.prefix } else { prefixes.longer(self.prefix, id) };
            return Self { prefix, last, spans: self.ended_spans(), span: None, score: self.score };
        }
        let start = self.span.map_or(frame, |[start, _]| start);
        let prefix = prefixes.longer(self.prefix, id);
        Self { prefix, last, span: Some([start, frame + 1]), ..self.clone() }
    }

    /// With the word that has not ended.
    fn ended_spans(&self) -> Option<Rc<Span>> {
        match self.span {
            Some(frames) => Some(Rc::new(Span { frames, before: self.spans.clone() })),
            None => self.spans.clone(),
        }
    }
}

impl Prefixes {
    /// Those of some beams alone, whose numbers change.
    fn of(&self, beams: &mut [Beam]) -> Self {
        let mut kept = Self { nodes: vec![(0, 0)], longer: HashMap::new() };
        for beam in beams {
            let ids = self.ids(beam.prefix);
            beam.prefix = ids.into_iter().fold(0, |prefix, id| kept.longer(prefix, id));
        }
        kept
    }

    fn longer(&mut self, prefix: usize, id: u32) -> usize {
        let next = self.nodes.len();
        let place = *self.longer.entry((prefix, id)).or_insert(next);
        if place == next {
            self.nodes.push((prefix, id));
        }
        place
    }

    /// Without the delimiter at its end, if there is one.
    fn without_end(&self, prefix: usize, delimiter: Option<u32>) -> usize {
        let (before, id) = self.nodes[prefix];
        if prefix != 0 && Some(id) == delimiter { before } else { prefix }
    }

    fn ids(&self, mut prefix: usize) -> Vec<u32> {
        let mut ids = Vec::new();
        while prefix != 0 {
            let (before, id) = self.nodes[prefix];
            ids.push(id);
            prefix = before;
        }
        ids.reverse();
        ids
    }
}
