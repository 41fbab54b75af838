//! Speaks sentences, and lets Whisper read them back: how many words are lost, beside another program's sound of the
//! same ids.
//!
//! ```text
//! cargo run --release --features g2p,image --example read_back -- --model ./kokoro --voice af_heart sentences.tsv ours
//! python examples/speak_onnx.py kokoro.onnx ours/ids.json theirs --voice ./kokoro/voices/af_heart.pt
//! cargo run --release --features g2p,image --example read_back -- --model ./kokoro --voice af_heart sentences.tsv ours \
//!     --theirs theirs --picture mels.png
//! ```
//!
//! Each line of the file is a sentence, and behind a tab its phonemes, where the voice is to be given them.

#[cfg(all(feature = "audio", feature = "image"))]
mod reading {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::time::Instant;

    use clap::Parser;
    use sconce::audio::{
        AudioFeatures, AudioReader, WhisperFeatureConfig, WhisperFeatureExtractor,
    };
    use sconce::image::Image;
    use sconce::models::speech::SpeechRequest;
    use sconce::pipeline::{
        AutomaticSpeechRecognitionOptions, AutomaticSpeechRecognitionPipeline, Pipeline,
        TextToSpeechOptions,
    };
    use sconce::speech::normalizer::EnglishNormalizer;
    use sconce::speech::{ErrorRate, word_error_rate};
    use sconce::{Error, Result};

    #[derive(Parser)]
    #[command(about = "Speaks sentences and lets Whisper read them back")]
    struct Arguments {
        /// The voice's model: a Hub id or a folder
        #[arg(long)]
        model: String,
        /// The name of the voice: Kokoro
        #[arg(long)]
        voice: Option<String>,
        /// How much sound and lengths vary: VITS
        #[arg(long)]
        noise: Option<f64>,
        /// What reads the sentences back
        #[arg(long, default_value = "openai/whisper-tiny.en")]
        whisper: String,
        /// A folder of 00.wav, 01.wav … that another program has made of the same ids
        #[arg(long)]
        theirs: Option<PathBuf>,
        /// A picture of the first sentence: ours on the left, theirs on the right
        #[arg(long, requires = "theirs")]
        picture: Option<PathBuf>,
        /// Sentences, one a line
        sentences: PathBuf,
        /// Where to write 00.wav, 01.wav … and ids.json
        output: PathBuf,
    }

    pub(crate) fn run() -> Result<()> {
        let arguments = Arguments::parse();
        let text =
            fs::read_to_string(&arguments.sentences).map_err(failed(&arguments.sentences))?;
        let lines: Vec<(&str, Option<&str>)> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| match line.split_once('\t') {
                Some((text, phonemes)) => (text, Some(phonemes)),
                None => (line, None),
            })
            .collect();
        speak(&arguments, &lines)?;
        let whisper = Pipeline::automatic_speech_recognition(arguments.whisper.as_str()).build()?;
        let texts: Vec<&str> = lines.iter().map(|(text, _)| *text).collect();
        read_back(&whisper, "ours", &arguments.output, &texts)?;
        if let Some(theirs) = &arguments.theirs {
            read_back(&whisper, "theirs", theirs, &texts)?;
            compare(&arguments, theirs, texts.len())?;
        }
        Ok(())
    }

    fn speak(arguments: &Arguments, lines: &[(&str, Option<&str>)]) -> Result<()> {
        let voice = Pipeline::text_to_speech(arguments.model.as_str()).build()?;
        let mut request = SpeechRequest::default();
        request.voice = arguments.voice.clone();
        request.noise_scale = arguments.noise;
        request.noise_scale_duration = arguments.noise;
        fs::create_dir_all(&arguments.output).map_err(failed(&arguments.output))?;
        let (mut ids, mut seconds, mut taken) = (Vec::new(), 0.0, 0.0);
        for (number, (text, phonemes)) in lines.iter().enumerate() {
            let said = phonemes.unwrap_or(text);
            let read = voice.reader().read(said, phonemes.is_some(), arguments.voice.as_deref())?;
            ids.push(read.into_iter().map(|read| read.ids).collect::<Vec<_>>());
            let options = TextToSpeechOptions::default()
                .forward_params(request.clone())
                .phonemes(phonemes.is_some())
                .seed(number as u64);
            let started = Instant::now();
            let spoken = voice.run_with(said, &options)?;
            taken += started.elapsed().as_secs_f64();
            seconds += spoken.audio.samples.len() as f64 / f64::from(spoken.sampling_rate);
            spoken.audio.save(wav(&arguments.output, number))?;
        }
        let path = arguments.output.join("ids.json");
        let ids = serde_json::to_string(&ids).unwrap_or_default();
        fs::write(&path, ids).map_err(failed(&path))?;
        println!("{seconds:.1} s spoken in {taken:.1} s: {:.3} of real time", taken / seconds);
        Ok(())
    }

    fn read_back(
        whisper: &AutomaticSpeechRecognitionPipeline,
        name: &str,
        folder: &Path,
        texts: &[&str],
    ) -> Result<()> {
        let english = EnglishNormalizer::default();
        let options = AutomaticSpeechRecognitionOptions::default();
        let mut all = ErrorRate::default();
        for (number, text) in texts.iter().enumerate() {
            let heard = whisper.run_with(wav(folder, number).as_path(), &options)?.text;
            let rate = word_error_rate(&english.normalize(text), &english.normalize(&heard));
            if rate.edits > 0 {
                println!("{name} {number:02}: {text:?} is heard as {heard:?}");
            }
            all = all + rate;
        }
        let percent = 100.0 * all.rate();
        println!("{name}: {percent:.2} % of words, {} of {}", all.edits, all.length);
        Ok(())
    }

    /// The distance of log-mel spectrograms, 80 bins and 100 frames a second, and a picture of them.
    fn compare(arguments: &Arguments, theirs: &Path, count: usize) -> Result<()> {
        let extractor = WhisperFeatureExtractor::new(WhisperFeatureConfig::default())?;
        let mel = |folder: &Path, number: usize| -> Result<AudioFeatures> {
            let rate = extractor.config().sampling_rate;
            let audio = AudioReader::open(wav(folder, number))?.mono(rate)?;
            extractor.extract(&audio.samples, rate)
        };
        let (mut sum, mut values, mut longer) = (0.0, 0_usize, 0);
        for number in 0..count {
            let (one, other) = (mel(&arguments.output, number)?, mel(theirs, number)?);
            longer += usize::from(one.length() != other.length());
            let pairs = (0..one.length().min(other.length()))
                .flat_map(|frame| (0..one.width()).map(move |bin| (frame, bin)));
            for (frame, bin) in pairs {
                sum += f64::from((value(&one, frame, bin) - value(&other, frame, bin)).abs());
                values += 1;
            }
            if let Some(path) = arguments.picture.as_ref().filter(|_| number == 0) {
                sconce::image::write(path, &picture(&one, &other)?)?;
            }
        }
        // Features are four times the logarithm to base 10, apart from a constant.
        let decibels = 40.0 * sum / values.max(1) as f64;
        println!("spectrograms are {decibels:.2} dB apart; {longer} of {count} differ in length");
        Ok(())
    }

    fn value(mel: &AudioFeatures, frame: usize, bin: usize) -> f32 {
        mel.values()[frame * mel.width() + bin]
    }

    /// Two spectrograms side by side, low sounds below; a pixel for each value.
    fn picture(one: &AudioFeatures, other: &AudioFeatures) -> Result<Image> {
        let (left, right, bins) = (one.length(), other.length(), one.width());
        let frames = left + GAP + right;
        let values = |mel: &AudioFeatures, frames: usize| -> Vec<f32> {
            let all = (0..frames).flat_map(|frame| (0..bins).map(move |bin| (frame, bin)));
            all.map(|(frame, bin)| value(mel, frame, bin)).collect()
        };
        let all = [values(one, left), values(other, right)].concat();
        let (low, high) = all
            .iter()
            .fold((f32::MAX, f32::MIN), |(low, high), &value| (low.min(value), high.max(value)));
        let mut rgb = Vec::with_capacity(frames * bins * 3);
        for bin in (0..bins).rev() {
            for frame in 0..frames {
                let value = match frame {
                    frame if frame < left => value(one, frame, bin),
                    frame if frame < left + GAP => high,
                    frame => value(other, frame - left - GAP, bin),
                };
                let share = (value - low) / (high - low).max(f32::EPSILON);
                // From black over red and yellow to white.
                rgb.extend(
                    (0..3)
                        .map(|color| ((3.0 * share - color as f32).clamp(0.0, 1.0) * 255.0) as u8),
                );
            }
        }
        Image::new(frames, bins, rgb)
    }

    fn wav(folder: &Path, number: usize) -> PathBuf {
        folder.join(format!("{number:02}.wav"))
    }

    fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    }

    /// Columns between the spectrograms.
    const GAP: usize = 4;
}

#[cfg(all(feature = "audio", feature = "image"))]
fn main() -> sconce::Result<()> {
    reading::run()
}

#[cfg(not(all(feature = "audio", feature = "image")))]
fn main() {
    eprintln!("this example needs the features `audio` and `image`");
}
