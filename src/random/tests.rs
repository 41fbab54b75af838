use serde::Deserialize;

use super::*;

/// `tests/goldens/random.json`, by `make_random.py`.
#[derive(Deserialize)]
struct Golden {
    draws: Vec<Draw>,
    integers: Vec<Integers>,
    permutations: Vec<Permutation>,
}

#[derive(Deserialize)]
struct Draw {
    name: String,
    dtype: String,
    seed: i64,
    count: usize,
    /// The first and the last, or all.
    bits: Vec<i64>,
    hash: u64,
}

#[derive(Deserialize)]
struct Integers {
    seed: u64,
    low: i64,
    high: i64,
    numbers: Vec<i64>,
}

#[derive(Deserialize)]
struct Permutation {
    seed: u64,
    count: usize,
    numbers: Vec<usize>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/goldens/random.json")).unwrap()
}

fn drawn<T: Element>(generator: &mut Generator, draw: &Draw, bits: fn(T) -> i64) -> Vec<i64> {
    let numbers: Vec<T> = match draw.name.as_str() {
        "rand" => generator.rand(draw.count),
        _ => generator.randn(draw.count),
    };
    numbers.into_iter().map(bits).collect()
}

#[test]
fn every_bit_is_torchs() {
    let (mut generator, mut of) = (Generator::seed(0), None);
    for draw in golden().draws {
        let this = (draw.dtype.clone(), draw.seed);
        if of.as_ref() != Some(&this) {
            generator = Generator::seed(draw.seed as u64);
            of = Some(this);
        }
        let found = match draw.dtype.as_str() {
            "f32" => drawn::<f32>(&mut generator, &draw, |x| i64::from(x.to_bits() as i32)),
            "f64" => drawn::<f64>(&mut generator, &draw, |x| x.to_bits() as i64),
            "f16" => drawn::<f16>(&mut generator, &draw, |x| i64::from(x.to_bits() as i16)),
            _ => drawn::<bf16>(&mut generator, &draw, |x| i64::from(x.to_bits() as i16)),
        };
        let case = format!("{}({}) of {}, seed {}", draw.name, draw.count, draw.dtype, draw.seed);
        let half = draw.bits.len().min(20);
        assert_eq!(found[..half], draw.bits[..half], "{case}");
        assert_eq!(
            found[found.len() + half - draw.bits.len()..],
            draw.bits[half..],
            "the end of {case}"
        );
        let hash =
            found.iter().fold(0_u64, |hash, &bits| hash.wrapping_mul(31).wrapping_add(bits as u64));
        assert_eq!(hash, draw.hash, "{case}");
    }
}

#[test]
fn integers_and_permutations_are_torchs() {
    let golden = golden();
    for case in golden.integers {
        let found = Generator::seed(case.seed).randint(case.low, case.high, 8).unwrap();
        assert_eq!(found, case.numbers, "{} to {}", case.low, case.high);
    }
    for case in golden.permutations {
        assert_eq!(Generator::seed(case.seed).randperm(case.count), case.numbers);
        let first = Generator::seed(case.seed).permutation(case.count, 3);
        assert_eq!(first, case.numbers[..case.count.min(3)]);
    }
    assert!(Generator::seed(0).randint(3, 3, 1).is_err());
}

#[test]
fn tensors_are_the_numbers() {
    let tensor = Generator::seed(1).randn_tensor((2, 3, 4), DType::F16, &Device::Cpu).unwrap();
    let numbers = tensor.flatten_all().unwrap().to_vec1::<f16>().unwrap();
    assert_eq!((tensor.dims(), numbers), (&[2, 3, 4][..], Generator::seed(1).randn::<f16>(24)));
    let error = Generator::seed(1).rand_tensor(4, DType::U8, &Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("U8"), "{error}");
}
