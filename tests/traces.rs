//! Hidden states and attention of every layer, against transformers'.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;

use candle_core::{DType, Device, Tensor, safetensors};
use sconce::batch::PaddingSide;
use sconce::models::{AutoModel, CausalLm, LogitsAt};
use sconce::{LoadOptions, Result, TokenBatch};

/// `tests/goldens/make_traces.py` says how the numbers came about.
#[test]
fn every_layer_is_that_of_the_reference() -> Result<()> {
    let mut checked = 0;
    for entry in fs::read_dir("tests/goldens/traces").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let expected = safetensors::load(&path, &Device::Cpu)?;
        let numbers = |name: &str| expected[name].to_dtype(DType::U32)?.to_vec2::<u32>();
        let (ids, mask) = (numbers("ids")?, numbers("mask")?);
        let rows: Vec<Vec<u32>> = ids
            .iter()
            .zip(&mask)
            .map(|(ids, mask)| {
                let tokens = ids.iter().zip(mask).filter(|(_, mask)| **mask == 1);
                tokens.map(|(id, _)| *id).collect()
            })
            .collect();
        let batch = TokenBatch::padded(&rows, 0, PaddingSide::Left)?;
        let model = AutoModel::open::<dyn CausalLm>(
            format!("./tests/goldens/{name}"),
            &LoadOptions::default(),
        )?;
        let mut cache = model.new_cache();
        let trace = model.trace(&batch, &mut cache)?;
        assert_eq!(cache.tokens(), batch.tokens());
        for (kind, found) in
            [("hidden_states", &trace.hidden_states), ("attentions", &trace.attentions)]
        {
            let count = expected.keys().filter(|key| key.starts_with(kind)).count();
            assert_eq!(found.len(), count, "{name}: {kind}");
            for (number, found) in found.iter().enumerate() {
                let expected = &expected[&format!("{kind}.{number}")];
                assert_eq!(found.dims(), expected.dims(), "{name}: {kind} {number}");
                for (row, mask) in mask.iter().enumerate() {
                    let first = mask.iter().position(|&mask| mask == 1).unwrap();
                    let difference =
                        (tokens(found, kind, row, first)? - tokens(expected, kind, row, first)?)?;
                    let difference = difference.abs()?.max_all()?.to_scalar::<f32>()?;
                    assert!(
                        difference < 1e-4,
                        "{name}: {kind} {number} of row {row}: {difference}"
                    );
                }
            }
        }
        // The same pass without looking.
        let logits = model.forward(&batch, &mut model.new_cache(), LogitsAt::EveryToken)?;
        for (row, mask) in mask.iter().enumerate() {
            let first = mask.iter().position(|&mask| mask == 1).unwrap();
            let row = |logits: &Tensor| logits.get(row)?.narrow(0, first, mask.len() - first);
            let difference = (row(&logits)? - row(&trace.logits)?)?.abs()?.max_all()?;
            assert!(difference.to_scalar::<f32>()? < 1e-4, "{name}");
        }
        checked += 1;
    }
    assert_eq!(checked, 4);
    Ok(())
}

/// What stands at a row's tokens, without its padding on the left.
fn tokens(tensor: &Tensor, kind: &str, row: usize, first: usize) -> Result<Tensor> {
    let row = tensor.get(row)?;
    let at = if kind == "attentions" { 1 } else { 0 };
    Ok(row.narrow(at, first, row.dim(at)? - first)?)
}
