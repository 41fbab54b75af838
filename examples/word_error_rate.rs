//! Word error rates of a model against known transcripts.
//!
//! ```text
//! cargo run --release --features audio --example word_error_rate -- --model openai/whisper-tiny recordings.tsv
//! ```
//!
//! Each line of the file is the path of a recording, a tab, and what is said in it. Texts are normalized as
//! Whisper's are (`--basic` for other languages than English). With `--hypotheses`, the texts of another
//! program, such as whisper.cpp or faster-whisper, are read in place of a model's: a line of text for each
//! recording, so that all are counted in the same way.

#[cfg(feature = "audio")]
mod counting {
    use std::fs;
    use std::path::{Path, PathBuf};

    use clap::Parser;
    use sconce::pipeline::{AutomaticSpeechRecognitionOptions, Pipeline, ReturnTimestamps};
    use sconce::speech::normalizer::{EnglishNormalizer, basic_normalize};
    use sconce::speech::{ErrorRate, word_error_rate};
    use sconce::{Error, ModelSource, Result};

    #[derive(Parser)]
    #[command(about = "Counts the wrong words of transcripts")]
    struct Arguments {
        /// A Hub id, a folder (`./folder`) or a file of whisper.cpp's
        #[arg(long, default_value = "openai/whisper-tiny")]
        model: String,
        /// What is spoken; by default it is detected
        #[arg(long)]
        language: Option<String>,
        /// Beams; 1 takes the likeliest token
        #[arg(long, default_value_t = 5)]
        num_beams: usize,
        /// Normalize as for any language, not as for English
        #[arg(long)]
        basic: bool,
        /// A file of texts to count in place of a model's, one for each recording
        #[arg(long)]
        hypotheses: Option<PathBuf>,
        /// Recordings and what is said in them, with a tab between
        recordings: PathBuf,
    }

    pub(crate) fn run() -> Result<()> {
        let arguments = Arguments::parse();
        let listed = read(&arguments.recordings)?;
        let pairs: Vec<_> = listed.lines().filter_map(|line| line.split_once('\t')).collect();
        let texts = match &arguments.hypotheses {
            Some(path) => read(path)?.lines().map(str::to_owned).collect(),
            None => transcribe(&arguments, pairs.iter().map(|(path, _)| *path))?,
        };
        if texts.len() != pairs.len() {
            let reason = format!("{} texts for {} recordings", texts.len(), pairs.len());
            return Err(Error::InvalidInput { reason });
        }
        let english = match arguments.hypotheses {
            Some(_) => EnglishNormalizer::default(),
            None => {
                EnglishNormalizer::from_files(&ModelSource::from(arguments.model.as_str()).open()?)?
            }
        };
        let normal = |text: &str| match arguments.basic {
            true => basic_normalize(text, false),
            false => english.normalize(text),
        };
        let mut all = ErrorRate::default();
        for ((path, reference), text) in pairs.iter().zip(&texts) {
            let rate = word_error_rate(&normal(reference), &normal(text));
            println!("{:6.2} %  {path}  {text}", 100.0 * rate.rate());
            all = all + rate;
        }
        println!("{:6.2} %  {} of {} words", 100.0 * all.rate(), all.edits, all.length);
        Ok(())
    }

    fn transcribe<'a>(
        arguments: &Arguments,
        paths: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<String>> {
        let source = ModelSource::from(arguments.model.as_str());
        let whisper = Pipeline::automatic_speech_recognition(source).build()?;
        let mut options = AutomaticSpeechRecognitionOptions::default()
            .return_timestamps(ReturnTimestamps::Segments);
        options.generate.language = arguments.language.clone().map(|language| vec![language]);
        options.generate.generation.num_beams = Some(arguments.num_beams);
        whisper.stream(paths, &options)?.map(|transcript| Ok(transcript?.text)).collect()
    }

    fn read(path: &Path) -> Result<String> {
        fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
    }
}

#[cfg(feature = "audio")]
fn main() -> sconce::Result<()> {
    counting::run()
}

#[cfg(not(feature = "audio"))]
fn main() {
    eprintln!("this example needs the feature `audio`");
}
