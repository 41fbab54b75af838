//! A language model from outside the crate: it has the crate's cache and generates as all others do.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use candle_core::{D, DType, Tensor};
use candle_nn::ops;
use sconce::generation::{GenerationConfig, generate, generate_batch};
use sconce::models::{Autoregressive, CausalLm, LogitsAt, Model, ModelLimits, TextModel};
use sconce::nn::cache::{CacheLayer, KvCache};
use sconce::weights::Inventory;
use sconce::{Device, Result, TokenBatch};

const VOCAB: usize = 40;
const SIZE: usize = 8;

/// One layer of one head, with nothing around it.
#[derive(Debug)]
struct OneLayer {
    embedding: Tensor,
    projections: [Tensor; 3],
    inventory: Inventory,
}

impl OneLayer {
    fn shared() -> Result<Arc<dyn CausalLm>> {
        let matrix = |rows: usize, seed: usize| {
            let numbers =
                (0..rows * SIZE).map(|at| ((at * 7919 + seed) % 1009) as f32 / 252.0 - 2.0);
            Tensor::from_iter(numbers, &Device::Cpu)?.reshape((rows, SIZE))
        };
        let projections = [matrix(SIZE, 1)?, matrix(SIZE, 2)?, matrix(SIZE, 3)?];
        Ok(Arc::new(Self {
            embedding: matrix(VOCAB, 4)?,
            projections,
            inventory: Inventory::default(),
        }))
    }
}

impl Model for OneLayer {
    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl TextModel for OneLayer {
    fn limits(&self) -> ModelLimits {
        ModelLimits::new(VOCAB, 300)
    }
}

impl Autoregressive for OneLayer {
    fn forward(&self, batch: &TokenBatch, cache: &mut KvCache, at: LogitsAt) -> Result<Tensor> {
        if at != LogitsAt::LastToken {
            return Err(candle_core::Error::msg("only for generation").into());
        }
        let before = cache.row_lengths();
        cache.extend(batch)?;
        // The tokens of all rows without padding.
        let tokens = batch.ids().iter().zip(batch.attention_mask());
        let ids: Vec<u32> = tokens.filter(|(_, mask)| **mask == 1).map(|(id, _)| *id).collect();
        let x = self.embedding.index_select(&Tensor::new(ids, &Device::Cpu)?, 0)?;
        let [queries, keys, values] = self.projections.each_ref().map(|matrix| x.matmul(matrix));
        let (keys, values) = cache.append(0, &keys?.unsqueeze(1)?, &values?.unsqueeze(1)?)?;
        let queries = queries?;
        let mut end = 0;
        let row = |(row, length): (usize, usize)| -> Result<Tensor> {
            end += length - before.get(row).unwrap_or(&0);
            let query = queries.narrow(0, end - 1, 1)?;
            let own = |x: &Tensor| x.get(row)?.get(0)?.narrow(0, 0, length);
            let shares = ops::softmax(&query.matmul(&own(&keys)?.t()?)?, D::Minus1)?;
            Ok(shares.matmul(&own(&values)?)?.matmul(&self.embedding.t()?)?)
        };
        let rows: Result<Vec<_>> = cache.row_lengths().into_iter().enumerate().map(row).collect();
        Ok(Tensor::cat(&rows?, 0)?)
    }
}

impl CausalLm for OneLayer {
    fn new_cache(&self) -> KvCache {
        KvCache::new([CacheLayer::new(1, SIZE)], DType::F32)
    }
}

#[test]
fn it_generates_what_it_gives_without_a_cache() -> Result<()> {
    let model = OneLayer::shared()?;
    let prompts = [vec![1, 2, 3], vec![7], (0..90).map(|id| id % 40).collect()];
    let config = GenerationConfig::default().max_new_tokens(70);
    let mut expected = Vec::new();
    for prompt in &prompts {
        let mut tokens = prompt.clone();
        for _ in 0..70 {
            let (batch, mut cache) = (TokenBatch::single(&tokens)?, model.new_cache());
            let logits = model.forward(&batch, &mut cache, LogitsAt::LastToken)?;
            tokens.push(logits.argmax(1)?.to_vec1::<u32>()?[0]);
        }
        expected.push(tokens.split_off(prompt.len()));
    }
    for (prompt, expected) in prompts.iter().zip(&expected) {
        let tokens = generate(&model, prompt, &config)?.map(|token| token.map(|token| token.id));
        assert_eq!(&tokens.collect::<Result<Vec<_>>>()?, expected);
    }
    let together = generate_batch(&model, None, &prompts, &config)?;
    for (answer, expected) in together.iter().zip(&expected) {
        assert_eq!(&answer.ids(), expected);
    }
    Ok(())
}
