//! `summarization`, `translation` and `text2text-generation` against Python's, on the tiny checkpoints of
//! `make_text_to_text.py`.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sconce::generation::{CancelHandle, GenerationConfig, generate_seq2seq};
use sconce::models::{AutoModel, CausalLm, Seq2SeqLm};
use sconce::pipeline::{
    Pipeline, SummarizationPipeline, TaskName, TextToTextOptions, TranslationPipeline,
    TruncationReport, WrittenOutput,
};
use sconce::tokenizer::TruncationStrategy;
use sconce::{CachePrecision, LoadOptions, ModelSource};
use serde_json::{Value, json};

use super::options;

fn read(name: &str) -> Value {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/text_to_text");
    let text = fs::read_to_string(goldens.join(name).join("golden.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The pipeline of a golden, and its calls.
fn golden(name: &str) -> (tempfile::TempDir, Pipeline, Vec<Value>) {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let golden = goldens.join("text_to_text").join(name);
    let read = read(name);
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "generation_config.json", "model.safetensors"] {
        if golden.join(file).exists() {
            fs::copy(golden.join(file), folder.path().join(file)).unwrap();
        }
    }
    for (name, source) in read["models"].as_object().unwrap() {
        let source = goldens.join("tokenizers/models").join(source.as_str().unwrap());
        fs::copy(source, folder.path().join(name)).unwrap();
    }
    for (name, content) in read["files"].as_object().unwrap() {
        fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    let task: TaskName = read["task"].as_str().unwrap().parse().unwrap();
    let source = ModelSource::directory(folder.path());
    // The reference keeps keys and values as they are; rounded to f16, some beams are others.
    let options = LoadOptions::default().cache(CachePrecision::F32);
    let pipeline = Pipeline::open(task, source, options).unwrap();
    (folder, pipeline, read["calls"].as_array().unwrap().clone())
}

fn summarization(name: &str) -> (tempfile::TempDir, SummarizationPipeline) {
    let (folder, pipeline, _) = golden(name);
    let Pipeline::Summarization(pipeline) = pipeline else { panic!() };
    (folder, pipeline)
}

fn translation(name: &str) -> (tempfile::TempDir, TranslationPipeline) {
    let (folder, pipeline, _) = golden(name);
    let Pipeline::Translation(pipeline) = pipeline else { panic!() };
    (folder, pipeline)
}

fn short() -> TextToTextOptions {
    GenerationConfig::default().max_new_tokens(12).into()
}

const TEXT: &str = "The house is wonderful, and the children are here; isn't it so ?";
const TEXTS: [&str; 5] = [TEXT, "Hello, world!", "The year 2024 has 366 days.", "a", "Bonjour !"];

/// Every call: outputs equal, and an error wherever Python has one.
#[test]
fn text_to_text_outputs_are_pythons() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/text_to_text");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for entry in fs::read_dir(goldens).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let (_folder, pipeline, calls) = golden(&name);
        let (prefix, config) = match &pipeline {
            Pipeline::Summarization(pipeline) => (pipeline.prefix(), pipeline.generation_config()),
            Pipeline::Translation(pipeline) => (pipeline.prefix(), pipeline.generation_config()),
            Pipeline::Text2TextGeneration(pipeline) => {
                (pipeline.prefix(), pipeline.generation_config())
            }
            other => panic!("{other:?}"),
        };
        let own = read(&name);
        assert_eq!(own["prefix"], prefix, "{name}");
        let config = serde_json::to_value(config).unwrap();
        for (option, value) in own["defaults"].as_object().unwrap() {
            if config[option] != *value {
                wrong.push(format!("{name}: {option} is {} instead of {value}", config[option]));
            }
        }
        for call in calls {
            count += 1;
            let outcome = pipeline.call(&call["input"], options(&call["options"])).map(Value::from);
            let problem = match (call.get("output"), outcome) {
                (Some(expected), Ok(found)) if *expected == found => continue,
                (Some(expected), Ok(found)) => format!("\n  {found}\n  {expected}"),
                (Some(_), Err(error)) => error.to_string(),
                (None, Ok(found)) => format!("no error but {found}"),
                (None, Err(error)) if error.is_caller_error() => continue,
                (None, Err(error)) => format!("{error:?}"),
            };
            let input: String = call["input"].to_string().chars().take(60).collect();
            wrong.push(format!("{name}: {input} {}: {problem}", call["options"]));
        }
    }
    assert!(count > 150, "only {count} calls");
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Sentences of one word and of many, by Marian's tokenizer, in batches of 32: the ids of each.
#[test]
fn many_sentences_have_the_ids_of_the_reference() {
    let (_folder, pipeline) = translation("translation-marian");
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let text = fs::read_to_string(goldens.join("translations.json")).unwrap();
    let expected: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), 200);
    let generation = GenerationConfig::default().num_beams(4).max_new_tokens(24);
    let generation = generation.no_repeat_ngram_size(2);
    let mut options = TextToTextOptions::from(generation).return_tensors(true);
    options.batch_size = Some(32);
    let texts = expected.iter().map(|one| one["text"].as_str().unwrap().to_owned());
    let found = pipeline.run_batch(texts.collect::<Vec<_>>(), &options).unwrap();
    for (found, expected) in found.iter().zip(&expected) {
        let WrittenOutput::TokenIds(ids) = &found[0].output else { panic!() };
        assert_eq!(json!(ids), expected["ids"], "{}", expected["text"]);
    }
}

#[test]
fn batches_of_any_size_give_what_each_text_gets_alone() {
    let (_folder, pipeline) = summarization("summarization-bart");
    let texts: Vec<_> = (0..40).map(|number| TEXTS[number % 5]).collect();
    let sampled =
        GenerationConfig::default().max_new_tokens(8).do_sample(true).num_beams(1).seed(5);
    for options in [short(), sampled.into()] {
        let alone = TEXTS.map(|text| pipeline.run_with(text, &options).unwrap());
        for batch_size in [None, Some(1), Some(3), Some(64)] {
            let mut options = options.clone();
            options.batch_size = batch_size;
            let found = pipeline.run_batch(texts.clone(), &options).unwrap();
            assert_eq!(found.len(), texts.len());
            for (number, found) in found.iter().enumerate() {
                assert_eq!(*found, alone[number % 5], "{batch_size:?} {number}");
            }
        }
    }
}

#[test]
fn streams_are_the_greedy_text() {
    for name in ["translation-marian", "translation-t5"] {
        let (_folder, pipeline) = translation(name);
        let mut greedy = short();
        greedy.generation = greedy.generation.num_beams(1);
        for text in TEXTS {
            let whole = pipeline.run_with(text, &greedy).unwrap();
            let pieces = pipeline.stream_text_with(text, &short()).unwrap().into_text().unwrap();
            assert_eq!(whole[0].text().unwrap(), pieces, "{name}");
        }
        let mut beams = short();
        beams.generation = beams.generation.num_beams(2);
        let error = pipeline.stream_text_with(TEXT, &beams).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains("num_beams"), "{error}");
    }
}

#[test]
fn long_texts_are_cut_and_reported_or_split_and_joined() {
    let (_folder, pipeline) = summarization("summarization-t5");
    let long = TEXTS[..3].join(" ").repeat(4);
    let report = TruncationReport::default();
    let cut =
        short().truncation(TruncationStrategy::LongestFirst).truncation_report(report.clone());
    let summaries =
        pipeline.run_batch(["a", long.as_str(), "Hello!", long.as_str()], &cut).unwrap();
    assert_eq!((summaries.len(), report.inputs()), (4, vec![1, 3]));

    let split = short().split_long_texts(true);
    let joined = pipeline.run_with(long.as_str(), &split).unwrap();
    assert_eq!(joined.len(), 1);
    assert!(joined[0].text().unwrap().len() > summaries[1][0].text().unwrap().len());
    assert_eq!(pipeline.run_with("a", &split).unwrap(), pipeline.run_with("a", &short()).unwrap());
    let error = pipeline.run_with("a", &split.clone().return_tensors(true)).unwrap_err();
    assert!(error.to_string().contains("return_tensors"), "{error}");
    let word = "wonderful".repeat(80);
    let error = pipeline.run_with(word, &split).unwrap_err();
    assert!(error.is_caller_error() && error.to_string().contains("word"), "{error}");

    let (folder, pipeline) = summarization("summarization-bart");
    let error = pipeline.run_with(long.repeat(4), &short()).unwrap_err();
    assert!(error.is_caller_error(), "{error}");
    let error = error.to_string();
    assert!(error.contains("`truncation`") && error.contains("`split_long_texts`"), "{error}");
    // A tokenizer that allows more than the model has positions.
    let file = folder.path().join("tokenizer_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["model_max_length"] = 100_000.into();
    fs::write(&file, config.to_string()).unwrap();
    let pipeline = Pipeline::summarization(folder.path()).build().unwrap();
    let report = TruncationReport::default();
    let cut = cut.truncation_report(report.clone());
    assert_eq!(pipeline.run_with(long.repeat(4), &cut).unwrap().len(), 1);
    assert_eq!(report.inputs(), [0]);
}

/// What the low level returns, which has goldens of its own.
#[test]
fn details_say_how_a_text_came_about() {
    let (_folder, pipeline) = translation("translation-marian");
    let config = GenerationConfig::default()
        .max_new_tokens(6)
        .num_beams(3)
        .num_return_sequences(2)
        .top_logprobs(2)
        .return_dict_in_generate(true)
        .output_scores(true)
        .output_logits(true)
        .output_hidden_states(true)
        .output_attentions(true);
    let options = TextToTextOptions::from(config.clone());
    let plain = pipeline.run_batch(TEXTS, &options).unwrap();
    assert!(plain.iter().flatten().all(|text| text.details.is_empty()));
    let found = pipeline.run_batch(TEXTS, &options.details(true)).unwrap();
    let tokenizer = pipeline.tokenizer();
    let sources: Vec<_> = TEXTS.iter().map(|text| tokenizer.encode(text).unwrap().ids).collect();
    let config = pipeline.generation_config().clone().overlaid(&config);
    let start = [pipeline.model().start_id().unwrap()];
    let cancel = CancelHandle::default();
    let expected =
        generate_seq2seq(pipeline.model(), None, &sources, &start, &config, &cancel).unwrap();
    let near = |found: &[f32], expected: &[f32]| {
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 || a == b;
        found.len() == expected.len() && found.iter().zip(expected).all(near)
    };
    for (texts, (plain, expected)) in found.iter().zip(plain.iter().zip(expected.chunks(2))) {
        for ((text, plain), expected) in texts.iter().zip(plain).zip(expected) {
            assert_eq!(text.output, plain.output);
            let [details] = text.details.as_slice() else { panic!("{text:?}") };
            assert_eq!(details.ids(), expected.ids());
            assert_eq!(details.beam_indices, expected.beam_indices);
            assert!(near(details.score.as_slice(), expected.score.as_slice()));
            assert_eq!(details.tokens[0].top_logprobs.len(), 2);
            assert_eq!(details.outputs.len(), expected.outputs.len());
            for (step, expected) in details.outputs.iter().zip(&expected.outputs) {
                for (found, expected) in
                    [(&step.scores, &expected.scores), (&step.logits, &expected.logits)]
                {
                    assert!(near(found.as_ref().unwrap(), expected.as_ref().unwrap()));
                }
                assert_eq!((step.hidden_states.len(), step.cross_attentions.len()), (3, 2));
            }
            assert_eq!(details.encoder.hidden_states.len(), 3);
            assert_eq!(details.encoder.attentions.len(), 2);
            for (found, expected) in
                details.encoder.hidden_states.iter().zip(&expected.encoder.hidden_states)
            {
                let [found, expected] = [found, expected]
                    .map(|states| states.flatten_all().unwrap().to_vec1::<f32>().unwrap());
                assert!(near(&found, &expected));
            }
        }
    }
    // As JSON, and of a text in parts.
    let pipeline = Pipeline::Translation(pipeline);
    let asked = super::options(&json!({"max_new_tokens": 3, "top_logprobs": 1, "details": true}));
    let found = Value::from(pipeline.call(json!(TEXT), asked).unwrap());
    assert_eq!(found[0]["details"][0]["tokens"].as_array().unwrap().len(), 3);
    assert!(found[0]["translation_text"].is_string());
    let (_folder, pipeline) = summarization("summarization-t5");
    let long = TEXTS[..3].join(" ").repeat(4);
    let split = short().split_long_texts(true).details(true);
    assert!(pipeline.run_with(long, &split).unwrap()[0].details.len() > 1);
}

#[test]
fn wrong_requests_name_what_would_work() {
    let says = |error: sconce::Error, parts: &[&str]| {
        assert!(error.is_caller_error(), "{error:?}");
        let error = error.to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let (folder, nllb) = translation("translation-nllb");
    says(nllb.run(TEXT).unwrap_err(), &["src_lang", "tgt_lang", "ace_Arab"]);
    let from = short().src_lang("eng_Latn");
    says(nllb.run_with(TEXT, &from).unwrap_err(), &["`tgt_lang`", "202 languages"]);
    let unknown = from.tgt_lang("french");
    says(nllb.run_with(TEXT, &unknown).unwrap_err(), &["`tgt_lang`", "\"french\"", "fra_Latn"]);
    says(
        nllb.run_with(" \n", &short().src_lang("eng_Latn").tgt_lang("fra_Latn")).unwrap_err(),
        &["empty"],
    );
    let mut forced = short().src_lang("eng_Latn").tgt_lang("fra_Latn");
    forced.generation.forced_bos_token_id = Some(5);
    says(nllb.run_with(TEXT, &forced).unwrap_err(), &["forced_bos_token_id", "`tgt_lang`"]);
    let files = ModelSource::directory(folder.path()).open().unwrap();
    let error = AutoModel::from_files::<dyn CausalLm>(&files, &LoadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("dyn Seq2SeqLm"), "{error}");

    let (_folder, summarizer) = summarization("summarization-t5");
    says(
        summarizer.run_with(TEXT, &short().tgt_lang("fr")).unwrap_err(),
        &["tgt_lang", "translation"],
    );
    let second = short().truncation(TruncationStrategy::OnlySecond);
    says(summarizer.run_with(TEXT, &second).unwrap_err(), &["truncation", "second"]);
    let (_folder, translator) = translation("translation-t5");
    let split = short().split_long_texts(true);
    says(translator.run_with(TEXT, &split).unwrap_err(), &["split_long_texts", "summarization"]);
    let decoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/llama-tiny");
    let error = Pipeline::summarization(decoder).build().unwrap_err();
    assert!(error.to_string().contains("dyn CausalLm"), "{error}");
}

/// A pipeline of parts knows no more than its tokenizer says, and can be told the rest.
#[test]
fn pipelines_are_made_of_parts() {
    let (folder, whole) = translation("translation-t5");
    let files = ModelSource::directory(folder.path()).open().unwrap();
    let model = AutoModel::from_files::<dyn Seq2SeqLm>(&files, &LoadOptions::default()).unwrap();
    let parts = TranslationPipeline::from_parts(model, whole.tokenizer().clone())
        .with_generation_config(whole.generation_config().clone())
        .with_prefix(whole.prefix());
    assert_eq!(whole.prefix(), "translate English to French: ");
    assert_eq!(parts.run_with(TEXT, &short()).unwrap(), whole.run_with(TEXT, &short()).unwrap());
    let plain = Pipeline::translation(folder.path()).build().unwrap();
    // As in Python, a translation without languages is the first that the model names.
    assert_eq!(plain.prefix(), "translate English to French: ");
    assert_eq!(plain.clone().between("en", "de").unwrap().prefix(), "");
    let named = plain.between("en", "fr").unwrap();
    assert_eq!(named.run_with(TEXT, &short()).unwrap(), whole.run_with(TEXT, &short()).unwrap());
}

#[test]
fn what_changes_nothing_and_short_texts_are_warned_of() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    // Another test of this binary may have set the hook.
    let is_first =
        sconce::pipeline::on_warning(move |text| sink.lock().unwrap().push(text.to_owned()));
    let (_folder, pipeline) = summarization("summarization-bart");
    pipeline.run_batch(["a", "b"], &TextToTextOptions::default()).unwrap();
    let (_folder, translator) = translation("translation-t5");
    translator.run_with(TEXT, &short().tgt_lang("de")).unwrap();
    if is_first {
        let told = told.lock().unwrap();
        assert!(told.iter().any(|text| text.contains("`tgt_lang` have no effect")), "{told:?}");
        assert_eq!(
            told.iter().filter(|text| text.contains("max_length is 30")).count(),
            1,
            "{told:?}"
        );
    }
}
