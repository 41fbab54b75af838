//! Schedulers, models and pictures against diffusers: `tests/goldens/make_schedulers.py`, `make_diffusion.py`.
#![cfg(feature = "image")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Tensor};
use sconce::diffusion::schedulers::{Scheduler, SchedulerKind, Steps};
use sconce::diffusion::{OutputType, PaintOptions, Painter, StepCall};
use sconce::image::write;
use sconce::models::AutoModel;
use sconce::models::clip_text::ClipText;
use sconce::models::diffusion::{FluxInput, UNetInput, Vae, open_flux, open_unet, open_vae};
use sconce::models::heads::Encoder;
use sconce::pipeline::{Image, Media, PicturePrompt, TextToImageOptions};
use sconce::random::Generator;
use sconce::tokenizer::Tokenizer;
use sconce::{Error, LoadOptions, ModelSource, Pipeline, Task, TokenBatch};
use serde_json::{Map, Value, json};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Every number within a tolerance of the largest, at least 1.
fn close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("{what}: {} numbers, not {}", found.len(), expected.len()));
    }
    let largest = expected.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Also where one is no number.
        let is_close = (found - expected).abs() <= tolerance * largest;
        if !is_close {
            return Err(format!("{what}: number {at} is {found}, not {expected}"));
        }
    }
    Ok(())
}

fn complain(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} wrong:\n{}", complaints.len(), complaints.join("\n"));
}

fn wave(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|at| (at as f32 * 0.37).sin()).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

#[test]
fn every_scheduler_steps_as_diffusers_does() {
    let golden = read(&goldens().join("schedulers.json"));
    let mut complaints = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        for run in case["runs"].as_array().unwrap() {
            if let Err(complaint) = scheduler_run(case, run) {
                complaints.push(format!(
                    "{} {}, {} steps: {complaint}",
                    case["kind"], case["config"], run["count"]
                ));
            }
        }
    }
    complain(&complaints);
}

fn scheduler_run(case: &Value, golden: &Value) -> Result<(), String> {
    let kind: SchedulerKind = serde_json::from_value(case["kind"].clone()).unwrap();
    let config = case["config"].as_object().unwrap().clone();
    let scheduler = Scheduler::new(kind, config).map_err(|error| error.to_string())?;
    let count = golden["count"].as_u64().unwrap() as usize;
    let mut steps = Steps::new(count);
    steps.eta = case["eta"].as_f64();
    steps.mu = case["mu"].as_f64();
    if case["ours"].is_string() {
        let last = 1.0 / count as f64;
        let sigma = |at: usize| match count {
            1 => 1.0,
            _ => 1.0 + (last - 1.0) * at as f64 / (count - 1) as f64,
        };
        steps = steps.sigmas((0..count).map(sigma).collect());
    }
    let mut run = scheduler.run(&steps).map_err(|error| error.to_string())?;
    close(run.timesteps(), &numbers(&golden["timesteps"]), 2e-6, "timesteps")?;
    let sigmas = numbers(&golden["sigmas"]);
    if !sigmas.is_empty() {
        close(run.sigmas(), &sigmas, 3e-5, "sigmas")?;
    }
    let init = golden["init"].as_f64().unwrap() as f32;
    close(&[run.init_noise_sigma()], &[init], 3e-5, "init_noise_sigma")?;
    let x: Vec<f32> = (0..32).map(|at| 2.0 * at as f32 / 31.0 - 1.0).collect();
    let x = Tensor::from_vec(x, (1, 2, 4, 4), &Device::Cpu).unwrap();
    let kept = |tensor: &Tensor| {
        let all = values(tensor);
        [all[3], all[20]]
    };
    if golden["noised"].is_array() {
        let later = scheduler.run(&steps).unwrap().begin_at(1);
        let noised = later.add_noise(&x, &(&x * -2.0).unwrap()).unwrap();
        close(&kept(&noised), &numbers(&golden["noised"]), 3e-5, "noised")?;
    }
    let mut generator = Generator::seed(0);
    let mut sample = (x * f64::from(run.init_noise_sigma())).unwrap();
    // Where the first latents are thousands, rounding them to f32 shows in what is left at the end.
    let tolerance = (init * 1.2e-7).max(2e-4);
    for (number, expected) in golden["steps"].as_array().unwrap().iter().enumerate() {
        let read = run.scale_input(&sample).unwrap();
        let output = ((read * 0.5).unwrap() + 0.1).unwrap();
        let shape = sample.shape().clone();
        let mut noise = || generator.randn_tensor(shape.clone(), DType::F32, &Device::Cpu);
        sample = run.step(&output, &sample, &mut noise).map_err(|error| error.to_string())?;
        close(&kept(&sample), &numbers(expected), tolerance, &format!("step {number}"))?;
    }
    // As many random numbers were drawn.
    let next = golden["next"].as_f64().unwrap() as f32;
    close(&generator.rand::<f32>(1), &[next], 1e-5, "the next random number")
}

#[test]
fn mistakes_with_schedulers_are_named() {
    let scheduler = Scheduler::new(SchedulerKind::Euler, Map::new()).unwrap();
    for steps in [Steps::new(0), Steps::new(1001)] {
        let error = scheduler.run(&steps).unwrap_err().to_string();
        assert!(error.contains("num_inference_steps"), "{error}");
    }
    let mut config = Map::new();
    config.insert("prediction_type".to_owned(), "nothing".into());
    let error = Scheduler::new(SchedulerKind::Ddim, config).unwrap_err().to_string();
    assert!(error.contains("DDIMScheduler") && error.contains("prediction_type"), "{error}");
    for (field, value) in [
        ("trained_betas", json!([])),
        ("trained_betas", json!([0.5])),
        ("beta_end", json!(3.0)),
        ("beta_start", json!(-5.0)),
    ] {
        let config = Map::from_iter([(field.to_owned(), value)]);
        let error = Scheduler::new(SchedulerKind::Euler, config).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
    let mut run = scheduler.run(&Steps::new(1)).unwrap();
    let x = Tensor::zeros((1, 4), DType::F32, &Device::Cpu).unwrap();
    let mut noise = || unreachable!("Euler draws nothing");
    run.step(&x, &x, &mut noise).unwrap();
    assert!(run.step(&x, &x, &mut noise).is_err());
}

fn pipelines() -> Vec<PathBuf> {
    let folders = fs::read_dir(goldens().join("diffusion")).unwrap();
    let mut folders: Vec<_> = folders.map(|folder| folder.unwrap().path()).collect();
    folders.retain(|folder| folder.join("model_index.json").exists());
    folders.sort();
    assert!(folders.len() >= 8);
    folders
}

fn cpu() -> LoadOptions {
    LoadOptions::default().device(Device::Cpu)
}

#[test]
fn every_part_is_as_in_python() {
    let mut complaints = Vec::new();
    for folder in pipelines() {
        let golden = &read(&folder.join("expected.json"))["parts"];
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let mut check = |found: &[f32], field: &str| {
            let what = format!("{name}, {field}");
            complaints.extend(close(found, &numbers(&golden[field]), 1e-4, &what).err());
        };
        let files = ModelSource::directory(&folder).open().unwrap();
        let Vae::Kl(vae) = open_vae(&files.folder("vae").unwrap(), &cpu()).unwrap() else {
            panic!("another autoencoder")
        };
        check(&values(&vae.encode(&wave(&[3, 64, 48]), false).unwrap()), "moments");
        let every = |tensor: &Tensor, step: usize| -> Vec<f32> {
            values(tensor).into_iter().step_by(step).collect()
        };
        check(&every(&vae.decode(&wave(&[4, 8, 6]), false).unwrap(), 17), "decoded");
        let prompt = read(&folder.join("expected.json"))["prompt"].as_str().unwrap().to_owned();
        for (number, end) in [("", ""), ("_2", "_2")] {
            let ids_field = format!("ids{end}");
            if golden[&ids_field].is_null() {
                continue;
            }
            let tokenizer = files.folder(&format!("tokenizer{number}")).unwrap();
            let tokenizer = Tokenizer::from_files(&tokenizer).unwrap();
            let mut ids = tokenizer.encode(&prompt).unwrap().ids;
            ids.resize(77, tokenizer.pad_token().unwrap().id);
            let expected: Vec<u32> =
                numbers(&golden[&ids_field]).into_iter().map(|id| id as u32).collect();
            assert_eq!(ids, expected, "{name}");
            let encoder = files.folder(&format!("text_encoder{number}")).unwrap();
            let clip = ClipText::from_files(&encoder, &cpu()).unwrap();
            let states = clip.encode(&[ids.clone(), ids], 1).unwrap();
            let first = |tensor: &Tensor| tensor.get(1).unwrap();
            if number.is_empty() {
                check(&every(&first(&states.last), 3), "last");
                check(&every(&first(&states.hidden), 3), "second");
                check(&values(&first(&states.pooled)), "pooled");
            } else {
                check(&values(&first(&states.projected.unwrap())), "projected");
            }
        }
        let part = |name: &str| files.folder(name).unwrap();
        if !golden["t5"].is_null() {
            let t5 = AutoModel::from_files::<dyn Encoder>(&part("text_encoder_2"), &cpu()).unwrap();
            let batch = TokenBatch::single(&[3, 30, 1, 0, 0]).unwrap();
            check(&values(&t5.encode(&batch).unwrap()), "t5");
            let transformer = open_flux(&part("transformer"), &cpu()).unwrap();
            let input = FluxInput {
                tokens: &wave(&[12, 16]),
                size: [4, 3],
                sigma: 0.7,
                guidance: 2.5,
                text: &wave(&[5, 12]),
                pooled: &wave(&[1, 16]),
            };
            check(&values(&transformer.forward(input).unwrap()), "step");
            continue;
        }
        let unet = open_unet(&part("unet"), &cpu()).unwrap();
        let config = unet.config();
        let guidance = config.time_cond_proj_dim.map(|size| wave(&[1, size]));
        let pooled = wave(&[1, 12]);
        let sizes = [64.0, 48.0, 3.0, 5.0, 60.0, 40.0];
        let count = config.added.map_or(0, |added| (added.inputs - 12) / added.size);
        let input = UNetInput {
            sample: &wave(&[config.in_channels, 8, 6]),
            timestep: 501.0,
            text: &wave(&[7, config.blocks[0].text]),
            added: config.added.map(|_| (&pooled, &sizes[..count])),
            guidance: guidance.as_ref(),
        };
        check(&values(&unet.forward(input).unwrap()), "step");
    }
    complain(&complaints);
}

/// A copy of a folder of a pipeline, with other numbers in a config.
fn changed(name: &str, part: &str, fields: Value) -> tempfile::TempDir {
    let (from, to) = (goldens().join("diffusion").join(name), tempfile::tempdir().unwrap());
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        fs::create_dir_all(to.path().join(&folder)).unwrap();
        for entry in fs::read_dir(from.join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            match from.join(&path).is_dir() {
                true => folders.push(path),
                false => drop(fs::copy(from.join(&path), to.path().join(&path)).unwrap()),
            }
        }
    }
    let config = to.path().join(part).join("config.json");
    let mut all = read(&config);
    for (name, value) in fields.as_object().unwrap() {
        all[name] = value.clone();
    }
    fs::write(config, all.to_string()).unwrap();
    to
}

#[test]
fn tiles_of_any_size_join_without_a_gap() {
    // As large as `sample_size` is not: no multiple of the scale, of 4 latent pixels, or as small as can be.
    for sample_size in [65, 72, 40, 8, 3] {
        let folder = changed("sd1", "vae", json!({"sample_size": sample_size}));
        let files = ModelSource::directory(folder.path().join("vae")).open().unwrap();
        let Vae::Kl(vae) = open_vae(&files, &cpu()).unwrap() else { panic!("another autoencoder") };
        let picture = vae.decode(&wave(&[4, 20, 13]), true).unwrap();
        assert_eq!(picture.dims(), [3, 160, 104], "{sample_size}");
        let moments = vae.encode(&wave(&[3, 160, 104]), true).unwrap();
        assert_eq!(moments.dims(), [8, 20, 13], "{sample_size}");
    }
}

#[test]
fn configs_that_make_no_sense_are_refused_by_the_name_of_the_field() {
    for (name, part, fields, expected) in [
        ("sd1", "unet", json!({"layers_per_block": 0}), "layers_per_block"),
        (
            "sdxl",
            "unet",
            json!({"transformer_layers_per_block": [1, 0]}),
            "transformer_layers_per_block",
        ),
        ("sd1", "unet", json!({"cross_attention_dim": "many"}), "cross_attention_dim"),
        ("sd1", "unet", json!({"norm_eps": []}), "norm_eps"),
        ("sd1", "unet", json!({"block_out_channels": [4, -8]}), "block_out_channels[1]"),
        ("sd1", "vae", json!({"layers_per_block": 0}), "layers_per_block"),
        ("sd1", "vae", json!({"latent_channels": 4.5}), "latent_channels"),
        ("flux-dev", "transformer", json!({"num_layers": 0}), "num_layers"),
        ("flux-dev", "transformer", json!({"num_single_layers": 0}), "num_single_layers"),
        ("flux-dev", "transformer", json!({"axes_dims_rope": [2, 2]}), "axes_dims_rope"),
    ] {
        let folder = changed(name, part, fields.clone());
        let error = Painter::open(folder.path(), &cpu()).unwrap_err().to_string();
        assert!(error.contains(&format!("`{expected}`")), "{fields}: {error}");
    }
}

#[test]
fn the_tiny_autoencoder_is_as_in_python() {
    let folder = goldens().join("diffusion/tiny-vae");
    let golden = read(&folder.join("expected.json"));
    let files = ModelSource::directory(&folder).open().unwrap();
    let Vae::Tiny(vae) = open_vae(&files, &cpu()).unwrap() else { panic!("another autoencoder") };
    let encoded = values(&vae.encode(&wave(&[3, 32, 24])).unwrap());
    let decoded = values(&vae.decode(&(wave(&[4, 4, 3]) * 4.0).unwrap()).unwrap());
    close(&encoded, &numbers(&golden["encoded"]), 1e-4, "encoded").unwrap();
    close(&decoded, &numbers(&golden["decoded"]), 1e-4, "decoded").unwrap();
}

/// The picture that the script begins with.
fn picture(height: usize, width: usize) -> Image {
    let rgb = (0..height * width * 3).map(|at| (at * 7 % 251) as u8).collect();
    Image::new(width, height, rgb).unwrap()
}

fn mask() -> Image {
    let light = |at: usize| at / 64 >= 24 && at % 64 < 40;
    let rgb = (0..64 * 64).flat_map(|at| [if light(at) { 255 } else { 0 }; 3]).collect();
    Image::new(64, 64, rgb).unwrap()
}

/// Latents that SDXL has begun, for its refiner.
fn begun(golden: &Value) -> Tensor {
    let folder = goldens().join("diffusion/sdxl");
    let prompt = read(&folder.join("expected.json"))["prompt"].as_str().unwrap().to_owned();
    let options = options(golden).output_type(OutputType::Latent);
    let painter = Painter::open(folder.as_path(), &cpu()).unwrap();
    painter.paint(&prompt, &options).unwrap().latents
}

fn options(golden: &Value) -> PaintOptions {
    let mut fields = golden.as_object().unwrap().clone();
    let image = fields.remove("image").map(|size| match size.as_array() {
        Some(_) => picture(numbers(&size)[0] as usize, numbers(&size)[1] as usize),
        None => picture(64, 64),
    });
    let has_mask = fields.remove("mask_image").is_some();
    fields.remove("prompt");
    let latents = fields.remove("image_latents").map(|shape| {
        wave(&numbers(&shape).into_iter().map(|side| side as usize).collect::<Vec<_>>())
    });
    let latents = fields.remove("base").map(|options| begun(&options)).or(latents);
    let options: PaintOptions = serde_json::from_value(Value::Object(fields)).unwrap();
    let options = match (image, latents) {
        (Some(image), _) => options.image(image),
        (None, Some(latents)) => options.image_latents(latents),
        (None, None) => options,
    };
    if has_mask { options.mask_image(mask()) } else { options }
}

#[test]
fn every_picture_is_as_in_python() {
    let mut complaints = Vec::new();
    for folder in pipelines() {
        let golden = read(&folder.join("expected.json"));
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let painter = Painter::open(folder.as_path(), &cpu()).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let what = format!("{name} {}", case["options"]);
            if let Err(complaint) = paint(&painter, &golden, case) {
                complaints.push(format!("{what}: {complaint}"));
            }
        }
    }
    complain(&complaints);
}

fn paint(painter: &Painter, golden: &Value, case: &Value) -> Result<(), String> {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&steps);
    let options = options(&case["options"]).callback_on_step_end(StepCall::new(move |report| {
        seen.lock().unwrap().push(report.latents.clone());
        ControlFlow::Continue(())
    }));
    let prompt = case["options"]["prompt"].as_str().or_else(|| golden["prompt"].as_str()).unwrap();
    let painted = painter.paint(prompt, &options).map_err(|error| error.to_string())?;
    let shape = [painted.images.len(), painted.images[0].height, painted.images[0].width, 3];
    let expected: Vec<usize> =
        numbers(&case["shape"]).into_iter().map(|side| side as usize).collect();
    if shape != expected[..] {
        return Err(format!("pictures of {shape:?}, not {expected:?}"));
    }
    close(&values(&painted.latents), &numbers(&case["latents"]), 1e-3, "latents")?;
    let bytes: Vec<u8> = painted.images.iter().flat_map(|image| image.rgb.clone()).collect();
    let found: Vec<u8> = bytes.into_iter().step_by(17).collect();
    let expected = numbers(&case["pixels"]);
    let most = found.iter().zip(&expected).map(|(found, x)| (f32::from(*found) - x).abs());
    let most = most.fold(0.0, f32::max);
    if found.len() != expected.len() || most > 1.0 {
        return Err(format!("a pixel is {most} away"));
    }
    let (steps, wanted) = (steps.lock().unwrap().clone(), case["steps"].as_u64().unwrap());
    if steps.len() as u64 != wanted {
        return Err(format!("{} steps, not {wanted}", steps.len()));
    }
    // What the last call saw is the picture.
    let last =
        painter.decode(steps.last().unwrap(), &options).map_err(|error| error.to_string())?;
    assert_eq!(last, painted.images);
    Ok(())
}

/// Which parts are in memory.
fn loaded(painter: &Painter) -> Vec<String> {
    let parts = painter.memory().into_iter().filter(|part| part.bytes > 0);
    parts.map(|part| part.name).collect()
}

#[test]
fn parts_come_and_leave_in_their_turn() {
    for (name, all, working) in [
        ("sd1", &["text_encoder", "unet", "vae"][..], "unet"),
        ("sdxl", &["text_encoder", "text_encoder_2", "unet", "vae"], "unet"),
        ("flux-dev", &["text_encoder", "text_encoder_2", "transformer", "vae"], "transformer"),
    ] {
        let folder = goldens().join("diffusion").join(name);
        let whole = Painter::open(folder.as_path(), &cpu()).unwrap();
        assert_eq!(loaded(&whole), all);
        let painter = Arc::new(Painter::open_in_turn(folder.as_path(), &cpu()).unwrap());
        assert_eq!(loaded(&painter), ["vae"], "{name}");
        let (seen, watched) = (Arc::new(Mutex::new(Vec::new())), Arc::clone(&painter));
        let keep = Arc::clone(&seen);
        let see = StepCall::new(move |_| {
            keep.lock().unwrap().push(loaded(&watched));
            ControlFlow::Continue(())
        });
        let options = PaintOptions::default().num_inference_steps(2).height(64).width(64).seed(3);
        let painted = painter.paint("a cat", &options.clone().callback_on_step_end(see)).unwrap();
        let seen = seen.lock().unwrap().clone();
        assert!(seen.len() >= 2 && seen.iter().all(|parts| *parts == [working, "vae"]), "{seen:?}");
        assert_eq!(loaded(&painter), ["vae"], "{name}");
        assert_eq!(painted.images, whole.paint("a cat", &options).unwrap().images, "{name}");
    }
}

#[test]
fn latents_alone_are_made_where_they_are_wanted() {
    let painter = Painter::open(goldens().join("diffusion/sd1").as_path(), &cpu()).unwrap();
    let options = PaintOptions::default().num_inference_steps(1).height(16).width(16);
    let latents = painter.paint("a", &options.clone().output_type(OutputType::Latent)).unwrap();
    let painted = painter.paint("a", &options).unwrap();
    assert!(latents.images.is_empty());
    assert_eq!(painter.decode(&latents.latents, &options).unwrap(), painted.images);
    let read: PaintOptions = serde_json::from_value(json!({"output_type": "latent"})).unwrap();
    assert_eq!(read.output_type, Some(OutputType::Latent));
}

#[test]
fn options_of_other_models_and_steps_that_make_no_sense_are_refused() {
    let open = |name: &str| {
        Painter::open(goldens().join("diffusion").join(name).as_path(), &cpu()).unwrap()
    };
    let (sd1, sdxl, flux) = (open("sd1"), open("sdxl"), open("flux-schnell"));
    let refiner = open("refiner");
    let latents =
        |shape: &[usize]| PaintOptions::default().image_latents(wave(shape)).num_inference_steps(4);
    let euler = || PaintOptions::default().scheduler(SchedulerKind::Euler);
    let plain = PaintOptions::default;
    for (painter, options, expected) in [
        (&sd1, euler().timesteps(vec![100.0, 200.0]), "timesteps"),
        (&sd1, euler().timesteps(vec![1000.0]), "timesteps"),
        (&sd1, euler().timesteps(vec![f64::NAN]), "timesteps"),
        (&sd1, euler().timesteps(vec![]), "num_inference_steps"),
        (&sd1, plain().timesteps(vec![500.0]), "timesteps"),
        (&sd1, plain().sigmas(vec![5.0, 0.0]), "sigmas"),
        (&sd1, euler().sigmas(vec![5.0, 6.0, 0.0]), "sigmas"),
        (&sd1, euler().sigmas(vec![5.0, 0.0]).timesteps(vec![500.0]), "timesteps"),
        (&sd1, euler().sigmas(vec![]), "num_inference_steps"),
        (&sd1, plain().target_size([8, 8]), "target_size"),
        (&sd1, plain().prompt_2("a"), "prompt_2"),
        (&sd1, plain().true_cfg_scale(2.0), "true_cfg_scale"),
        (&sd1, plain().max_embeddings_multiples(0), "max_embeddings_multiples"),
        (&sdxl, plain().aesthetic_score(6.0), "aesthetic_score"),
        (&sdxl, plain().denoising_end(1.0), "denoising_end"),
        (&sdxl, plain().denoising_end(1e-9), "denoising_end"),
        (&sdxl, plain().denoising_end(f64::NAN), "denoising_end"),
        (&sdxl, plain().denoising_start(0.5), "denoising_start"),
        (&sdxl, latents(&[1, 4, 4, 4]).denoising_start(0.5).denoising_end(0.5), "denoising_end"),
        (&sdxl, latents(&[1, 4, 4, 4]).denoising_start(0.999_9), "denoising_start"),
        (&sdxl, latents(&[1, 4, 4, 4]).denoising_start(0.5).strength(0.5), "strength"),
        (&sdxl, latents(&[1, 3, 4, 4]), "image_latents"),
        (&sdxl, latents(&[1, 4, 8, 4]), "height"),
        (&sdxl, latents(&[2, 4, 4, 4]), "image_latents"),
        (&sdxl, latents(&[1, 4, 4, 4]).image(picture(32, 32)), "image_latents"),
        (&sdxl, latents(&[1, 4, 4, 4]).mask_image(mask()), "mask_image"),
        (&sd1, plain().denoising_end(0.5), "denoising_end"),
        (&refiner, plain(), "image"),
        (&refiner, latents(&[1, 4, 4, 4]).prompt_2("a"), "prompt_2"),
        (&refiner, latents(&[1, 4, 4, 4]).target_size([8, 8]), "target_size"),
        (&flux, plain().denoising_end(0.5), "denoising_end"),
        (&flux, latents(&[1, 4, 4]), "image_latents"),
        (&flux, plain().timesteps(vec![500.0]), "timesteps"),
        (&flux, plain().sigmas(vec![1.0, 0.0]), "sigmas"),
        (&flux, plain().clip_skip(1), "clip_skip"),
        (&flux, plain().strength(0.5), "strength"),
        (&flux, plain().image(picture(32, 32)).strength(0.0), "strength"),
        (&flux, plain().image(picture(32, 32)).mask_image(mask()), "mask_image"),
    ] {
        let options = options.height(32).width(32);
        let error = painter.paint("a", &options).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains(expected), "{error}");
    }
    let error = sd1.paint("(a:1.2.3)", &plain().prompt_weights(true)).unwrap_err();
    assert!(error.is_caller_error() && error.to_string().contains("1.2.3"), "{error}");
    let long = "cat ".repeat(200);
    let cut = |windows| sd1.cut_tokens(&long, &plain().max_embeddings_multiples(windows)).unwrap();
    assert_eq!([cut(1), cut(2), cut(3)], [125, 50, 0]);
}

#[test]
fn mistakes_are_named_and_callbacks_end_a_picture() {
    let folder = goldens().join("diffusion/sd1");
    let painter = Painter::open(folder.as_path(), &cpu()).unwrap();
    for (options, expected) in [
        (PaintOptions::default().height(63), "height"),
        (PaintOptions::default().width(0), "width"),
        (PaintOptions::default().num_inference_steps(0), "num_inference_steps"),
        (PaintOptions::default().num_images_per_prompt(0), "num_images_per_prompt"),
        (PaintOptions::default().image(picture(64, 64)).strength(1.5), "strength"),
        (PaintOptions::default().image(picture(64, 48)).mask_image(mask()), "mask_image"),
        (PaintOptions::default().clip_skip(9), "clip_skip"),
        (PaintOptions::default().mask_image(mask()), "mask_image"),
        (PaintOptions::default().clip_skip(usize::MAX), "clip_skip"),
        (PaintOptions::default().strength(2.0), "strength"),
        (PaintOptions::default().guidance_rescale(-1.0), "guidance_rescale"),
        (PaintOptions::default().guidance_scale(f64::INFINITY), "guidance_scale"),
        (PaintOptions::default().scheduler(SchedulerKind::FlowMatchEuler), "scheduler"),
    ] {
        let error = painter.paint("a", &options).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains(expected), "{error}");
    }
    let stop = StepCall::new(|report| match report.step {
        1 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let options = PaintOptions::default().height(64).width(64).callback_on_step_end(stop);
    assert!(matches!(painter.paint("a", &options), Err(Error::Interrupted)));
    let options = PaintOptions::default().height(64).width(64).num_inference_steps(1);
    let painted = painter.paint(&"cat ".repeat(100), &options).unwrap();
    assert_eq!(painted.cut_tokens, 25);
    let flux = Painter::open(goldens().join("diffusion/flux-dev").as_path(), &cpu()).unwrap();
    for (options, expected) in [
        (PaintOptions::default().max_sequence_length(usize::MAX), "max_sequence_length"),
        (PaintOptions::default().num_inference_steps(usize::MAX), "num_inference_steps"),
        (PaintOptions::default().mask_image(mask()), "mask_image"),
        (PaintOptions::default().scheduler(SchedulerKind::Ddim), "scheduler"),
    ] {
        for error in [flux.paint("a", &options).err(), flux.cut_tokens("a", &options).err()] {
            let Some(error) = error else { continue };
            assert!(error.is_caller_error() && error.to_string().contains(expected), "{error}");
        }
        assert!(flux.paint("a", &options).is_err());
    }
    let error = Painter::open(folder.join("unet").as_path(), &cpu()).unwrap_err().to_string();
    assert!(error.contains("model_index.json"), "{error}");
}

#[test]
fn the_task_paints_by_its_name() {
    let folder = goldens().join("diffusion/sd1");
    let pipeline = Pipeline::open(Task::TextToImage, folder.as_path(), cpu()).unwrap();
    let options = json!({"num_inference_steps": 1, "height": 64, "width": 40, "seed": 3});
    let Value::Object(options) = options else { panic!("no options") };
    let long = "cat ".repeat(100);
    let output = pipeline.call(json!(["a cat", long]), options.clone()).unwrap();
    let sizes = json!({"images": [{"width": 40, "height": 64}]});
    assert_eq!((output.json, output.truncated), (json!([sizes, sizes]), vec![1]));
    let Media::Image(image) = &output.media[0] else { panic!("no picture") };
    let Pipeline::TextToImage(painter) = &pipeline else { panic!("another task") };
    let paint: PaintOptions = serde_json::from_value(Value::Object(options)).unwrap();
    let painted = painter.run_with("a cat", &TextToImageOptions::from(paint)).unwrap();
    assert_eq!(painted.images, std::slice::from_ref(image));
    let wrong = Map::from_iter([("num_steps".to_owned(), json!(3))]);
    let error = pipeline.call("a cat", wrong).unwrap_err().to_string();
    assert!(error.contains("num_steps"), "{error}");
}

#[test]
fn pictures_are_painted_anew_by_the_name_of_the_task() {
    let folder = goldens().join("diffusion/sd1");
    let pipeline = Pipeline::open(Task::ImageToImage, folder.as_path(), cpu()).unwrap();
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).display().to_string();
    write(path("picture.png"), &picture(64, 64)).unwrap();
    write(path("mask.png"), &mask()).unwrap();
    let options =
        json!({"num_inference_steps": 2, "strength": 0.5, "seed": 3, "height": 64, "width": 64});
    let Value::Object(options) = options else { panic!("no options") };
    let one = json!({"image": path("picture.png"), "prompt": "a cat"});
    let masked =
        json!({"image": path("picture.png"), "prompt": "a cat", "mask_image": path("mask.png")});
    let output = pipeline.call(json!([one, masked]), options.clone()).unwrap();
    let sizes = json!({"images": [{"width": 64, "height": 64}]});
    assert_eq!(output.json, json!([sizes, sizes]));
    let Pipeline::ImageToImage(painter) = &pipeline else { panic!("another task") };
    let paint: PaintOptions = serde_json::from_value(Value::Object(options.clone())).unwrap();
    let mut found = Vec::new();
    for prompt in [
        PicturePrompt::new(picture(64, 64), "a cat"),
        PicturePrompt::new(picture(64, 64), "a cat").mask_image(mask()),
    ] {
        let painted = painter.run_with(prompt, &TextToImageOptions::from(paint.clone())).unwrap();
        found.extend(painted.images.into_iter().map(Media::Image));
    }
    assert_eq!(output.media, found);
    for wrong in
        [json!("a cat"), json!({"image": path("picture.png")}), json!([{"image": "a.png"}])]
    {
        let error = pipeline.call(wrong, options.clone()).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains("prompt"), "{error}");
    }
}
