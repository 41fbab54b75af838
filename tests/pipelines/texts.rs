//! Places in texts, long texts, and texts that are cut.

use std::fs;

use serde_json::{Value, json};

use sconce::pipeline::{
    AggregationStrategy, GeneratedOutput, Pipeline, Question, QuestionAnsweringOptions,
    TextGenerationOptions, TokenClassificationOptions,
};

use super::{Checkpoint, checkpoint, text_pipeline};

/// Rust slices by bytes: those of entities and answers are where Python's characters are.
#[test]
fn places_in_bytes_are_those_in_characters() {
    let text = "Zoë Müller lives in Paris, 東京 or New York City 🕯️ with Zoë.";
    let by_characters = |start: usize, end: usize| -> String {
        text.chars().skip(start).take(end - start).collect()
    };
    let (_folder, pipeline, _) = text_pipeline("tokens-wordpiece");
    let Pipeline::TokenClassification(pipeline) = pipeline else { panic!() };
    let mut options = TokenClassificationOptions::default().ignore_labels([""; 0]);
    for strategy in
        [AggregationStrategy::None, AggregationStrategy::Simple, AggregationStrategy::Max]
    {
        options.aggregation_strategy = Some(strategy);
        let entities = pipeline.run_with(text, &options).unwrap();
        assert!(entities.iter().any(|entity| entity.bytes.start != entity.start));
        for entity in entities {
            assert_eq!(text[entity.bytes.clone()], by_characters(entity.start, entity.end));
            assert!(serde_json::to_value(&entity).unwrap().get("bytes").is_none());
        }
    }
    let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for entity in pipeline.run_with(words, &options).unwrap() {
        assert_eq!(text[entity.bytes], by_characters(entity.start, entity.end));
    }

    let (_folder, pipeline, _) = text_pipeline("questions-wordpiece");
    let Pipeline::QuestionAnswering(pipeline) = pipeline else { panic!() };
    let options = QuestionAnsweringOptions::default().top_k(50).handle_impossible_answer(true);
    let answers = pipeline.run_with(Question::new("Wer?", text), &options).unwrap();
    assert!(answers.iter().any(|answer| answer.bytes.start != answer.start));
    for answer in answers {
        assert_eq!(text[answer.bytes.clone()], answer.answer);
        assert_eq!(answer.answer, by_characters(answer.start, answer.end));
        assert!(serde_json::to_value(&answer).unwrap().get("bytes").is_none());
    }
}

/// Long texts are read in windows, in time and memory in proportion to them: answers are not compared
/// each with each.
#[test]
fn long_texts_are_read_in_windows() {
    let sentence = "Angela Merkel lives in Berlin, and Wolfgang in Paris. ";
    let text = sentence.repeat(100_000 / sentence.len());
    let (_folder, pipeline, _) = text_pipeline("tokens-wordpiece");
    let Pipeline::TokenClassification(pipeline) = pipeline else { panic!() };
    let options = TokenClassificationOptions::default()
        .ignore_labels([""; 0])
        .stride(8)
        .aggregation_strategy(AggregationStrategy::Simple);
    let entities = pipeline.run_with(text.as_str(), &options).unwrap();
    assert!(entities.last().unwrap().bytes.end > text.len() - 10);
    assert!(entities.is_sorted_by_key(|entity| entity.start));

    let (_folder, pipeline, _) = text_pipeline("questions-wordpiece");
    let Pipeline::QuestionAnswering(pipeline) = pipeline else { panic!() };
    let context: String =
        (0..4_000).map(|number| format!("Wolfgang lives in {number}. ")).collect();
    let options = QuestionAnsweringOptions::default().top_k(1000);
    let answers = pipeline.run_with(Question::new("Who?", context.as_str()), &options).unwrap();
    assert_eq!(answers.len(), 1000);
    assert!(answers.iter().all(|answer| context[answer.bytes.clone()] == answer.answer));
}

/// `max_length` within `tokenizer_encode_kwargs` is the prompt's and no length to generate to, and cuts
/// on the tokenizer's side.
#[test]
fn prompts_are_cut_on_the_tokenizers_side() {
    let Checkpoint { folder, .. } = checkpoint("text-generation");
    let file = folder.path().join("tokenizer_config.json");
    let config = fs::read_to_string(&file).unwrap();
    let prompt = "The cat sat and a dog ran over the hill";
    for side in ["right", "left"] {
        let mut config: Value = serde_json::from_str(&config).unwrap();
        config["truncation_side"] = side.into();
        fs::write(&file, config.to_string()).unwrap();
        let pipeline = Pipeline::text_generation(folder.path()).build().unwrap();
        let all = pipeline.tokenizer().unwrap().encode(prompt).unwrap().ids;
        let Value::Object(options) = json!({
            "do_sample": false, "max_new_tokens": 2, "return_tensors": true,
            "tokenizer_encode_kwargs": {"max_length": 5},
        }) else {
            panic!()
        };
        let options = TextGenerationOptions::from_json(options).unwrap();
        let found = pipeline.run_with(prompt, &options).unwrap();
        let GeneratedOutput::TokenIds(ids) = &found[0].output else { panic!() };
        assert_eq!(ids.len(), 7);
        // The token that begins a text stays, as in transformers.
        let kept = match side {
            "right" => all[..5].to_vec(),
            _ => [&all[..1], &all[all.len() - 4..]].concat(),
        };
        assert_eq!(ids[..5], kept, "{side}");
    }
}
