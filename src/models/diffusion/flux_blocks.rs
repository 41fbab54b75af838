//! The layers of FLUX: text and picture attend to one another.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::nn::activation::Activation;
use crate::nn::norm::{Norm, NormConfig};
use crate::nn::pixels;
use crate::weights::{Bias, Linear, Weights};

const EPS: f64 = 1e-6;

/// `LayerNorm` without weights, in f32 and rounded once.
pub(super) fn layer_norm(x: &Tensor) -> Result<Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(1)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(1)? + EPS)?.sqrt()?;
    Ok(centred.broadcast_div(&deviation)?.to_dtype(x.dtype())?)
}

/// Shifts, scales and gates that the time and the text give a layer.
#[derive(Debug, Clone)]
pub(super) struct Modulation(Linear);

impl Modulation {
    pub(super) fn load(weights: &Weights, name: &str, size: usize, count: usize) -> Result<Self> {
        Ok(Self(weights.linear(name, size, count * size, Bias::Present)?))
    }

    /// Of a condition behind SiLU, `(1, size)` each.
    pub(super) fn of<const N: usize>(&self, condition: &Tensor) -> Result<[Tensor; N]> {
        let parts = self.0.forward(condition)?.chunk(N, 1)?;
        parts.try_into().map_err(|_| Error::input("a modulation of another size"))
    }
}

/// `x (1 + scale) + shift`, normed.
fn modulated(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
    Ok(layer_norm(x)?.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift)?)
}

/// `PixArtAlphaTextProjection` of diffusers.
#[derive(Debug, Clone)]
pub(super) struct TextLayers([Linear; 2]);

impl TextLayers {
    pub(super) fn load(weights: &Weights, inputs: usize, size: usize) -> Result<Self> {
        let linear = |name: &str, inputs| weights.linear(name, inputs, size, Bias::Present);
        Ok(Self([linear("linear_1", inputs)?, linear("linear_2", size)?]))
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0[1].forward(&Activation::Silu.forward(&self.0[0].forward(x)?)?)
    }
}

/// Projections to queries, keys and values of text or picture, with norms of each head.
#[derive(Debug, Clone)]
struct Projections {
    linears: [Linear; 3],
    norms: [Norm; 2],
    heads: usize,
}

impl Projections {
    fn load(
        weights: &Weights,
        names: [&str; 3],
        norms: [&str; 2],
        [size, heads]: [usize; 2],
    ) -> Result<Self> {
        let linear = |name: &str| weights.linear(name, size, size, Bias::Present);
        let norm =
            |name: &str| Norm::load(weights, name, size / heads, NormConfig::Rms { eps: EPS });
        Ok(Self {
            linears: [linear(names[0])?, linear(names[1])?, linear(names[2])?],
            norms: [norm(norms[0])?, norm(norms[1])?],
            heads,
        })
    }

    /// Queries and keys, normed, and values, `(tokens, heads, head_dim)`.
    fn of(&self, x: &Tensor) -> Result<[Tensor; 3]> {
        let split = |linear: &Linear| -> Result<Tensor> {
            let y = linear.forward(x)?;
            let (tokens, size) = y.dims2()?;
            Ok(y.reshape((tokens, self.heads, size / self.heads))?)
        };
        let [query, key, value] = &self.linears;
        Ok([
            self.norms[0].forward(&split(query)?)?,
            self.norms[1].forward(&split(key)?)?,
            split(value)?,
        ])
    }
}

/// Attention of rotated queries to rotated keys, `(tokens, size)`.
fn attend([queries, keys, values]: [Tensor; 3], rope: &[Tensor; 2]) -> Result<Tensor> {
    let (_, heads, head_dim) = queries.dims3()?;
    let flat = |x: &Tensor| x.flatten_from(1);
    let (queries, keys) = (rotated(&queries, rope)?, rotated(&keys, rope)?);
    let scale = (head_dim as f64).powf(-0.5);
    pixels::attend(&flat(&queries)?, &flat(&keys)?, &flat(&values)?, heads, scale)
}

/// Neighbouring channels, rotated in f32.
fn rotated(x: &Tensor, [cosines, sines]: &[Tensor; 2]) -> Result<Tensor> {
    let (tokens, heads, head_dim) = x.dims3()?;
    let pairs = x.to_dtype(DType::F32)?.reshape((tokens, heads, head_dim / 2, 2))?;
    let part = |number: usize| pairs.narrow(3, number, 1)?.squeeze(3)?.contiguous();
    let (first, second) = (part(0)?, part(1)?);
    let real = (first.broadcast_mul(cosines)? - second.broadcast_mul(sines)?)?;
    let imaginary = (first.broadcast_mul(sines)? + second.broadcast_mul(cosines)?)?;
    let pairs = Tensor::stack(&[real, imaginary], 3)?;
    Ok(pairs.reshape((tokens, heads, head_dim))?.to_dtype(x.dtype())?)
}

/// Two linear layers with GELU between them.
#[derive(Debug, Clone)]
struct FeedForward([Linear; 2]);

impl FeedForward {
    fn load(weights: &Weights, size: usize) -> Result<Self> {
        Ok(Self([
            weights.linear("net.0.proj", size, 4 * size, Bias::Present)?,
            weights.linear("net.2", 4 * size, size, Bias::Present)?,
        ]))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0[1].forward(&Activation::GeluTanh.forward(&self.0[0].forward(x)?)?)
    }
}

/// What text or picture has for itself in a [`Double`].
#[derive(Debug, Clone)]
struct Stream {
    modulation: Modulation,
    projections: Projections,
    out: Linear,
    feed_forward: FeedForward,
}

impl Stream {
    /// What it adds to the attention's queries, keys and values, and its modulation.
    fn before(&self, x: &Tensor, condition: &Tensor) -> Result<([Tensor; 3], [Tensor; 6])> {
        let modulation: [Tensor; 6] = self.modulation.of(condition)?;
        let [shift, scale, ..] = &modulation;
        Ok((self.projections.of(&modulated(x, shift, scale)?)?, modulation))
    }

    fn after(&self, x: &Tensor, attended: &Tensor, modulation: &[Tensor; 6]) -> Result<Tensor> {
        let [_, _, gate, shift, scale, last_gate] = modulation;
        let x = (x + self.out.forward(attended)?.broadcast_mul(gate)?)?;
        let inner = self.feed_forward.forward(&modulated(&x, shift, scale)?)?;
        Ok((&x + inner.broadcast_mul(last_gate)?)?)
    }
}

/// `FluxTransformerBlock`: text and picture have weights of their own and attend together.
#[derive(Debug, Clone)]
pub(super) struct Double {
    picture: Stream,
    text: Stream,
}

impl Double {
    pub(super) fn load(weights: &Weights, size: usize, heads: usize) -> Result<Self> {
        let attention = weights.scope("attn");
        let shape = [size, heads];
        let stream = |norm: &str, names, norms, out: &str, feed_forward: &str| {
            Ok::<_, Error>(Stream {
                modulation: Modulation::load(weights, norm, size, 6)?,
                projections: Projections::load(&attention, names, norms, shape)?,
                out: attention.linear(out, size, size, Bias::Present)?,
                feed_forward: FeedForward::load(&weights.scope(feed_forward), size)?,
            })
        };
        let own = ["to_q", "to_k", "to_v"];
        let added = ["add_q_proj", "add_k_proj", "add_v_proj"];
        Ok(Self {
            picture: stream("norm1.linear", own, ["norm_q", "norm_k"], "to_out.0", "ff")?,
            text: stream(
                "norm1_context.linear",
                added,
                ["norm_added_q", "norm_added_k"],
                "to_add_out",
                "ff_context",
            )?,
        })
    }

    /// Text and picture, `(tokens, size)` each.
    pub(super) fn forward(
        &self,
        text: &Tensor,
        picture: &Tensor,
        condition: &Tensor,
        rope: &[Tensor; 2],
    ) -> Result<(Tensor, Tensor)> {
        let (of_text, text_modulation) = self.text.before(text, condition)?;
        let (of_picture, picture_modulation) = self.picture.before(picture, condition)?;
        let both = |at: usize| Tensor::cat(&[&of_text[at], &of_picture[at]], 0);
        let attended = attend([both(0)?, both(1)?, both(2)?], rope)?;
        let words = text.dim(0)?;
        let part = |start: usize, count: usize| attended.narrow(0, start, count)?.contiguous();
        let (for_text, for_picture) = (part(0, words)?, part(words, picture.dim(0)?)?);
        Ok((
            self.text.after(text, &for_text, &text_modulation)?,
            self.picture.after(picture, &for_picture, &picture_modulation)?,
        ))
    }
}

/// `FluxSingleTransformerBlock`: attention and feed-forward side by side, the same for text and picture.
#[derive(Debug, Clone)]
pub(super) struct Single {
    modulation: Modulation,
    projections: Projections,
    up: Linear,
    out: Linear,
}

impl Single {
    pub(super) fn load(weights: &Weights, size: usize, heads: usize) -> Result<Self> {
        let names = ["to_q", "to_k", "to_v"];
        let attention = weights.scope("attn");
        Ok(Self {
            modulation: Modulation::load(weights, "norm.linear", size, 3)?,
            projections: Projections::load(&attention, names, ["norm_q", "norm_k"], [size, heads])?,
            up: weights.linear("proj_mlp", size, 4 * size, Bias::Present)?,
            out: weights.linear("proj_out", 5 * size, size, Bias::Present)?,
        })
    }

    /// Text and picture one after the other, `(tokens, size)`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        condition: &Tensor,
        rope: &[Tensor; 2],
    ) -> Result<Tensor> {
        let [shift, scale, gate] = self.modulation.of(condition)?;
        let normed = modulated(x, &shift, &scale)?;
        let inner = Activation::GeluTanh.forward(&self.up.forward(&normed)?)?;
        let attended = attend(self.projections.of(&normed)?, rope)?;
        let out = self.out.forward(&Tensor::cat(&[attended, inner], 1)?)?;
        Ok((x + out.broadcast_mul(&gate)?)?)
    }
}
