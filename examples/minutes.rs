//! Minutes of a meeting as Markdown, as they are written.
//!
//! ```text
//! bash examples/meeting/speak.sh meeting.wav
//! cargo run --release --features audio,remote --example minutes -- \
//!     --audio meeting.wav --asr openai/whisper-base --writer Qwen/Qwen2.5-3B-Instruct --quantize int8
//! ```
#![cfg_attr(not(feature = "audio"), allow(unused, reason = "the example needs the feature"))]

use std::error::Error;

use clap::Parser;

/// Takes the minutes of a meeting.
#[derive(Parser)]
struct Arguments {
    /// A transcript: JSON with `segments` (start, end, text, speaker), or lines of start, end, speaker and text
    /// with tabs between them.
    #[arg(long, required_unless_present = "audio")]
    transcript: Option<std::path::PathBuf>,
    /// The recording, to be transcribed first.
    #[arg(long, conflicts_with = "transcript", requires = "asr")]
    audio: Option<std::path::PathBuf>,
    /// What transcribes it: a Whisper model, as `openai/whisper-base` or a folder, or a service:
    /// `openai:whisper-1`.
    #[arg(long)]
    asr: Option<String>,
    /// What tells speakers apart by their voices, such as `microsoft/wavlm-base-plus-sv` or a folder.
    #[arg(long, requires = "audio")]
    speakers: Option<String>,
    /// How many people speak.
    #[arg(long, requires = "speakers")]
    num_speakers: Option<usize>,
    /// The model that writes: a Hub id, a folder, a GGUF file, or `openai:gpt-4o-mini`.
    #[arg(long)]
    writer: String,
    /// Quantize the model that writes while loading: `int8`, `int4`, …
    #[arg(long)]
    quantize: Option<sconce::QuantLevel>,
    /// The address of the recording, for links. Default: the audio file.
    #[arg(long)]
    recording: Option<String>,
    /// The date of the meeting. Default: what was said.
    #[arg(long)]
    date: Option<String>,
    /// The most tokens of the transcript that the model reads at once.
    #[arg(long, default_value_t = 3_000)]
    part: usize,
}

#[cfg(not(feature = "audio"))]
fn main() -> Result<(), Box<dyn Error>> {
    Err("build this with `--features audio`, and `remote` for services".into())
}

#[cfg(feature = "audio")]
fn main() -> Result<(), Box<dyn Error>> {
    take::run(&Arguments::parse())
}

#[cfg(feature = "audio")]
mod take {
    use std::error::Error;
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;

    use indicatif::{ProgressBar, ProgressStyle};
    use sconce::minutes::{
        Doubt, MinutesEvent, MinutesOptions, Utterance, assign_speakers, take_minutes,
    };
    use sconce::pipeline::{AutomaticSpeechRecognitionOptions, ReturnTimestamps};
    use sconce::speech::speakers::{Diarizer, VoiceDiarizer, VoiceDiarizerOptions};
    use sconce::{LoadOptions, ModelSource, Pipeline};
    use serde::Deserialize;

    use crate::Arguments;

    pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
        let said = match (&arguments.transcript, &arguments.audio) {
            (Some(path), _) => read(path)?,
            (None, Some(path)) => {
                let mut said = transcribe(path, arguments.asr.as_deref().unwrap_or_default())?;
                if let Some(model) = &arguments.speakers {
                    let mut options = VoiceDiarizerOptions::default();
                    options.num_speakers = arguments.num_speakers;
                    let diarizer = VoiceDiarizer::open(model, &LoadOptions::default())?;
                    let turns = diarizer.options(options).diarize(&sconce::audio::read(path)?)?;
                    assign_speakers(&mut said, &turns);
                }
                said
            }
            (None, None) => return Err("name a transcript or a recording".into()),
        };
        let mut builder = Pipeline::text_generation(arguments.writer.as_str());
        if let Some(level) = arguments.quantize {
            builder = builder.quantize(level);
        }
        let writer = builder.build()?;

        let mut options = MinutesOptions::default().max_part_tokens(arguments.part);
        let audio = arguments.audio.as_ref().map(|path| path.display().to_string());
        options.recording = arguments.recording.clone().or(audio);
        options.date = arguments.date.clone();

        let length = said.last().map_or(0.0, |utterance| utterance.end);
        let bar = ProgressBar::new(length as u64);
        bar.set_style(ProgressStyle::with_template(
            "{bar:30} {pos} of {len} s of the recording, {elapsed}",
        )?);
        let minutes = take_minutes(&said, &writer, &options, &mut |event| match event {
            MinutesEvent::Part { time, .. } => bar.set_position(time as u64),
            MinutesEvent::Joining => bar.set_position(length as u64),
            MinutesEvent::Writes(_) => bar.tick(),
            MinutesEvent::Markdown(piece) => bar.suspend(|| {
                print!("{piece}");
                let _closed = std::io::stdout().flush();
            }),
            _ => {}
        })?;
        bar.finish_and_clear();
        for doubt in &minutes.doubts {
            match doubt {
                Doubt::NotFound(text) => eprintln!("not said: {text}"),
                Doubt::Moved(text) => eprintln!("given another time: {text}"),
                Doubt::CutAnswer(part) => eprintln!("the answer to part {part} reached its limit"),
                other => eprintln!("left out: {other:?}"),
            }
        }
        Ok(())
    }

    #[derive(Deserialize)]
    struct File {
        segments: Vec<Segment>,
    }

    #[derive(Deserialize)]
    struct Segment {
        start: f64,
        end: f64,
        text: String,
        speaker: Option<String>,
    }

    fn read(path: &Path) -> Result<Vec<Utterance>, Box<dyn Error>> {
        let text =
            fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let utterance = |start: f64, end: f64, speaker: Option<&str>, text: &str| {
            let utterance = Utterance::new(text, start, end);
            match speaker {
                Some(speaker) => utterance.by(speaker),
                None => utterance,
            }
        };
        if path.extension().is_some_and(|kind| kind == "json") {
            let file: File = serde_json::from_str(&text)?;
            let said = file.segments.iter();
            return Ok(said
                .map(|s| utterance(s.start, s.end, s.speaker.as_deref(), &s.text))
                .collect());
        }
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
        lines
            .map(|(number, line)| -> Result<Utterance, Box<dyn Error>> {
                let wrong = || {
                    format!(
                        "{}:{}: start, end, speaker and text are wanted",
                        path.display(),
                        number + 1
                    )
                };
                let fields: Vec<_> = line.splitn(4, '\t').collect();
                let [start, end, speaker, text] = fields[..] else { return Err(wrong().into()) };
                let seconds = |text: &str| text.parse::<f64>().map_err(|_| wrong());
                Ok(utterance(seconds(start)?, seconds(end)?, Some(speaker), text))
            })
            .collect()
    }

    /// With a model here or a service; a model here draws a bar of its own.
    fn transcribe(path: &Path, asr: &str) -> Result<Vec<Utterance>, Box<dyn Error>> {
        match ModelSource::from(asr) {
            #[cfg(feature = "remote")]
            ModelSource::Remote(model) => {
                use sconce::remote::{Recording, Service, TranscriptionOptions};

                let options = TranscriptionOptions::default();
                let found = Service::open(&model)?.transcribe(&Recording::file(path), &options)?;
                Ok((&found).into())
            }
            source => {
                let pipeline = Pipeline::automatic_speech_recognition(source).build()?;
                let options = AutomaticSpeechRecognitionOptions::default()
                    .return_timestamps(ReturnTimestamps::Segments);
                Ok((&pipeline.run_with(path, &options)?).into())
            }
        }
    }
}
