//! Ten recordings without speech, made by formulas: silence, noise, hum, tones, music, clicks.
#![allow(unreachable_pub, reason = "a module of several programs")]

use std::f32::consts::TAU;

/// Samples per second.
pub const RATE: usize = 16_000;
/// Samples of a clip: ten seconds.
const LENGTH: usize = 10 * RATE;

/// Their names and samples.
pub fn clips() -> [(&'static str, Vec<f32>); 10] {
    [
        ("silence", vec![0.0; LENGTH]),
        ("white noise", white(1).map(|x| 0.1 * x).collect()),
        ("white noise, quiet", white(2).map(|x| 0.002 * x).collect()),
        ("pink noise", pink()),
        ("brown noise", brown()),
        (
            "hum of 50 Hz",
            of_time(|t| {
                [(50.0, 0.1), (100.0, 0.05), (150.0, 0.03), (250.0, 0.01)]
                    .map(|(frequency, loud)| loud * tone(frequency, t))
                    .iter()
                    .sum()
            }),
        ),
        ("tone of 440 Hz", of_time(|t| 0.2 * tone(440.0, t))),
        // From 100 to 4,000 Hz and on.
        ("rising tone", of_time(|t| 0.2 * tone(100.0 + 195.0 * t, t))),
        ("chords", of_time(chords)),
        ("clicks", of_time(|t| if t % 0.5 < 0.004 { 0.8 * tone(1800.0, t) } else { 0.0 })),
    ]
}

fn of_time(wave: impl Fn(f32) -> f32) -> Vec<f32> {
    (0..LENGTH).map(|at| wave(at as f32 / RATE as f32)).collect()
}

fn tone(frequency: f32, t: f32) -> f32 {
    (TAU * (frequency * t).fract()).sin()
}

/// C, G, A minor and F, a second each, with overtones, and plucked.
fn chords(t: f32) -> f32 {
    let chord = [
        [261.63, 329.63, 392.0],
        [196.0, 246.94, 293.66],
        [220.0, 261.63, 329.63],
        [174.61, 220.0, 261.63],
    ][t as usize % 4];
    let within = t.fract();
    let notes = chord.iter().flat_map(|note| (1..=4).map(move |over| (note * over as f32, over)));
    let sum: f32 = notes.map(|(note, over)| tone(note, t) / over as f32).sum();
    0.08 * sum * (-2.5 * within).exp() * (within * 200.0).min(1.0)
}

/// From -1 to 1, by Knuth's generator.
fn white(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed;
    (0..LENGTH).map(move |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// Kellet's filter.
fn pink() -> Vec<f32> {
    let mut state = [0.0_f32; 3];
    let filter = |x: f32| {
        let [a, b, c] = &mut state;
        *a = 0.99765 * *a + x * 0.0990460;
        *b = 0.96300 * *b + x * 0.2965164;
        *c = 0.57000 * *c + x * 1.0526913;
        0.03 * (*a + *b + *c + x * 0.1848)
    };
    white(3).map(filter).collect()
}

fn brown() -> Vec<f32> {
    let mut level = 0.0_f32;
    let step = |x: f32| {
        level = 0.998 * level + 0.02 * x;
        0.6 * level
    };
    white(4).map(step).collect()
}
