//! Transcribes a recording, or all recordings of a folder.
//!
//! ```text
//! cargo run --release --features audio --example transcribe -- --model openai/whisper-tiny talk.mp3
//! cargo run --release --features audio --example transcribe -- --format srt --output talk.srt talk.mp3
//! cargo run --release --features audio --example transcribe -- --language french --word-times --format vtt talk.mp3
//! ```
//!
//! Segments are written as they come, with a bar of seconds on stderr. The transcripts of a folder are written
//! beside the recordings. Ctrl-C ends it, and what was transcribed until then is written.

#[cfg(feature = "audio")]
mod transcribing {
    use std::fs::{self, File};
    use std::io::{self, BufWriter, IsTerminal, Write};
    use std::path::{Path, PathBuf};

    use clap::Parser;
    use sconce::generation::CancelHandle;
    use sconce::pipeline::{
        AutomaticSpeechRecognitionOptions, AutomaticSpeechRecognitionPipeline, Pipeline,
        ReturnTimestamps,
    };
    use sconce::source::WhisperPt;
    use sconce::speech::WhisperTask;
    use sconce::speech::transcript::{TranscriptFormat, TranscriptOptions, TranscriptWriter};
    use sconce::{LoadOptions, ModelSource, QuantLevel, Result};

    #[derive(Parser)]
    #[command(about = "Transcribes recordings")]
    struct Arguments {
        /// A Hub id, a folder (`./folder`), a file of whisper.cpp's or one of OpenAI's (`./tiny.pt`)
        #[arg(long, default_value = "openai/whisper-tiny")]
        model: String,
        /// The vocabulary of OpenAI's file: a folder, a Hub id or a `.tiktoken` file; by default beside it
        #[arg(long)]
        tokenizer: Option<String>,
        /// txt, srt, vtt, tsv, json or md
        #[arg(long, default_value = "txt")]
        format: TranscriptFormat,
        /// Where to write; by default stdout, or beside each recording of a folder
        #[arg(long)]
        output: Option<PathBuf>,
        /// What is spoken, such as french or fr; by default it is detected
        #[arg(long)]
        language: Option<String>,
        /// transcribe, or translate to English
        #[arg(long)]
        task: Option<WhisperTask>,
        /// Times of words, for subtitles that follow the words
        #[arg(long)]
        word_times: bool,
        /// Subtitles: underline each word while it is said
        #[arg(long, requires = "word_times")]
        highlight_words: bool,
        /// Subtitles: characters of a line
        #[arg(long, requires = "word_times")]
        max_line_width: Option<usize>,
        /// Subtitles: lines of a subtitle
        #[arg(long, requires = "max_line_width")]
        max_line_count: Option<usize>,
        /// Beams
        #[arg(long)]
        num_beams: Option<usize>,
        /// Cut into overlapping chunks of so many seconds, and read many of them at once
        #[arg(long)]
        chunk_length_s: Option<f64>,
        /// Quantize while loading: q8_0, q4_k, …
        #[arg(long)]
        quantize: Option<QuantLevel>,
        /// An audio file, a film with sound, or a folder of them
        recording: PathBuf,
    }

    pub(crate) fn run() -> Result<()> {
        let arguments = Arguments::parse();
        let mut load = LoadOptions::default();
        load.quantize = arguments.quantize;
        let source = match &arguments.tokenizer {
            Some(vocabulary) => {
                WhisperPt::new(&arguments.model).tokenizer(vocabulary.as_str()).into()
            }
            None => ModelSource::from(arguments.model.as_str()),
        };
        let whisper = Pipeline::automatic_speech_recognition(source).options(load).build()?;
        let cancel = CancelHandle::default();
        let handle = cancel.clone();
        // Without a handler Ctrl-C ends the program at once, as usual.
        let _ = ctrlc::set_handler(move || handle.cancel());
        for recording in recordings(&arguments.recording) {
            if cancel.is_cancelled() {
                break;
            }
            if let Err(error) = transcribe(&whisper, &recording, &arguments, &cancel) {
                if !arguments.recording.is_dir() {
                    return Err(error);
                }
                eprintln!("{}: {error}", recording.display());
            }
        }
        Ok(())
    }

    /// The files to transcribe, in order.
    fn recordings(path: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(path) else { return vec![path.to_owned()] };
        let is_recording = |path: &PathBuf| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extension
                .is_some_and(|extension| EXTENSIONS.contains(&extension.to_lowercase().as_str()))
        };
        let mut files: Vec<_> =
            entries.flatten().map(|entry| entry.path()).filter(is_recording).collect();
        files.sort();
        files
    }

    fn transcribe(
        whisper: &AutomaticSpeechRecognitionPipeline,
        recording: &Path,
        arguments: &Arguments,
        cancel: &CancelHandle,
    ) -> Result<()> {
        let times = match arguments.word_times {
            true => ReturnTimestamps::Word,
            false => ReturnTimestamps::Segments,
        };
        let mut options = AutomaticSpeechRecognitionOptions::default()
            .return_timestamps(times)
            .cancel(cancel.clone());
        options.chunk_length_s = arguments.chunk_length_s;
        options.generate.task = arguments.task;
        options.generate.language = arguments.language.clone().map(|language| vec![language]);
        options.generate.generation.num_beams = arguments.num_beams;
        let mut layout = TranscriptOptions::default();
        layout.highlight_words = arguments.highlight_words.then_some(true);
        layout.max_line_width = arguments.max_line_width;
        layout.max_line_count = arguments.max_line_count;
        layout.media = Some(recording.display().to_string());
        layout.title = recording.file_stem().map(|name| name.to_string_lossy().into_owned());

        let mut stream = whisper.stream_segments(recording, &options)?;
        let path = match &arguments.output {
            Some(path) => Some(path.clone()),
            None if arguments.recording.is_dir() => {
                Some(recording.with_extension(arguments.format.extension()))
            }
            None => None,
        };
        let failed = |path: &Option<PathBuf>| {
            let path = path.clone().unwrap_or_else(|| PathBuf::from("stdout"));
            move |source| sconce::Error::Write { path: path.clone(), source }
        };
        let out: Box<dyn Write> = match &path {
            Some(file) => Box::new(BufWriter::new(File::create(file).map_err(failed(&path))?)),
            None => Box::new(io::stdout()),
        };
        let shows = io::stderr().is_terminal() && (path.is_some() || !io::stdout().is_terminal());
        let mut writer =
            TranscriptWriter::new(out, arguments.format, layout).map_err(failed(&path))?;
        while let Some(segment) = stream.next() {
            writer.write(&segment?).map_err(failed(&path))?;
            if shows {
                let progress = stream.progress();
                let part = progress.done / progress.total.max(1.0);
                let filled = "#".repeat((part * 40.0) as usize);
                eprint!("\r[{filled:40}] {:.0} of {:.0} s ", progress.done, progress.total);
            }
        }
        if shows {
            eprintln!();
        }
        writer.finish().map_err(failed(&path))?;
        Ok(())
    }

    const EXTENSIONS: [&str; 13] = [
        "wav", "mp3", "flac", "ogg", "oga", "opus", "m4a", "aac", "mp4", "webm", "mkv", "aiff",
        "aif",
    ];
}

#[cfg(feature = "audio")]
fn main() -> sconce::Result<()> {
    transcribing::run()
}

#[cfg(not(feature = "audio"))]
fn main() {
    eprintln!("this example needs the feature `audio`");
}
