//! What all pipelines have alike: parts, clones, options, names, progress.

use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use sconce::LoadOptions;
use sconce::embeddings::{Pooling, SentenceEmbedder};
use sconce::generation::CancelHandle;
use sconce::pipeline::{
    Answer, Entity, FeatureExtractionOptions, FeatureExtractionPipeline, Features, FillMaskOptions,
    FillMaskPipeline, Filling, LabelScore, Pipeline, Progress, Question, QuestionAnsweringOptions,
    QuestionAnsweringPipeline, Ranked, SentenceSimilarityOptions, SentenceSimilarityPipeline, Task,
    TaskName, TextClassificationOptions, TextClassificationPipeline, TextRankingPipeline,
    TokenClassificationOptions, TokenClassificationPipeline, TokenizerOptions, TopK,
    ZeroShotClassification, ZeroShotClassificationPipeline,
};
use sconce::tokenizer::TruncationStrategy;

use super::{difference, options, text_pipeline};

/// A pipeline made of another's model and tokenizer gives what the other gives, and shares the model.
#[test]
fn pipelines_are_made_from_parts() {
    let remade = |pipeline: &Pipeline| -> sconce::Result<Pipeline> {
        macro_rules! from_parts {
            ($pipeline:ident, $kind:ident) => {{
                let (model, tokenizer) = ($pipeline.model(), $pipeline.tokenizer());
                let made = $kind::from_parts(Arc::clone(model), tokenizer.clone())?;
                assert!(
                    Arc::ptr_eq(made.model(), model) && Arc::ptr_eq(made.clone().model(), model)
                );
                Ok(made.into())
            }};
        }
        match pipeline {
            Pipeline::FeatureExtraction(p) => from_parts!(p, FeatureExtractionPipeline),
            Pipeline::FillMask(p) => from_parts!(p, FillMaskPipeline),
            Pipeline::QuestionAnswering(p) => from_parts!(p, QuestionAnsweringPipeline),
            Pipeline::SentenceSimilarity(p) => {
                let model = Arc::clone(p.embedder().model().unwrap());
                let made =
                    SentenceEmbedder::from_parts(model, p.tokenizer().clone(), Pooling::Mean)?;
                Ok(SentenceSimilarityPipeline::from(made).into())
            }
            Pipeline::TextClassification(p) => from_parts!(p, TextClassificationPipeline),
            Pipeline::TextRanking(p) => from_parts!(p, TextRankingPipeline),
            Pipeline::TokenClassification(p) => from_parts!(p, TokenClassificationPipeline),
            Pipeline::ZeroShotClassification(p) => from_parts!(p, ZeroShotClassificationPipeline),
            _ => panic!("{:?}", pipeline.task()),
        }
    };
    for (golden, input, given) in [
        ("classify-wordpiece", json!("good"), json!({"top_k": 2})),
        ("features-wordpiece", json!("good"), json!({"pooling": "last"})),
        ("masks-wordpiece", json!("A [MASK]."), json!({})),
        ("questions-wordpiece", json!({"question": "Who?", "context": "Wolfgang"}), json!({})),
        ("rank-wordpiece", json!({"query": "good", "documents": ["bad", "a"]}), json!({})),
        ("similarity", json!(["good", "bad"]), json!({"normalize_embeddings": true})),
        ("tokens-wordpiece", json!("Angela lives"), json!({"ignore_labels": []})),
        ("zero-shot-wordpiece", json!("good"), json!({"candidate_labels": "a, b"})),
    ] {
        let (_folder, pipeline, _) = text_pipeline(golden);
        let made = remade(&pipeline).unwrap();
        let [whole, made] =
            [&pipeline, &made].map(|one| one.call(&input, options(&given)).unwrap().json);
        assert_eq!(difference(&whole, &made), None, "{golden}");
    }
}

#[test]
fn parts_that_cannot_do_the_task_are_refused() {
    let (_folder, pipeline, _) = text_pipeline("rank-wordpiece");
    let Pipeline::TextRanking(ranker) = pipeline else { panic!() };
    let (model, tokenizer) = (Arc::clone(ranker.model()), ranker.tokenizer().clone());
    let error = ZeroShotClassificationPipeline::from_parts(model, tokenizer).unwrap_err();
    assert!(error.to_string().contains("has a single label"), "{error}");
}

/// Options and outputs are what they were when they have been JSON.
#[test]
fn options_and_outputs_come_back_from_json() {
    fn same<T: Serialize + DeserializeOwned>(value: &T, expected: Value) {
        let written = serde_json::to_value(value).unwrap();
        assert_eq!(written, expected);
        let read: T = serde_json::from_value(written).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), expected);
    }
    same(&TextClassificationOptions::default(), json!({}));
    let best = TextClassificationOptions::default().top_k(TopK::All).batch_size(3);
    same(&best, json!({"top_k": null, "batch_size": 3}));
    let cut = TokenizerOptions::default().truncation(TruncationStrategy::OnlyFirst).max_length(7);
    let filled = FillMaskOptions::default().targets(["a", "b"]).tokenizer_kwargs(cut);
    let kwargs = json!({"truncation": "only_first", "max_length": 7});
    same(&filled, json!({"targets": ["a", "b"], "tokenizer_kwargs": kwargs}));
    let pooled = FeatureExtractionOptions::default().pooling(Pooling::Last);
    same(&pooled, json!({"pooling": "lasttoken"}));
    let offsets = TokenClassificationOptions::default().offset_mapping(vec![(0, 2)]);
    same(&offsets, json!({"offset_mapping": [[0, 2]]}));
    assert!(serde_json::from_value::<QuestionAnsweringOptions>(json!({"topk": 1})).is_err());

    let entity = json!({"entity_group": "PER", "score": 0.5, "word": "Zoë", "start": 0, "end": 3});
    same(&serde_json::from_value::<Entity>(entity.clone()).unwrap(), entity);
    let token =
        json!({"entity": "B-PER", "score": 0.5, "index": 1, "word": "Zoë", "start": 0, "end": 3});
    same(&serde_json::from_value::<Entity>(token.clone()).unwrap(), token);
    for features in [json!([1.0, 0.5]), json!([[[1.0], [0.5]]])] {
        same(&serde_json::from_value::<Features>(features.clone()).unwrap(), features);
    }
    let (label, score) = ("a", 0.5);
    let record = json!({"label": label, "score": score});
    same(&serde_json::from_value::<LabelScore>(record.clone()).unwrap(), record);
    let record = json!({"score": score, "start": 0, "end": 1, "answer": label});
    same(&serde_json::from_value::<Answer>(record.clone()).unwrap(), record);
    let record = json!({"corpus_id": 1, "score": score});
    same(&serde_json::from_value::<Ranked>(record.clone()).unwrap(), record);
    let record = json!({"score": score, "token": 1, "token_str": label, "sequence": label});
    same(&serde_json::from_value::<Filling>(record.clone()).unwrap(), record);
    let record = json!({"sequence": label, "labels": [label], "scores": [score]});
    same(&serde_json::from_value::<ZeroShotClassification>(record.clone()).unwrap(), record);
}

#[test]
fn progress_is_told_after_each_chunk() {
    let (_folder, pipeline, _) = text_pipeline("classify-wordpiece");
    let Pipeline::TextClassification(pipeline) = pipeline else { panic!() };
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let progress = Progress::call(move |done, all| listener.lock().unwrap().push((done, all)));
    let options = TextClassificationOptions::default().progress(progress);
    pipeline.run_batch(vec!["good"; 2500], &options).unwrap();
    let all = Some(2500);
    assert_eq!(*told.lock().unwrap(), [(1024, all), (2048, all), (2500, all)]);
}

/// The languages in a task's name are for the task to take.
#[test]
fn languages_of_a_task_that_has_none_are_refused() {
    let name: TaskName = "fill-mask_en_to_fr".parse().unwrap();
    assert_eq!(name.task, Task::FillMask);
    let (folder, ..) = text_pipeline("masks-wordpiece");
    let error = Pipeline::open(name, folder.path(), LoadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("this one has no languages"), "{error}");
    let (_folder, pipeline, _) = text_pipeline("masks-wordpiece");
    assert!(pipeline.clone().call("A [MASK].", Map::new()).is_ok());
}

/// A call that is cancelled fails before its next pass, wherever it is; a stream then ends.
#[test]
fn calls_are_cancelled_between_passes() {
    let cancelled = CancelHandle::default();
    cancelled.cancel();
    let interrupted = |error: sconce::Error| matches!(error, sconce::Error::Interrupted);
    macro_rules! fails {
        ($golden:literal, $task:ident, $options:ident, $input:expr) => {{
            let (_folder, pipeline, _) = text_pipeline($golden);
            let Pipeline::$task(pipeline) = pipeline else { panic!($golden) };
            let options = $options::default().cancel(cancelled.clone());
            assert!(interrupted(pipeline.run_with($input, &options).unwrap_err()), $golden);
        }};
    }
    fails!("features-wordpiece", FeatureExtraction, FeatureExtractionOptions, "good");
    fails!("masks-wordpiece", FillMask, FillMaskOptions, "A [MASK].");
    let question = Question::new("Who?", "Wolfgang");
    fails!("questions-wordpiece", QuestionAnswering, QuestionAnsweringOptions, question);
    fails!("similarity", SentenceSimilarity, SentenceSimilarityOptions, "good");
    fails!("classify-wordpiece", TextClassification, TextClassificationOptions, "good");
    fails!("tokens-wordpiece", TokenClassification, TokenClassificationOptions, "Angela lives");

    let (_folder, pipeline, _) = text_pipeline("classify-wordpiece");
    let Pipeline::TextClassification(pipeline) = pipeline else { panic!("classify") };
    let cancel = CancelHandle::default();
    let (handle, passes) = (cancel.clone(), Arc::new(Mutex::new(0)));
    let counted = Arc::clone(&passes);
    let progress = Progress::call(move |_, _| {
        let mut passes = counted.lock().unwrap();
        *passes += 1;
        if *passes == 2 {
            handle.cancel();
        }
    });
    let options = TextClassificationOptions::default().cancel(cancel).progress(progress);
    let mut outputs = pipeline.stream(std::iter::repeat("good bad"), &options).unwrap();
    let fine = outputs.by_ref().take_while(Result::is_ok).count();
    assert!(fine > 0 && outputs.next().is_none());
    assert_eq!(*passes.lock().unwrap(), 2);
}
