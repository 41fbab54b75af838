//! Texts as the models read them.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use half::f16;

use crate::batch::{PaddingSide, TokenBatch};
use crate::diffusion::emphasis::weighted;
use crate::diffusion::options::PaintOptions;
use crate::diffusion::parts::{Part, Residence};
use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::clip_text::{ClipText, ClipTextConfig};
use crate::models::heads::Encoder;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// A CLIP with its tokenizer.
#[derive(Debug)]
pub(super) struct ClipPrompt {
    tokenizer: Tokenizer,
    pub(super) model: Part<ClipText>,
    /// The most tokens of a text.
    positions: usize,
}

/// The ids of a text, and how many of its tokens have been cut.
struct Ids {
    ids: Vec<u32>,
    cut: usize,
}

/// How texts are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Windows of the encoder that a long text may take.
    windows: usize,
    /// Whether brackets weigh words.
    weighs: bool,
    /// As SDXL does it.
    is_xl: bool,
}

impl Reading {
    /// Texts are cut, and mean what they say.
    pub(super) const PLAIN: Self = Self { windows: 1, weighs: false, is_xl: false };

    pub(super) fn of(options: &PaintOptions, is_xl: bool) -> Result<Self> {
        let weighs = options.prompt_weights == Some(true);
        match options.max_embeddings_multiples.unwrap_or(1) {
            windows @ 1..=256 => Ok(Self { windows, weighs, is_xl }),
            windows => {
                let reason = format!("{windows} windows; a text takes 1 to 256");
                Err(Error::option("max_embeddings_multiples", reason))
            }
        }
    }

    pub(super) fn is_plain(self) -> bool {
        self.windows == 1 && !self.weighs
    }
}

/// Which hidden states of a CLIP are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum HiddenAt {
    /// The last.
    Last,
    /// Those so many layers before, normed.
    Normed(usize),
    /// Those so many layers before, as they are.
    Plain(usize),
}

/// What a CLIP makes of a text.
#[derive(Debug)]
pub(super) struct Encoded {
    /// `(tokens, features)`.
    pub(super) text: Tensor,
    /// `(1, features)`.
    pub(super) pooled: Tensor,
    /// `(1, features)`, where the model has a projection.
    pub(super) projected: Option<Tensor>,
    pub(super) cut: usize,
}

impl ClipPrompt {
    pub(super) fn load(
        files: &ModelFiles,
        [tokenizer, encoder]: [&str; 2],
        options: &LoadOptions,
        residence: Residence,
    ) -> Result<Self> {
        let config = ClipTextConfig::from_files(&files.folder(encoder)?)?;
        let positions = config.encoder.max_positions;
        if positions < 3 {
            return Err(Error::unsupported(format!("{encoder}: texts of {positions} tokens")));
        }
        Ok(Self {
            tokenizer: Tokenizer::from_files(&files.folder(tokenizer)?)?,
            model: Part::new(files, encoder, options, residence, open_clip)?,
            positions,
        })
    }

    /// How many tokens of a text are not read.
    pub(super) fn cut(&self, text: &str, reading: Reading) -> Result<usize> {
        match reading.is_plain() {
            true => Ok(ids(&self.tokenizer, text, self.positions)?.cut),
            false => Ok(self.weighted_ids(text, reading)?.cut),
        }
    }

    /// What the model makes of texts.
    pub(super) fn encode(
        &self,
        texts: &[(&str, HiddenAt)],
        reading: Reading,
    ) -> Result<Vec<Encoded>> {
        let model = &*self.model.take()?;
        if reading.is_plain() {
            let one = |&(text, at): &(&str, HiddenAt)| {
                let Ids { ids, cut } = ids(&self.tokenizer, text, self.positions)?;
                encoded(model, &[ids], at, cut)
            };
            return texts.iter().map(one).collect();
        }
        let all = texts.iter().map(|(text, _)| self.weighted_ids(text, reading));
        let all = all.collect::<Result<Vec<_>>>()?;
        // All texts become as long as the longest.
        let longest = all.iter().map(|text| text.ids.len()).max().unwrap_or(0);
        if reading.is_xl {
            let pairs = all.iter().zip(texts);
            return pairs.map(|(text, &(_, at))| self.in_rows(model, text, at, longest)).collect();
        }
        let windows = longest.div_ceil(self.positions - 2).clamp(1, reading.windows);
        let pairs = all.iter().zip(texts);
        pairs.map(|(text, &(_, at))| self.in_windows(model, text, at, windows, reading)).collect()
    }

    /// The ids of a text without special tokens, cut to what the windows hold, with the weight of each.
    fn weighted_ids(&self, text: &str, reading: Reading) -> Result<WeightedIds> {
        let parts = match reading.weighs {
            true => weighted(text)?,
            false => vec![(text.to_owned(), 1.0)],
        };
        let plain = EncodeOptions::default().add_special_tokens(false);
        let (mut ids, mut weights) = (Vec::new(), Vec::new());
        for (text, weight) in parts {
            ids.extend(self.tokenizer.encode_with(text.as_str(), &plain)?.ids);
            weights.resize(ids.len(), weight as f32);
        }
        let room = self.positions.saturating_sub(2).saturating_mul(reading.windows);
        let cut = ids.len().saturating_sub(room);
        ids.truncate(room);
        weights.truncate(room);
        Ok(WeightedIds { ids, weights, cut })
    }

    /// A text, window by window, each between special tokens: `get_weighted_text_embeddings` of diffusers' community
    /// pipeline `lpw_stable_diffusion`.
    fn in_windows(
        &self,
        model: &ClipText,
        text: &WeightedIds,
        at: HiddenAt,
        windows: usize,
        reading: Reading,
    ) -> Result<Encoded> {
        let room = self.positions - 2;
        let [begin, end] = self.ends()?;
        let padding = self.tokenizer.pad_token().map_or(end, |token| token.id);
        let mut ids = text.ids.clone();
        ids.resize(room * windows, padding);
        let row = |ids: &[u32]| [&[begin], ids, &[end]].concat();
        let rows: Vec<Vec<u32>> = ids.chunks(room).map(row).collect();
        let encoded = encoded(model, &rows, at, text.cut)?;
        if !reading.weighs {
            return Ok(encoded);
        }
        let mut weights = vec![1.0_f32; self.positions * windows];
        for (number, weights_of) in text.weights.chunks(room).enumerate() {
            let start = number * self.positions + 1;
            weights[start..start + weights_of.len()].copy_from_slice(weights_of);
        }
        let states = encoded.text.to_dtype(DType::F32)?;
        let weights = Tensor::from_vec(weights, (states.dim(0)?, 1), states.device())?;
        let weighed = states.broadcast_mul(&weights)?;
        // The mean stays what it was.
        let mean = |x: &Tensor| x.mean_all()?.to_scalar::<f32>();
        let factor = mean(&states)? / mean(&weighed)?;
        let text = (weighed * f64::from(factor))?.to_dtype(encoded.text.dtype())?;
        Ok(Encoded { text, ..encoded })
    }

    /// A text of SDXL, window by window, the last as short as it is: `get_weighted_text_embeddings_sdxl` of diffusers'
    /// community pipeline `lpw_stable_diffusion_xl`. Weights are distances from the last token of a window, in half
    /// precision, and what is pooled is that of the last window.
    fn in_rows(
        &self,
        model: &ClipText,
        text: &WeightedIds,
        at: HiddenAt,
        longest: usize,
    ) -> Result<Encoded> {
        let [begin, end] = self.ends()?;
        let (mut ids, mut weights) = (text.ids.clone(), text.weights.clone());
        ids.resize(longest, end);
        weights.resize(longest, 1.0);
        // Of an empty text, the special tokens alone.
        let room = self.positions - 2;
        let windows = longest.div_ceil(room).max(1);
        let window = |number: usize| number * room..longest.min((number + 1) * room);
        let mut rows = Vec::with_capacity(windows);
        let mut last = None;
        for number in 0..windows {
            let row = [&[begin], &ids[window(number)], &[end]].concat();
            let factors = weights[window(number)].iter().map(|&x| f16::from_f32(x).to_f32());
            let factors: Vec<f32> = [1.0].into_iter().chain(factors).chain([1.0]).collect();
            let encoded = encoded(model, &[row], at, text.cut)?;
            let states = encoded.text.to_dtype(DType::F32)?;
            let factors = Tensor::from_vec(factors, (states.dim(0)?, 1), states.device())?;
            let end = states.narrow(0, states.dim(0)? - 1, 1)?;
            let weighed = states.broadcast_sub(&end)?.broadcast_mul(&factors)?;
            rows.push(weighed.broadcast_add(&end)?.to_dtype(encoded.text.dtype())?);
            last = Some(encoded);
        }
        let last = last.ok_or_else(|| Error::input("there is no text"))?;
        Ok(Encoded { text: Tensor::cat(&rows, 0)?, ..last })
    }

    /// The special tokens around a text.
    fn ends(&self) -> Result<[u32; 2]> {
        let lacks = |name: &str| Error::input(format!("the tokenizer has no {name} token"));
        let begin = self.tokenizer.bos_token().ok_or_else(|| lacks("beginning"))?.id;
        Ok([begin, self.tokenizer.eos_token().ok_or_else(|| lacks("end"))?.id])
    }
}

/// Ids without special tokens.
struct WeightedIds {
    ids: Vec<u32>,
    weights: Vec<f32>,
    cut: usize,
}

/// Rows of one text; what is pooled is that of the first.
fn encoded(model: &ClipText, rows: &[Vec<u32>], at: HiddenAt, cut: usize) -> Result<Encoded> {
    let before_last = match at {
        HiddenAt::Last => 0,
        HiddenAt::Normed(layers) | HiddenAt::Plain(layers) => layers,
    };
    let states = model.encode(rows, before_last)?;
    let text = match at {
        HiddenAt::Last => states.last,
        HiddenAt::Normed(_) => model.normed(&states.hidden)?,
        HiddenAt::Plain(_) => states.hidden,
    };
    let first = |x: &Tensor| x.narrow(0, 0, 1);
    Ok(Encoded {
        text: text.flatten_to(1)?,
        pooled: first(&states.pooled)?,
        projected: states.projected.as_ref().map(first).transpose()?,
        cut,
    })
}

fn open_clip(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<ClipText>> {
    let has = |name: &str| Ok::<_, Error>(files.optional(name)?.is_some());
    let is_variant = !has("model.safetensors")?
        && !has("model.safetensors.index.json")?
        && has("model.fp16.safetensors")?;
    Ok(Arc::new(match is_variant {
        true => ClipText::from_stem(files, "model.fp16", options)?,
        false => ClipText::from_files(files, options)?,
    }))
}

/// A T5 with its tokenizer.
#[derive(Debug)]
pub(super) struct T5Prompt {
    tokenizer: Tokenizer,
    pub(super) model: Part<dyn Encoder>,
}

impl T5Prompt {
    pub(super) fn load(
        files: &ModelFiles,
        [tokenizer, encoder]: [&str; 2],
        options: &LoadOptions,
        residence: Residence,
    ) -> Result<Self> {
        let open = |files: &ModelFiles, options: &LoadOptions| {
            AutoModel::from_files::<dyn Encoder>(files, options)
        };
        let tokenizer = Tokenizer::from_files(&files.folder(tokenizer)?)?;
        Ok(Self { tokenizer, model: Part::new(files, encoder, options, residence, open)? })
    }

    /// How many tokens of a text are cut at a length.
    pub(super) fn cut(&self, text: &str, tokens: usize) -> Result<usize> {
        Ok(ids(&self.tokenizer, text, tokens)?.cut)
    }

    /// The hidden states of texts, `(tokens, features)`, and how many tokens of each were cut. Padding is not hidden
    /// from the model, as in diffusers.
    pub(super) fn encode(&self, texts: &[&str], tokens: usize) -> Result<Vec<(Tensor, usize)>> {
        let model = self.model.take()?;
        let one = |text: &&str| {
            let Ids { ids, cut } = ids(&self.tokenizer, text, tokens)?;
            let batch = TokenBatch::padded(&[ids], 0, PaddingSide::Right)?;
            Ok((model.encode(&batch)?.squeeze(0)?, cut))
        };
        texts.iter().map(one).collect()
    }
}

/// The ids of a text, cut or padded to a length; the special token at the end is kept.
fn ids(tokenizer: &Tokenizer, text: &str, length: usize) -> Result<Ids> {
    let mut ids = tokenizer.encode(text)?.ids;
    let cut = ids.len().saturating_sub(length);
    if let (true, Some(&last)) = (cut > 0, ids.last()) {
        ids.truncate(length);
        if let Some(end) = ids.last_mut() {
            *end = last;
        }
    }
    let padding = tokenizer.pad_token().or_else(|| tokenizer.eos_token()).map(|token| token.id);
    let padding =
        padding.ok_or_else(|| Error::input("the tokenizer has no token to pad texts with"))?;
    ids.resize(length, padding);
    Ok(Ids { ids, cut })
}
