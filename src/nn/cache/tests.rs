//! Caches against plain lists of tokens.

use std::borrow::Cow;
use std::fs;
use std::slice;

use candle_core::{DType, Device, Tensor};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use safetensors::SafeTensors;

use crate::error::{Error, Result};
use crate::kernels::cached::TOKENS;
use crate::nn::cache::file::checksum_of;
use crate::nn::cache::{CacheLayer, KvCache};

const LAYERS: [CacheLayer; 3] = [
    CacheLayer::new(2, 8),
    CacheLayer::new(1, 12).window(Some(70)),
    CacheLayer::new(2, 8).window(Some(70)),
];

/// Where keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Blocks,
    Buffers,
}

/// A number of a token's key, or of its value: small, and exact in 16 bits.
fn number(id: u32, part: usize, layer: usize, channel: usize) -> f32 {
    ((id as usize * 31 + part * 17 + layer * 7 + channel * 3) % 61) as f32 / 4.0 - 7.0
}

/// A forward pass, but for the model: appends these ids to each row and returns what each layer holds.
fn tell(cache: &mut KvCache, ids: &[Vec<u32>], place: Place) -> Result<Vec<(Tensor, Tensor)>> {
    cache.extend_rows(ids.iter().map(Vec::as_slice));
    let ids = ids.concat();
    let append = |(layer, config): (usize, &CacheLayer)| {
        let width = config.kv_heads * config.head_dim;
        let vectors = |part| {
            let numbers = ids
                .iter()
                .flat_map(|&id| (0..width).map(move |channel| number(id, part, layer, channel)));
            let shape = (ids.len(), config.kv_heads, config.head_dim);
            Tensor::from_iter(numbers, &Device::Cpu)?.reshape(shape)
        };
        let (keys, values) = (vectors(0)?, vectors(1)?);
        match place {
            Place::Blocks => cache.append(layer, &keys, &values),
            Place::Buffers => cache.layer(layer).append_to_buffers(&keys, &values),
        }
    };
    LAYERS.iter().enumerate().map(append).collect()
}

/// Holds a cache against the ids of its rows; of layers with a window what is in it.
fn check(cache: &mut KvCache, rows: &[Vec<u32>], place: Place) -> Result<()> {
    let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
    assert_eq!(cache.row_lengths(), lengths);
    assert_eq!(cache.tokens(), lengths.iter().copied().max().unwrap_or(0));
    if rows.is_empty() {
        return Ok(());
    }
    let layers = tell(cache, &vec![Vec::new(); rows.len()], place)?;
    for (layer, (config, (keys, values))) in LAYERS.iter().zip(layers).enumerate() {
        for (part, found) in [keys, values].iter().enumerate() {
            let longest = cache.tokens();
            assert_eq!(found.dims(), [rows.len(), config.kv_heads, longest, config.head_dim]);
            let found = found.transpose(1, 2)?.flatten_from(2)?.to_vec3::<f32>()?;
            for (number_of_row, (ids, found)) in rows.iter().zip(found).enumerate() {
                assert_eq!(cache.row_ids(number_of_row), Some(ids.as_slice()));
                let first =
                    config.window.map_or(0, |window| (ids.len() + 1).saturating_sub(window));
                for (slot, (&id, found)) in ids.iter().zip(found).enumerate().skip(first) {
                    for (channel, found) in found.into_iter().enumerate() {
                        let expected = number(id, part, layer, channel);
                        assert!((found - expected).abs() < 0.04, "{slot}: {found}, not {expected}");
                    }
                }
            }
        }
    }
    Ok(())
}

/// xorshift
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % end
    }

    fn ids(&mut self, most: usize) -> Vec<u32> {
        (0..self.below(most + 1)).map(|_| self.below(1000) as u32).collect()
    }
}

#[test]
fn whatever_is_done_rows_hold_what_they_were_told() -> Result<()> {
    for (seed, dtype) in [DType::F32, DType::F16, DType::U8].into_iter().enumerate() {
        let places = [Place::Blocks, Place::Buffers];
        for place in places.into_iter().filter(|&place| place == Place::Blocks || seed == 0) {
            let mut random = Random(88_172_645_463_325_252 + seed as u64);
            // Caches go their own ways.
            let mut caches = vec![(KvCache::new(LAYERS, dtype), Vec::<Vec<u32>>::new())];
            for _ in 0..150 {
                let number = random.below(caches.len());
                let (mut cache, mut rows) = caches.swap_remove(number);
                match random.below(9) {
                    0 if caches.len() < 3 => caches.push((cache.fork()?, rows.clone())),
                    1 if !rows.is_empty() => {
                        let tokens = random.below(cache.tokens() + 1);
                        cache.truncate(tokens)?;
                        rows.iter_mut().for_each(|row| row.truncate(tokens));
                        if tokens == 0 {
                            rows.clear();
                        }
                    }
                    2 => {
                        let lengths: Vec<_> =
                            rows.iter().map(|row| random.below(row.len() + 1)).collect();
                        cache.truncate_rows(&lengths)?;
                        rows.iter_mut().zip(lengths).for_each(|(row, to)| row.truncate(to));
                    }
                    3 if !rows.is_empty() => {
                        let count = 1 + random.below(4);
                        let chosen: Vec<_> = (0..count).map(|_| random.below(rows.len())).collect();
                        cache.select_rows(&chosen)?;
                        rows = chosen.iter().map(|&row| rows[row].clone()).collect();
                    }
                    4 if !caches.is_empty() && rows.len() < 4 => {
                        let (other, more) = caches.swap_remove(random.below(caches.len()));
                        cache.admit(other)?;
                        rows.extend(more);
                    }
                    5 => {
                        let file = tempfile::NamedTempFile::new().unwrap();
                        cache.save(file.path())?;
                        cache = KvCache::new(LAYERS, dtype);
                        cache.load(file.path())?;
                    }
                    6 if random.below(10) == 0 => {
                        cache.clear();
                        rows.clear();
                    }
                    _ => {
                        rows.resize(rows.len().max(1), Vec::new());
                        let new: Vec<_> = rows.iter().map(|_| random.ids(90)).collect();
                        tell(&mut cache, &new, place)?;
                        rows.iter_mut().zip(new).for_each(|(row, new)| row.extend(new));
                    }
                }
                caches.push((cache, rows));
                for (cache, rows) in &mut caches {
                    check(cache, rows, place)?;
                }
            }
        }
    }
    Ok(())
}

/// The bytes of so many tokens.
fn bytes(cache: &KvCache, tokens: usize) -> usize {
    tokens * cache.bytes_per_token()
}

#[test]
fn rows_share_the_blocks_of_what_they_have_in_common() -> Result<()> {
    let layers = [CacheLayer::new(2, 8); 3];
    let mut cache = KvCache::new(layers, DType::F16);
    let tell = |cache: &mut KvCache, ids: &[Vec<u32>]| -> Result<()> {
        cache.extend_rows(ids.iter().map(Vec::as_slice));
        let vectors = Tensor::ones((ids.concat().len(), 2, 8), DType::F32, &Device::Cpu)?;
        (0..layers.len()).try_for_each(|layer| cache.append(layer, &vectors, &vectors).map(drop))
    };
    tell(&mut cache, &[vec![7; 2000]])?;
    // 31 blocks, and one that has room for no more than its 16 tokens.
    let prefix = 2000;
    assert_eq!(cache.bytes(), bytes(&cache, prefix));
    cache.select_rows(&[0; 100])?;
    assert_eq!((cache.rows(), cache.bytes()), (100, bytes(&cache, prefix)));
    cache.admit(cache.fork()?)?;
    assert_eq!((cache.rows(), cache.bytes()), (200, bytes(&cache, prefix)));
    cache.select_rows(&(0..100).collect::<Vec<_>>())?;
    // Each row has a last block of its own.
    tell(&mut cache, &vec![vec![1]; 100])?;
    assert_eq!(cache.bytes(), bytes(&cache, 1984 + 100 * 32));
    cache.truncate(1984)?;
    assert_eq!(cache.bytes(), bytes(&cache, 1984));
    // Of rows that are over nothing stays.
    tell(&mut cache, &vec![vec![1]; 100])?;
    cache.select_rows(&[4, 90])?;
    assert_eq!(cache.bytes(), bytes(&cache, 1984 + 2 * 16));
    cache.clear();
    assert_eq!(cache.bytes(), 0);
    Ok(())
}

#[test]
fn windows_let_go_of_what_is_far_behind_them() -> Result<()> {
    let mut cache = KvCache::new(LAYERS, DType::F16);
    let ids: Vec<u32> = (0..3000).collect();
    for chunk in ids.chunks(500) {
        tell(&mut cache, &[chunk.to_vec()], Place::Blocks)?;
        cache.let_go(&[0]);
    }
    let (full, sliding) = (LAYERS[0].bytes_per_token(DType::F16), cache.bytes_per_token());
    let sliding = sliding - full;
    // The width of 12 channels is 16.
    assert!(cache.bytes() <= 3072 * full + (1024 + 70 + 2 * TOKENS) * (sliding + 8));
    check(&mut cache, slice::from_ref(&ids), Place::Blocks)?;
    let error = cache.truncate(1900).unwrap_err();
    assert!(error.to_string().contains("sliding window"), "{error}");
    check(&mut cache, slice::from_ref(&ids), Place::Blocks)?;
    let mut whole = cache.fork()?;
    cache.truncate(1976)?;
    check(&mut cache, &[ids[..1976].to_vec()], Place::Blocks)?;
    tell(&mut cache, &[ids[..600].to_vec()], Place::Blocks)?;
    check(&mut cache, &[[&ids[..1976], &ids[..600]].concat()], Place::Blocks)?;
    whole.truncate(0)?;
    assert_eq!(whole.rows(), 0);

    // A pass that began at 1,000 tokens can be undone.
    let mut cache = KvCache::new(LAYERS, DType::F16);
    tell(&mut cache, &[ids[..1000].to_vec()], Place::Blocks)?;
    tell(&mut cache, &[ids[1000..].to_vec()], Place::Blocks)?;
    cache.let_go(&[1000]);
    cache.truncate_rows(&[1000])?;
    check(&mut cache, &[ids[..1000].to_vec()], Place::Blocks)
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let mut cache = KvCache::new(LAYERS, DType::F32);
    tell(&mut cache, &[vec![1, 2, 3], vec![4]], Place::Blocks)?;
    for lengths in [vec![3], vec![3, 2], vec![4, 1]] {
        assert!(cache.truncate_rows(&lengths).is_err());
    }
    assert!(cache.truncate(4).is_err());
    assert!(cache.select_rows(&[2]).is_err() && cache.select_rows(&[]).is_err());
    assert!(cache.admit(KvCache::new([CacheLayer::new(2, 8)], DType::F32)).is_err());
    assert!(cache.admit(KvCache::new(LAYERS, DType::F16)).is_err());
    let vectors = Tensor::zeros((4, 2, 9), DType::F32, &Device::Cpu)?;
    assert!(cache.append(0, &vectors, &vectors).is_err());
    assert!(cache.append(3, &vectors, &vectors).is_err());
    check(&mut cache, &[vec![1, 2, 3], vec![4]], Place::Blocks)
}

#[test]
fn files_of_other_caches_and_broken_ones_are_refused() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conversation.cache");
    let mut cache = KvCache::new(LAYERS, DType::U8);
    tell(&mut cache, &[(0..100).collect(), (0..3).collect()], Place::Blocks)?;
    cache.save(&path)?;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let wider = LAYERS.map(|layer| CacheLayer { head_dim: 16, ..layer });
    let another = "another model";
    for (mut other, reason) in [
        (KvCache::new(LAYERS, DType::F16), "in \"u8\", and this cache in f16"),
        (KvCache::new(wider, DType::U8), another),
        (KvCache::new([], DType::U8), another),
        (KvCache::new(LAYERS, DType::U8).of_model("the other"), another),
    ] {
        let error = other.load(&path).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(other.rows(), 0);
    }
    let whole = fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(cache.load(&path).is_err());
    }
    // What the header says of rows and blocks is not taken on trust.
    for (from, to) in [
        ("\\\"tables\\\":[[0,1]", "\\\"tables\\\":[[0,9]"),
        ("\\\"tables\\\":[[0,1]", "\\\"tables\\\":[[0  ]"),
        ("[2],[2]", "[2],[ ]"),
        ("sconce_kv_cache\":\"3", "sconce_kv_cache\":\"9"),
    ] {
        let place = whole.windows(from.len()).position(|found| found == from.as_bytes());
        let place = place.unwrap_or_else(|| panic!("no {from}"));
        let mut changed = whole.clone();
        changed[place..place + from.len()].copy_from_slice(to.as_bytes());
        fs::write(&path, with_checksum(changed)).unwrap();
        let error = cache.load(&path).unwrap_err().to_string();
        assert!(!error.contains("damaged"), "{to}: {error}");
    }
    check(&mut cache, &[(0..100).collect(), (0..3).collect()], Place::Blocks)
}

/// A file whose header was changed, as if it had been saved so.
fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let (_, metadata) = SafeTensors::read_metadata(&file).unwrap();
    let metadata = metadata.metadata().clone().unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let mut data: Vec<_> = tensors.iter().map(|(name, tensor)| (name, tensor.data())).collect();
    data.sort_unstable();
    let data = data.into_iter().map(|(name, data)| (name, Cow::Borrowed(data)));
    let sum = checksum_of(&metadata["header"], data);
    let old = metadata["checksum"].as_bytes();
    let place = file.windows(old.len()).position(|found| found == old).unwrap();
    file[place..place + old.len()].copy_from_slice(sum.as_bytes());
    file
}

/// A bit that is another, bytes that are lacking, and bytes that are too many.
#[test]
fn a_damaged_file_is_refused() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conversation.cache");
    for dtype in [DType::U8, DType::F16, DType::F32] {
        let mut cache = KvCache::new(LAYERS, dtype);
        let rows = [(0..70).collect(), (0..3).collect()];
        tell(&mut cache, &rows, Place::Blocks)?;
        cache.save(&path)?;
        let whole = fs::read(&path).unwrap();
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..400 {
            let mut damaged = whole.clone();
            // As often in the header, which is short, as in the numbers behind it.
            let end = if random.random() { whole.len() } else { 1500 };
            let at = random.random_range(0..end);
            match random.random_range(0..4) {
                0 | 1 => damaged[at] ^= 1 << random.random_range(0..8),
                2 => drop(damaged.drain(at..whole.len().min(at + random.random_range(1..40)))),
                _ => damaged.insert(at, random.random()),
            }
            fs::write(&path, &damaged).unwrap();
            let mut other = KvCache::new(LAYERS, dtype);
            let error = other.load(&path).unwrap_err();
            assert!(matches!(error, Error::Malformed { .. }), "{error}");
            assert_eq!(other.rows(), 0);
        }
        fs::write(&path, &whole).unwrap();
        cache.load(&path)?;
        assert_eq!(cache.row_lengths(), [70, 3]);
    }
    Ok(())
}

/// A server saves the conversations of many at once, beside each other.
#[test]
fn files_are_saved_beside_each_other() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let save_often = |number: u32| -> Result<()> {
        let path = folder.path().join(format!("conversation.{number}"));
        let ids = vec![number; 70];
        let mut cache = KvCache::new(LAYERS, DType::U8);
        tell(&mut cache, slice::from_ref(&ids), Place::Blocks)?;
        for _ in 0..20 {
            cache.save(&path)?;
            let mut restored = KvCache::new(LAYERS, DType::U8);
            restored.load(&path)?;
            check(&mut restored, slice::from_ref(&ids), Place::Blocks)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let savers: Vec<_> = (0..4).map(|number| scope.spawn(move || save_often(number))).collect();
        savers.into_iter().try_for_each(|saver| saver.join().unwrap())
    })?;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    Ok(())
}

/// A cache whose rows attend to sources of these ids.
fn with_sources(ids: &[Vec<u32>]) -> Result<KvCache> {
    let mut sources = KvCache::new(LAYERS, DType::F32);
    tell(&mut sources, ids, Place::Blocks)?;
    KvCache::new(LAYERS, DType::F32).with_sources(sources)
}

#[test]
fn sources_go_with_their_rows() -> Result<()> {
    let ids = [vec![1, 2, 3], vec![4], (5..80).collect()];
    let check_sources = |cache: &KvCache, rows: &[usize]| -> Result<()> {
        assert_eq!(cache.rows(), rows.len());
        for (row, &source) in rows.iter().enumerate() {
            assert_eq!(cache.source_ids(row), Some(ids[source].as_slice()));
        }
        for layer in 0..LAYERS.len() {
            for (part, found) in cache.source(layer, &Device::Cpu)?.into_iter().enumerate() {
                let found = found.transpose(1, 2)?.flatten_from(2)?.to_vec3::<f32>()?;
                for (found, &source) in found.iter().zip(rows) {
                    for (&id, found) in ids[source].iter().zip(found) {
                        for (channel, &found) in found.iter().enumerate() {
                            assert_eq!(found, number(id, part, layer, channel));
                        }
                    }
                }
            }
        }
        Ok(())
    };
    let mut cache = with_sources(&ids)?;
    let whole = cache.bytes();
    check_sources(&cache, &[0, 1, 2])?;
    tell(&mut cache, &[vec![7; 70], vec![8], vec![9, 9]], Place::Blocks)?;
    let own = cache.bytes() - whole;
    cache.select_rows(&[2, 2, 0, 2, 1])?;
    check_sources(&cache, &[2, 2, 0, 2, 1])?;
    assert_eq!(cache.bytes(), whole + own);
    let mut fork = cache.fork()?;
    check_sources(&fork, &[2, 2, 0, 2, 1])?;

    // What no row attends to is let go.
    cache.select_rows(&[4, 2])?;
    check_sources(&cache, &[1, 0])?;
    cache.truncate(0)?;
    assert_eq!(cache.row_lengths(), [0, 0]);
    assert_eq!(cache.bytes(), with_sources(&ids[..2])?.bytes());
    cache.admit(with_sources(&ids[1..])?)?;
    check_sources(&cache, &[1, 0, 1, 2])?;

    let file = tempfile::NamedTempFile::new().unwrap();
    cache.save(file.path())?;
    fork.load(file.path())?;
    check_sources(&fork, &[1, 0, 1, 2])?;
    assert_eq!(fork.bytes(), cache.bytes());
    let mut plain = KvCache::new(LAYERS, DType::F32);
    assert!(plain.load(file.path()).unwrap_err().to_string().contains("another model"));
    assert!(plain.admit(cache.fork()?).is_err() && cache.admit(plain.fork()?).is_err());
    assert!(plain.source(0, &Device::Cpu).is_err() && cache.source(3, &Device::Cpu).is_err());
    plain.save(file.path())?;
    assert!(fork.load(file.path()).is_err());
    check_sources(&fork, &[1, 0, 1, 2])?;

    cache.clear();
    assert_eq!((cache.rows(), cache.bytes()), (0, 0));
    cache.admit(fork)?;
    check_sources(&cache, &[1, 0, 1, 2])?;
    assert!(with_sources(&[vec![1], Vec::new()]).unwrap_err().is_caller_error());
    Ok(())
}
