//! The real weights of a FLAN-T5-small on twenty prompts, against the ids and texts that the Python reference
//! generated with them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sconce::generation::GenerationConfig;
use sconce::pipeline::{TextToTextOptions, WrittenOutput};
use sconce::{CachePrecision, Pipeline, Precision};
use serde::Deserialize;

#[path = "support/flan_t5.rs"]
mod flan_t5;
#[path = "support/packages.rs"]
mod packages;

/// `tests/goldens/flan_t5.json`, by `make_flan_t5.py`.
#[derive(Deserialize)]
struct Golden {
    max_new_tokens: usize,
    prompts: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    prompt: String,
    ids: Vec<u32>,
    greedy: Answer,
    /// With four.
    beams: Answer,
}

#[derive(Deserialize)]
struct Answer {
    ids: Vec<u32>,
    text: String,
}

#[test]
fn answers_are_pythons() {
    let golden: Golden = serde_json::from_str(include_str!("goldens/flan_t5.json")).unwrap();
    assert_eq!(golden.prompts.len(), 20);
    let folder = flan_t5::flan_t5_small().unwrap();
    let pipeline = Pipeline::text2text_generation(folder)
        .dtype(Precision::F32)
        .cache(CachePrecision::F32)
        .build()
        .unwrap();
    let prompts = || golden.prompts.iter().map(|case| case.prompt.as_str());
    for case in &golden.prompts {
        assert_eq!(pipeline.tokenizer().encode(&case.prompt).unwrap().ids, case.ids);
    }
    for beams in [1, 4] {
        let generation =
            GenerationConfig::default().max_new_tokens(golden.max_new_tokens).num_beams(beams);
        let options = TextToTextOptions::from(generation);
        let texts = pipeline.run_batch(prompts(), &options).unwrap();
        let ids = pipeline.run_batch(prompts(), &options.return_tensors(true)).unwrap();
        for (case, (text, ids)) in golden.prompts.iter().zip(texts.iter().zip(&ids)) {
            let expected = if beams == 1 { &case.greedy } else { &case.beams };
            assert_eq!(text[0].text(), Some(expected.text.as_str()), "{}", case.prompt);
            let expected = WrittenOutput::TokenIds(expected.ids.clone());
            assert_eq!(ids[0].output, expected, "{}", case.prompt);
        }
    }
}
