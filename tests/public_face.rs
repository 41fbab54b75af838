//! What the public types have in common: options with defaults that are JSON both ways, outputs that are JSON both
//! ways, names that are texts, parts that are cheap to clone and belong to all threads.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sconce::pipeline::*;
use sconce::tokenizer::chat::{ChatOptions, ChatTemplate, Message};
use sconce::tokenizer::{
    BatchOptions, EncodeOptions, Encoding, Tokenizer, Truncation, TruncationStrategy,
};
use sconce::{
    CachePrecision, Device, Error, LoadOptions, Pipeline, Precision, QuantLevel, Task, TokenBatch,
    embeddings, generation,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Options: what is not set is left out or a default, and what does not exist is refused.
fn options<T: Clone + Default + Debug + Send + Sync + Serialize + DeserializeOwned>() {
    let written = serde_json::to_value(T::default()).unwrap();
    let read: T = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), written);
    let none: T = serde_json::from_value(json!({})).unwrap();
    assert_eq!(serde_json::to_value(none).unwrap(), written);
    let unknown = serde_json::from_value::<T>(json!({"no_such_option": 1}));
    assert!(unknown.is_err(), "{}", std::any::type_name::<T>());
}

/// Outputs: kept as JSON, and read again.
fn outputs<T: Clone + Debug + Send + Sync + Serialize + DeserializeOwned + PartialEq>() {}

/// Parts that are shared: every thread has a clone.
fn shared<T: Clone + Debug + Send + Sync + 'static>() {}

/// Names, the same in texts and in JSON.
fn names<
    T: Copy + Debug + Display + FromStr<Err = Error> + PartialEq + Serialize + DeserializeOwned,
>(
    all: &[T],
) {
    for value in all {
        let name = value.to_string();
        assert_eq!(name.parse::<T>().unwrap(), *value);
        assert_eq!(serde_json::to_value(value).unwrap(), Value::String(name.clone()));
        assert_eq!(serde_json::from_value::<T>(Value::String(name)).unwrap(), *value);
    }
    assert!("no such name".parse::<T>().is_err());
    assert!(serde_json::from_value::<T>(json!("no such name")).is_err());
}

#[test]
fn options_are_json() {
    options::<LoadOptions>();
    options::<generation::GenerationConfig>();
    options::<generation::ScoreOptions>();
    options::<generation::OutputRequest>();
    options::<embeddings::EmbedOptions>();
    options::<EncodeOptions>();
    options::<BatchOptions>();
    options::<ChatOptions>();
    options::<TokenizerOptions>();
    options::<FeatureExtractionOptions>();
    options::<FillMaskOptions>();
    options::<QuestionAnsweringOptions>();
    options::<SentenceSimilarityOptions>();
    options::<TextClassificationOptions>();
    options::<TextGenerationOptions>();
    options::<TextRankingOptions>();
    options::<TextToTextOptions>();
    options::<TokenClassificationOptions>();
    options::<ZeroShotClassificationOptions>();
    #[cfg(feature = "audio")]
    {
        options::<AudioClassificationOptions>();
        options::<AutomaticSpeechRecognitionOptions>();
        options::<TextToAudioOptions>();
        options::<TextToSpeechOptions>();
        options::<ZeroShotAudioClassificationOptions>();
        options::<sconce::minutes::MinutesOptions>();
        options::<sconce::speech::activity::VoiceActivityOptions>();
        options::<sconce::speech::ctc::CtcBeamOptions>();
        options::<sconce::speech::speakers::VoiceDiarizerOptions>();
        options::<sconce::speech::whisper::WhisperOptions>();
    }
    #[cfg(feature = "image")]
    {
        options::<ImageClassificationOptions>();
        options::<ImageFeatureExtractionOptions>();
        options::<TextToImageOptions>();
        options::<ZeroShotImageClassificationOptions>();
        options::<sconce::diffusion::PaintOptions>();
    }
    #[cfg(feature = "remote")]
    {
        options::<sconce::remote::EmbeddingOptions>();
        options::<sconce::remote::TranscriptionOptions>();
    }
    let cut = Truncation::to(7).strategy(TruncationStrategy::OnlyFirst);
    let cut_as_json = serde_json::to_value(cut).unwrap();
    assert_eq!(serde_json::from_value::<Truncation>(cut_as_json).unwrap(), cut);
    let short = json!({"max_length": 7});
    assert_eq!(serde_json::from_value::<Truncation>(short).unwrap(), Truncation::to(7));
}

#[test]
fn outputs_are_json_both_ways() {
    outputs::<Answer>();
    outputs::<Entity>();
    outputs::<Features>();
    outputs::<Filling>();
    outputs::<LabelScore>();
    outputs::<sconce::pipeline::Generated>();
    outputs::<Ranked>();
    outputs::<WrittenText>();
    outputs::<ZeroShotClassification>();
    outputs::<Encoding>();
    outputs::<Message>();
    outputs::<generation::Generated>();
    outputs::<generation::FinishReason>();
    outputs::<generation::ScoredChoice>();
    outputs::<generation::ScoredToken>();
    outputs::<generation::ServedDetails>();
    outputs::<generation::Timings>();
    outputs::<generation::Token>();
    outputs::<generation::TopLogprob>();
    outputs::<generation::Usage>();
    outputs::<embeddings::Hit>();
    outputs::<embeddings::Pair>();
    #[cfg(feature = "audio")]
    {
        outputs::<sconce::minutes::Minutes>();
        outputs::<sconce::minutes::Utterance>();
        outputs::<sconce::speech::ErrorRate>();
        outputs::<sconce::speech::activity::SpeechSpan>();
        outputs::<sconce::speech::ctc::CtcBeam>();
        outputs::<sconce::speech::ctc::CtcText>();
        outputs::<sconce::speech::speakers::SpeakerTurn>();
        outputs::<sconce::speech::transcript::Transcript>();
        outputs::<GeneratedAudio>();
        outputs::<SpokenPart>();
        outputs::<SpokenText>();
        outputs::<sconce::sound::BarkSettings>();
    }
    #[cfg(feature = "image")]
    outputs::<ImageFeatures>();
    #[cfg(feature = "remote")]
    {
        outputs::<sconce::remote::Embeddings>();
        outputs::<sconce::remote::Transcription>();
    }
}

/// Sound is not JSON: what is read again has the rest.
#[cfg(feature = "audio")]
#[test]
fn what_is_said_of_sound_is_json_both_ways() {
    let part = json!({"text": "a", "start": 0, "end": 7, "words": [], "symbols": []});
    let spoken = json!({"sampling_rate": 16_000, "parts": [part]});
    let read: SpokenText = serde_json::from_value(spoken.clone()).unwrap();
    assert_eq!((read.audio.samples.len(), read.audio.sampling_rate), (0, 16_000));
    assert_eq!(serde_json::to_value(read).unwrap(), spoken);
    let generated = json!({"sampling_rate": 32_000});
    let read: GeneratedAudio = serde_json::from_value(generated.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), generated);
}

/// The settings of Bark have the form of its file.
#[cfg(feature = "audio")]
#[test]
fn settings_of_bark_are_its_file() {
    use sconce::sound::BarkSettings;

    let file = json!({
        "semantic_config": {"temperature": 0.7, "eos_token_id": 77, "min_eos_p": 0.2, "text_pad_token": 5},
        "coarse_acoustics_config": {"top_k": 50, "sliding_window_len": 30},
        "fine_acoustics_config": {"temperature": 0.5, "n_fine_codebooks": 6},
        "codebook_size": 512,
    });
    for file in [file, json!({})] {
        let settings: BarkSettings = serde_json::from_value(file).unwrap();
        let written = serde_json::to_value(&settings).unwrap();
        assert_eq!(
            serde_json::from_value::<BarkSettings>(written.clone()).unwrap(),
            settings,
            "{written}"
        );
    }
    let read =
        serde_json::from_value::<BarkSettings>(json!({"semantic_config": {"semantic_rate_hz": 0}}));
    assert!(read.unwrap_err().to_string().contains("semantic_rate_hz"));
}

#[test]
fn names_are_texts_and_json() {
    names(Task::ALL);
    names(&[CachePrecision::F16, CachePrecision::F32, CachePrecision::Q8]);
    names(&[Precision::AsStored, Precision::BF16, Precision::F16, Precision::F32]);
    names(&[QuantLevel::Q8_0, QuantLevel::Q6K, QuantLevel::Q4K, QuantLevel::Q4_0]);
    names(TruncationStrategy::ALL);
    names(AggregationStrategy::ALL);
    names(sconce::batch::PaddingSide::ALL);
    names(generation::GenerationMode::ALL);
    names(embeddings::EmbeddingPrecision::ALL);
    #[cfg(feature = "audio")]
    names(sconce::speech::TimestampLevel::ALL);
    let name: TaskName = serde_json::from_value(json!("translation_en_to_fr")).unwrap();
    assert_eq!((name.task, name.to_string().as_str()), (Task::Translation, "translation_en_to_fr"));
}

#[test]
fn parts_are_cheap_to_share() {
    shared::<Pipeline>();
    shared::<FeatureExtractionPipeline>();
    shared::<FillMaskPipeline>();
    shared::<QuestionAnsweringPipeline>();
    shared::<SentenceSimilarityPipeline>();
    shared::<SummarizationPipeline>();
    shared::<Text2TextGenerationPipeline>();
    shared::<TextClassificationPipeline>();
    shared::<TextGenerationPipeline>();
    shared::<TextRankingPipeline>();
    shared::<TokenClassificationPipeline>();
    shared::<TranslationPipeline>();
    shared::<ZeroShotClassificationPipeline>();
    shared::<Tokenizer>();
    shared::<ChatTemplate>();
    shared::<embeddings::SentenceEmbedder>();
    shared::<TokenBatch>();
    #[cfg(feature = "audio")]
    {
        shared::<AudioClassificationPipeline>();
        shared::<AutomaticSpeechRecognitionPipeline>();
        shared::<TextToAudioPipeline>();
        shared::<TextToSpeechPipeline>();
        shared::<ZeroShotAudioClassificationPipeline>();
        shared::<sconce::audio::FeatureExtractor>();
        shared::<sconce::speech::whisper::Whisper>();
        shared::<sconce::speech::ctc::CtcTokenizer>();
    }
    #[cfg(feature = "image")]
    {
        shared::<ImageClassificationPipeline>();
        shared::<ImageFeatureExtractionPipeline>();
        shared::<ImageToImagePipeline>();
        shared::<TextToImagePipeline>();
        shared::<ZeroShotImageClassificationPipeline>();
        shared::<sconce::image::ImageProcessor>();
    }
}

#[test]
fn the_builder_forwards_every_load_option() {
    const MODEL: &str = "./tests/goldens/llama-gqa-tiny";
    let read = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&read);
    let builder = Pipeline::text_generation(MODEL)
        .device(Device::Cpu)
        .dtype(Precision::F32)
        .quantize(QuantLevel::Q8_0)
        .skip_modules(["lm_head"])
        .cache(CachePrecision::F16)
        .threads(1)
        .progress(move |at| {
            told.fetch_max(at.done, Ordering::Relaxed);
        });
    let shown = format!("{builder:?}");
    // The fields of the options as they are shown; a new one needs a method of the builder.
    for set in [
        "device: Some(Cpu)",
        "dtype: Some(F32)",
        "quantize: Some(Q8_0)",
        "skip_modules: Some([\"lm_head\"])",
        "cache: Some(F16)",
        "threads: Some(1)",
        "progress: Some(callback)",
    ] {
        assert!(shown.contains(set), "{set}: {shown}");
    }
    let with_adapter = Pipeline::text_generation(MODEL).adapter("./somewhere", 0.5);
    assert!(format!("{with_adapter:?}").contains("somewhere"));
    let fields = format!("{:?}", LoadOptions::default()).matches(": ").count();
    assert_eq!(fields, 9, "seven, the adapters, and the part, which programs do not see");
    let pipeline = builder.build().unwrap();
    assert!(read.load(Ordering::Relaxed) > 0);
    assert_eq!(
        pipeline.model().unwrap().parameters(),
        pipeline.clone().model().unwrap().parameters()
    );
}
