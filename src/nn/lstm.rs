//! Long short-term memory over frames: `LSTM` of PyTorch.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::kernels::dense::Dense;
use crate::kernels::lstm;
use crate::weights::slices::with_f32;
use crate::weights::{Linear, Weights};

/// The sizes of an LSTM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LstmConfig {
    /// Channels of a frame that goes in.
    pub(crate) inputs: usize,
    /// Of the state, and of what comes out of each direction.
    pub(crate) hidden: usize,
    /// One on top of the other.
    pub(crate) layers: usize,
    /// Whether each layer goes backwards, too, and gives both results side by side.
    pub(crate) is_bidirectional: bool,
}

/// An LSTM over the frames of a row, which begins with states of zeros. Its steps are computed on the CPU.
#[derive(Debug, Clone)]
pub(crate) struct Lstm {
    config: LstmConfig,
    /// Of each layer its one or two directions.
    layers: Vec<Vec<Direction>>,
}

#[derive(Debug, Clone)]
struct Direction {
    /// To the gates, with the sum of both biases.
    input: Linear,
    /// `(4 hidden, hidden)` in f32 on the CPU.
    recurrent: Tensor,
}

/// What an LSTM that goes one way remembers of the frames so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct LstmState(
    /// Of each layer the hidden state and the cell; none at the beginning.
    Vec<[Vec<f32>; 2]>,
);

impl Lstm {
    /// Reads the tensors `name.weight_ih_l0`, `name.bias_hh_l1_reverse` and so on.
    pub(crate) fn load(weights: &Weights, name: &str, config: LstmConfig) -> Result<Self> {
        let LstmConfig { inputs, hidden, layers, is_bidirectional } = config;
        let Some(gates) = hidden.checked_mul(4).filter(|&gates| gates > 0 && inputs > 0) else {
            return Err(Error::unsupported(format!("an LSTM of {config:?}")));
        };
        let directions: &[&str] = if is_bidirectional { &["", "_reverse"] } else { &[""] };
        let direction = |layer: usize, suffix: &str| -> Result<Direction> {
            let inputs = if layer == 0 { inputs } else { hidden * directions.len() };
            let tensor = |part: &str, shape: &[usize]| {
                weights.tensor(&format!("{name}.{part}_l{layer}{suffix}"), shape)
            };
            let bias = (tensor("bias_ih", &[gates])? + tensor("bias_hh", &[gates])?)?;
            let recurrent = tensor("weight_hh", &[gates, hidden])?.to_dtype(DType::F32)?;
            Ok(Direction {
                input: Linear::new(tensor("weight_ih", &[gates, inputs])?, Some(bias))?,
                recurrent: recurrent.to_device(&Device::Cpu)?.contiguous()?,
            })
        };
        let layer =
            |layer: usize| directions.iter().map(|suffix| direction(layer, suffix)).collect();
        Ok(Self { config, layers: (0..layers).map(layer).collect::<Result<_>>()? })
    }

    /// Channels of a frame that comes out.
    pub(crate) fn outputs(&self) -> usize {
        self.config.hidden * if self.config.is_bidirectional { 2 } else { 1 }
    }

    /// The frames of one row, `(frames, inputs)`, to `(frames, hidden)`, or twice as many where it goes both
    /// ways.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, &mut LstmState::default())
    }

    /// As [`forward`](Self::forward), going on from a state. Where it goes both ways, that is the state of either
    /// end, and of no use.
    pub(crate) fn forward_with(&self, x: &Tensor, state: &mut LstmState) -> Result<Tensor> {
        let (frames, channels) = x.dims2()?;
        if channels != self.config.inputs {
            let inputs = self.config.inputs;
            return Err(Error::input(format!("frames of {channels} channels into {inputs}")));
        }
        let mut x = x.clone();
        let width = self.config.hidden;
        state.0.resize_with(self.layers.len(), || [vec![0.0; width], vec![0.0; width]]);
        for (layer, state) in self.layers.iter().zip(&mut state.0) {
            let begun = state.clone();
            let directions = layer.iter().enumerate().map(|(number, direction)| {
                state.clone_from(&begun);
                let gates = direction.input.forward(&x)?.to_dtype(DType::F32)?;
                let gates = gates.to_device(&Device::Cpu)?.contiguous()?;
                let y = direction.run(&gates, state, number == 1)?;
                let y = Tensor::from_vec(y, (frames, self.config.hidden), &Device::Cpu)?;
                Ok(y.to_device(x.device())?.to_dtype(x.dtype())?)
            });
            x = Tensor::cat(&directions.collect::<Result<Vec<_>>>()?, 1)?;
        }
        Ok(x)
    }
}

impl Direction {
    fn run(
        &self,
        gates: &Tensor,
        [hidden, cell]: &mut [Vec<f32>; 2],
        is_reversed: bool,
    ) -> Result<Vec<f32>> {
        with_f32(gates, |gates| {
            with_f32(&self.recurrent, |recurrent| {
                lstm::run(gates, Dense::F32(recurrent), [hidden, cell], is_reversed)
            })
        })?
    }
}
