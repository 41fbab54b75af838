//! Beams of encoder-decoders against those of the reference.
#![allow(unreachable_pub, reason = "a module of several programs")]

use sconce::generation::{Generated, GenerationConfig};
use serde_json::{Map, Value, json};

/// The options that the beams of `expected.json` were found with, and the special ids of a config.json.
pub fn beams_of_config(config: &str) -> GenerationConfig {
    let fields: Map<String, Value> = serde_json::from_str(config).unwrap();
    let mut options = json!({"num_beams": 4, "num_return_sequences": 2, "max_new_tokens": 16});
    for name in ["eos_token_id", "forced_bos_token_id", "forced_eos_token_id", "pad_token_id"] {
        if let Some(id) = fields.get(name).filter(|id| !id.is_null()) {
            options[name] = id.clone();
        }
    }
    GenerationConfig::from_json(&options).unwrap()
}

/// The reference's rows begin with the decoder's first token, and are filled up to the longest.
pub fn expect_beams(case: &str, found: &[Generated], rows: &[Vec<u32>], scores: &[f32]) {
    assert_eq!((found.len(), scores.len()), (rows.len(), rows.len()), "{case}");
    for (number, (found, (row, score))) in found.iter().zip(rows.iter().zip(scores)).enumerate() {
        let (place, ids) = (format!("{case}, beam {number}"), found.ids());
        assert_eq!(row[1..].get(..ids.len()), Some(&ids[..]), "{place}: {row:?}");
        let filling = &row[1 + ids.len()..];
        assert!(filling.iter().all(|id| Some(id) == filling.first()), "{place}: {row:?}");
        let found = found.score.unwrap();
        assert!((found - score).abs() < 1e-4, "{place}: a score of {found}, not {score}");
    }
}
