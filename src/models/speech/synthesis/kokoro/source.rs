//! What a voice sounds like before the mouth: a tone of the pitch with its overtones, and noise. Source: `SineGen` and
//! `SourceModuleHnNSF` of the reference. <https://arxiv.org/abs/1904.12088>

use candle_core::DType;

use crate::error::Result;
use crate::random::Generator;
use crate::weights::Weights;

/// How the tones of a voice become one.
#[derive(Debug)]
pub(super) struct HarmonicSource {
    /// Of each tone.
    weight: Vec<f32>,
    bias: f32,
}

impl HarmonicSource {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let flat = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
            let tensor = weights.tensor(name, shape)?;
            Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
        };
        let bias = flat("l_linear.bias", &[1])?;
        Ok(Self {
            weight: flat("l_linear.weight", &[1, TONES])?,
            bias: bias.first().copied().unwrap_or_default(),
        })
    }

    /// `hop` samples for each number of the pitch, in Hertz. Phases are summed up and rounded as in the
    /// reference: a hundred thousand radians leave few digits of f32 behind the point.
    pub(super) fn forward(&self, pitch: &[f32], hop: usize, generator: &mut Generator) -> Vec<f32> {
        let samples = pitch.len() * hop;
        // Where the overtones begin, which the reference draws and which nothing depends on.
        generator.rand::<f32>(TONES);
        let between: Vec<_> = (0..samples).map(|at| Between::of(at, hop, pitch.len())).collect();
        let mut sums = vec![self.bias; samples];
        for (tone, &weight) in self.weight.iter().enumerate() {
            let phases = phases(pitch, (tone + 1) as f32, hop);
            for ((at, sum), between) in sums.iter_mut().enumerate().zip(&between) {
                let noise = generator.randn::<f32>(1).first().copied().unwrap_or_default();
                let is_voiced = pitch[at / hop] > LEAST_PITCH;
                *sum += weight
                    * match is_voiced {
                        true => between.phase(&phases).sin() * AMPLITUDE + VOICED_NOISE * noise,
                        false => UNVOICED_NOISE * noise,
                    };
            }
        }
        // Noise that the reference draws and does not use.
        generator.randn::<f32>(samples);
        sums.iter_mut().for_each(|sum| *sum = sum.tanh());
        sums
    }
}

/// The phase at each number of the pitch, in radians.
fn phases(pitch: &[f32], tone: f32, hop: usize) -> Vec<f32> {
    let mut turns = 0.0_f64;
    let phase = |&pitch: &f32| {
        turns += f64::from((pitch * tone / SAMPLES_PER_SECOND).rem_euclid(1.0));
        turns as f32 * 2.0 * std::f32::consts::PI * hop as f32
    };
    pitch.iter().map(phase).collect()
}

/// Between which numbers a sample lies: `interpolate` of torch in f32.
#[derive(Debug, Clone, Copy)]
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

impl Between {
    fn of(sample: usize, hop: usize, count: usize) -> Self {
        let scale = (1.0 / hop as f64) as f32;
        let place = (scale * (sample as f32 + 0.5) - 0.5).max(0.0);
        let first = (place as usize).min(count - 1);
        let second = (first + 1).min(count - 1);
        Self { first, second, share: (place - first as f32).clamp(0.0, 1.0) }
    }

    fn phase(self, phases: &[f32]) -> f32 {
        phases[self.first].mul_add(1.0 - self.share, phases[self.second] * self.share)
    }
}

/// The tone itself and eight overtones.
const TONES: usize = 9;
/// Of each tone.
const AMPLITUDE: f32 = 0.1;
/// Below this there is no tone.
const LEAST_PITCH: f32 = 10.0;
/// The deviation of noise beside a tone.
const VOICED_NOISE: f32 = 0.003;
/// The deviation of noise without one.
const UNVOICED_NOISE: f32 = 0.1 / 3.0;
/// Of all such models.
pub(super) const SAMPLES_PER_SECOND: f32 = 24_000.0;
