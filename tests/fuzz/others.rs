//! Honest models of other kinds: encoder-decoders, adapters, and those of sound and pictures.

use std::fs;
use std::path::PathBuf;

use sconce::pipeline::Task;
use serde_json::{Value, json};

use crate::random::Random;
use crate::subjects::{Subject, folders, goldens, object, read};

/// Any of them.
pub fn any(random: &mut Random) -> Subject {
    const KINDS: &[fn(&mut Random) -> Subject] = &[
        text_to_text,
        adapter,
        #[cfg(feature = "audio")]
        recording,
        #[cfg(feature = "audio")]
        voice,
        #[cfg(feature = "image")]
        picture,
        #[cfg(feature = "image")]
        painter,
    ];
    random.of(KINDS)(random)
}

/// An encoder-decoder with the vocabulary that it is written with.
fn text_to_text(random: &mut Random) -> Subject {
    let mut files = read(random.of::<PathBuf>(&folders("text_to_text")));
    let golden: Value =
        serde_json::from_slice(&files.remove("golden.json").expect("golden.json")).expect("JSON");
    for (name, from) in golden["models"].as_object().into_iter().flatten() {
        let from = goldens().join("tokenizers/models").join(from.as_str().expect("a name"));
        files.insert(name.clone(), fs::read(from).expect("a vocabulary"));
    }
    for (name, content) in golden["files"].as_object().into_iter().flatten() {
        files.insert(name.clone(), content.to_string().into_bytes());
    }
    let task: sconce::pipeline::TaskName =
        golden["task"].as_str().expect("a task").parse().expect("a task");
    let good = golden["calls"].as_array().expect("calls").iter();
    let good: Vec<_> = good.filter(|call| call.get("output").is_some()).collect();
    let call = random.of(&good);
    let mut subject = Subject::of(files, Some(task.task), call["input"].clone());
    subject.options = call["options"].as_object().cloned().unwrap_or_default();
    subject.options.insert("max_new_tokens".to_owned(), json!(3));
    subject
}

/// A decoder, and an adapter of PEFT's in a folder of it.
fn adapter(random: &mut Random) -> Subject {
    let names: &[&str] = &[
        "llama",
        "llama-dora",
        "llama-head",
        "llama-loha",
        "llama-lokr",
        "llama-lokr-full",
        "llama-patterns",
        "llama-plain",
    ];
    let mut files = read(&goldens().join("llama-tiny"));
    files.retain(|name, _| !name.starts_with("expected.") && !name.ends_with(".gguf"));
    let of_adapter = read(&goldens().join("adapters").join(random.of(names)));
    files.extend(of_adapter.into_iter().map(|(name, bytes)| (format!("adapter/{name}"), bytes)));
    let mut subject = Subject::of(files, Some(Task::TextGeneration), json!("Hello there"));
    subject.options = object(json!({"max_new_tokens": 2, "do_sample": false}));
    subject.adapter = Some("adapter");
    subject
}

/// The name of the recording or the picture that is the input.
#[cfg(any(feature = "audio", feature = "image"))]
const MEDIA: &str = "input";

#[cfg(feature = "audio")]
fn recording(random: &mut Random) -> Subject {
    let (folder, tokenizer) = *random.of(&[("letters", None), ("whisper", Some("whisper"))]);
    let mut files = read(&goldens().join("speech_pipelines").join(folder));
    if tokenizer.is_some() {
        let tokenizer = read(&goldens().join("whisper"));
        files.extend(tokenizer.into_iter().filter(|(name, _)| name.starts_with("tokenizer")));
    }
    files.remove("golden.json");
    files.insert(MEDIA.to_owned(), crate::subjects::sound(random));
    let mut subject = Subject::of(files, Some(Task::AutomaticSpeechRecognition), Value::Null);
    subject.media = Some(MEDIA);
    subject
}

#[cfg(feature = "audio")]
fn voice(random: &mut Random) -> Subject {
    let name =
        *random.of(&["vits-certain-tiny", "vits-small-tiny", "vits-speakers-tiny", "vits-tiny"]);
    let mut files = read(&goldens().join("voices").join(name));
    files.retain(|name, _| !name.starts_with("expected."));
    Subject::of(files, Some(Task::TextToSpeech), json!("a b"))
}

#[cfg(feature = "image")]
fn picture(random: &mut Random) -> Subject {
    let folder = random.of(&folders("vision")).clone();
    let mut files = read(&folder);
    files.retain(|name, _| !name.starts_with("expected.") && name != "golden.json");
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let pictures = read(&goldens().join("images/files"));
    let names: Vec<_> = pictures.keys().collect();
    files.insert(MEDIA.to_owned(), pictures[*random.of(&names)].clone());
    let is_pair = ["clip", "siglip"].iter().any(|pair| name.starts_with(pair));
    let task = match () {
        () if is_pair && !name.ends_with("vision") && !name.ends_with("labels") => {
            Task::ZeroShotImageClassification
        }
        () if random.once_in(2) => Task::ImageClassification,
        () => Task::ImageFeatureExtraction,
    };
    let mut subject = Subject::of(files, Some(task), Value::Null);
    if task == Task::ZeroShotImageClassification {
        subject.options = object(json!({"candidate_labels": ["a", "two parrots"]}));
    }
    subject.media = Some(MEDIA);
    subject
}

#[cfg(feature = "image")]
fn painter(random: &mut Random) -> Subject {
    let name = *random.of(&["lcm", "sd1", "sd2", "tiny-vae", "flux-schnell"]);
    let mut files = read(&goldens().join("diffusion").join(name));
    files.retain(|name, _| !name.starts_with("expected."));
    let mut subject = Subject::of(files, Some(Task::TextToImage), json!("a candle"));
    subject.options =
        object(json!({"num_inference_steps": 1, "width": 16, "height": 16, "seed": 1}));
    subject
}
