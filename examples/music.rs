//! Makes music, or speaks with Bark, and writes it to a file:
//!
//! ```text
//! cargo run --release --features audio --example music -- facebook/musicgen-small "a calm piano over rain" rain.wav
//! cargo run --release --features audio --example music -- suno/bark-small "Hello! [laughs]" hello.wav --voice v2/en_speaker_6
//! ```

#[cfg(feature = "audio")]
mod making {
    use std::error::Error;
    use std::time::Instant;

    use clap::Parser;
    use sconce::audio::AudioReader;
    use sconce::pipeline::TextToAudioOptions;
    use sconce::{Pipeline, QuantLevel};
    use serde_json::{Map, Value};

    /// Makes music, or speaks with Bark.
    #[derive(Parser)]
    struct Arguments {
        /// A repository of the Hub or a folder.
        model: String,
        /// What the music is like, or what is said.
        text: String,
        /// The file to write: .wav or .flac.
        file: String,
        /// Seconds of music.
        #[arg(long)]
        seconds: Option<f64>,
        /// Begins random numbers.
        #[arg(long)]
        seed: Option<u64>,
        /// The voice of Bark.
        #[arg(long)]
        voice: Option<String>,
        /// A recording that the music goes on from.
        #[arg(long)]
        prompt: Option<String>,
        /// Quantizes while loading.
        #[arg(long)]
        q8: bool,
    }

    pub(crate) fn run() -> Result<(), Box<dyn Error>> {
        let arguments = Arguments::parse();
        let builder = Pipeline::text_to_audio(arguments.model.as_str());
        let builder = if arguments.q8 { builder.quantize(QuantLevel::Q8_0) } else { builder };
        let pipeline = builder.build()?;
        let mut options = TextToAudioOptions::default();
        options.seed = arguments.seed;
        options.voice_preset = arguments.voice;
        if let Some(prompt) = arguments.prompt {
            let reader = AudioReader::open(&prompt)?;
            let rate = reader.sampling_rate();
            options.prompt = Some(reader.mono(rate)?);
        }
        if let Some(seconds) = arguments.seconds {
            if !(0.02..=3600.0).contains(&seconds) {
                return Err("--seconds should be from 0.02 to 3600".into());
            }
            // 50 frames a second, and three for the delay between codebooks.
            let frames = (seconds * 50.0).round() as u64 + 3;
            options.generate_kwargs =
                Some(Map::from_iter([("max_new_tokens".to_owned(), Value::from(frames))]));
        }
        let started = Instant::now();
        let sound = pipeline.run_with(arguments.text, &options)?.mono()?;
        let seconds = sound.samples.len() as f64 / f64::from(sound.sampling_rate);
        let taken = started.elapsed().as_secs_f64();
        sound.save(&arguments.file)?;
        println!("{}: {seconds:.1} s of sound in {taken:.1} s", arguments.file);
        Ok(())
    }
}

#[cfg(feature = "audio")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    making::run()
}

#[cfg(not(feature = "audio"))]
fn main() {
    eprintln!("this example needs the feature `audio`");
}
