//! How many threads a model computes on, and many models and callers at once.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::thread;

use sconce::models::{AutoModel, CausalLm, LogitsAt};
use sconce::{Device, Error, LoadOptions, QuantLevel, Result, TokenBatch};

const MODELS: [&str; 2] = ["./tests/goldens/llama-gqa-tiny", "./tests/goldens/gemma2-tiny"];

fn options() -> LoadOptions {
    LoadOptions::default().device(Device::Cpu)
}

/// The bits of the logits of a prompt and of five tokens after it.
fn generate(model: &dyn CausalLm) -> Result<Vec<u32>> {
    let mut cache = model.new_cache();
    let mut ids: Vec<u32> = (1..30).collect();
    let mut bits = Vec::new();
    for token in 0..6 {
        let logits = model.forward(&TokenBatch::single(&ids)?, &mut cache, LogitsAt::LastToken)?;
        let logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
        bits.extend(logits.into_iter().map(f32::to_bits));
        ids = vec![40 + token];
    }
    Ok(bits)
}

#[test]
fn many_models_and_callers_at_once_give_what_each_gives_alone() -> Result<()> {
    let mut models: Vec<(Arc<dyn CausalLm>, Vec<u32>)> = Vec::new();
    for source in MODELS {
        for options in [options(), options().quantize(QuantLevel::Q8_0)] {
            let alone = generate(AutoModel::open::<dyn CausalLm>(source, &options)?.as_ref())?;
            for options in [options.clone(), options.clone().threads(1), options.threads(2)] {
                models.push((AutoModel::open::<dyn CausalLm>(source, &options)?, alone.clone()));
            }
        }
    }
    thread::scope(|scope| {
        for (model, alone) in models.iter().chain(&models) {
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(&generate(model.as_ref()).unwrap(), alone);
                }
            });
        }
    });
    Ok(())
}

#[test]
fn a_model_on_no_thread_is_refused() {
    let refused = AutoModel::open::<dyn CausalLm>(MODELS[0], &options().threads(0)).err();
    assert!(matches!(refused, Some(Error::InvalidOption { option, .. }) if option == "threads"));
}
