//! Signals made by a formula: what `signal` of `tests/goldens/make_audio_features.py` makes.
#![allow(dead_code, unreachable_pub, reason = "no user of this module uses all of it")]

use std::f64::consts::TAU;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Signal {
    Silence {
        samples: usize,
    },
    Constant {
        samples: usize,
        amplitude: f64,
    },
    /// A sine whose frequency rises evenly.
    Chirp {
        samples: usize,
        from: f64,
        to: f64,
        amplitude: f64,
        rate: f64,
    },
    /// A linear congruential generator's numbers.
    Noise {
        samples: usize,
        seed: u32,
        amplitude: f64,
    },
    /// Parts that begin together.
    Sum {
        samples: usize,
        parts: Vec<Self>,
    },
}

impl Signal {
    pub fn samples(&self) -> Vec<f32> {
        match self {
            Self::Silence { samples } => vec![0.0; *samples],
            Self::Constant { samples, amplitude } => vec![*amplitude as f32; *samples],
            Self::Chirp { samples, from, to, amplitude, rate } => {
                let sample = |at: usize| {
                    let i = at as f64;
                    let turns = (from * i + (to - from) * i * i / (2 * samples) as f64) / rate;
                    (amplitude * (TAU * (turns - turns.floor())).sin()) as f32
                };
                (0..*samples).map(sample).collect()
            }
            Self::Noise { samples, seed, amplitude } => {
                let mut state = *seed;
                let mut next = || {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (amplitude * (f64::from(state) / f64::from(1_u32 << 31) - 1.0)) as f32
                };
                (0..*samples).map(|_| next()).collect()
            }
            Self::Sum { samples, parts } => {
                let mut sum = vec![0.0_f64; *samples];
                for part in parts {
                    let part = part.samples();
                    sum.iter_mut().zip(part).for_each(|(sum, sample)| *sum += f64::from(sample));
                }
                sum.into_iter().map(|sample| sample as f32).collect()
            }
        }
    }
}
