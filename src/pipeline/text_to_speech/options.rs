//! The options of `text-to-speech`.

use crate::models::speech::SpeechRequest;
use crate::pipeline::options::task_options;

task_options! {
    /// Call options of [`TextToSpeechPipeline`](crate::pipeline::TextToSpeechPipeline), by their Hugging Face
    /// names.
    TextToSpeechOptions {
        /// How the text is spoken: `speaker_id`, `speaker_embeddings` and so on.
        forward_params: SpeechRequest,
        /// The same for models that write step by step (SpeechT5), where it goes over `forward_params`; others
        /// refuse it, as in Python.
        generate_kwargs: SpeechRequest,
        /// Cuts the text into sentences, speaks one after the other, and puts so many seconds of silence between
        /// them. Default: the text is spoken as one, as in Python; streams have 0.3 seconds. At most 60
        /// seconds, and an hour between all sentences of a text that is not streamed. Ours, not transformers'.
        pause: f64,
        /// Whether texts are phonemes, as the voice was trained on them. Default: `false`. Ours, not transformers'.
        phonemes: bool,
        /// What random numbers begin with: `torch.manual_seed` before the call. The texts of a list go on with the
        /// same numbers. Default: another one for each call. Ours, not transformers'.
        seed: u64,
    }
}
