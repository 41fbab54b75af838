//! Speaks a text, or a file of text, into a wav or FLAC file.
//!
//! ```text
//! cargo run --release --features audio --example speak -- --model facebook/mms-tts-eng "Hello." --output hello.wav
//! cargo run --release --features audio --example speak -- --file story.txt --output story.flac --pause 0.4
//! cargo run --release --features g2p --example speak -- --model hexgrad/Kokoro-82M --voice af_heart "Hello there."
//! ```
//!
//! Sentences are spoken one after the other, and shown as they are. Ctrl-C ends it, and what was spoken until then is
//! written.

#[cfg(feature = "audio")]
mod speaking {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::time::Instant;

    use clap::Parser;
    use sconce::Error;
    use sconce::audio::Audio;
    use sconce::generation::CancelHandle;
    use sconce::models::speech::SpeechRequest;
    use sconce::pipeline::{Pipeline, TextToSpeechOptions};

    #[derive(Parser)]
    #[command(about = "Speaks a text into a wav or FLAC file")]
    struct Arguments {
        /// What is spoken
        #[arg(required_unless_present = "file")]
        text: Option<String>,
        /// A file with what is spoken
        #[arg(long, conflicts_with = "text")]
        file: Option<PathBuf>,
        /// A Hub id or a folder (`./folder`)
        #[arg(long, default_value = "facebook/mms-tts-eng")]
        model: String,
        /// What makes sound of spectrograms, for SpeechT5: microsoft/speecht5_hifigan
        #[arg(long)]
        vocoder: Option<String>,
        /// Where to write: .wav or .flac
        #[arg(long, default_value = "speech.wav")]
        output: PathBuf,
        /// The number of the speaker
        #[arg(long)]
        speaker: Option<usize>,
        /// A file with a JSON list of numbers: what the speaker is like, for SpeechT5
        #[arg(long)]
        speaker_embeddings: Option<PathBuf>,
        /// How fast, where 1 is normal: VITS
        #[arg(long)]
        speaking_rate: Option<f64>,
        /// The name of the voice, or several with commas between them: Kokoro
        #[arg(long)]
        voice: Option<String>,
        /// How fast, where 1 is normal: Kokoro
        #[arg(long)]
        speed: Option<f64>,
        /// Shows when each word is heard
        #[arg(long)]
        words: bool,
        /// Seconds between sentences
        #[arg(long, default_value_t = 0.3)]
        pause: f64,
        /// The text is phonemes
        #[arg(long)]
        phonemes: bool,
        /// The same seed gives the same sound
        #[arg(long)]
        seed: Option<u64>,
    }

    pub(super) fn run() -> Result<(), Box<dyn std::error::Error>> {
        let arguments = Arguments::parse();
        let text = match (&arguments.file, arguments.text) {
            (Some(path), _) => read(path)?,
            (None, text) => text.unwrap_or_default(),
        };
        let mut builder = Pipeline::text_to_speech(arguments.model.as_str());
        if let Some(vocoder) = &arguments.vocoder {
            builder = builder.vocoder(vocoder.as_str());
        }
        let voice = builder.build()?;

        let mut request = SpeechRequest::default();
        request.speaker_id = arguments.speaker;
        request.speaking_rate = arguments.speaking_rate;
        request.voice = arguments.voice;
        request.speed = arguments.speed;
        if let Some(path) = &arguments.speaker_embeddings {
            let numbers = serde_json::from_str(&read(path)?);
            request.speaker_embeddings =
                numbers.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let cancel = CancelHandle::default();
        let on_signal = cancel.clone();
        ctrlc::set_handler(move || on_signal.cancel())?;
        let mut options = TextToSpeechOptions::default()
            .cancel(cancel)
            .forward_params(request)
            .pause(arguments.pause)
            .phonemes(arguments.phonemes);
        options.seed = arguments.seed;

        let started = Instant::now();
        let mut samples = Vec::new();
        for sentence in voice.stream_audio(text, &options)? {
            match sentence {
                Ok(sentence) => {
                    println!("{}", sentence.parts[0].text);
                    for word in sentence.parts[0].words.iter().filter(|_| arguments.words) {
                        let second =
                            |sample: usize| sample as f64 / f64::from(sentence.sampling_rate);
                        println!(
                            "{:8.2} {:8.2} {}",
                            second(word.start),
                            second(word.end),
                            word.text
                        );
                    }
                    samples.extend(sentence.audio.samples);
                }
                Err(Error::Interrupted) if !samples.is_empty() => break,
                Err(error) => return Err(error.into()),
            }
        }
        if samples.is_empty() {
            return Err("there is nothing to speak in the text".into());
        }
        let rate = voice.model().sampling_rate();
        let (seconds, taken) = (samples.len() as f64 / f64::from(rate), started.elapsed());
        Audio::new(samples, rate)?.save(&arguments.output)?;
        let taken = taken.as_secs_f64();
        eprintln!("{}: {seconds:.1} s, spoken in {taken:.1} s", arguments.output.display());
        Ok(())
    }

    fn read(path: &Path) -> Result<String, String> {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

#[cfg(feature = "audio")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    speaking::run()
}

#[cfg(not(feature = "audio"))]
fn main() {
    eprintln!("this example needs the feature `audio`");
}
