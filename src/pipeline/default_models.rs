//! The models that Python's `pipeline` loads where a program names none.

use crate::pipeline::{Task, TaskName};
use crate::source::ModelSource;

impl TaskName {
    /// The model that transformers 4.57 loads for the task where none is named, at the revision that it
    /// names: `SUPPORTED_TASKS` in `pipelines/__init__.py`. None for the tasks that are not in transformers,
    /// and for `translation` but from English to French, German or Romanian.
    ///
    /// ```
    /// use sconce::pipeline::TaskName;
    ///
    /// let name: TaskName = "translation_en_to_fr".parse()?;
    /// assert!(name.default_model().is_some());
    /// # Ok::<(), sconce::Error>(())
    /// ```
    #[must_use]
    pub fn default_model(&self) -> Option<ModelSource> {
        let languages = self.languages.as_ref().map(|(from, to)| (from.as_str(), to.as_str()));
        let (repo, revision) = match (self.task, languages) {
            (Task::AudioClassification, _) => ("superb/wav2vec2-base-superb-ks", "372e048"),
            (Task::AutomaticSpeechRecognition, _) => ("facebook/wav2vec2-base-960h", "22aad52"),
            (Task::FeatureExtraction, _) => ("distilbert/distilbert-base-cased", "6ea8117"),
            (Task::FillMask, _) => ("distilbert/distilroberta-base", "fb53ab8"),
            (Task::ImageClassification | Task::ImageFeatureExtraction, _) => {
                ("google/vit-base-patch16-224", "3f49326")
            }
            (Task::QuestionAnswering, _) => {
                ("distilbert/distilbert-base-cased-distilled-squad", "564e9b5")
            }
            (Task::Summarization, _) => ("sshleifer/distilbart-cnn-12-6", "a4f8f3e"),
            (Task::Text2TextGeneration, _)
            | (Task::Translation, Some(("en", "fr" | "de" | "ro"))) => {
                ("google-t5/t5-base", "a9723ea")
            }
            (Task::TextClassification, _) => {
                ("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "714eb0f")
            }
            (Task::TextGeneration, _) => ("openai-community/gpt2", "607a30d"),
            (Task::TextToAudio, _) => ("suno/bark-small", "1dbd7a1"),
            (Task::TextToSpeech, _) => ("suno/bark-small", "1dbd7a1"),
            (Task::TokenClassification, _) => {
                ("dbmdz/bert-large-cased-finetuned-conll03-english", "4c53496")
            }
            (Task::ZeroShotAudioClassification, _) => ("laion/clap-htsat-fused", "cca9e28"),
            (Task::ZeroShotClassification, _) => ("facebook/bart-large-mnli", "d7645e1"),
            (Task::ZeroShotImageClassification, _) => ("openai/clip-vit-base-patch32", "3d74acf"),
            (
                Task::ImageToImage
                | Task::SentenceSimilarity
                | Task::TextRanking
                | Task::TextToImage
                | Task::Translation,
                _,
            ) => return None,
        };
        Some(ModelSource::hub(repo).revision(revision).into())
    }
}
