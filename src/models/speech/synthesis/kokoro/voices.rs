//! Voices: for each number of phonemes a style.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result, did_you_mean};
use crate::source::ModelFiles;
use crate::source::file::read;
use crate::weights::saved_tensor;

/// The voices of a model: the files `voices/*.pt` beside it, or `voices/*.bin`, which hold the numbers alone, as they are
/// published for ONNX.
#[derive(Debug)]
pub(super) struct Voices {
    files: ModelFiles,
    /// Numbers of a style: for the sound and for the melody.
    width: usize,
}

impl Voices {
    pub(super) fn new(files: &ModelFiles, width: usize) -> Result<Self> {
        Ok(Self { files: files.folder("")?, width })
    }

    /// The names that there are: those in the folder, or of `hexgrad/Kokoro-82M` where the files are elsewhere.
    pub(super) fn names(&self) -> Vec<String> {
        let Some(found) = self.files.listed(FOLDER) else {
            return KNOWN.iter().map(|&name| name.to_owned()).collect();
        };
        let name =
            |file: &String| ENDS.iter().find_map(|end| Some(file.strip_suffix(end)?.to_owned()));
        let mut names: Vec<_> = found.iter().filter_map(name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The style of a voice for so many phonemes, `(2 style_dim)`: of one name, of a path that ends in `.pt` or
    /// `.bin`, or of several with commas between them, whose mean it is.
    pub(super) fn style(&self, voice: &str, phonemes: usize) -> Result<Vec<f32>> {
        let names: Vec<&str> = voice.split(',').map(str::trim).collect();
        if names.len() > MOST {
            let reason = format!("{} voices, of at most {MOST} that are mixed", names.len());
            return Err(Error::option("voice", reason));
        }
        let mut sum = vec![0.0_f32; self.width];
        for name in &names {
            let row = self.row(name, phonemes)?;
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        sum.iter_mut().for_each(|sum| *sum /= names.len() as f32);
        Ok(sum)
    }

    fn row(&self, name: &str, phonemes: usize) -> Result<Vec<f32>> {
        let path = self.path(name)?;
        let pack = self.pack(&path)?;
        let (rows, width) = match *pack.dims() {
            [rows, 1, width] | [rows, width] => (rows, width),
            _ => (0, 0),
        };
        if width != self.width || rows == 0 {
            let reason = format!(
                "is of the shape {:?}; a voice of this model has ({ROWS}, 1, {})",
                pack.dims(),
                self.width
            );
            return Err(Error::malformed(path, reason));
        }
        let Some(row) = phonemes.checked_sub(1).filter(|&row| row < rows) else {
            return Err(Error::input(format!(
                "the voice {name:?} speaks 1 to {rows} phonemes at once, not {phonemes}"
            )));
        };
        let row: Tensor = pack.get(row)?.flatten_all()?.to_dtype(DType::F32)?;
        let row = row.to_vec1::<f32>()?;
        match row.iter().all(|value| value.is_finite()) {
            true => Ok(row),
            false => Err(Error::malformed(path, "holds numbers that are not finite")),
        }
    }

    /// All styles of a voice.
    fn pack(&self, path: &Path) -> Result<Tensor> {
        if path.extension().is_none_or(|end| end != "bin") {
            return saved_tensor(path);
        }
        let bytes = read(path)?;
        let (numbers, rest) = bytes.as_chunks();
        if !rest.is_empty() || !numbers.len().is_multiple_of(self.width) {
            let reason = format!("holds {} bytes, not rows of {} f32", bytes.len(), self.width);
            return Err(Error::malformed(path, reason));
        }
        let numbers = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Tensor::from_vec::<_, f32>(numbers, ((), self.width), &Device::Cpu)?)
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        if ENDS.iter().any(|end| name.ends_with(end)) {
            return Ok(PathBuf::from(name));
        }
        if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c)) {
            for end in ENDS {
                if let Some(found) = self.files.optional(&format!("{FOLDER}/{name}{end}"))? {
                    return Ok(found);
                }
            }
        }
        Err(Error::option("voice", self.unknown(name)))
    }

    fn unknown(&self, name: &str) -> String {
        let names = self.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match names.as_slice() {
            [] => format!(
                "there is no voice {name:?}, and no file {FOLDER}/*.pt or *.bin beside the model"
            ),
            names => {
                let advice = did_you_mean(name, names);
                format!("there is no voice {name:?}; there are {}{advice}", names.join(", "))
            }
        }
    }
}

/// Where voices lie.
const FOLDER: &str = "voices";
/// Of their names.
const ENDS: [&str; 2] = [".pt", ".bin"];
/// Of a voice of `hexgrad/Kokoro-82M`: one for each number of phonemes.
const ROWS: usize = 510;
/// That are mixed.
const MOST: usize = 64;
/// Those of `hexgrad/Kokoro-82M`.
#[rustfmt::skip]
const KNOWN: &[&str] = &[
    "af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole", "af_nova", "af_river",
    "af_sarah", "af_sky", "am_adam", "am_echo", "am_eric", "am_fenrir", "am_liam", "am_michael", "am_onyx",
    "am_puck", "am_santa", "bf_alice", "bf_emma", "bf_isabella", "bf_lily", "bm_daniel", "bm_fable", "bm_george",
    "bm_lewis", "ef_dora", "em_alex", "em_santa", "ff_siwis", "hf_alpha", "hf_beta", "hm_omega", "hm_psi",
    "if_sara", "im_nicola", "jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo", "pf_dora",
    "pm_alex", "pm_santa", "zf_xiaobei", "zf_xiaoni", "zf_xiaoxiao", "zf_xiaoyi", "zm_yunjian", "zm_yunxi",
    "zm_yunxia", "zm_yunyang",
];
