//! Weights of every format, dtype and quantization level, through the public interface.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "support/checkpoint_files.rs"]
mod checkpoint_files;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use candle_core::{DType, Device, Tensor};
use checkpoint_files::{f32_bytes, safetensors, scratch};
use sconce::models::{AutoModel, CausalLm, LogitsAt, save};
use sconce::pipeline::on_warning;
use sconce::weights::{Bias, NameTable, Weights};
use sconce::{Error, LoadOptions, ModelSource, Precision, QuantLevel, Result, TokenBatch};

const GOLDENS: &str = "tests/goldens/weights";
const BLOCKS: [&str; 10] =
    ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"];
/// Kept on the CPU, and unknown to candle.
const IQ4_NL: &str = "iq4_nl";
/// Read, and kept as Q8_0.
const READ_ONLY_BLOCKS: [&str; 12] = [
    "iq1_m", "iq1_s", "iq2_s", "iq2_xs", "iq2_xxs", "iq3_s", "iq3_xxs", "iq4_xs", "mxfp4", "nvfp4",
    "tq1_0", "tq2_0",
];

fn cpu() -> LoadOptions {
    LoadOptions::default().device(Device::Cpu)
}

fn open(source: &ModelSource, options: &LoadOptions) -> Result<Weights> {
    Weights::open(&source.open()?, NameTable::stored_names(), options)
}

/// Opens files, given as `(name, bytes)`, as one folder.
fn folder(files: &[(&str, &[u8])], options: &LoadOptions) -> Result<Weights> {
    let folder = scratch();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    // The files are mapped, so they may be deleted.
    open(&ModelSource::directory(folder.path()), options)
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(GOLDENS).join(name)).unwrap()
}

fn quants(options: &LoadOptions) -> Result<Weights> {
    open(&ModelSource::gguf(Path::new(GOLDENS).join("quants.gguf")), options)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    values(tensor).into_iter().map(f32::to_bits).collect()
}

/// Numbers that look random, exact in f16 and bf16.
fn numbers(length: usize) -> Vec<f32> {
    (0..length).map(|at| ((at * 7919 % 127) as f32 - 63.0) / 64.0).collect()
}

/// One `proj.weight` of that shape and dtype.
fn projection(rows: usize, columns: usize, options: &LoadOptions) -> Result<Weights> {
    let bytes = f32_bytes(&numbers(rows * columns));
    let file = safetensors(&[("proj.weight", "F32", &[rows, columns], &bytes)]);
    folder(&[("model.safetensors", &file)], options)
}

#[test]
fn blocks_dequantize_bit_for_bit_as_in_python() -> Result<()> {
    let expected = folder(&[("model.safetensors", &golden("quants.safetensors"))], &cpu())?;
    let dense = quants(&cpu().dtype(Precision::F32))?;
    for name in BLOCKS.into_iter().chain([IQ4_NL]).chain(READ_ONLY_BLOCKS) {
        let (name, shape) = (format!("{name}.weight"), [3, 512]);
        let expected = expected.tensor(&name, &shape)?;
        assert_eq!(bits(&dense.tensor(&name, &shape)?), bits(&expected), "{name}");
    }
    for name in ["f32", "f16", "bf16", "f64"] {
        let (name, shape) = (format!("{name}.weight"), [3, 7]);
        let expected = expected.tensor(&name, &shape)?;
        assert_eq!(bits(&dense.tensor(&name, &shape)?), bits(&expected), "{name}");
    }
    Ok(())
}

#[test]
fn pytorch_files_new_and_old() -> Result<()> {
    let expected = folder(&[("model.safetensors", &golden("torch.safetensors"))], &cpu())?;
    let shapes: [(&str, &[usize]); 11] = [
        ("0.weight", &[5, 4]),
        ("1.weight", &[3, 4]),
        ("1.bias", &[3]),
        ("2.weight", &[3]),
        ("2.bias", &[3]),
        ("head.weight", &[5, 4]),
        ("rows", &[3, 4]),
        ("parameter", &[2, 2]),
        ("half", &[3, 3]),
        ("bfloat16", &[3, 3]),
        ("double", &[3]),
    ];
    for file in ["zip.bin", "legacy.bin"] {
        let weights = folder(&[("pytorch_model.bin", &golden(file))], &cpu())?;
        for (name, shape) in shapes {
            let expected = expected.tensor(name, shape)?;
            assert_eq!(bits(&weights.tensor(name, shape)?), bits(&expected), "{file} {name}");
        }
        let columns = weights.tensor("columns", &[6, 2]).unwrap_err().to_string();
        assert!(columns.contains("not contiguous"), "{columns}");
        let ids = weights.tensor("ids", &[7]).unwrap_err().to_string();
        assert!(ids.contains("LongStorage"), "{ids}");
        assert!(!weights.contains("step"));
    }
    Ok(())
}

#[test]
fn shards_are_found_through_their_index() -> Result<()> {
    let index = br#"{"metadata": {"total_size": 8}, "weight_map": {"a": "one", "b": "two"}}"#;
    let one = safetensors(&[("a", "F32", &[1], &f32_bytes(&[1.0]))]);
    let two = safetensors(&[("b", "F32", &[1], &f32_bytes(&[2.0])), ("c", "F32", &[0], &[])]);
    let files: [(&str, &[u8]); 3] =
        [("model.safetensors.index.json", index), ("one", &one), ("two", &two)];
    let weights = folder(&files, &cpu())?;
    assert_eq!(weights.stored_names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(values(&weights.tensor("b", &[1])?), [2.0]);
    // Whole files win over shards, and safetensors over pickles.
    let whole = safetensors(&[("whole", "F32", &[0], &[])]);
    let files = [&files[..], &[("model.safetensors", &whole), ("pytorch_model.bin", &[])]].concat();
    assert_eq!(folder(&files, &cpu())?.stored_names().collect::<Vec<_>>(), ["whole"]);
    Ok(())
}

#[test]
fn layer_norms_may_have_their_old_names() -> Result<()> {
    let file = safetensors(&[
        ("x.LayerNorm.gamma", "F32", &[1], &f32_bytes(&[3.0])),
        ("x.LayerNorm.beta", "F32", &[1], &f32_bytes(&[4.0])),
    ]);
    let weights = folder(&[("model.safetensors", &file)], &cpu())?.scope("x");
    assert!(weights.contains("LayerNorm"));
    assert_eq!(values(&weights.tensor("LayerNorm.weight", &[1])?), [3.0]);
    assert_eq!(values(&weights.tensor("LayerNorm.bias", &[1])?), [4.0]);
    Ok(())
}

#[test]
fn dtypes_on_the_cpu() -> Result<()> {
    let bf16: Vec<u8> =
        numbers(6).iter().flat_map(|x| (x.to_bits() >> 16).to_le_bytes()[..2].to_vec()).collect();
    let file = safetensors(&[
        ("proj.weight", "BF16", &[2, 3], &bf16),
        ("proj.bias", "F32", &[2], &[0; 8]),
    ]);
    let x = Tensor::from_vec(numbers(3), (1, 3), &Device::Cpu)?;
    let wide = folder(&[("model.safetensors", &file)], &cpu())?;
    let expected = values(&wide.linear("proj", 3, 2, Bias::Present)?.forward(&x)?);
    for (dtype, precision, bytes) in [
        (None, "bf16", 12),
        (Some(Precision::F32), "f32", 24),
        (Some(Precision::F16), "f16", 12),
        (Some(Precision::BF16), "bf16", 12),
        (Some(Precision::AsStored), "bf16", 12),
    ] {
        let mut options = cpu();
        options.dtype = dtype;
        let weights = folder(&[("model.safetensors", &file)], &options)?;
        // Activations and small tensors are f32 on the CPU, whatever the matrices are.
        assert_eq!(weights.dtype(), DType::F32);
        assert_eq!(weights.tensor("proj.bias", &[2])?.dtype(), DType::F32);
        let linear = weights.linear("proj", 3, 2, Bias::IfStored)?;
        assert_eq!((linear.precision(), linear.bytes()), (precision, bytes));
        assert_eq!(values(&linear.forward(&x)?), expected, "{dtype:?}");
        let table = weights.embedding("proj", 2, 3)?;
        assert_eq!((table.precision(), table.as_linear().bytes()), (precision, bytes));
    }
    Ok(())
}

#[test]
fn quantizing_in_chunks_is_quantizing() -> Result<()> {
    // More than one chunk, and a ragged last one; then parts of one chunk each.
    let (rows, columns) = (270, 256);
    let x = Tensor::from_vec(numbers(2 * columns), (2, columns), &Device::Cpu)?;
    for &level in QuantLevel::ALL {
        let options = cpu().quantize(level);
        let weights = projection(rows, columns, &options)?;
        let linear = weights.linear("proj", columns, rows, Bias::Absent)?;
        assert_eq!(linear.precision(), level.name());
        let whole = linear.forward(&x)?;
        for (part, values_of_part) in numbers(rows * columns).chunks(90 * columns).enumerate() {
            let bytes = f32_bytes(values_of_part);
            let file = safetensors(&[("proj.weight", "F32", &[90, columns], &bytes)]);
            let weights = folder(&[("model.safetensors", &file)], &options)?;
            let found = weights.linear("proj", columns, 90, Bias::Absent)?.forward(&x)?;
            assert_eq!(values(&found), values(&whole.narrow(1, 90 * part, 90)?), "{level}");
        }
        // Only linear layers are quantized.
        assert_eq!(weights.embedding("proj", rows, columns)?.precision(), "f32");
    }
    Ok(())
}

#[test]
fn rows_too_short_for_a_level_fall_back() -> Result<()> {
    let precision = |level, columns| -> Result<_> {
        let weights = projection(4, columns, &cpu().quantize(level))?;
        Ok(weights.linear("proj", columns, 4, Bias::Absent)?.precision())
    };
    for (level, short) in [
        (QuantLevel::Q8_0, "q8_0"),
        (QuantLevel::Q6K, "q8_0"),
        (QuantLevel::Q5K, "q5_1"),
        (QuantLevel::Q4K, "q5_0"),
        (QuantLevel::Q3K, "q4_0"),
        (QuantLevel::Q2K, "q4_0"),
    ] {
        let found = (precision(level, 512)?, precision(level, 96)?, precision(level, 100)?);
        assert_eq!(found, (level.name(), short, "f32"));
    }
    Ok(())
}

#[test]
fn modules_that_are_skipped_stay_as_they_are_stored() -> Result<()> {
    let model = |name: &str, options: LoadOptions| -> Result<Vec<_>> {
        let model =
            AutoModel::open::<dyn CausalLm>(format!("./tests/goldens/{name}-tiny"), &options)?;
        let wanted = ["embed", "head", "layers.0.attn.q", "layers.1.attn.q", "layers.1.mlp.up"];
        let items = model.inventory().items().iter();
        let items = items.filter(|item| wanted.contains(&item.name.as_str()));
        Ok(items.map(|item| item.precision).collect())
    };
    let q8 = || cpu().quantize(QuantLevel::Q8_0);
    assert_eq!(model("gemma3", q8())?, ["f32", "f32", "q8_0", "q8_0", "q8_0"]);
    let none: [&str; 0] = [];
    assert_eq!(model("gemma3", q8().skip_modules(none))?, ["f32", "q8_0", "q8_0", "q8_0", "q8_0"]);
    // By the model's name, and by the checkpoint's.
    for modules in [["head", "layers.1"], ["lm_head", "model.layers.1"]] {
        let found = model("gemma3", q8().skip_modules(modules))?;
        assert_eq!(found, ["f32", "f32", "q8_0", "f32", "f32"]);
    }
    let attention = q8().skip_modules(["self_attn"]);
    assert_eq!(model("gemma3", attention)?, ["f32", "q8_0", "f32", "f32", "q8_0"]);
    assert_eq!(model("llama-bf16", q8())?, ["bf16", "q8_0", "q8_0", "q8_0"]);
    // A head that is tied to the embedding goes by the names of heads and by the embedding's own.
    for (modules, embedding) in [
        (vec![], "q8_0"),
        (vec!["layers.1.mlp"], "q8_0"),
        (vec!["lm_head"], "bf16"),
        (vec!["embed"], "bf16"),
    ] {
        assert_eq!(
            model("llama-bf16", q8().skip_modules(modules.clone()))?[0],
            embedding,
            "{modules:?}"
        );
    }
    // Whatever a head is called.
    let head = |options: LoadOptions| -> Result<_> {
        Ok(projection(4, 64, &options)?.output_head("proj", 64, 4, Bias::Absent)?.precision())
    };
    assert_eq!((head(q8())?, head(q8().skip_modules(none))?), ("f32", "q8_0"));
    Ok(())
}

#[test]
fn what_became_of_the_options_is_told() -> Result<()> {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    assert!(on_warning(|said| SAID.lock().unwrap().push(said.to_owned())));
    let load = |options| AutoModel::open::<dyn CausalLm>("./tests/goldens/gemma3-tiny", &options);
    load(cpu().quantize(QuantLevel::Q4K))?;
    let said = SAID.lock().unwrap().clone();
    let said = said.iter().find(|said| said.contains("4 layers.*.attn.q (rows of 32) in q5_0"));
    let said = said.unwrap();
    assert!(said.contains("layers.*.mlp.down (rows of 64) in q5_0"), "{said}");
    assert!(said.contains("All weights take") && !said.contains("head"), "{said}");
    let error = load(cpu().quantize(QuantLevel::Q8_0).skip_modules(["self_atn"])).unwrap_err();
    assert!(error.is_caller_error());
    for part in ["`skip_modules`", "did you mean \"self_attn\"", "the output head"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    // A head that is tied can be listed all the same.
    let tied = cpu().quantize(QuantLevel::Q8_0).skip_modules(["lm_head"]);
    AutoModel::open::<dyn CausalLm>("./tests/goldens/llama-bf16-tiny", &tied)?;
    Ok(())
}

#[test]
fn what_was_quantized_is_saved_and_loaded_bit_for_bit() -> Result<()> {
    let logits = |model: &dyn CausalLm| -> Result<_> {
        let batch = TokenBatch::single(&[5, 1, 17, 3])?;
        Ok(bits(&model.forward(&batch, &mut model.new_cache(), LogitsAt::EveryToken)?))
    };
    let there = scratch();
    let sources = [
        ("folder", ModelSource::directory("tests/goldens/gemma3-tiny")),
        ("file.gguf", ModelSource::gguf("tests/goldens/llama-gqa-tiny/model.gguf")),
    ];
    for (name, source) in sources {
        let files = source.open()?;
        let options = cpu().quantize(QuantLevel::Q4_1).skip_modules(["layers.1"]);
        let model = AutoModel::from_files::<dyn CausalLm>(&files, &options)?;
        let to = there.path().join(name);
        save(&files, model.inventory(), &to)?;
        let error = save(&files, model.inventory(), &to).unwrap_err();
        assert!(error.to_string().contains("exists already") && error.is_caller_error());

        let source = match name {
            "folder" => ModelSource::directory(&to),
            _ => ModelSource::gguf(&to),
        };
        let loaded = AutoModel::open::<dyn CausalLm>(source.clone(), &cpu())?;
        assert_eq!(loaded.inventory().to_string(), model.inventory().to_string());
        assert!(loaded.inventory().to_string().contains("q4_1"));
        assert_eq!(logits(&*loaded)?, logits(&*model)?, "{name}");
        // What came out goes in again.
        let again = there.path().join(format!("again-{name}"));
        save(&source.open()?, loaded.inventory(), &again)?;
        let file = |folder: &Path| match folder.is_dir() {
            true => fs::read(folder.join("model.safetensors")).unwrap(),
            false => fs::read(folder).unwrap(),
        };
        assert!(file(&again) == file(&to), "{name}");
    }
    let gguf = ModelSource::gguf("tests/goldens/llama-gqa-tiny/model.gguf").open()?;
    let model = AutoModel::from_files::<dyn CausalLm>(&gguf, &cpu())?;
    let error = save(&gguf, model.inventory(), there.path().join("other")).unwrap_err();
    assert!(error.is_caller_error(), "{error}");
    Ok(())
}

#[test]
fn transposed_matrices_are_saved_as_the_model_uses_them() -> Result<()> {
    let there = scratch();
    let logits = |model: &dyn CausalLm| -> Result<_> {
        let batch = TokenBatch::single(&[5, 1, 17, 3])?;
        Ok(bits(&model.forward(&batch, &mut model.new_cache(), LogitsAt::EveryToken)?))
    };
    let files = ModelSource::directory("tests/goldens/gpt2-tiny").open()?;
    for (name, options) in [("stored", cpu()), ("q4_1", cpu().quantize(QuantLevel::Q4_1))] {
        let model = AutoModel::from_files::<dyn CausalLm>(&files, &options)?;
        let to = there.path().join(name);
        save(&files, model.inventory(), &to)?;
        let loaded = AutoModel::open::<dyn CausalLm>(ModelSource::directory(&to), &cpu())?;
        assert_eq!(loaded.inventory().to_string(), model.inventory().to_string());
        assert_eq!(logits(&*loaded)?, logits(&*model)?);
    }
    // Of a fused matrix all or nothing is quantized.
    let options = cpu().quantize(QuantLevel::Q4_1).skip_modules(["layers.0.attn.k"]);
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &options)?;
    let error = save(&files, model.inventory(), there.path().join("mixed")).unwrap_err();
    assert!(error.to_string().contains("c_attn.weight"), "{error}");
    Ok(())
}

#[test]
fn what_python_quantized_is_saved_as_it_was_loaded() -> Result<()> {
    let there = scratch();
    let input = Tensor::arange(0_f32, 96.0, &Device::Cpu)?.reshape((1, 96))?;
    for entry in fs::read_dir(Path::new(GOLDENS).join("quantized")).unwrap() {
        let path = entry.unwrap().path();
        let files = ModelSource::directory(&path).open()?;
        let level = cpu().quantize(QuantLevel::Q4_1);
        for (number, options) in [cpu(), level, cpu().dtype(Precision::F32)].iter().enumerate() {
            let weights = Weights::open(&files, NameTable::stored_names(), options)?;
            let layer = weights.linear("p", 96, 32, Bias::Absent)?;
            let name = format!("{}-{number}", path.file_name().unwrap().display());
            let to = there.path().join(name);
            save(&files, &weights.inventory(), &to)?;
            let saved = open(&ModelSource::directory(to), &cpu())?;
            let saved = saved.linear("p", 96, 32, Bias::Absent)?;
            assert_eq!(saved.precision(), layer.precision());
            assert_eq!(bits(&saved.forward(&input)?), bits(&layer.forward(&input)?));
        }
    }
    Ok(())
}

#[test]
fn blocks_that_their_metadata_misdescribes_are_refused() {
    for (blocks, expected) in [
        (r#"{"p.weight": {"type": "q4_1", "shape": [2, 64]}}"#, "is not [2, 64] in blocks of Q4_1"),
        (r#"{"p.weight": {"type": "q4_1", "shape": [64]}}"#, "is not [64]"),
        (r#"{"p.weight": {"type": "q9", "shape": [1, 32]}}"#, "unknown type \"q9\""),
        ("[", "sconce.blocks"),
    ] {
        let metadata = serde_json::json!({"sconce.blocks": blocks});
        let header = serde_json::json!({
            "__metadata__": metadata,
            "p.weight": {"dtype": "U8", "shape": [1, 20], "data_offsets": [0, 20]},
        });
        let header = header.to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.extend([0; 20]);
        let error = folder(&[("model.safetensors", &file)], &cpu()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn blocks_of_a_gguf_file_stay_or_are_quantized_anew() -> Result<()> {
    let precisions = |options: &LoadOptions| -> Result<_> {
        let weights = quants(options)?;
        let linear = weights.linear("q4_k", 512, 3, Bias::IfStored)?;
        Ok((linear.precision(), weights.embedding("q4_k", 3, 512)?.precision()))
    };
    assert_eq!(precisions(&cpu())?, ("q4_k", "q4_k"));
    assert_eq!(precisions(&cpu().quantize(QuantLevel::Q8_0))?, ("q8_0", "q4_k"));
    assert_eq!(precisions(&cpu().dtype(Precision::BF16))?, ("bf16", "bf16"));
    let both = cpu().dtype(Precision::F32).quantize(QuantLevel::Q4K);
    assert_eq!(precisions(&both)?, ("q4_k", "f32"));
    Ok(())
}

#[test]
fn blocks_that_candle_does_not_know_stay_on_the_cpu() -> Result<()> {
    let (kept, dense) = (quants(&cpu())?, quants(&cpu().dtype(Precision::F32))?);
    let expected = dense.tensor("iq4_nl.weight", &[3, 512])?;
    let table = kept.embedding(IQ4_NL, 3, 512)?;
    let ids = Tensor::new(&[0_u32, 1, 2], &Device::Cpu)?;
    assert_eq!(bits(&table.forward(&ids)?), bits(&expected));
    let linear = kept.linear(IQ4_NL, 512, 3, Bias::Absent)?;
    // Packed eight rows at a time.
    assert_eq!((linear.precision(), linear.bytes()), (IQ4_NL, 8 * 512 / 32 * 18));
    for rows in [1, 9] {
        let x = Tensor::from_vec(numbers(rows * 512), (rows, 512), &Device::Cpu)?;
        let (found, exact) = (linear.forward(&x)?, x.matmul(&expected.t()?)?);
        let size = x.abs()?.matmul(&expected.abs()?.t()?)?;
        for ((found, exact), size) in values(&found).iter().zip(values(&exact)).zip(values(&size)) {
            // Activations are rounded to 8 bits.
            assert!((found - exact).abs() < 0.004 * size, "{rows}: {found} {exact}");
        }
    }
    Ok(())
}

#[test]
fn blocks_that_nobody_multiplies_become_q8_0() -> Result<()> {
    let (kept, dense) = (quants(&cpu())?, quants(&cpu().dtype(Precision::F32))?);
    let ids = Tensor::new(&[0_u32, 1, 2], &Device::Cpu)?;
    for name in READ_ONLY_BLOCKS {
        let table = kept.embedding(name, 3, 512)?;
        assert_eq!(table.precision(), "q8_0");
        let expected = values(&dense.tensor(&format!("{name}.weight"), &[3, 512])?);
        let found = values(&table.forward(&ids)?);
        let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>();
        let error = squares(&mut found.iter().zip(&expected).map(|(x, y)| x - y));
        let error = (error / squares(&mut expected.iter().copied())).sqrt();
        // What docs/loading.md says it adds.
        assert!(error < 0.006, "{name}: {error}");
        assert_eq!(kept.linear(name, 512, 3, Bias::Absent)?.precision(), "q8_0");
    }
    Ok(())
}

#[test]
fn every_kind_of_blocks_multiplies_and_looks_up() -> Result<()> {
    let (kept, dense) = (quants(&cpu())?, quants(&cpu().dtype(Precision::F32))?);
    let ids = Tensor::new(&[2_u32, 0], &Device::Cpu)?;
    let x = Tensor::from_vec(numbers(512), (1, 512), &Device::Cpu)?;
    for name in BLOCKS {
        let (table, expected) = (kept.embedding(name, 3, 512)?, dense.embedding(name, 3, 512)?);
        assert_eq!(table.precision(), name);
        // Equal but for the sign of zeros.
        assert_eq!(values(&table.forward(&ids)?), values(&expected.forward(&ids)?), "{name}");
        let linear = kept.linear(name, 512, 3, Bias::Absent)?;
        assert_eq!((linear.precision(), linear.bytes()), (name, table.as_linear().bytes()));
        let expected = values(&dense.linear(name, 512, 3, Bias::Absent)?.forward(&x)?);
        let scale = expected.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
        for (value, expected) in values(&linear.forward(&x)?).iter().zip(&expected) {
            // The product quantizes x as well, to 8 bits.
            assert!((value - expected).abs() < 0.02 * scale, "{name}: {value} {expected}");
        }
    }
    Ok(())
}

#[test]
fn missing_and_misshapen_tensors_are_named() -> Result<()> {
    let weights = projection(2, 3, &cpu())?;
    let Error::MissingTensor { tensor, path, .. } =
        weights.scope("layers").scope(0).linear("q", 3, 2, Bias::Absent).unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!(tensor, "layers.0.q.weight");
    assert!(path.ends_with("model.safetensors"));
    let Error::MissingTensor { tensor, .. } =
        weights.linear("proj", 3, 2, Bias::Present).unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!(tensor, "proj.bias");
    let Error::ShapeMismatch { expected, found, .. } =
        weights.linear("proj", 2, 3, Bias::Absent).unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!((expected, found), (vec![3, 2], vec![2, 3]));
    Ok(())
}

#[test]
fn eight_bit_floats_are_scaled_where_there_are_scales() -> Result<()> {
    let plain: (&str, &str, &[usize], &[u8]) = ("p.weight", "F8_E4M3", &[1, 2], &[0x38, 0xfe]);
    let scale = f32_bytes(&[0.5]);
    let scale: (&str, &str, &[usize], &[u8]) = ("p.weight_scale_inv", "F32", &[1], &scale);
    let weights = folder(&[("model.safetensors", &safetensors(&[plain]))], &cpu())?;
    assert_eq!(values(&weights.tensor("p.weight", &[1, 2])?), [1.0, -448.0]);
    let weights = folder(&[("model.safetensors", &safetensors(&[plain, scale]))], &cpu())?;
    assert_eq!(values(&weights.tensor("p.weight", &[1, 2])?), [0.5, -224.0]);
    Ok(())
}

/// `tests/goldens/weights/make_quantized.py` says how the checkpoints came about.
#[test]
fn checkpoints_that_python_quantized_are_what_python_makes_of_them() -> Result<()> {
    let mut schemes = 0;
    for entry in fs::read_dir(Path::new(GOLDENS).join("quantized")).unwrap() {
        let path = entry.unwrap().path();
        let expected = fs::read(path.join("expected.safetensors")).unwrap();
        let expected = folder(&[("model.safetensors", &expected)], &cpu())?;
        let expected = values(&expected.tensor("p.weight", &[32, 96])?);
        let source = ModelSource::directory(&path);
        let dense = open(&source, &cpu().dtype(Precision::F32))?;
        assert!(dense.contains("p"), "{}", path.display());
        let found = values(&dense.tensor("p.weight", &[32, 96])?);
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "{} at {at}", path.display());
        }
        // Kept in few bits unless a dtype or a level is asked for.
        let precision = |options: &LoadOptions| -> Result<_> {
            Ok(open(&source, options)?.linear("p", 96, 32, Bias::Absent)?.precision())
        };
        assert_eq!(precision(&cpu())?, "q8_0");
        assert_eq!(precision(&cpu().quantize(QuantLevel::Q4_1))?, "q4_1");
        schemes += 1;
    }
    assert_eq!(schemes, 23);
    Ok(())
}

#[test]
fn what_cannot_be_read_of_a_quantized_checkpoint_is_named() {
    let refused = |config: &str| {
        let config = format!(r#"{{"quantization_config": {config}}}"#);
        let files = [("config.json", config.as_bytes()), ("model.safetensors", &safetensors(&[]))];
        folder(&files, &cpu()).unwrap_err().to_string()
    };
    let compressed =
        |fields: &str| format!(r#"{{"quant_method": "compressed-tensors", {fields}}}"#);
    for (config, expected) in [
        (
            r#"{"quant_method": "hqq"}"#,
            r#"`quantization_config.quant_method` is "hqq"; bitsandbytes,"#,
        ),
        ("{}", r#"quant_method` is "missing""#),
        (r#"{"quant_method": "gptq", "bits": 5}"#, r#"bits` is "5""#),
        (
            r#"{"quant_method": "gptq", "checkpoint_format": "marlin"}"#,
            r#"format` is "marlin"; gptq"#,
        ),
        (r#"{"quant_method": "awq", "version": "gemv"}"#, r#"version` is "gemv"; gemm"#),
        (
            compressed(r#""format": "nvfp4-pack-quantized""#).as_str(),
            r#"format` is "nvfp4-pack-quantized"; pack-quantized,"#,
        ),
        (&compressed(r#""config_groups": {}"#), r#"format` is "missing""#),
        (
            &compressed(
                r#""format": "mixed-precision", "config_groups": {"a": {"format": "marlin-24"}}"#,
            ),
            r#"`quantization_config.config_groups.a.format` is "marlin-24""#,
        ),
        (
            &compressed(
                r#""format": "pack-quantized", "config_groups": {"a": {"weights": {"num_bits": 16}}}"#,
            ),
            r#"config_groups.a.weights.num_bits` is "16"; 1 to 8"#,
        ),
        (
            &compressed(
                r#""format": "int-quantized", "sparsity_config": {"format": "sparse-24-bitmask"}"#,
            ),
            r#"sparsity_config.format` is "sparse-24-bitmask"; dense"#,
        ),
        (
            &compressed(
                r#""format": "int-quantized", "transform_config": {"config_groups": {"u": {}}}"#,
            ),
            "quantization_config.transform_config` is",
        ),
        (&compressed(r#""config_groups": []"#), "invalid type"),
    ] {
        let error = refused(config);
        assert!(error.contains(expected), "{error}");
    }
    let mlx = br#"{"quantization": {"group_size": 64, "bits": 4}}"#;
    let files = [("config.json", &mlx[..]), ("model.safetensors", &safetensors(&[]))];
    let error = folder(&files, &cpu()).unwrap_err().to_string();
    assert!(error.contains("MLX's, which are not read"), "{error}");
}

#[test]
fn quantized_checkpoints_whose_tensors_do_not_fit_are_refused() {
    let read = |config: &str, tensors: &[(&str, &str, &[usize], &[u8])]| {
        let config = format!(r#"{{"quantization_config": {config}}}"#);
        let file = safetensors(tensors);
        let files = [("config.json", config.as_bytes()), ("model.safetensors", &file)];
        folder(&files, &cpu())
            .and_then(|weights| weights.linear("p", 8, 8, Bias::Absent))
            .unwrap_err()
            .to_string()
    };
    let gptq = r#"{"quant_method": "gptq", "bits": 4}"#;
    let (quants, zeros, scales) = ([0; 32], [0; 4], [0; 32]);
    let quants: (&str, &str, &[usize], &[u8]) = ("p.qweight", "I32", &[1, 8], &quants);
    let zeros: (&str, &str, &[usize], &[u8]) = ("p.qzeros", "I32", &[1, 1], &zeros);
    let scales: (&str, &str, &[usize], &[u8]) = ("p.scales", "F32", &[1, 8], &scales);
    let groups = [7_u8; 32];
    let groups: (&str, &str, &[usize], &[u8]) = ("p.g_idx", "I32", &[8], &groups);
    let few: (&str, &str, &[usize], &[u8]) = ("p.scales", "F32", &[1, 7], &[0; 28]);
    let flat: (&str, &str, &[usize], &[u8]) = ("p.qweight", "I32", &[8], &[0; 32]);
    for (tensors, expected) in [
        (vec![quants, zeros], "p.scales"),
        (vec![quants, zeros, few], "do not fit 8 inputs and 8 outputs of 4 bits"),
        (vec![quants, zeros, scales, groups], "one of 1 groups"),
        (vec![flat, zeros, scales], "p.qweight"),
    ] {
        let error = read(gptq, &tensors);
        assert!(error.contains(expected), "{error}");
    }
    let packed = r#"{"quant_method": "compressed-tensors", "format": "pack-quantized",
        "config_groups": {"a": {"weights": {"num_bits": 4, "group_size": 4}}}}"#;
    let size = |rows: i64, columns: i64| [rows.to_le_bytes(), columns.to_le_bytes()].concat();
    let (right, tall, wide) = (size(8, 8), size(9, 8), size(8, 1 << 40));
    let words: (&str, &str, &[usize], &[u8]) = ("p.weight_packed", "I32", &[8, 1], &[0; 32]);
    let shape: (&str, &str, &[usize], &[u8]) = ("p.weight_shape", "I64", &[2], &right);
    let scales: (&str, &str, &[usize], &[u8]) = ("p.weight_scale", "F32", &[8, 2], &[0; 64]);
    let zeros: (&str, &str, &[usize], &[u8]) = ("p.weight_zero_point", "I32", &[2, 2], &[0; 16]);
    let few: (&str, &str, &[usize], &[u8]) = ("p.weight_scale", "F32", &[8, 1], &[0; 32]);
    let groups: (&str, &str, &[usize], &[u8]) = ("p.weight_g_idx", "I32", &[8], groups.3);
    for (tensors, expected) in [
        (vec![words, scales], "p.weight_shape"),
        (vec![words, shape], "p.weight_scale"),
        (vec![words, scales, ("p.weight_shape", "I64", &[2], &tall)], "of shape [9, 8]"),
        (vec![words, scales, ("p.weight_shape", "I64", &[2], &wide)], "does not hold weights"),
        (vec![words, few, shape], "fit 8 x 8 weights in none of config.json's config_groups"),
        (vec![words, scales, shape, zeros], "does not fit 8 rows of 2 groups"),
        (vec![words, scales, shape, groups], "one of 2 groups"),
    ] {
        let error = read(packed, &tensors);
        assert!(error.contains(expected), "{error}");
    }
    let bnb = r#"{"quant_method": "bitsandbytes"}"#;
    let state = |text: &'static str| -> (&str, &str, Vec<usize>, &[u8]) {
        ("p.weight.quant_state.bitsandbytes__nf4", "U8", vec![text.len()], text.as_bytes())
    };
    let codes = f32_bytes(&[0.0; 16]);
    let bytes = [0; 32];
    for (text, expected) in [
        ("{", "EOF"),
        (r#"{"blocksize": 64, "shape": [8, 9]}"#, "not 8 x 9 weights"),
        (r#"{"blocksize": 64, "shape": [4294967296, 4294967296]}"#, "weights of 4 bits"),
        (r#"{"blocksize": 0, "shape": [8, 8]}"#, "does not scale all blocks"),
        (r#"{"blocksize": 32, "shape": [8, 8]}"#, "does not scale all blocks"),
        (r#"{"blocksize": 64, "shape": [64]}"#, "is of no matrix"),
    ] {
        let state = state(text);
        let error = read(
            bnb,
            &[
                ("p.weight", "U8", &[32, 1], &bytes),
                ("p.weight.absmax", "F32", &[1], &codes[..4]),
                ("p.weight.quant_map", "F32", &[16], &codes),
                (state.0, state.1, &state.2, state.3),
            ],
        );
        assert!(error.contains(expected), "{text}: {error}");
    }
    let scale = f32_bytes(&[1.0; 3]);
    let error = read(
        r#"{"quant_method": "fp8"}"#,
        &[("p.weight", "F8_E4M3", &[8, 8], &[0; 64]), ("p.weight_scale", "F32", &[3], &scale)],
    );
    assert!(error.contains("does not scale 8 x 8"), "{error}");
}

/// Beyond them weights are refused (`tests/hostile_weights.rs`).
#[test]
fn the_largest_numbers_of_f16_can_be_quantized() -> Result<()> {
    let weights: Vec<f32> =
        (0..8 * 256).map(|i| 65_504.0 * ((i * 37 % 101) as f32 / 50.0 - 1.0)).collect();
    let file = safetensors(&[("a.weight", "F32", &[8, 256], &f32_bytes(&weights))]);
    let one = Tensor::eye(256, DType::F32, &Device::Cpu)?;
    for level in QuantLevel::ALL {
        let opened = folder(&[("model.safetensors", &file)], &cpu().quantize(*level))?;
        let stored = opened.linear("a", 256, 8, Bias::Absent)?.forward(&one)?.t()?.contiguous()?;
        let squares = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        let errors: Vec<f32> = values(&stored).iter().zip(&weights).map(|(x, y)| x - y).collect();
        let error = (squares(&errors) / squares(&weights)).sqrt();
        assert!(error < 0.4, "{level}: {error}");
    }
    Ok(())
}
