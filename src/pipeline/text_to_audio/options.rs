//! The options of `text-to-audio`.

use serde_json::{Map, Value};

use crate::audio::Audio;
use crate::pipeline::options::task_options;

task_options! {
    /// Call options of [`TextToAudioPipeline`](crate::pipeline::TextToAudioPipeline), by their Hugging Face
    /// names.
    TextToAudioOptions {
        /// What goes to the model: options of generation, of Bark also with `semantic_`, `coarse_` and `fine_` before
        /// them, and `history_prompt`, the name of a voice.
        forward_params: (Map<String, Value>),
        /// Options of generation; they go over those of `forward_params`.
        generate_kwargs: (Map<String, Value>),
        /// Music follows the melody of this sound, which is resampled where it must be: MusicGen Melody. Ours, not
        /// transformers'.
        #[serde(skip)]
        melody: Audio,
        /// Music goes on from this sound, which is resampled where it must be. Both channels of stereo are the
        /// same. Ours, not transformers'.
        #[serde(skip)]
        prompt: Audio,
        /// What random numbers begin with. The texts of a list go on with other numbers. Default: another one for
        /// each call. Ours, not transformers'.
        seed: u64,
        /// The voice of Bark: a name that the model's `speaker_embeddings_path.json` lists, or a `.npz` file on
        /// this machine. Default: one of the model's own choice. `voice_preset` of transformers' processor.
        voice_preset: String,
    }
}
