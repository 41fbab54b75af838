//! Calls that cannot be answered: what the errors say.

use serde_json::json;

use sconce::pipeline::{Pipeline, Task};
use sconce::{LoadOptions, ModelSource};

use super::{Checkpoint, checkpoint, options, text_pipeline};

/// What is wrong with a call names the field, what was found and what is wanted, and does not repeat a
/// megabyte of text.
#[test]
fn errors_of_json_calls_say_what_is_wanted() {
    let text = "two megabytes ".repeat(150_000);
    let number = "a whole number of at least 0 is wanted";
    for (golden, input, given, expected) in [
        ("classify-wordpiece", json!({"text": 7}), json!({}), "`text`: 7 where a text is wanted"),
        (
            "classify-wordpiece",
            json!(["good", {"text": text, "text_pare": text}]),
            json!({}),
            "`[1].text_pare`: there is no such name here; did you mean \"text_pair\"?",
        ),
        (
            "classify-wordpiece",
            json!([[text, text]]),
            json!({}),
            "`[0]`: a list where a text or {\"text\": …, \"text_pair\": …} is wanted",
        ),
        (
            "classify-wordpiece",
            json!("good"),
            json!({"function_to_apply": text}),
            "is none of none, sigmoid, softmax",
        ),
        (
            "classify-wordpiece",
            json!("good"),
            json!({"truncation": "longest"}),
            "did you mean \"longest_first\"?",
        ),
        ("classify-wordpiece", json!("good"), json!({"topk": 2}), "did you mean \"top_k\"?"),
        ("similarity", json!({"source_sentence": text}), json!({}), "`sentences`: is missing"),
        (
            "similarity",
            json!({"source_sentence": text, "sentences": ["a", null]}),
            json!({}),
            "`sentences[1]`: null where a text is wanted",
        ),
        ("similarity", json!(7), json!({}), "7 where {\"source_sentence\": …"),
        ("rank-wordpiece", json!([[text, text], [text]]), json!({}), "`[1]`: a list of 1 where"),
        (
            "rank-wordpiece",
            json!({"query": text, "docs": []}),
            json!({}),
            "`docs`: there is no such",
        ),
        ("rank-wordpiece", json!(text), json!({}), "where {\"query\": …"),
        ("questions-wordpiece", json!({"question": text}), json!({}), "`context`: is missing"),
        (
            "questions-wordpiece",
            json!({"question": [text, 3], "context": text}),
            json!({}),
            "`question[1]`: 3 where a text is wanted",
        ),
        ("questions-wordpiece", json!(text), json!({}), "where {\"question\": …"),
        ("tokens-wordpiece", json!([[text]]), json!({}), "set `is_split_into_words`"),
        (
            "tokens-wordpiece",
            json!("a"),
            json!({"aggregation_strategy": "frist"}),
            "none of average, first, max, none, simple; did you mean \"first\"?",
        ),
        ("tokens-wordpiece", json!("a"), json!({"stride": -1}), number),
        ("tokens-wordpiece", json!("a"), json!({"ignore_labels": text}), "where a list is wanted"),
        (
            "masks-wordpiece",
            json!([text, {}]),
            json!({}),
            "`[1]`: an object where a text is wanted",
        ),
        ("masks-wordpiece", json!("[MASK]"), json!({"targets": 7}), "7 where a text or a list of"),
        (
            "masks-wordpiece",
            json!("[MASK]"),
            json!({"tokenizer_kwargs": {"max_length": "many"}}),
            "option `tokenizer_kwargs.max_length`: the text \"many\" where",
        ),
        ("features-wordpiece", json!({"text": text}), json!({}), "where a text or a list of texts"),
        (
            "zero-shot-wordpiece",
            json!("a"),
            json!({"candidate_labels": ["a", 7]}),
            "option `candidate_labels[1]`: 7 where a text is wanted",
        ),
        ("zero-shot-wordpiece", json!("a"), json!({"multi_lable": true}), "mean \"multi_label\"?"),
    ] {
        let (_folder, pipeline, _) = text_pipeline(golden);
        let error = pipeline.call(&input, options(&given)).unwrap_err();
        let message = error.to_string();
        assert!(error.is_caller_error(), "{message}");
        assert!(message.contains(expected), "{golden}: {message}\ndoes not say\n{expected}");
        assert!(message.len() < 400, "{golden}: {} bytes", message.len());
    }
    let Checkpoint { folder, .. } = checkpoint("text-generation");
    let source = ModelSource::directory(folder.path());
    let pipeline = Pipeline::open(Task::TextGeneration, source, LoadOptions::default()).unwrap();
    for (input, given, expected) in [
        (json!("a"), json!({"max_new_token": 3}), "did you mean \"max_new_tokens\"?"),
        (json!("a"), json!({"return_full_txt": true}), "did you mean \"return_full_text\"?"),
        (json!("a"), json!({"truncation": "only_second"}), "a prompt has no second text"),
        (json!(7), json!({}), "7 where a text, a chat or a list of them is wanted"),
        (json!(["a", 7]), json!({}), "7 where a text or a chat"),
    ] {
        let message = pipeline.call(&input, options(&given)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}\ndoes not say\n{expected}");
    }
    let message = "text-clasification".parse::<Task>().unwrap_err().to_string();
    assert!(message.contains("did you mean \"text-classification\"?"), "{message}");
}

/// Tensors of a sequence classifier have the names of a token classifier's, and its labels are of
/// texts: the class that the config names decides, and the error says what the model does.
#[test]
fn a_head_does_its_own_task() {
    for (golden, task, fitting) in [
        ("classify-wordpiece", Task::TokenClassification, "this one does text-classification"),
        ("tokens-wordpiece", Task::TextClassification, "this one does token-classification"),
        ("questions-bytes", Task::FillMask, "this one does question-answering"),
        ("masks-unigram", Task::QuestionAnswering, "this one does fill-mask"),
    ] {
        let (folder, ..) = text_pipeline(golden);
        let source = ModelSource::directory(folder.path());
        let error = Pipeline::open(task, source, LoadOptions::default()).unwrap_err().to_string();
        assert!(error.contains(fitting), "{golden}: {error}");
    }
}
