//! What an adapter says of itself: `adapter_config.json` of PEFT, and the like in the file of weights.

use std::path::Path;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The scale of an adapter's layers, as far as it is not in the tensors.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    peft_type: Option<String>,
    lora_alpha: Option<f64>,
    /// Of LoHa and LoKr.
    alpha: Option<f64>,
    r: Option<usize>,
    rank_pattern: Option<Map<String, Value>>,
    use_rslora: Option<bool>,
    /// In order: the first that fits counts.
    alpha_pattern: Option<Map<String, Value>>,
    init_lora_weights: Value,
    layer_replication: Value,
    target_parameters: Value,
    trainable_token_indices: Value,
    alora_invocation_tokens: Value,
    lora_bias: Option<bool>,
    use_qalora: Option<bool>,
}

impl Config {
    /// Refuses what changes the model in other ways than a LoRA does.
    pub(super) fn checked(self, path: &Path) -> Result<Self> {
        let refuse = |field: &str, value: &str| {
            Err(Error::unsupported(format!(
                "{}: the adapter's `{field}` is {value}, which is not supported: merge it in Python \
                 (`merge_and_unload()`) and load that",
                path.display()
            )))
        };
        const KINDS: [&str; 3] = ["LORA", "LOHA", "LOKR"];
        if let Some(kind) = self.peft_type.as_deref().filter(|kind| !KINDS.contains(kind)) {
            let known = KINDS.join(", ");
            return refuse("peft_type", &format!("{kind:?}; {known} are supported"));
        }
        // These take something from the model's own weights before they are added.
        if let Some(start) = self.init_lora_weights.as_str() {
            let changes = ["pissa", "olora", "corda", "loftq", "lora_ga"];
            if changes.iter().any(|name| start.to_ascii_lowercase().starts_with(name)) {
                return refuse("init_lora_weights", &format!("{start:?}"));
            }
        }
        let is_set = |value: &Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(list) => !list.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            _ => true,
        };
        for (field, value) in [
            ("layer_replication", &self.layer_replication),
            ("target_parameters", &self.target_parameters),
            ("trainable_token_indices", &self.trainable_token_indices),
            ("alora_invocation_tokens", &self.alora_invocation_tokens),
        ] {
            if is_set(value) {
                return refuse(field, &value.to_string());
            }
        }
        for (field, flag) in [("lora_bias", self.lora_bias), ("use_qalora", self.use_qalora)] {
            if flag == Some(true) {
                return refuse(field, "true");
            }
        }
        Ok(self)
    }

    /// Of what diffusers writes into a file of weights, for one of the parts in it.
    pub(super) fn of_metadata(text: &str, part: Option<&str>) -> serde_json::Result<Self> {
        let fields: Map<String, Value> = serde_json::from_str(text)?;
        let of_part = |(name, value): (String, Value)| match part {
            Some(part) => Some((name.strip_prefix(part)?.strip_prefix('.')?.to_owned(), value)),
            None => Some((name, value)),
        };
        serde_json::from_value(fields.into_iter().filter_map(of_part).collect())
    }

    /// Of a GGUF file.
    pub(super) fn of_alpha(alpha: Option<f64>) -> Self {
        Self { lora_alpha: alpha.filter(|alpha| *alpha != 0.0), ..Self::default() }
    }

    /// By what the product of a module's matrices is multiplied; `stored`: its own alpha. Matrices of a LoKr may have
    /// no rank: PEFT then takes that of the config, and LyCORIS multiplies by 1.
    pub(super) fn scale(&self, module: &str, rank: Option<usize>, stored: Option<f64>) -> f64 {
        let of_pattern = |patterns: &Option<Map<String, Value>>| {
            let mut patterns = patterns.iter().flatten();
            patterns.find(|(pattern, _)| fits(pattern, module))?.1.as_f64()
        };
        let rank = rank.map(|rank| rank as f64);
        let configured = || of_pattern(&self.rank_pattern).or_else(|| self.r.map(|r| r as f64));
        let Some(rank) = rank.or_else(configured) else { return 1.0 };
        let rank = rank.max(1.0);
        let alpha = stored.or_else(|| of_pattern(&self.alpha_pattern));
        let alpha = alpha.or(self.lora_alpha).or(self.alpha).unwrap_or(rank);
        match self.use_rslora {
            Some(true) => alpha / rank.sqrt(),
            _ => alpha / rank,
        }
    }
}

/// Whether a pattern of PEFT is that of a module: `get_pattern_key`. It matches the end of a name behind a dot, or a
/// whole one where it begins with `^`.
fn fits(pattern: &str, module: &str) -> bool {
    match Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$")) {
        Ok(regex) => regex.is_match(module),
        Err(_) => pattern == module,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_those_of_peft() {
        let config = |text: &str| -> Config { serde_json::from_str(text).unwrap() };
        let plain =
            config(r#"{"lora_alpha": 8, "alpha_pattern": {"v_proj": 2, "layers.1.q_proj": 6}}"#);
        assert_eq!(plain.scale("model.layers.0.q_proj", Some(4), None), 2.0);
        assert_eq!(plain.scale("model.layers.1.q_proj", Some(4), None), 1.5);
        assert_eq!(plain.scale("model.layers.0.v_proj", Some(4), None), 0.5);
        assert_eq!(plain.scale("model.layers.0.my_v_proj", Some(4), None), 2.0);
        assert_eq!(plain.scale("q", Some(4), Some(1.0)), 0.25);
        assert_eq!(config("{}").scale("q", Some(4), None), 1.0);
        let kron = config(r#"{"alpha": 6, "r": 4, "rank_pattern": {"v": 2}}"#);
        assert_eq!([kron.scale("q", None, None), kron.scale("v", None, None)], [1.5, 3.0]);
        assert_eq!(config("{}").scale("q", None, Some(4.0)), 1.0);
        assert_eq!(
            config(r#"{"lora_alpha": 8, "use_rslora": true}"#).scale("q", Some(4), None),
            4.0
        );
    }

    #[test]
    fn other_adapters_are_refused_by_name() {
        for (text, name) in [
            (r#"{"peft_type": "IA3"}"#, "IA3"),
            (r#"{"init_lora_weights": "pissa_niter_4"}"#, "pissa_niter_4"),
            (r#"{"layer_replication": [[0, 2]]}"#, "layer_replication"),
            (r#"{"lora_bias": true}"#, "lora_bias"),
        ] {
            let config: Config = serde_json::from_str(text).unwrap();
            let error = config.checked(Path::new("adapter_config.json")).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let fine =
            r#"{"init_lora_weights": true, "target_parameters": null, "layer_replication": []}"#;
        let config: Config = serde_json::from_str(fine).unwrap();
        assert!(config.checked(Path::new("x")).is_ok());
    }
}
