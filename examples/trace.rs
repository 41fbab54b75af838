//! Compares every layer of a model with what Python computed: `docs/debugging.md` says how to record it.
//!
//! ```text
//! cargo run --release --example trace -- ./my-model trace.safetensors
//! ```

use std::error::Error;

use candle_core::{DType, Device, Tensor, safetensors};
use sconce::models::{AutoModel, CausalLm};
use sconce::{CachePrecision, LoadOptions, Precision, TokenBatch};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [model, python] = arguments.as_slice() else {
        return Err("usage: trace MODEL TRACE.safetensors".into());
    };
    let python = safetensors::load(python, &Device::Cpu)?;
    let recorded = |name: &str| python.get(name).ok_or_else(|| format!("no {name} was recorded"));
    let ids: Vec<u32> = recorded("ids")?.to_dtype(DType::U32)?.flatten_all()?.to_vec1()?;

    let options =
        LoadOptions::default().device(Device::Cpu).dtype(Precision::F32).cache(CachePrecision::F32);
    let model = AutoModel::open::<dyn CausalLm>(model.as_str(), &options)?;
    let trace = model.trace(&TokenBatch::single(&ids)?, &mut model.new_cache())?;

    for (layer, hidden) in trace.hidden_states.iter().enumerate() {
        let mut tensors = vec![(format!("hidden_states.{layer}"), hidden)];
        tensors.extend(trace.attentions.get(layer).map(|it| (format!("attentions.{layer}"), it)));
        for (name, ours) in tensors {
            report(&name, ours, recorded(&name)?)?;
        }
    }
    Ok(report("logits", &trace.logits, recorded("logits")?)?)
}

/// Prints the largest difference of two tensors beside their largest value, and marks what is not rounding.
fn report(name: &str, ours: &Tensor, theirs: &Tensor) -> candle_core::Result<()> {
    let difference = (ours - theirs.to_dtype(DType::F32)?)?.abs()?;
    let largest: f32 = difference.max_all()?.to_scalar()?;
    let scale: f32 = theirs.to_dtype(DType::F32)?.abs()?.max_all()?.to_scalar()?;
    let mark = if largest > 1e-3 * scale { "  <-" } else { "" };
    println!("{name:<18} {largest:>10.2e} of {scale:>9.2e}{mark}");
    Ok(())
}
