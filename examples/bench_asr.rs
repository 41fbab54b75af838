//! Speed of a Whisper model: features, the encoder alone, and whole transcriptions.
//!
//! ```text
//! cargo run --release --features audio --example bench_asr -- MODEL talk.mp3 [more.wav …] [--beams 5] [--together] [--threads 2] [--quantize q8_0] [--skip none] [--repeats 3]
//! ```
//!
//! Recordings are read one after the other, or all `--together`. Seconds of sound are divided by the time that
//! they take. The best repeat is printed: other work on the machine only ever slows one down. The text goes to
//! stdout, so that it can be compared with another engine's.

#[cfg(feature = "audio")]
mod bench {
    use std::error::Error;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use clap::Parser;
    use sconce::audio::{AudioFeatures, AudioReader, FeatureExtractor};
    use sconce::generation::GenerationConfig;
    use sconce::models::AutoModel;
    use sconce::models::speech::SpeechSeq2Seq;
    use sconce::speech::whisper::{Whisper, WhisperConfig, WhisperOptions};
    use sconce::tokenizer::Tokenizer;
    use sconce::{CachePrecision, Device, LoadOptions, ModelSource, Precision, QuantLevel};

    #[derive(Parser)]
    struct Arguments {
        /// A folder, a Hub id or a file of whisper.cpp.
        model: String,
        /// Audio files.
        recordings: Vec<PathBuf>,
        /// Beams; 1 is greedy.
        #[arg(long, default_value_t = 1)]
        beams: u32,
        /// All recordings at once.
        #[arg(long)]
        together: bool,
        /// What is spoken; by default it is detected where the model knows more than English.
        #[arg(long)]
        language: Option<String>,
        /// The threads of the model.
        #[arg(long)]
        threads: Option<usize>,
        /// The dtype of dense weights.
        #[arg(long)]
        dtype: Option<Precision>,
        /// Quantize the weights while loading.
        #[arg(long)]
        quantize: Option<QuantLevel>,
        /// Modules to leave unquantized; by default the output head, with `none` no module.
        #[arg(long, value_delimiter = ',')]
        skip: Option<Vec<String>>,
        /// What keys and values are kept in: f32, f16 or q8.
        #[arg(long)]
        cache: Option<CachePrecision>,
        /// Measurements, of which the best counts.
        #[arg(long, default_value_t = 3)]
        repeats: usize,
    }

    pub(crate) fn run() -> Result<(), Box<dyn Error>> {
        let arguments = Arguments::parse();
        let mut load = LoadOptions::default().device(Device::Cpu);
        load.threads = arguments.threads;
        load.dtype = arguments.dtype;
        load.quantize = arguments.quantize;
        load.skip_modules = arguments.skip.map(|mut modules| {
            modules.retain(|module| module != "none");
            modules
        });
        load.cache = arguments.cache;
        let started = Instant::now();
        let files = ModelSource::from(arguments.model.as_str()).open()?;
        let model = AutoModel::from_files::<dyn SpeechSeq2Seq>(&files, &load)?;
        let tokenizer = Tokenizer::from_files(&files)?;
        let config = WhisperConfig::from_files(&files, &tokenizer)?;
        let extractor = FeatureExtractor::from_files(&files)?;
        let whisper = Whisper::from_parts(model.clone(), tokenizer, config)?;
        eprintln!("loaded in {:.2} s", started.elapsed().as_secs_f64());

        let rate = extractor.sampling_rate();
        let read = |path: &PathBuf| -> sconce::Result<_> {
            Ok(AudioReader::open(path)?.mono(rate)?.samples)
        };
        let sounds = arguments.recordings.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let seconds = sounds.iter().map(Vec::len).sum::<usize>() as f64 / f64::from(rate);
        let repeats = arguments.repeats.max(1);
        let tell = |what: &str, seconds: f64, took: Duration| {
            let took = took.as_secs_f64();
            eprintln!(
                "{what}: {took:.3} s for {seconds:.1} s of sound: {:.1} times as fast",
                seconds / took
            );
        };

        let (took, features) = best(repeats, || {
            let extract = |sound: &Vec<f32>| Ok(Arc::new(extractor.extract(sound, rate)?));
            sounds.iter().map(extract).collect::<Result<Vec<_>, sconce::Error>>()
        })?;
        tell("features", seconds, took);

        let width = features.first().ok_or("no recordings")?.width();
        let window = whisper.config().window();
        let windows =
            features.iter().flat_map(|features| features.values().chunks_exact(window * width));
        let windows = windows.map(|values| AudioFeatures::new(values.to_vec(), width, window));
        let windows = windows.collect::<Result<Vec<_>, _>>()?;
        let windows: Vec<&AudioFeatures> = windows.iter().collect();
        let (took, _) = best(repeats, || {
            windows.chunks(8).try_for_each(|windows| model.encode(windows).map(drop))
        })?;
        tell("encoder", windows.len() as f64 * window as f64 / 100.0, took);

        let generation = GenerationConfig::default().num_beams(arguments.beams as usize);
        let mut options = WhisperOptions::default().return_timestamps(true).generation(generation);
        if let Some(language) = &arguments.language {
            options = options.language(language);
        }
        let at_once = if arguments.together { features.len() } else { 1 };
        let (took, transcriptions) = best(repeats, || {
            let mut all = Vec::new();
            for features in features.chunks(at_once) {
                all.extend(whisper.generate(features, &options)?);
            }
            Ok(all)
        })?;
        tell("transcription", seconds, took);
        let ids: usize = transcriptions.iter().map(|transcription| transcription.ids().len()).sum();
        eprintln!("{ids} tokens: {:.1} a second", ids as f64 / took.as_secs_f64());
        for transcription in &transcriptions {
            println!("{}", transcription.text().trim());
        }
        Ok(())
    }

    /// The shortest time that it took, and the last result.
    fn best<T>(
        repeats: usize,
        mut work: impl FnMut() -> sconce::Result<T>,
    ) -> sconce::Result<(Duration, T)> {
        let mut run = || {
            let started = Instant::now();
            work().map(|result| (started.elapsed(), result))
        };
        let (mut shortest, mut last) = run()?;
        for _ in 1..repeats {
            let (took, result) = run()?;
            (shortest, last) = (shortest.min(took), result);
        }
        Ok((shortest, last))
    }
}

#[cfg(feature = "audio")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    bench::run()
}

#[cfg(not(feature = "audio"))]
fn main() {
    eprintln!("this example needs `--features audio`");
}
