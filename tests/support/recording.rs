//! The recordings of `tests/goldens/make_speech_pipelines.py`.
#![allow(unreachable_pub, reason = "a module of several programs")]

use sconce::audio::Audio;

/// Noise that is loud and soft by turns: `recording` of the script.
pub fn recording(seed: u64, length: usize) -> Audio {
    let mut state = seed;
    let sample = |at: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let loud = [0.9, 0.05, 0.4, 0.0, 0.7][(at / 4000 + seed as usize) % 5];
        (((state >> 40) as f64 / f64::from(1 << 24) - 0.5) * loud) as f32
    };
    Audio::new((0..length).map(sample).collect(), 16_000).unwrap()
}
