//! A Hugging Face folder with the dequantized weights of a GGUF file: the same model in the other
//! format, as `save_pretrained` of transformers would write it after loading the GGUF file.
//!
//! Reads with candle's GGUF reader and not with ours, so that the two check each other. Knows the
//! llama architecture with a tied head and SmolLM2's tokenizer.
#![allow(unreachable_pub, reason = "a module of several programs")]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{Device, Tensor};
use serde_json::json;

/// Writes config.json, model.safetensors, generation_config.json, tokenizer.json and
/// tokenizer_config.json.
pub fn write_folder(gguf: &Path, folder: &Path) -> candle_core::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = BufReader::new(File::open(gguf)?);
    let content = Content::read(&mut file)?;
    let number = |key: &str| content.metadata[key].to_u32();
    let (heads, kv_heads) =
        (number("llama.attention.head_count")?, number("llama.attention.head_count_kv")?);

    let mut weights = HashMap::new();
    for name in content.tensor_infos.keys() {
        let tensor = content.tensor(&mut file, name, &Device::Cpu)?.dequantize(&Device::Cpu)?;
        let tensor = match name {
            name if name.contains("attn_q") => halves(&tensor, heads as usize)?,
            name if name.contains("attn_k") => halves(&tensor, kv_heads as usize)?,
            _ => tensor,
        };
        weights.insert(hf_name(name), tensor);
    }
    candle_core::safetensors::save(&weights, folder.join("model.safetensors"))?;

    let config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": number("llama.vocab_size")?,
        "hidden_size": number("llama.embedding_length")?,
        "intermediate_size": number("llama.feed_forward_length")?,
        "num_hidden_layers": number("llama.block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": number("llama.context_length")?,
        "rms_norm_eps": content.metadata["llama.attention.layer_norm_rms_epsilon"].to_f32()?,
        "rope_theta": content.metadata["llama.rope.freq_base"].to_f32()?,
        "tie_word_embeddings": !content.tensor_infos.contains_key("output.weight"),
        "bos_token_id": number("tokenizer.ggml.bos_token_id")?,
        "eos_token_id": number("tokenizer.ggml.eos_token_id")?,
        "pad_token_id": number("tokenizer.ggml.padding_token_id")?,
    });
    fs::write(folder.join("config.json"), config.to_string())?;
    let generation = json!({
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": config["eos_token_id"],
        "pad_token_id": config["pad_token_id"],
    });
    fs::write(folder.join("generation_config.json"), generation.to_string())?;
    write_tokenizer(&content, folder)
}

/// llama.cpp puts the two channels that are rotated together side by side; Hugging Face puts all
/// first ones of a head before all second ones.
fn halves(tensor: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (rows, columns) = tensor.dims2()?;
    tensor
        .reshape((heads, rows / heads / 2, 2, columns))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((rows, columns))
}

fn hf_name(name: &str) -> String {
    let mut name = name.replace("blk.", "model.layers.");
    for (ours, theirs) in [
        ("token_embd", "model.embed_tokens"),
        ("output_norm", "model.norm"),
        ("attn_output", "self_attn.o_proj"),
        ("attn_norm", "input_layernorm"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ] {
        name = name.replace(ours, theirs);
    }
    name
}

fn write_tokenizer(content: &Content, folder: &Path) -> candle_core::Result<()> {
    let list = |key: &str| content.metadata[key].to_vec();
    let texts = |key: &str| -> candle_core::Result<Vec<&String>> {
        list(key)?.iter().map(Value::to_string).collect()
    };
    let tokens = texts("tokenizer.ggml.tokens")?;
    let mut added = Vec::new();
    for (id, (token, kind)) in tokens.iter().zip(list("tokenizer.ggml.token_type")?).enumerate() {
        if kind.to_i32()? == CONTROL {
            added.push(json!({
                "id": id, "content": token, "special": true, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false,
            }));
        }
    }
    let vocab: HashMap<_, _> = tokens.iter().enumerate().map(|(id, token)| (token, id)).collect();
    let byte_level = |use_regex: bool| {
        json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": use_regex,
        })
    };
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": true}, byte_level(true)],
        },
        "post_processor": null,
        "decoder": byte_level(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": vocab, "merges": texts("tokenizer.ggml.merges")?,
        },
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string())?;
    let token = |key: &str| -> candle_core::Result<&String> {
        Ok(tokens[content.metadata[key].to_u32()? as usize])
    };
    let config = json!({
        "tokenizer_class": "GPT2Tokenizer",
        "bos_token": token("tokenizer.ggml.bos_token_id")?,
        "eos_token": token("tokenizer.ggml.eos_token_id")?,
        "pad_token": token("tokenizer.ggml.padding_token_id")?,
        "unk_token": token("tokenizer.ggml.unknown_token_id")?,
        "add_prefix_space": false,
        "clean_up_tokenization_spaces": false,
        "chat_template": content.metadata["tokenizer.chat_template"].to_string()?,
    });
    fs::write(folder.join("tokenizer_config.json"), config.to_string())?;
    Ok(())
}

/// llama.cpp's number for special tokens, `LLAMA_TOKEN_TYPE_CONTROL`.
const CONTROL: i32 = 3;
