//! What a config may say in several ways, and what it may not say: the tiny checkpoints of
//! `tests/goldens` with other configs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use sconce::batch::TokenBatch;
use sconce::generation::GenerationConfig;
use sconce::models::{AutoModel, CausalLm};
use sconce::source::ModelSource;
use sconce::tokenizer::Tokenizer;
use sconce::{LoadOptions, Precision, Result};

#[path = "support/golden.rs"]
mod golden;

use golden::{Golden, advance, expect_close};

/// Each is one field of a config set to something that no model has, and what the error says.
const REFUSED: &[(&str, &str, &str, &[&str])] = &[
    ("falcon-40b-tiny", "parallel_attn", "false", &["`parallel_attn` is false"]),
    ("falcon-7b-tiny", "hidden_size", "12", &["`hidden_size` is 12", "3 of 3 channels"]),
    ("gemma-tiny", "hidden_act", r#""wave""#, &["`hidden_act` is \"wave\""]),
    ("gemma2-tiny", "hidden_activation", r#""wave""#, &["`hidden_activation` is \"wave\""]),
    ("gemma2-tiny", "layer_types", r#"["full_attention"]"#, &["`layer_types`", "one per layer"]),
    ("gemma3-tiny", "use_bidirectional_attention", "true", &["embeds texts", "feature-extraction"]),
    ("gpt-neox-tiny", "rotary_pct", "0.1", &["0 of 8 channels"]),
    ("gpt2-tiny", "activation_function", r#""wave""#, &["`activation_function` is \"wave\""]),
    ("gpt2-tiny", "n_head", "0", &["`n_head` is 0"]),
    ("granite-tiny", "attention_multiplier", r#""much""#, &["`attention_multiplier` is \"much\""]),
    ("llama-rope-longrope-tiny", "original_max_position_embeddings", "-4", &["is -4"]),
    ("llama-tiny", "head_dim", "7", &["`head_dim` is 7", "even"]),
    ("llama-tiny", "hidden_act", r#""wave""#, &["`hidden_act` is \"wave\""]),
    ("llama-tiny", "hidden_size", r#""48""#, &["`hidden_size` is \"48\""]),
    ("llama-tiny", "model_type", r#""wave""#, &["\"wave\"", "llama"]),
    ("llama-tiny", "num_hidden_layers", "-1", &["`num_hidden_layers` is -1"]),
    ("llama-tiny", "num_key_value_heads", "3", &["`num_key_value_heads` is 3"]),
    ("llama-tiny", "rope_scaling", r#"{"type": "wave"}"#, &["`type` is \"wave\"", "yarn"]),
    ("llama-tiny", "rope_scaling", r#"{"type": "linear", "factor": 0.5}"#, &["`factor` is 0.5"]),
    ("llama-tiny", "rope_scaling", r#"{"rope_type": "yarn"}"#, &["`factor`"]),
    ("llama-tiny", "rope_theta", "0", &["`rope_theta` is 0"]),
    ("mistral-tiny", "sliding_window", "-7", &["`sliding_window` is -7"]),
    ("mixtral-tiny", "num_experts_per_tok", "6", &["`num_experts_per_tok` is 6", "5 experts"]),
    ("phi3-tiny", "rope_scaling", r#"{"type": "linear", "factor": 2}"#, &["`type` is \"linear\""]),
    ("phi3-longrope-tiny", "rope_scaling", r#"{"type": "su", "short_factor": [1]}"#, &["`short_"]),
    ("qwen2-tiny", "layer_types", r#"["a", "b", "c"]"#, &["`layer_types`", "sliding_attention"]),
    ("qwen3-moe-tiny", "num_experts", "0", &["`num_experts` is 0"]),
    ("smollm3-tiny", "no_rope_layers", "[1]", &["`no_rope_layers` is [1]"]),
    ("starcoder2-full-tiny", "use_bias", "1", &["`use_bias` is 1"]),
];

#[test]
fn what_is_not_supported_is_refused_by_field_and_value() {
    for (golden, field, value, expected) in REFUSED {
        let value = serde_json::from_str(value).unwrap();
        let folder = edited(golden, |config| drop(config.insert((*field).to_owned(), value)));
        let error = load(folder.path()).unwrap_err().to_string();
        for expected in *expected {
            assert!(error.contains(expected), "{golden}, {field}: {error}");
        }
    }
}

#[test]
fn rope_parameters_of_transformers_5() {
    agrees("llama-rope-llama3-tiny", |config| {
        let mut rope = config.remove("rope_scaling").unwrap();
        rope["rope_theta"] = config.remove("rope_theta").unwrap();
        config.insert("rope_parameters".to_owned(), rope);
    });
    agrees("phi3-longrope-tiny", |config| {
        let mut rope = config.remove("rope_scaling").unwrap();
        rope["rope_type"] = "longrope".into();
        for field in ["rope_theta", "original_max_position_embeddings", "partial_rotary_factor"] {
            rope[field] = config.remove(field).unwrap();
        }
        config.insert("rope_parameters".to_owned(), rope);
    });
    agrees("gemma3-tiny", |config| {
        let mut rope = config.remove("rope_scaling").unwrap();
        rope["rope_theta"] = config.remove("rope_theta").unwrap();
        let local = config.remove("rope_local_base_freq").unwrap();
        let local = json!({"rope_type": "default", "rope_theta": local});
        let types = json!({"full_attention": rope, "sliding_attention": local});
        config.insert("rope_parameters".to_owned(), types);
    });
}

#[test]
fn fields_of_older_names() {
    agrees("llama-rope-yarn-tiny", |config| {
        let rope = config["rope_scaling"].as_object_mut().unwrap();
        let kind = rope.remove("rope_type").unwrap();
        rope.insert("type".to_owned(), kind);
    });
    agrees("phi3-longrope-tiny", |config| {
        config["rope_scaling"]["rope_type"] = Value::Null;
        config["rope_scaling"]["type"] = "su".into();
    });
    agrees("phi3-longrope-tiny", |config| config["rope_scaling"]["type"] = "yarn".into());
}

#[test]
fn gemma_3_does_not_cap_its_scores() {
    agrees("gemma3-tiny", |config| {
        config.insert("attn_logit_softcapping".to_owned(), 5.into());
    });
}

#[test]
fn alibi_leaves_ropes_out_of_account() {
    agrees("falcon-rw-tiny", |config| {
        config.insert("rope_scaling".to_owned(), json!({"type": "wave"}));
        config.insert("rope_theta".to_owned(), 0.into());
    });
}

/// What a config.json says of generation where there is no generation_config.json: its own options, and
/// the special ids of its class.
#[test]
fn generation_options_in_config_json() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let cases = fs::read_to_string(goldens.join("config_generation.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    let tokenizer = Tokenizer::open(goldens.join("llama-tiny").as_path()).unwrap();
    for case in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), case["config"].to_string()).unwrap();
        let files = ModelSource::directory(folder.path()).open().unwrap();
        let found = GenerationConfig::from_files(&files, &tokenizer).unwrap();
        let expected = GenerationConfig::from_json(&case["expected"]).unwrap();
        assert_eq!(found, expected, "{}", case["config"]);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), r#"{"top_k": "many"}"#).unwrap();
    let files = ModelSource::directory(folder.path()).open().unwrap();
    let error = GenerationConfig::from_files(&files, &tokenizer).unwrap_err().to_string();
    assert!(error.contains("config.json") && error.contains("top_k"), "{error}");
}

/// The multimodal checkpoints hold the text model as a part, under either of two names.
#[test]
fn gemma_3_as_a_part() {
    for name in ["language_model.model", "model.language_model"] {
        let folder = edited("gemma3-tiny", |config| {
            let text = std::mem::take(config);
            config.insert("model_type".to_owned(), "gemma3".into());
            config.insert("text_config".to_owned(), text.into());
        });
        let path = folder.path().join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let renamed = tensors.tensors().into_iter().map(|(stored, tensor)| {
            let renamed = match stored.strip_prefix("model.") {
                Some(rest) => format!("{name}.{rest}"),
                None if name.starts_with("language") => format!("language_model.{stored}"),
                None => stored,
            };
            (renamed, tensor)
        });
        fs::write(&path, safetensors::serialize(renamed, None).unwrap()).unwrap();
        expect_logits("gemma3-tiny", folder.path());
    }
}

fn agrees(golden: &str, edit: impl FnOnce(&mut Map<String, Value>)) {
    expect_logits(golden, edited(golden, edit).path());
}

/// The folder's model gives what the golden's does.
fn expect_logits(name: &str, folder: &Path) {
    let golden = Golden::all().into_iter().find(|golden| golden.name == name).unwrap();
    let model = load(folder).unwrap();
    for case in ["plain", "long"] {
        let case = golden.case(case);
        let batch = TokenBatch::single(&case.rows[0]).unwrap();
        let logits = advance(&*model, &mut model.new_cache(), &batch).unwrap();
        expect_close(name, &logits[0], &golden.logits(case, 0), 1e-4).unwrap();
    }
}

fn load(folder: &Path) -> Result<std::sync::Arc<dyn sconce::models::CausalLm>> {
    let options = LoadOptions::default().dtype(Precision::F32);
    AutoModel::open::<dyn CausalLm>(ModelSource::directory(folder), &options)
}

/// A copy of a golden's folder with another config.
fn edited(golden: &str, edit: impl FnOnce(&mut Map<String, Value>)) -> TempDir {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(golden);
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(original.join(file), folder.path().join(file)).unwrap();
    }
    let path = folder.path().join("config.json");
    let mut config = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(path, serde_json::to_string(&config).unwrap()).unwrap();
    folder
}
