//! What all layers of one forward pass share.

use std::cell::RefCell;
use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::kernels::attention::Reach;
use crate::kernels::encoder_attention::DistanceBias;
use crate::nn::alibi::AlibiConfig;
use crate::nn::cache::{KvCache, Segment};
use crate::nn::packed::Tokens;
use crate::nn::relative::{Distances, SharedRelative};
use crate::nn::rope::{Rope, RopeConfig};
use crate::nn::span::AttentionSpan;
use crate::nn::{flash, mask};

/// What all layers of one forward pass share: one entry per distinct rope, span and
/// ALiBi of the model, which layers name by number.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) segments: Vec<Segment>,
    pub(crate) ropes: Vec<Rope>,
    pub(crate) spans: Vec<AttentionSpan>,
    pub(crate) views: Views,
    /// Added to scores, `(heads, slots)` in f32, with the slots of the longest row.
    pub(crate) alibis: Vec<Tensor>,
    /// The slots of the longest row.
    pub(crate) longest: usize,
    /// Tables of what is added to scores, `(heads, 2 longest - 1)` each, by the slot of the key minus
    /// that of the query plus `longest - 1`.
    biases: Vec<Vec<f32>>,
    /// Places of the tokens that all tokens of their row attend to, row by row; empty where there are none.
    pub(crate) marked: Vec<Vec<usize>>,
    /// For layers that have vectors for distances.
    pub(crate) distances: Option<Distances>,
    /// Asked for by [`recording`](Self::recording).
    pub(crate) shares: Option<Shares>,
}

/// Where layers put the shares of their attention, `(rows, heads, tokens, slots)` each; without a cache
/// one row after the other.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// To the row's own tokens.
    pub(crate) own: RefCell<Vec<Tensor>>,
    /// To the tokens of its source.
    pub(crate) of_sources: RefCell<Vec<Tensor>>,
}

/// What the layers of a model name by number, and what they share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) ropes: &'a [RopeConfig],
    pub(crate) spans: &'a [AttentionSpan],
    pub(crate) alibis: &'a [AlibiConfig],
    pub(crate) relative: Option<&'a SharedRelative>,
}

/// How layers attend.
#[derive(Debug)]
pub(crate) enum Views {
    /// By kernels on the CPU; one entry per span.
    Reaches(Vec<Reach>),
    /// By candle's operations; per span what is added to scores, `(rows, 1, tokens, slots)` in f32,
    /// or `None` where every query sees every key.
    Masks(Vec<Option<Tensor>>),
    /// By flash attention where it serves: rows are alike.
    Flash,
}

impl Step {
    /// For the tokens that a cache has last been extended by. `lengths` are the rows' lengths at the
    /// end of the whole call, of which this pass may be one chunk.
    pub(crate) fn new(
        cache: &KvCache,
        lengths: &[usize],
        shared: Shared<'_>,
        device: &Device,
    ) -> Result<Self> {
        let step = Self::of(cache.segments(), lengths, shared, device)?;
        if flash::is_on(device)
            && step.alibis.is_empty()
            && step.biases.is_empty()
            && step.is_even()
        {
            Ok(Self { views: Views::Flash, ..step })
        } else if device.is_cpu() {
            Ok(step)
        } else {
            step.with_masks(device)
        }
    }

    /// For rows that are all there, without a cache.
    pub(crate) fn uncached(tokens: &Tokens, shared: Shared<'_>, device: &Device) -> Result<Self> {
        let segment = |tokens: &Range<usize>| Segment { tokens: tokens.clone(), start: 0 };
        let lengths: Vec<usize> = tokens.rows.iter().map(Range::len).collect();
        let step = Self::of(tokens.rows.iter().map(segment).collect(), &lengths, shared, device)?;
        Ok(Self { marked: tokens.marked(), ..step })
    }

    fn of(
        segments: Vec<Segment>,
        lengths: &[usize],
        shared: Shared<'_>,
        device: &Device,
    ) -> Result<Self> {
        let Shared { ropes, spans, alibis, relative } = shared;
        let positions = || segments.iter().map(Segment::positions).zip(lengths.iter().copied());
        let rope = |config| Rope::new(config, positions(), device);
        let longest = segments.iter().map(Segment::slots).max().unwrap_or(0);
        let biases = relative.map(|relative| relative.biases(longest, device)).transpose()?;
        Ok(Self {
            ropes: ropes.iter().map(rope).collect::<Result<_>>()?,
            spans: spans.to_vec(),
            views: Views::Reaches(spans.iter().map(|span| span.reach()).collect()),
            alibis: alibis
                .iter()
                .map(|alibi| alibi.biases(longest, device))
                .collect::<Result<_>>()?,
            longest,
            biases: biases.unwrap_or_default(),
            marked: Vec::new(),
            distances: relative.and_then(|relative| relative.distances(longest)),
            shares: None,
            segments,
        })
    }

    /// A table of what is added to scores by the distance of query and key.
    pub(crate) fn bias(&self, table: usize) -> Option<DistanceBias<'_>> {
        let longest = self.longest;
        self.biases.get(table).map(|values| DistanceBias { values, longest })
    }

    /// The same, but layers tell what they attend to, which kernels never write down.
    pub(crate) fn recording(self, device: &Device) -> Result<Self> {
        Ok(Self { shares: Some(Shares::default()), ..self.with_masks(device)? })
    }

    /// The same for rows without a cache, each of which tells `(heads, tokens, tokens)`.
    pub(crate) fn recording_rows(self) -> Self {
        Self { shares: Some(Shares::default()), ..self }
    }

    /// The same, for candle's operations.
    pub(crate) fn with_masks(self, device: &Device) -> Result<Self> {
        let mask = |span: &AttentionSpan| mask::additive(&self.segments, span.reach(), device);
        let masks = self.spans.iter().map(mask).collect::<Result<_>>()?;
        Ok(Self { views: Views::Masks(masks), ..self })
    }

    /// Where each row's tokens are.
    pub(crate) fn rows(&self) -> Vec<Range<usize>> {
        self.segments.iter().map(|segment| segment.tokens.clone()).collect()
    }

    /// Whether all rows have as many tokens, in the same slots.
    pub(crate) fn is_even(&self) -> bool {
        let alike = |pair: &[Segment]| {
            pair[0].start == pair[1].start && pair[0].tokens.len() == pair[1].tokens.len()
        };
        self.segments.windows(2).all(alike)
    }

    /// The tokens of each row, `(tokens, ..)`, side by side, `(rows, tokens of the longest, ..)`; what
    /// is beyond a row's end means nothing.
    pub(crate) fn spread(&self, x: &Tensor) -> Result<Tensor> {
        let longest = self.most_tokens();
        let mut shape = vec![self.segments.len(), longest];
        shape.extend(&x.dims()[1..]);
        if x.dims()[0] == self.segments.len() * longest {
            return Ok(x.reshape(shape)?);
        }
        let last = x.dims()[0].saturating_sub(1);
        let places = self.segments.iter().flat_map(|segment| {
            (0..longest).map(move |token| (segment.tokens.start + token).min(last) as u32)
        });
        let places = Tensor::from_iter(places, x.device())?;
        Ok(x.contiguous()?.index_select(&places, 0)?.reshape(shape)?)
    }

    /// What [`spread`](Self::spread) undoes.
    pub(crate) fn gathered(&self, x: &Tensor) -> Result<Tensor> {
        let (longest, x) = (self.most_tokens(), x.flatten_to(1)?);
        if self.segments.iter().all(|segment| segment.tokens.len() == longest) {
            return Ok(x);
        }
        let places = self.segments.iter().enumerate().flat_map(|(row, segment)| {
            (0..segment.tokens.len()).map(move |token| (row * longest + token) as u32)
        });
        Ok(x.index_select(&Tensor::from_iter(places, x.device())?, 0)?)
    }

    fn most_tokens(&self) -> usize {
        self.segments.iter().map(|segment| segment.tokens.len()).max().unwrap_or(0)
    }
}
