//! Recordings through the model, as the flow of all tasks brings them.

use std::sync::Arc;

use candle_core::Tensor;
use indicatif::{ProgressBar, ProgressStyle};

use crate::audio::FeatureExtractor;
use crate::error::{Error, Result};
use crate::generation::{CancelHandle, Generated, GenerationConfig, Sequence, complete};
use crate::media::Audio;
use crate::models::Autoregressive;
use crate::models::speech::SpeechSeq2Seq;
use crate::pipeline::arguments::generation_defaults;
use crate::pipeline::audio_input::{AudioInput, MOST_ROWS, of_recordings};
use crate::pipeline::automatic_speech_recognition::chunks::{Chunking, Overlap};
use crate::pipeline::automatic_speech_recognition::model::{Local, SpeechModel};
use crate::pipeline::automatic_speech_recognition::options::{
    AutomaticSpeechRecognitionOptions, ReturnTimestamps,
};
use crate::pipeline::automatic_speech_recognition::rows::{Part, Row};
use crate::pipeline::automatic_speech_recognition::written;
use crate::pipeline::flow::{Pace, Work};
use crate::pipeline::options::Progress;
use crate::speech::ctc::greedy_ids;
use crate::speech::speakers::SpeakerTurn;
use crate::speech::transcript::{Segment, Transcript};
use crate::speech::whisper::{AudioProgress, Transcription, Whisper, WhisperOptions};
use crate::tokenizer::Tokenizer;
use crate::warning::warn;

/// One call of a pipeline.
#[derive(Debug)]
pub(super) struct Hearing {
    pub(super) pipeline: Local,
    pub(super) options: AutomaticSpeechRecognitionOptions,
    pub(super) timestamps: ReturnTimestamps,
    pub(super) chunking: Option<Chunking>,
    /// The call's options of generation over the pipeline's.
    pub(super) generate: WhisperOptions,
}

/// What a model wrote about a part of a recording.
#[derive(Debug)]
pub(super) struct Heard {
    overlap: Option<Overlap>,
    answer: Answer,
}

/// What a model wrote.
#[derive(Debug)]
pub(super) enum Answer {
    Whisper(Transcription),
    Ids(Vec<u32>),
    /// Of the letters of each frame of its own, `(frames, vocab)`, to search in.
    Logits(Tensor),
}

impl Hearing {
    pub(super) fn new(
        pipeline: &Local,
        options: &AutomaticSpeechRecognitionOptions,
    ) -> Result<Self> {
        options.check()?;
        let timestamps = pipeline.timestamps(options)?;
        let chunking = Chunking::new(options, pipeline.sampling_rate(), pipeline.align_to())?;
        let hearing = Self {
            generate: generate(pipeline, options, timestamps),
            pipeline: pipeline.clone(),
            options: options.clone(),
            timestamps,
            chunking,
        };
        hearing.check()?;
        Ok(hearing)
    }

    /// Refuses what does not go with the model.
    fn check(&self) -> Result<()> {
        let asked = &self.options;
        let is_ctc = matches!(self.pipeline.parts.model, SpeechModel::Ctc { .. });
        if asked.decoder_kwargs.is_some() && !is_ctc {
            let reason = "is for models that write letter by letter; see `num_beams`";
            return Err(Error::option("decoder_kwargs", reason));
        }
        if asked.diarizer.is_some() && self.timestamps == ReturnTimestamps::No {
            let reason = "needs times: see `return_timestamps`";
            return Err(Error::option("diarizer", reason));
        }
        let is_whisper = matches!(self.pipeline.parts.model, SpeechModel::Whisper { .. });
        if self.chunking.is_some() && asked.ignore_warning != Some(true) {
            let advice = if is_whisper { ": without it Whisper reads them by itself" } else { "" };
            warn(&format!(
                "`chunk_length_s` cuts recordings, and what is said at the cuts may be lost{advice}; \
                 `ignore_warning` hides this"
            ));
        }
        match &self.pipeline.parts.model {
            SpeechModel::Whisper { .. } => {
                if asked.generate.language.as_ref().is_some_and(|languages| languages.len() > 1) {
                    let reason = "is one for all recordings of a call here";
                    return Err(Error::option("language", reason));
                }
                if let (Some(chunking), FeatureExtractor::Whisper(extractor)) =
                    (self.chunking, &self.pipeline.parts.extractor)
                    && chunking.length > extractor.chunk_samples()
                {
                    let most = extractor.config().chunk_length;
                    let reason = format!("Whisper reads {most} seconds at once");
                    return Err(Error::option("chunk_length_s", reason));
                }
            }
            SpeechModel::Seq2Seq { .. } => {
                let generation = GenerationConfig::default();
                let own = WhisperOptions { generation, ..asked.generate.clone() };
                self.refuse(&own, "is an option of Whisper alone")?;
            }
            SpeechModel::Ctc { .. } => {
                if asked.decoder_kwargs.is_some() && self.timestamps == ReturnTimestamps::Char {
                    let reason =
                        "a search (`decoder_kwargs`) gives times of words (`\"word\"`) alone";
                    return Err(Error::option("return_timestamps", reason));
                }
                let reason = "this model writes letter by letter: it generates nothing";
                self.refuse(&asked.generate, reason)?;
            }
        }
        Ok(())
    }

    /// Refuses options that another model than Whisper has not.
    fn refuse(&self, options: &WhisperOptions, reason: &str) -> Result<()> {
        if self.options.return_language.is_some() {
            return Err(Error::option("return_language", "only Whisper knows languages"));
        }
        let options = serde_json::to_value(options).map_err(Error::input)?;
        match options.as_object().and_then(|options| options.keys().next()) {
            Some(name) => Err(Error::option(name, reason)),
            None => Ok(()),
        }
    }

    pub(super) fn rows_at_once(&self) -> usize {
        self.options.batch_size.unwrap_or(MOST_ROWS)
    }

    /// Who speaks when, where that is asked for, and the recording, which is in memory then.
    pub(super) fn turns(&self, input: AudioInput) -> Result<(Vec<SpeakerTurn>, AudioInput)> {
        let Some(speakers) = &self.options.diarizer else { return Ok((Vec::new(), input)) };
        let rate = self.pipeline.sampling_rate();
        let audio = Audio::new(input.samples(rate)?, rate)?;
        let turns = speakers.diarizer().diarize(&audio)?;
        Ok((turns, audio.into()))
    }

    pub(super) fn row(&self, input: AudioInput) -> Result<Row> {
        Row::new(input, &self.pipeline, self.chunking)
    }

    /// Ends the call, where the caller has such a handle.
    pub(super) fn cancel(&self) -> Option<&CancelHandle> {
        self.options.cancel.as_ref().or(self.generate.cancel.as_ref())
    }

    /// What the model writes about recordings, of each part. One that cannot be read further is an error in
    /// its place.
    pub(super) fn hear(&self, rows: &[&Row]) -> Result<Vec<Result<Vec<Heard>>>> {
        let mut found: Vec<_> = rows.iter().map(|_| Ok(Vec::new())).collect();
        let parts = rows.iter().enumerate();
        let mut parts = parts.flat_map(|(number, row)| row.parts().map(move |part| (number, part)));
        let total = rows.iter().map(|row| row.seconds()).sum();
        let bar = if self.chunking.is_some() { self.bar(total) } else { ProgressBar::hidden() };
        let mut ends = vec![0.0; rows.len()];
        while !self.cancel().is_some_and(CancelHandle::is_cancelled) {
            let mut batch = Vec::new();
            for (number, part) in parts.by_ref() {
                match part {
                    Ok(part) => batch.push((number, part)),
                    Err(error) => found[number] = Err(error),
                }
                if batch.len() >= self.rows_at_once() {
                    break;
                }
            }
            if batch.is_empty() {
                break;
            }
            let answers = self.answers(&batch.iter().map(|(_, part)| part).collect::<Vec<_>>())?;
            for ((number, part), answer) in batch.into_iter().zip(answers) {
                ends[number] = part.end;
                if let Ok(found) = &mut found[number] {
                    found.push(Heard { overlap: part.overlap, answer });
                }
            }
            if self.chunking.is_some() {
                let done: f64 = ends.iter().sum();
                bar.set_position(done as u64);
                if let Some(told) = &self.options.audio_progress {
                    told.call(AudioProgress { done, total: done.max(total) });
                }
            }
        }
        bar.finish_and_clear();
        Ok(found)
    }

    /// What the model writes about parts.
    pub(super) fn answers(&self, parts: &[&Part]) -> Result<Vec<Answer>> {
        match &self.pipeline.parts.model {
            SpeechModel::Whisper { whisper, .. } => {
                let written = self.transcribe(whisper, parts)?;
                Ok(written.into_iter().map(Answer::Whisper).collect())
            }
            SpeechModel::Seq2Seq { model, tokenizer, stored } => {
                let ids = self.write(model, tokenizer, stored, parts)?;
                Ok(ids.into_iter().map(Answer::Ids).collect())
            }
            SpeechModel::Ctc { model, .. } => {
                let features: Vec<_> = parts.iter().map(|part| &*part.features).collect();
                let logits = model.logits(&features)?;
                if self.options.decoder_kwargs.is_none() {
                    return logits
                        .iter()
                        .map(|logits| greedy_ids(logits).map(Answer::Ids))
                        .collect();
                }
                let ratio = model.inputs_to_logits_ratio();
                let own = logits.iter().zip(parts);
                let own = own.map(|(logits, part)| written::own(logits, part.overlap, ratio));
                own.map(|logits| Ok(Answer::Logits(logits?))).collect()
            }
        }
    }

    fn transcribe(&self, whisper: &Whisper, parts: &[&Part]) -> Result<Vec<Transcription>> {
        let features: Vec<_> = parts.iter().map(|part| Arc::clone(&part.features)).collect();
        let mut stream = whisper.stream(&features, &self.generate)?;
        if self.chunking.is_some() {
            // How far it is, is told after each batch of chunks.
            return stream.finish();
        }
        let bar = self.bar(stream.progress().total);
        let tell = |progress: AudioProgress| {
            bar.set_position(progress.done as u64);
            if let Some(told) = &self.options.audio_progress {
                told.call(progress);
            }
        };
        while let Some(segment) = stream.next() {
            segment?;
            tell(stream.progress());
        }
        tell(stream.progress());
        bar.finish_and_clear();
        stream.finish()
    }

    /// A bar of seconds, for what takes a while; nothing is drawn where stderr is no terminal.
    fn bar(&self, seconds: f64) -> ProgressBar {
        let shows = matches!(self.options.progress, None | Some(Progress::Bar));
        if !shows || self.options.audio_progress.is_some() || seconds < LONG_SECONDS {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(seconds as u64);
        match ProgressStyle::with_template("{wide_bar} {pos}/{len} s of audio {eta}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }

    fn write(
        &self,
        model: &Arc<dyn SpeechSeq2Seq>,
        tokenizer: &Tokenizer,
        stored: &GenerationConfig,
        parts: &[&Part],
    ) -> Result<Vec<Vec<u32>>> {
        let config = stored.clone().overlaid(&self.generate.generation);
        let start = model.start_id().or(config.bos_token_id).ok_or_else(|| {
            Error::option("decoder_start_token_id", "the model names no token to begin with")
        })?;
        let features: Vec<_> = parts.iter().map(|part| &*part.features).collect();
        let cache = model.encode(&features)?;
        let plan = config.plan_with_source(&[start], &[], model.limits(), Some(tokenizer))?;
        let cancel = self.options.cancel.clone().unwrap_or_default();
        let sequences = parts.iter().map(|_| {
            let seed = config.seed.unwrap_or_else(rand::random);
            let sequence = Sequence::new(&[start], plan.clone().with_seed(seed))?;
            Ok(sequence.with_cancel_handle(cancel.clone()))
        });
        let model: Arc<dyn Autoregressive> = model.clone();
        let answers = complete(&model, &cache, sequences)?.into_iter();
        answers.map(|answer| Ok(answer?.iter().flat_map(Generated::ids).collect())).collect()
    }

    /// The transcript of one recording.
    pub(super) fn transcript(&self, heard: Vec<Heard>) -> Result<Transcript> {
        let (mut transcriptions, mut ids, mut logits) = (Vec::new(), Vec::new(), Vec::new());
        for Heard { overlap, answer } in heard {
            match answer {
                Answer::Whisper(transcription) => transcriptions.push((transcription, overlap)),
                Answer::Ids(more) => ids.push((more, overlap)),
                Answer::Logits(more) => logits.push(more),
            }
        }
        match &self.pipeline.parts.model {
            SpeechModel::Whisper { whisper, time_precision } => written::transcript(
                &transcriptions,
                self.pipeline.sampling_rate(),
                whisper.tokenizer(),
                *time_precision,
                self.timestamps,
                self.options.return_language == Some(true),
            ),
            SpeechModel::Seq2Seq { tokenizer, .. } => {
                let ids: Vec<_> = ids.into_iter().flat_map(|(ids, _)| ids).collect();
                Ok(Transcript::of([Segment::new(tokenizer.decode(&ids, true)?)]))
            }
            SpeechModel::Ctc { model, tokenizer } => {
                let ratio = model.inputs_to_logits_ratio();
                let rate = self.pipeline.sampling_rate();
                if let Some(search) = &self.options.decoder_kwargs {
                    let has_times = self.timestamps != ReturnTimestamps::No;
                    return written::found(
                        &logits,
                        [ratio, rate as usize],
                        tokenizer,
                        search,
                        has_times,
                    );
                }
                Ok(written::letters(&ids, ratio, rate, tokenizer, self.timestamps))
            }
        }
    }
}

impl Work for Hearing {
    type Item = AudioInput;
    type Kept = Vec<SpeakerTurn>;
    type Row = Row;
    type Answer = Result<Vec<Heard>>;
    type Output = Transcript;

    fn pace(&self, _: Option<usize>) -> Pace {
        of_recordings(Some(self.rows_at_once()))
    }

    fn prepare(&self, input: AudioInput) -> Result<(Vec<SpeakerTurn>, Vec<Row>)> {
        let (turns, input) = self.turns(input)?;
        Ok((turns, vec![self.row(input)?]))
    }

    fn forward(&self, rows: &[&Row]) -> Result<Vec<Self::Answer>> {
        self.hear(rows)
    }

    fn finish(
        &self,
        turns: Vec<SpeakerTurn>,
        rows: Vec<(Row, Self::Answer)>,
    ) -> Result<Transcript> {
        let nothing = || Err(Error::input("the input is empty"));
        let heard = rows.into_iter().next().map_or_else(nothing, |(_, heard)| heard);
        let mut transcript = self.transcript(heard?)?;
        if self.options.diarizer.is_some() {
            transcript.assign_speakers(&turns);
        }
        Ok(transcript)
    }
}

/// The call's options of generation over the pipeline's.
fn generate(
    pipeline: &Local,
    options: &AutomaticSpeechRecognitionOptions,
    timestamps: ReturnTimestamps,
) -> WhisperOptions {
    let stored = match &pipeline.parts.model {
        SpeechModel::Whisper { whisper, .. } => &whisper.config().generation,
        SpeechModel::Seq2Seq { stored, .. } => stored,
        SpeechModel::Ctc { .. } => return options.generate.clone(),
    };
    let asked = &options.generate;
    let mut generate = WhisperOptions {
        batch_size: options.batch_size.or(asked.batch_size),
        cancel: options.cancel.clone().or_else(|| asked.cancel.clone()),
        generation: generation_defaults(stored, NUM_BEAMS).overlaid(&asked.generation),
        ..asked.clone()
    };
    if timestamps != ReturnTimestamps::No {
        generate.return_timestamps = Some(true);
    }
    if timestamps == ReturnTimestamps::Word {
        generate.return_token_timestamps = Some(true);
    }
    generate
}

/// Beams of the Python pipeline, as OpenAI's whisper has them.
const NUM_BEAMS: usize = 5;

/// A bar is drawn from so many seconds on.
const LONG_SECONDS: f64 = 30.0;
