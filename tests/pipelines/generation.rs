//! `text-generation`: batches, streams, pieces, processors and criteria of one's own.

use std::fs;

use sconce::Result;
use sconce::generation::{
    CancelHandle, ForcedWords, GenerationConfig, LogitsProcessor, PhrasalConstraint,
    StoppingCriterion, heal_tokens,
};
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
    assert!(std::sync::Arc::ptr_eq(parts.model().unwrap(), clone.model().unwrap()));
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

/// Drafts change no answer: those of a model with the same tokenizer, of one with another, and of a builder.
#[test]
fn a_draft_model_changes_nothing() -> Result<()> {
    let (folder, pipeline) = text_generation();
    let goldens = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let small = |name: &str| Pipeline::text_generation(goldens.join(name)).build();
    let by = |small: TextGenerationPipeline| -> Result<TextGenerationPipeline> {
        let (model, tokenizer) = (small.model()?.clone(), small.tokenizer()?.clone());
        pipeline.clone().with_assistant(model, tokenizer)
    };
    let builder = Pipeline::text_generation(folder.path());
    let drafted = [
        by(pipeline.clone())?,
        by(small("llama-tiny")?)?,
        by(small("gpt2-tiny")?)?,
        builder.assistant_model(goldens.join("llama-tiny")).build()?,
    ];
    for options in [greedy(), sampling(), beams()] {
        let expected = pipeline.run_batch(PROMPTS, &options)?;
        for drafted in &drafted {
            assert_eq!(drafted.run_batch(PROMPTS, &options.clone().batch_size(3))?, expected);
        }
    }
    // What a model guesses of itself is right. How much it guesses is a matter of time.
    let with_details = greedy().details(true);
    let details = drafted[0].run_with(PROMPTS[1], &with_details)?.remove(0).details.unwrap();
    assert_eq!(details.timings.accepted_tokens, details.timings.drafted_tokens);
    let streamed = drafted[1].stream_text_with(PROMPTS[0], &sampling())?.into_text()?;
    assert_eq!(streamed, pipeline.stream_text_with(PROMPTS[0], &sampling())?.into_text()?);
    Ok(())
}

#[test]
fn constraints_and_outputs_are_options() -> Result<()> {
    let (_folder, pipeline) = text_generation();
    // Of several answers asked for, some may be incomplete.
    let ids = |options: &TextGenerationOptions| -> Result<Vec<u32>> {
        let mut options = options.clone().return_tensors(true);
        options.generation = options.generation.num_return_sequences(1);
        match pipeline.run_with("The cat sat", &options)?.remove(0).output {
            GeneratedOutput::TokenIds(ids) => Ok(ids),
            other => panic!("{other:?}"),
        }
    };
    let phrase = PhrasalConstraint::new(&[40, 41])?;
    let found = ids(&beams().with_constraint(phrase.clone()))?;
    assert!(found.windows(2).any(|ids| ids == [40, 41]), "{found:?}");
    let forced =
        GenerationConfig::default().force_words_ids(vec![ForcedWords::Phrase(vec![40, 41])]);
    let mut options = beams();
    options.generation = options.generation.overlaid(&forced);
    assert_eq!(ids(&options)?, found);
    assert!(ids(&greedy().with_constraint(phrase)).unwrap_err().to_string().contains("num_beams"));

    let mut options = greedy().details(true);
    options.generation =
        options.generation.return_dict_in_generate(true).output_hidden_states(true);
    let details = pipeline.run_with("The cat sat", &options)?.remove(0).details.unwrap();
    assert_eq!(details.outputs.len(), details.tokens.len());
    assert!(!details.outputs[0].hidden_states.is_empty());
    Ok(())
}

/// The prompt is cut off by its own text, so that the answer begins with what its last token has become.
#[test]
fn a_healed_prompt_shows_what_it_has_become() -> Result<()> {
    let (_folder, pipeline) = text_generation();
    let (tokenizer, model) = (pipeline.tokenizer()?, pipeline.model()?);
    let mut changed = 0;
    for prompt in ["It w", "The c", "A do", "hello wor", "one, t", "x,i", "an e", "He"] {
        let mut options = greedy();
        options.generation = options.generation.token_healing(true);
        let ids = tokenizer.encode(prompt)?.ids;
        let healed = heal_tokens(model, tokenizer, &ids)?;
        changed += usize::from(healed != ids);
        let answer = pipeline.run_with(prompt, &options.clone().return_tensors(true))?.remove(0);
        let GeneratedOutput::TokenIds(all) = answer.output else { panic!("ids were asked for") };
        assert!(all.starts_with(&healed));
        let text = tokenizer.decode(&all, true)?;
        let expected: String = text.chars().skip(prompt.chars().count()).collect();
        let options = options.return_full_text(false).clean_up_tokenization_spaces(false);
        let found = pipeline.run_with(prompt, &options)?.remove(0);
        assert_eq!(found.text().unwrap(), expected);
        // Where a character is cut off by the prompt's end, its pieces are told apart.
        if !tokenizer.decode(&healed, true)?.ends_with(char::REPLACEMENT_CHARACTER) {
            assert_eq!(pipeline.stream_text_with(prompt, &options)?.into_text()?, expected);
        }
    }
    assert!(changed > 0);
    Ok(())
}
