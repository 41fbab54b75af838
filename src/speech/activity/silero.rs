//! Silero VAD, version 5 and later: a small network that hears speech in many languages.
//!
//! Source: <https://github.com/snakers4/silero-vad> (MIT), `tinygrad_model.py` of the package 6.2.3.

use std::path::Path;

use crate::error::{Error, Result};
use crate::kernels::dense::{self, Dense};
use crate::kernels::lstm;
use crate::kernels::pool;
use crate::options::LoadOptions;
use crate::source::{ModelFiles, ModelSource};
use crate::speech::activity::detector::{
    VoiceActivityDetector, VoiceActivityStream, check_windows,
};
use crate::weights::{NameTable, Weights};

/// Silero VAD, which hears 16,000 samples per second, and 8,000 where its file holds that network, too.
///
/// The weights come with the Python package `silero-vad` (MIT): `silero_vad/data/silero_vad.jit` holds both networks
/// and is what the package itself uses. `silero_vad_16k.safetensors` beside it holds the first only, and in 6.2.3
/// that of an earlier version.
///
/// ```text
/// pip download --no-deps silero-vad==6.2.3 && unzip silero_vad-*.whl
/// ```
#[derive(Debug, Clone)]
pub struct SileroVad {
    networks: Vec<Network>,
}

#[derive(Debug, Clone)]
struct Network {
    sampling_rate: u32,
    /// The samples of a frame. A window is two frames long. A quarter of a frame of the window before is heard
    /// again, and as much is mirrored at the end.
    frame: usize,
    /// What multiplies a frame: cosines, then sines.
    transform: Vec<f32>,
    convolutions: [Convolution; 4],
    input: Vec<f32>,
    recurrent: Vec<f32>,
    /// Of each gate, the sum of both.
    bias: Vec<f32>,
    output: Vec<f32>,
    output_bias: f32,
}

/// A convolution over 3 frames, with a frame of zeros before the first and after the last, and a ReLU.
#[derive(Debug, Clone)]
struct Convolution {
    /// `(out, 3, in)`.
    weight: Vec<f32>,
    bias: Vec<f32>,
    channels: usize,
    stride: usize,
}

/// What a file calls the tensors of a network.
struct Names {
    transform: String,
    /// Of convolution 0 to 3, without `.weight`.
    convolution: fn(usize) -> String,
    lstm: &'static str,
    output: &'static str,
}

impl SileroVad {
    /// Reads `silero_vad.jit`, or else `silero_vad_16k.safetensors`, in a folder or repository.
    ///
    /// # Errors
    ///
    /// When there is neither, or the file is not this network's.
    pub fn from_source(source: impl Into<ModelSource>) -> Result<Self> {
        let files = source.into().open()?;
        let stem = STEMS.iter().find_map(|(stem, name)| match files.optional(name) {
            Ok(None) => None,
            found => Some(found.map(|_| *stem)),
        });
        let Some(stem) = stem.transpose()? else {
            let names = STEMS.map(|(_, name)| name).join(" or ");
            return Err(files.missing(STEMS[0].1, &names, "it holds the weights"));
        };
        Self::open(&files, stem)
    }

    /// Reads a `.jit` or `.safetensors` file of any name.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not this network's.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let known =
            path.extension().is_some_and(|ending| ending == "jit" || ending == "safetensors");
        let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| known);
        let Some(stem) = stem else {
            let path = path.display();
            return Err(Error::input(format!("{path} is neither a .jit nor a .safetensors file")));
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let source = ModelSource::directory(folder.unwrap_or_else(|| Path::new(".")));
        Self::open(&source.open()?, stem)
    }

    fn open(files: &ModelFiles, stem: &str) -> Result<Self> {
        let table = NameTable::stored_names();
        let weights = Weights::open_stem(files, stem, table, &LoadOptions::default())?;
        if weights.contains(TRANSFORM) {
            let names = Names {
                transform: TRANSFORM.to_owned(),
                convolution: |number| format!("conv{}", number + 1),
                lstm: "lstm_cell",
                output: "final_conv",
            };
            return Ok(Self { networks: vec![Network::load(&weights, &names, 16_000)?] });
        }
        let names = Names {
            transform: "stft.forward_basis_buffer".to_owned(),
            convolution: |number| format!("encoder.{number}.reparam_conv"),
            lstm: "decoder.rnn",
            output: "decoder.decoder.2",
        };
        let mut networks = vec![Network::load(&weights.scope("_model"), &names, 16_000)?];
        let narrow = weights.scope("_model_8k");
        if narrow.contains(&names.transform) {
            networks.push(Network::load(&narrow, &names, 8_000)?);
        }
        Ok(Self { networks })
    }

    fn network(&self, sampling_rate: u32) -> Result<&Network> {
        let network = self.networks.iter().find(|network| network.sampling_rate == sampling_rate);
        network.ok_or_else(|| {
            let known = self.networks.iter().map(|network| network.sampling_rate.to_string());
            let known = known.collect::<Vec<_>>().join(" or ");
            Error::input(format!(
                "audio of {sampling_rate} samples per second where Silero VAD hears {known}; resample it first"
            ))
        })
    }
}

impl VoiceActivityDetector for SileroVad {
    fn window(&self, sampling_rate: u32) -> Result<usize> {
        self.network(sampling_rate).map(Network::window)
    }

    fn listen(&self, sampling_rate: u32) -> Result<Box<dyn VoiceActivityStream + '_>> {
        let network = self.network(sampling_rate)?;
        Ok(Box::new(SileroStream {
            network,
            context: vec![0.0; network.context()],
            hidden: vec![0.0; HIDDEN],
            cell: vec![0.0; HIDDEN],
        }))
    }
}

impl Network {
    fn load(weights: &Weights, names: &Names, sampling_rate: u32) -> Result<Self> {
        let frame = if sampling_rate == 16_000 { 256 } else { 128 };
        let bins = frame / 2 + 1;
        let tensor = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
            Ok(weights.tensor(name, shape)?.flatten_all()?.to_vec1()?)
        };
        let convolution = |number: usize, channels: usize, out: usize, stride: usize| {
            let name = (names.convolution)(number);
            let stored = tensor(&format!("{name}.weight"), &[out, channels, TAPS])?;
            // From (out, in, 3), so that weights lie as the frames lie that they multiply.
            let at = |row: usize, tap: usize, channel: usize| {
                stored[(row * channels + channel) * TAPS + tap]
            };
            let mut weight = Vec::with_capacity(stored.len());
            for row in 0..out {
                for tap in 0..TAPS {
                    weight.extend((0..channels).map(|channel| at(row, tap, channel)));
                }
            }
            let bias = tensor(&format!("{name}.bias"), &[out])?;
            Ok::<_, Error>(Convolution { weight, bias, channels, stride })
        };
        let lstm = |part: &str, shape: &[usize]| tensor(&format!("{}.{part}", names.lstm), shape);
        let mut bias = lstm("bias_ih", &[4 * HIDDEN])?;
        let recurrent_bias = lstm("bias_hh", &[4 * HIDDEN])?;
        bias.iter_mut().zip(recurrent_bias).for_each(|(bias, more)| *bias += more);
        Ok(Self {
            sampling_rate,
            frame,
            transform: tensor(&names.transform, &[2 * bins, 1, frame])?,
            convolutions: [
                convolution(0, bins, 128, 1)?,
                convolution(1, 128, 64, 2)?,
                convolution(2, 64, 64, 2)?,
                convolution(3, 64, HIDDEN, 1)?,
            ],
            input: lstm("weight_ih", &[4 * HIDDEN, HIDDEN])?,
            recurrent: lstm("weight_hh", &[4 * HIDDEN, HIDDEN])?,
            bias,
            output: tensor(&format!("{}.weight", names.output), &[1, HIDDEN, 1])?,
            output_bias: tensor(&format!("{}.bias", names.output), &[1])?[0],
        })
    }

    fn window(&self) -> usize {
        2 * self.frame
    }

    fn context(&self) -> usize {
        self.frame / 4
    }

    /// What the recurrent layer gets of each window, `(windows, 512)`. `samples` begin with the end of the window
    /// before.
    fn gates(&self, samples: &[f32]) -> Vec<f32> {
        let (frame, context, hop) = (self.frame, self.context(), self.frame / 2);
        let mut frames = Vec::new();
        for start in (0..samples.len() - context).step_by(self.window()) {
            let heard = &samples[start..][..context + self.window()];
            let mirrored = heard.iter().rev().skip(1).take(context);
            let padded: Vec<f32> = heard.iter().chain(mirrored).copied().collect();
            (0..FRAMES)
                .for_each(|number| frames.extend_from_slice(&padded[number * hop..][..frame]));
        }
        let bins = frame / 2 + 1;
        let spectrum = dense::multiply(&frames, frame, Dense::F32(&self.transform), None);
        let mut x = Vec::with_capacity(spectrum.len() / 2);
        for frame in spectrum.chunks_exact(2 * bins) {
            let (cosines, sines) = frame.split_at(bins);
            x.extend(cosines.iter().zip(sines).map(|(re, im)| (re * re + im * im).sqrt()));
        }
        let mut length = FRAMES;
        for convolution in &self.convolutions {
            x = convolution.forward(&x, length);
            length = length.div_ceil(convolution.stride);
        }
        dense::multiply(&x, HIDDEN, Dense::F32(&self.input), Some(&self.bias))
    }
}

impl Convolution {
    /// `x` is `(windows, length, channels)`.
    fn forward(&self, x: &[f32], length: usize) -> Vec<f32> {
        let mut rows = Vec::with_capacity(x.len() * TAPS / self.stride);
        for window in x.chunks_exact(length * self.channels) {
            for tap in (0..length).step_by(self.stride).flat_map(|at| at..at + TAPS) {
                match tap.checked_sub(1).filter(|&frame| frame < length) {
                    Some(frame) => {
                        rows.extend_from_slice(&window[frame * self.channels..][..self.channels]);
                    }
                    None => rows.resize(rows.len() + self.channels, 0.0),
                }
            }
        }
        let weight = Dense::F32(&self.weight);
        let mut out = dense::multiply(&rows, TAPS * self.channels, weight, Some(&self.bias));
        out.iter_mut().for_each(|value| *value = value.max(0.0));
        out
    }
}

#[derive(Debug)]
struct SileroStream<'a> {
    network: &'a Network,
    /// The last samples of the window before.
    context: Vec<f32>,
    hidden: Vec<f32>,
    cell: Vec<f32>,
}

impl VoiceActivityStream for SileroStream<'_> {
    fn hear(&mut self, samples: &[f32]) -> Result<Vec<f32>> {
        check_windows(samples, self.network.window())?;
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        let heard = [&self.context, samples].concat();
        let context = heard.len() - self.context.len();
        self.context.copy_from_slice(&heard[context..]);
        let gates = self.network.gates(&heard);
        // A step takes less time than waking another thread.
        let steps = gates.chunks_exact(4 * HIDDEN).map(|gates| self.step(gates));
        Ok(pool::with_limit(1, || steps.collect()))
    }
}

impl SileroStream<'_> {
    /// One step of the recurrent layer, an LSTM, and what it says about the window.
    fn step(&mut self, gates: &[f32]) -> f32 {
        let network = self.network;
        let sums =
            dense::multiply(&self.hidden, HIDDEN, Dense::F32(&network.recurrent), Some(gates));
        lstm::step(&sums, &mut self.hidden, &mut self.cell);
        let shares = network.output.iter().zip(&self.hidden);
        let sum = shares
            .fold(network.output_bias, |sum, (weight, hidden)| sum + weight * hidden.max(0.0));
        sigmoid(sum)
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The files of the package, without and with their endings.
const STEMS: [(&str, &str); 2] =
    [("silero_vad", "silero_vad.jit"), ("silero_vad_16k", "silero_vad_16k.safetensors")];
/// The transform's name in safetensors files.
const TRANSFORM: &str = "stft_conv.weight";
/// Frames of a window.
const FRAMES: usize = 4;
/// Frames that a convolution sees.
const TAPS: usize = 3;
/// The width of the recurrent layer.
const HIDDEN: usize = 128;
