//! What became of the options that a model was loaded with.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result, did_you_mean};
use crate::options::{LoadOptions, QuantLevel};
use crate::warning::warn;
use crate::weights::adapters::Unfit;
use crate::weights::inventory::{Inventory, Item, Role};
use crate::weights::plan::{OUTPUT_HEADS, is_in, level_for_rows};

/// Rejects modules to skip that the loaded model does not have, and warns of layers that could not
/// take the level asked for.
///
/// # Errors
///
/// When a name in `skip_modules` is that of no module.
pub(crate) fn check(inventory: &Inventory, options: &LoadOptions) -> Result<()> {
    check_adapters(inventory)?;
    options.skip_modules.iter().flatten().try_for_each(|module| known(inventory, module))?;
    if let Some(said) = options.quantize.and_then(|level| fallbacks(inventory, level)) {
        warn(&said);
    }
    Ok(())
}

/// Rejects adapters with modules that the loaded model does not have.
///
/// # Errors
///
/// When there are such.
pub(crate) fn check_adapters(inventory: &Inventory) -> Result<()> {
    let Some(Unfit { origin, modules, of }) = inventory.unfit.first() else { return Ok(()) };
    let linear = inventory.items().iter().filter(|item| item.role == Role::Linear);
    let names: Vec<_> = linear.map(|item| item.stored_as.trim_end_matches(".weight")).collect();
    let examples: Vec<_> = names.iter().step_by((names.len() / 3).max(1)).take(3).collect();
    Err(Error::option(
        "adapters",
        format!(
            "{origin} is for another model: {} of its {of} modules are not in this one, such as {:?}; this \
             one has modules like {examples:?}",
            modules.len(),
            &modules[..modules.len().min(3)]
        ),
    ))
}

fn known(inventory: &Inventory, module: &str) -> Result<()> {
    let stored = |item: &'_ Item| item.stored_as.trim_end_matches(".weight").to_owned();
    let items = inventory.items().iter();
    let names: Vec<_> = items.flat_map(|item| [item.name.clone(), stored(item)]).collect();
    // A head that is tied to the embedding is no item of its own.
    if OUTPUT_HEADS.contains(&module) || names.iter().any(|name| is_in(name, module)) {
        return Ok(());
    }
    // Of a layer, here and in the file: embeddings and heads come first.
    let examples: Vec<_> = names.iter().skip(names.len() / 4 * 2).take(2).collect();
    let length = module.split('.').count();
    let parts: BTreeSet<_> = names
        .iter()
        .flat_map(|name| {
            let parts: Vec<_> = name.split('.').collect();
            parts.windows(length).map(|parts| parts.join(".")).collect::<Vec<_>>()
        })
        .collect();
    Err(Error::option(
        "skip_modules",
        format!(
            "{module:?} is no module of this model, whose modules have names like {examples:?}{}; and \
             what is listed takes the place of the default, the output head: list `lm_head`, too, to \
             keep it as it is stored",
            did_you_mean(module, &parts)
        ),
    ))
}

/// Which kinds of layers are in other formats than `level`, as their rows do not divide into its
/// blocks; `None` where there are none.
fn fallbacks(inventory: &Inventory, level: QuantLevel) -> Option<String> {
    // Layers of one kind and shape, by what they are in: how many, and their bytes.
    let mut kinds = BTreeMap::<_, (usize, usize)>::new();
    for item in inventory.items().iter().filter(|item| item.role == Role::Linear) {
        let row = item.shape.last().copied().unwrap_or(0);
        let fits = row.is_multiple_of(level.ggml().block_size());
        // What was skipped is as it was stored and not as it would have been quantized.
        let fallback = level_for_rows(level, row).map(|kind| format!("{kind:?}").to_lowercase());
        if !fits && fallback.is_none_or(|fallback| fallback == item.precision) {
            let kind = kinds.entry((item.precision, kind_of(item), row)).or_default();
            *kind = (kind.0 + 1, kind.1 + item.bytes);
        }
    }
    let megabytes = |bytes: usize| format!("{:.1} MB", bytes as f64 / 1e6);
    let mut parts = Vec::new();
    for ((precision, kind, row), (count, bytes)) in &kinds {
        parts.push(format!("{count} {kind} (rows of {row}) in {precision}, {}", megabytes(*bytes)));
    }
    (!parts.is_empty()).then(|| {
        format!(
            "quantize: a block of {level} has {} weights, and the rows of some layers do not divide into \
             that. They are in other formats: {}. All weights take {}",
            level.ggml().block_size(),
            parts.join("; "),
            megabytes(inventory.bytes())
        )
    })
}

/// Its name, with stars in place of numbers.
fn kind_of(item: &Item) -> String {
    let part = |part: &str| match part.parse::<usize>() {
        Ok(_) => "*".to_owned(),
        Err(_) => part.to_owned(),
    };
    item.name.split('.').map(part).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::adapters::Adapters;
    use crate::weights::inventory::Notes;

    fn inventory() -> Inventory {
        let notes = Notes::default();
        for (name, stored, shape, precision, bytes) in [
            ("embed", "model.embed_tokens", [64, 96], "f32", 24_576),
            ("layers.0.attn.q", "model.layers.0.self_attn.q_proj", [96, 96], "q5_0", 6_336),
            ("layers.1.attn.q", "model.layers.1.self_attn.q_proj", [96, 96], "q5_0", 6_336),
            ("layers.0.mlp.down", "model.layers.0.mlp.down_proj", [96, 256], "q4_k", 13_824),
            ("layers.1.mlp.down", "model.layers.1.mlp.down_proj", [96, 100], "bf16", 19_200),
            ("head", "lm_head", [64, 96], "f32", 24_576),
        ] {
            notes.add(Item {
                name: name.to_owned(),
                stored_as: format!("{stored}.weight"),
                role: if name == "embed" { Role::Embedding } else { Role::Linear },
                shape: shape.to_vec(),
                precision,
                bytes,
                whole: shape.to_vec(),
                transposed: false,
                assembled: false,
            });
        }
        notes.inventory(&Adapters::default())
    }

    #[test]
    fn modules_that_there_are_not_are_refused() {
        let inventory = inventory();
        for module in ["layers.1", "attn", "mlp.down", "self_attn.q_proj", "embed_tokens", "output"]
        {
            assert!(known(&inventory, module).is_ok(), "{module}");
        }
        for (module, meant) in [
            ("self_atn", Some("self_attn")),
            ("mlp.dwon_proj", Some("mlp.down_proj")),
            ("layers.1.attn.qq", Some("layers.1.attn.q")),
            ("vision_tower", None),
            ("", None),
        ] {
            let error = known(&inventory, module).unwrap_err();
            let text = error.to_string();
            assert!(error.is_caller_error() && text.contains("the output head"), "{text}");
            assert!(text.contains("names like [\"layers."), "{text}");
            let found = text.split_once("did you mean ").map(|(_, rest)| rest.split('"').nth(1));
            assert_eq!(found.flatten(), meant, "{text}");
        }
    }

    #[test]
    fn layers_in_another_format_are_told_by_their_kind() {
        let said = fallbacks(&inventory(), QuantLevel::Q4K).unwrap();
        for part in [
            "2 layers.*.attn.q (rows of 96) in q5_0, 0.0 MB",
            "1 layers.*.mlp.down (rows of 100) in bf16, 0.0 MB",
            "All weights take 0.1 MB",
        ] {
            assert!(said.contains(part), "{said}");
        }
        // One that fits, and one that was skipped.
        assert!(!said.contains("256)") && !said.contains("head"), "{said}");
        assert_eq!(fallbacks(&Inventory::default(), QuantLevel::Q4K), None);
    }
}
