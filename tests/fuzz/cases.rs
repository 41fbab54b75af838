//! The classes of runs: what is honest in each, and what is not.

use std::collections::BTreeMap;

use sconce::QuantLevel;
use sconce::pipeline::Task;
use serde_json::{Map, Value, json};

use crate::files;
use crate::inputs;
use crate::known::{self, Expected};
use crate::mutate;
use crate::options;
use crate::others;
use crate::random::Random;
use crate::subjects::{self, Subject};

/// A kind of runs.
pub struct Class {
    pub name: &'static str,
    /// How many runs an ordinary test makes.
    pub runs: u64,
    /// Whether the caller may be told to have made a mistake.
    pub blames_caller: bool,
    make: Make,
}

enum Make {
    /// By chance.
    Any(fn(&mut Random) -> Case),
    /// From a table.
    Known,
}

/// One run.
pub struct Case {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Files that are something else.
    pub odd: Vec<(String, Odd)>,
    /// The file, where the model is one.
    pub gguf: Option<String>,
    pub task: Option<Task>,
    pub input: Value,
    pub options: Map<String, Value>,
    pub quantize: Option<QuantLevel>,
    /// The file that is the input, where that is no JSON.
    pub media: Option<&'static str>,
    /// The folder or file of an adapter.
    pub adapter: Option<&'static str>,
}

/// What lies where a file is wanted.
#[derive(Debug, Clone, Copy)]
pub enum Odd {
    Device,
    Empty,
    Folder,
    /// A link to itself.
    Loop,
    Pipe,
    /// Of a terabyte, without any content.
    Sparse,
}

pub const CLASSES: &[Class] = &[
    Class { name: "known", runs: known::RUNS, blames_caller: true, make: Make::Known },
    class("safetensors", 1000, false, safetensors),
    class("gguf", 700, false, gguf),
    class("pickle", 700, false, pickle),
    class("config.json", 700, false, config),
    class("tokenizer.json", 700, false, tokenizer),
    class("tokenizer_config.json", 500, false, tokenizer_config),
    class("vocabularies", 1000, false, vocabularies),
    class("generation_config.json", 400, false, generation_config),
    class("modules.json", 500, false, modules),
    class("templates", 300, true, templates),
    class("options", 700, true, call_options),
    class("inputs", 60, true, long_inputs),
    class("not files", 300, false, not_files),
    // What is wrong with the recording or the picture is the caller's to mend.
    class("other models", 300, true, other_models),
    #[cfg(feature = "audio")]
    class("audio", 500, false, audio),
];

const fn class(
    name: &'static str,
    runs: u64,
    blames_caller: bool,
    make: fn(&mut Random) -> Case,
) -> Class {
    Class { name, runs, blames_caller, make: Make::Any(make) }
}

impl Class {
    /// A run, and what it must come to where that is known.
    pub fn case(&self, seed: u64, run: u64) -> (Case, Option<&'static Expected>) {
        match self.make {
            Make::Any(make) => (make(&mut Random::of_run(seed, self.name, run)), None),
            Make::Known => {
                let (case, expected) = known::case(run);
                (case, Some(expected))
            }
        }
    }

    pub fn named(name: &str) -> Option<&'static Self> {
        CLASSES.iter().find(|class| class.name == name)
    }
}

impl From<Subject> for Case {
    fn from(subject: Subject) -> Self {
        let Subject { files, task, input, options, media, adapter } = subject;
        let (odd, gguf, quantize) = (Vec::new(), None, None);
        Self { files, odd, gguf, task, input, options, quantize, media, adapter }
    }
}

/// An audio file; half of the damage is in its header.
#[cfg(feature = "audio")]
fn audio(random: &mut Random) -> Case {
    let mut sound = subjects::sound(random);
    let length = if random.once_in(2) { 200 } else { sound.len() };
    mutate::bytes(random, &mut sound, 0..length);
    let files = BTreeMap::from([(SOUND.to_owned(), sound)]);
    Subject::of(files, None, Value::Null).into()
}

/// The name of an audio file, which is read by its content.
#[cfg(feature = "audio")]
pub const SOUND: &str = "sound";

/// Any file of an encoder-decoder, an adapter, or a model of sound or pictures, or its input.
fn other_models(random: &mut Random) -> Case {
    let mut subject = others::any(random);
    let names: Vec<_> = subject.files.keys().cloned().collect();
    let name = random.of(&names);
    let file = subject.files.get_mut(name).expect("a file");
    if name.ends_with(".json") {
        mutate::json_bytes(random, file);
    } else if name.ends_with(".safetensors") {
        files::safetensors(random, file);
    } else {
        let whole = 0..file.len();
        mutate::bytes(random, file, whole);
    }
    let quantize = random.once_in(8).then(|| *random.of(QuantLevel::ALL));
    Case { quantize, ..subject.into() }
}

fn safetensors(random: &mut Random) -> Case {
    let mut subject = match random.below(4) {
        0 => subjects::decoder(random, "model.safetensors.index.json"),
        1 => subjects::decoder(random, "model.safetensors"),
        2 => subjects::sentences(random),
        _ => subjects::text_pipeline(random),
    };
    if let Some(index) = subject.file("index.json").filter(|_| random.once_in(2)) {
        let text = subject.files.get_mut(&index).expect("the index");
        mutate::json_bytes(random, text);
    } else {
        let names: Vec<_> =
            subject.files.keys().filter(|name| name.ends_with(".safetensors")).cloned().collect();
        if names.is_empty() {
            // Some repositories have weights in other files.
            return safetensors(random);
        }
        let file = subject.files.get_mut(random.of(&names)).expect("weights");
        files::safetensors(random, file);
    }
    let quantize = random.once_in(4).then(|| *random.of(QuantLevel::ALL));
    Case { quantize, ..subject.into() }
}

fn gguf(random: &mut Random) -> Case {
    let mut subject = subjects::decoder(random, "model.gguf");
    let file = subject.files.get_mut("model.gguf").expect("model.gguf");
    files::gguf(random, file);
    let quantize = random.once_in(6).then(|| *random.of(QuantLevel::ALL));
    Case { gguf: Some("model.gguf".to_owned()), quantize, ..subject.into() }
}

fn pickle(random: &mut Random) -> Case {
    let mut subject = subjects::decoder(random, "pytorch_model.bin");
    let file = subject.files.get_mut("pytorch_model.bin").expect("pytorch_model.bin");
    files::pickle(random, file);
    subject.into()
}

fn config(random: &mut Random) -> Case {
    let mut subject = subjects::any(random);
    mutate::json_bytes(random, subject.files.get_mut("config.json").expect("config.json"));
    subject.into()
}

fn tokenizer(random: &mut Random) -> Case {
    let mut subject = subjects::any(random);
    if random.once_in(3) {
        let mut json = subject.json("tokenizer.json");
        for _ in 0..random.between(1, 2) {
            let kind = *random.of(&[
                "normalizer",
                "normalizer",
                "pre_tokenizer",
                "decoder",
                "post_processor",
            ]);
            json[kind] = inputs::chain(random, kind);
        }
        subject.set_json("tokenizer.json", &json);
    } else if let Some(text) = subject.files.get_mut("tokenizer.json") {
        mutate::json_bytes(random, text);
    }
    subject.into()
}

fn tokenizer_config(random: &mut Random) -> Case {
    const FIELDS: &[&str] = &[
        "tokenizer_class",
        "model_max_length",
        "add_prefix_space",
        "add_bos_token",
        "add_eos_token",
        "bos_token",
        "eos_token",
        "unk_token",
        "pad_token",
        "mask_token",
        "cls_token",
        "sep_token",
        "additional_special_tokens",
        "extra_special_tokens",
        "added_tokens_decoder",
        "extra_ids",
        "do_lower_case",
        "strip_accents",
        "padding_side",
        "truncation_side",
        "clean_up_tokenization_spaces",
        "split_special_tokens",
        "legacy",
        "src_lang",
        "chat_template",
    ];
    let mut subject = subjects::any(random);
    let name = *random.of(&[
        "tokenizer_config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
    ]);
    let mut json = subject.json(name);
    if !json.is_object() {
        json = json!({"added_tokens_decoder": {"5": {"content": "<x>", "lstrip": true}}});
    }
    if random.once_in(2) {
        for (field, value) in mutate::fields(random, FIELDS, 3) {
            json[field] = value;
        }
    } else {
        mutate::json(random, &mut json);
    }
    subject.set_json(name, &json);
    subject.into()
}

fn vocabularies(random: &mut Random) -> Case {
    let mut subject = subjects::vocabulary(random);
    let names: Vec<_> = subject.files.keys().cloned().collect();
    let file = subject.files.get_mut(random.of(&names)).expect("a file");
    match file.first() {
        Some(b'{') => mutate::json_bytes(random, file),
        _ => {
            let whole = 0..file.len();
            mutate::bytes(random, file, whole);
        }
    }
    subject.into()
}

fn generation_config(random: &mut Random) -> Case {
    let mut subject = subjects::decoder(random, "model.safetensors");
    let mut fields = subjects::object(subject.json("generation_config.json"));
    fields.extend(options::any(random, Task::TextGeneration));
    fields.remove("max_new_tokens");
    subject.set_json("generation_config.json", &fields.into());
    subject.options.remove("do_sample");
    subject.into()
}

fn modules(random: &mut Random) -> Case {
    let mut subject = subjects::sentences(random);
    let names: Vec<_> = subject
        .files
        .keys()
        .filter(|name| {
            name.ends_with(".json") && !name.starts_with("tokenizer") && *name != "config.json"
        })
        .cloned()
        .collect();
    match random.once_in(5) || names.is_empty() {
        true => {
            let path = *random.of(mutate::TEXTS);
            let kind = random.of(&["Pooling", "Dense", "Normalize", "Transformer", "Unheard"]);
            let kind = format!("sentence_transformers.models.{kind}");
            subject.set_json("modules.json", &json!([{"idx": 0, "path": path, "type": kind}]));
        }
        false => {
            let text = subject.files.get_mut(random.of(&names)).expect("a file");
            mutate::json_bytes(random, text);
        }
    }
    subject.into()
}

fn templates(random: &mut Random) -> Case {
    let mut subject = subjects::decoder(random, "model.safetensors");
    let template = inputs::template(random);
    let name = *random.of(&["chat_template.jinja", "tokenizer_config.json", "chat_template.json"]);
    if name.ends_with(".jinja") {
        subject.files.insert(name.to_owned(), template.into_bytes());
    } else {
        let mut json = subject.json(name);
        if json.is_null() {
            json = json!({});
        }
        json["chat_template"] = json!(template);
        subject.set_json(name, &json);
    }
    subject.input = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello \u{1f600}\n\0 there!"},
    ]);
    subject.into()
}

fn call_options(random: &mut Random) -> Case {
    let mut subject = match random.below(3) {
        0 => subjects::decoder(random, "model.safetensors"),
        1 => subjects::sentences(random),
        _ => subjects::text_pipeline(random),
    };
    if let Some(task) = subject.task {
        subject.options.extend(options::any(random, task));
    }
    if random.once_in(3) {
        mutate::json(random, &mut subject.input);
    }
    subject.into()
}

fn long_inputs(random: &mut Random) -> Case {
    let mut subject = subjects::any(random);
    inputs::long(random, &mut subject.input);
    if random.once_in(2) {
        subject.options.insert("truncation".to_owned(), json!(true));
    }
    subject.into()
}

fn not_files(random: &mut Random) -> Case {
    let mut subject = match random.below(5) {
        0 => subjects::vocabulary(random),
        1 => subjects::decoder(random, "model.gguf"),
        2 => subjects::decoder(random, "pytorch_model.bin"),
        _ => subjects::any(random),
    };
    let optional = ["chat_template.jinja", "generation_config.json", "special_tokens_map.json"];
    for name in optional {
        subject.files.entry(name.to_owned()).or_default();
    }
    let names: Vec<_> = subject.files.keys().cloned().collect();
    let name = random.of(&names).clone();
    for name in optional.iter().filter(|other| **other != name) {
        subject.files.remove(*name);
    }
    subject.files.remove(&name);
    let odd =
        *random.of(&[Odd::Device, Odd::Empty, Odd::Folder, Odd::Loop, Odd::Pipe, Odd::Sparse]);
    let gguf = (name == "model.gguf" || subject.files.contains_key("model.gguf"))
        .then(|| "model.gguf".to_owned());
    Case { odd: vec![(name, odd)], gguf, ..subject.into() }
}
