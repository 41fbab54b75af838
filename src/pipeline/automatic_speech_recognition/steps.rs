//! What the task does by itself.

use serde_json::Value;

use crate::error::Result;
use crate::pipeline::audio_input::AudioInput;
use crate::pipeline::automatic_speech_recognition::model::{
    AutomaticSpeechRecognitionPipeline, Engine,
};
use crate::pipeline::automatic_speech_recognition::options::AutomaticSpeechRecognitionOptions;
use crate::pipeline::automatic_speech_recognition::output;
use crate::pipeline::automatic_speech_recognition::work::Hearing;
#[cfg(feature = "remote")]
use crate::pipeline::either::Either;
use crate::pipeline::input::Input;
use crate::pipeline::skeleton::{self, Items, TaskSteps, WorkOf};
use crate::speech::transcript::Transcript;

impl TaskSteps for AutomaticSpeechRecognitionPipeline {
    type Input = AudioInput;
    type Output = Transcript;
    type Options = AutomaticSpeechRecognitionOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        match &self.engine {
            #[cfg(not(feature = "remote"))]
            Engine::Local(local) => Hearing::new(local, options),
            #[cfg(feature = "remote")]
            Engine::Local(local) => Hearing::new(local, options).map(Either::Here),
            #[cfg(feature = "remote")]
            Engine::Served(served) => served.work(options).map(Either::There),
        }
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<AudioInput>> {
        AudioInput::items(input, self.sampling_rate())
    }

    fn read_media(&self, input: Input, _: &Self::Options) -> Result<AudioInput> {
        AudioInput::of(input, self.sampling_rate())
    }

    fn write_output(&self, output: Transcript, options: &Self::Options) -> Result<Value> {
        let has_language = options.return_language == Some(true);
        Ok(output::record(&output, self.timestamps(options)?, has_language))
    }

    /// What stands beside the samples of a recording comes back, each in a list.
    fn answer(&self, input: &Value, options: &Self::Options) -> Result<Option<Value>> {
        let extra = AudioInput::extra(input);
        if extra.is_empty() {
            return Ok(None);
        }
        let recording = AudioInput::read(input, self.sampling_rate())?;
        let output = skeleton::run(self, recording, options)?;
        let mut record = self.write_output(output, options)?;
        for (name, value) in extra {
            record[name] = Value::Array(vec![value]);
        }
        Ok(Some(record))
    }
}
