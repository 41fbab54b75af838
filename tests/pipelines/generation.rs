//! `text-generation`: batches, streams, pieces, processors and criteria of one's own.

use std::fs;

use sconce::Result;
use sconce::generation::{CancelHandle, GenerationConfig, LogitsProcessor, StoppingCriterion};
use sconce::models::{AutoModel, CausalLm};
use sconce::pipeline::{
    Generated, GeneratedOutput, LongGeneration, Pipeline, Prompt, TextGenerationOptions,
    TextGenerationPipeline, TruncationReport,
};
use sconce::tokenizer::Tokenizer;
use serde_json::{Value, json};

use super::{Checkpoint, checkpoint};

fn text_generation() -> (tempfile::TempDir, TextGenerationPipeline) {
    let Checkpoint { folder, .. } = checkpoint("text-generation");
    let pipeline = Pipeline::text_generation(folder.path()).build().unwrap();
    (folder, pipeline)
}

fn greedy() -> TextGenerationOptions {
    GenerationConfig::default().do_sample(false).max_new_tokens(12).into()
}

fn sampling() -> TextGenerationOptions {
    GenerationConfig::default().do_sample(true).max_new_tokens(12).seed(7).into()
}

fn beams() -> TextGenerationOptions {
    let config = GenerationConfig::default().num_beams(3).num_return_sequences(2);
    config.do_sample(false).max_new_tokens(12).into()
}

const PROMPTS: [&str; 5] =
    ["The cat sat", "A dog and a bird ran over the hill", "It", "It was", "Two words , here ."];

#[test]
fn a_batch_gives_what_each_gives_alone() {
    let (_folder, pipeline) = text_generation();
    for options in [greedy(), sampling()] {
        let alone = PROMPTS.map(|prompt| pipeline.run_with(prompt, &options).unwrap());
        for batch_size in [1, 2, 3, 8] {
            let options = options.clone().batch_size(batch_size);
            assert_eq!(pipeline.run_batch(PROMPTS, &options).unwrap(), alone);
        }
    }
}

/// Outputs come while items still go in, and a bad item has its error in its place.
#[test]
fn a_stream_takes_items_and_gives_outputs() {
    let (_folder, pipeline) = text_generation();
    let taken = std::rc::Rc::new(std::cell::Cell::new(0));
    let counter = taken.clone();
    let prompts = (0..40).map(move |number| {
        counter.set(number + 1);
        if number == 2 { Prompt::Chat(Vec::new()) } else { PROMPTS[number % 2].into() }
    });
    let mut outputs = pipeline.stream(prompts, &greedy()).unwrap();
    let first: Vec<_> = outputs.by_ref().take(4).collect();
    assert!(taken.get() < 20, "{} were taken for four", taken.get());
    assert_eq!(first.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    assert_eq!(outputs.filter(Result::is_ok).count(), 36);
}

#[test]
fn pieces_are_the_new_text() {
    let (_folder, pipeline) = text_generation();
    let options = greedy().return_full_text(false).clean_up_tokenization_spaces(false);
    for prompt in ["The cat sat", "Two words , here ."] {
        let whole = pipeline.run_with(prompt, &options).unwrap();
        let pieces = pipeline.stream_text_with(prompt, &options).unwrap().into_text().unwrap();
        assert_eq!(whole[0].text().unwrap(), pieces);
    }
}

#[test]
fn several_sequences_are_several_records() {
    let (_folder, pipeline) = text_generation();
    let mut options = sampling();
    options.generation = options.generation.num_return_sequences(3);
    assert_eq!(pipeline.run_with("The cat sat", &options).unwrap().len(), 3);
    assert_eq!(pipeline.run_with("The cat sat", &beams()).unwrap().len(), 2);
    let streamed = pipeline.stream_text_with("The cat sat", &beams());
    assert!(streamed.unwrap_err().to_string().contains("`num_beams`"));
}

/// Two prompts of two records each, not four records for the first prompt.
#[test]
fn the_model_may_ask_for_several_sequences() {
    let Checkpoint { folder, .. } = checkpoint("text-generation");
    let file = folder.path().join("generation_config.json");
    fs::write(file, r#"{"num_return_sequences": 2, "max_new_tokens": 4}"#).unwrap();
    let pipeline = Pipeline::text_generation(folder.path()).build().unwrap();
    let options = TextGenerationOptions::default();
    let records = pipeline.run_batch(["The cat sat", "It"], &options).unwrap();
    assert_eq!(records.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
}

/// Allows one token alone, after the first.
#[derive(Debug, Clone)]
struct Only(u32);

impl LogitsProcessor for Only {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let logit = logits[self.0 as usize];
        logits.fill(f32::NEG_INFINITY);
        logits[self.0 as usize] = logit;
        Ok(())
    }
}

/// Met after so many tokens.
#[derive(Debug, Clone)]
struct After(usize);

impl StoppingCriterion for After {
    fn is_met(&mut self, _tokens: &[u32]) -> Result<bool> {
        self.0 -= 1;
        Ok(self.0 == 0)
    }
}

#[test]
fn processors_and_criteria_of_ones_own() {
    let (_folder, pipeline) = text_generation();
    let options = greedy().return_tensors(true).batch_size(2);
    let options = options.with_processor(Only(9)).with_stopping_criterion(After(3));
    let outputs = pipeline.run_batch(PROMPTS, &options).unwrap();
    for output in outputs.into_iter().flatten() {
        let GeneratedOutput::TokenIds(ids) = output.output else { panic!("ids") };
        assert_eq!((&ids[ids.len() - 3..], ids[ids.len() - 4] == 9), (&[9, 9, 9][..], false));
    }
}

#[test]
fn from_parts_and_from_files_are_the_same() {
    let (folder, pipeline) = text_generation();
    let model = AutoModel::open::<dyn CausalLm>(folder.path(), &Default::default()).unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    let parts = TextGenerationPipeline::from_parts(model, tokenizer);
    let parts = parts.with_generation_config(pipeline.generation_config().clone());
    let clone = parts.clone();
    assert!(std::sync::Arc::ptr_eq(parts.model(), clone.model()));
    let expected = pipeline.run_with("The cat sat", &greedy()).unwrap();
    for pipeline in [&parts, &clone] {
        assert_eq!(pipeline.run_with("The cat sat", &greedy()).unwrap(), expected);
    }
}

#[test]
fn options_and_outputs_are_json_and_back() {
    let options = sampling()
        .batch_size(3)
        .prompt_max_length(20)
        .truncation(true)
        .handle_long_generation(LongGeneration::Hole)
        .template_variable("enable_thinking", false)
        .cancel(CancelHandle::default())
        .truncation_report(TruncationReport::default());
    let written = serde_json::to_value(&options).unwrap();
    assert_eq!(written["tokenizer_encode_kwargs"], json!({"max_length": 20}));
    assert_eq!((&written["seed"], &written["handle_long_generation"]), (&json!(7), &json!("hole")));
    let read: TextGenerationOptions = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
    let unknown = serde_json::from_value::<TextGenerationOptions>(json!({"top_kk": 1}));
    assert!(unknown.unwrap_err().to_string().contains("top_k"));

    for record in [
        json!({"generated_text": "a text"}),
        json!({"generated_text": [{"role": "user", "content": "a"}]}),
        json!({"generated_token_ids": [1, 2]}),
    ] {
        let read: Generated = serde_json::from_value(record.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), record);
    }
    assert!(serde_json::from_value::<Generated>(Value::Null).is_err());
}
