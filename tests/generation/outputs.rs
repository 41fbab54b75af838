//! What steps return on request, against transformers; token healing.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{Device, Tensor, safetensors};
use sconce::generation::{
    CancelHandle, DraftModel, Drafting, Generated, GenerationConfig, GenerationMode, PromptLookup,
    Sequence, StepOutput, generate, generate_batch, generate_seq2seq, generate_text, heal_tokens,
};
use sconce::models::{AutoModel, CausalLm, EncoderTrace, LogitsAt, Seq2SeqLm};
use sconce::tokenizer::Tokenizer;
use sconce::{LoadOptions, Precision, Result, TokenBatch};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::table::Table;

#[derive(Deserialize)]
struct Case {
    model: String,
    case: String,
    prompt: Vec<u32>,
    options: Value,
    answers: Vec<Vec<u32>>,
}

type Named = HashMap<String, Tensor>;

/// Generates for some prompts.
type Runs = dyn Fn(&[Vec<u32>]) -> Result<Vec<Generated>>;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn everything() -> GenerationConfig {
    GenerationConfig::default()
        .return_dict_in_generate(true)
        .output_scores(true)
        .output_logits(true)
        .output_hidden_states(true)
        .output_attentions(true)
}

/// `tests/goldens/make_outputs.py` says what is what.
#[test]
fn outputs_as_transformers() -> Result<()> {
    as_transformers("outputs", 26)
}

/// Contrastive search, DoLa and groups of beams.
#[test]
fn outputs_of_old_modes_as_transformers() -> Result<()> {
    as_transformers("old_outputs", 16)
}

/// Alone and in a batch, of both kinds of models.
fn as_transformers(folder: &str, count: usize) -> Result<()> {
    let file = golden(&format!("{folder}/cases.json"));
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(cases.len(), count);
    let mut together: BTreeMap<(String, String), Vec<&Case>> = BTreeMap::new();
    for case in &cases {
        let kind = case.case.trim_end_matches(|letter: char| letter.is_ascii_digit());
        together.entry((case.model.clone(), kind.to_owned())).or_default().push(case);
    }
    for ((model, _), cases) in together {
        let file = format!("{folder}/{}.safetensors", model.trim_start_matches("seq2seq/"));
        let expected = safetensors::load(golden(&file), &Device::Cpu)?;
        let config = everything().overlaid(&GenerationConfig::from_json(&cases[0].options)?);
        let prompts: Vec<_> = cases.iter().map(|case| case.prompt.clone()).collect();
        let options = LoadOptions::default().dtype(Precision::F32);
        let run: Box<Runs> = match model.contains('/') {
            true => {
                let model = AutoModel::open::<dyn Seq2SeqLm>(golden(&model), &options)?;
                let start = [model.start_id().unwrap()];
                let (config, cancel) = (config.clone(), CancelHandle::default());
                Box::new(move |prompts| {
                    generate_seq2seq(&model, None, prompts, &start, &config, &cancel)
                })
            }
            false => {
                let model = AutoModel::open::<dyn CausalLm>(golden(&model), &options)?;
                let config = config.clone();
                Box::new(move |prompts| generate_batch(&model, None, prompts, &config))
            }
        };
        let batch = run(&prompts)?;
        let each = batch.len() / prompts.len();
        for (case, batch) in cases.iter().zip(batch.chunks(each)) {
            let alone = run(std::slice::from_ref(&case.prompt))?;
            for answers in [&alone[..], batch] {
                let found: Vec<_> = answers.iter().map(Generated::ids).collect();
                assert_eq!(found, case.answers, "{} {}", case.model, case.case);
                for (number, answer) in answers.iter().enumerate() {
                    assert_eq!(answer.outputs.len(), answer.tokens.len());
                    for (token, output) in answer.outputs.iter().enumerate() {
                        let label = format!("{}.{number}.{token}", case.case);
                        compare(&model, output, &expected, &label)?;
                    }
                    let EncoderTrace { hidden_states, attentions, .. } = &answer.encoder;
                    let prompt = case.case.trim_start_matches(|it: char| !it.is_ascii_digit());
                    let label = format!("encoder{prompt}.");
                    let count = expected.keys().filter(|key| key.starts_with(&label)).count();
                    assert_eq!(hidden_states.len() + attentions.len(), count);
                    assert_eq!(count > 0, model.contains('/'));
                    let states = ("hidden_states", hidden_states);
                    for (kind, tensors) in [states, ("attentions", attentions)] {
                        for (layer, found) in tensors.iter().enumerate() {
                            let label = format!("{label}{kind}.{layer}");
                            near(found, &expected[&label], &label)?;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

fn compare(model: &str, found: &StepOutput, expected: &Named, label: &str) -> Result<()> {
    let vector = |values: &Option<Arc<[f32]>>| {
        let values = values.as_ref().unwrap();
        Tensor::new(&values[..], &Device::Cpu)
    };
    let mut all = vec![
        ("scores".to_owned(), vector(&found.scores)?),
        ("logits".to_owned(), vector(&found.logits)?),
    ];
    for (kind, tensors) in [
        ("hidden_states", &found.hidden_states),
        ("attentions", &found.attentions),
        ("cross_attentions", &found.cross_attentions),
    ] {
        let numbered = tensors.iter().enumerate();
        all.extend(numbered.map(|(layer, it)| (format!("{kind}.{layer}"), it.clone())));
    }
    let count = expected.keys().filter(|key| key.starts_with(&format!("{label}."))).count();
    assert_eq!(all.len(), count, "{model} {label}");
    for (kind, found) in all {
        let expected = &expected[&format!("{label}.{kind}")];
        let found = match kind.starts_with("cross") {
            // Beside a longer source there are zeros behind the own.
            true => {
                let own = expected.dim(2)?;
                let rest = found.narrow(2, own, found.dim(2)? - own)?.flatten_all()?;
                assert!(rest.to_vec1::<f32>()?.iter().all(|&share| share == 0.0));
                found.narrow(2, 0, own)?
            }
            false => found,
        };
        near(&found, expected, &format!("{model} {label} {kind}"))?;
    }
    Ok(())
}

fn near(found: &Tensor, expected: &Tensor, label: &str) -> Result<()> {
    assert_eq!(found.dims(), expected.dims(), "{label}");
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    for (found, expected) in values(found)?.into_iter().zip(values(expected)?) {
        let near = (found - expected).abs() <= 1e-4 * expected.abs().max(1.0);
        assert!(near || found == expected, "{label}: {found}, not {expected}");
    }
    Ok(())
}

fn tiny(name: &str) -> Arc<dyn CausalLm> {
    AutoModel::open::<dyn CausalLm>(golden(name), &LoadOptions::default()).unwrap()
}

/// The steps of an answer with constraints are those of its own tokens.
#[test]
fn outputs_of_constrained_beams_are_of_their_own_way() -> Result<()> {
    let options = json!({"num_beams": 3, "num_return_sequences": 2, "force_words_ids": [[30, 31]]});
    let config = everything().max_new_tokens(4).overlaid(&GenerationConfig::from_json(&options)?);
    for name in ["llama-gqa-tiny", "gpt2-tiny"] {
        let (model, prompts) = (tiny(name), [vec![5, 17, 42, 8, 23], vec![7, 30]]);
        let answers = generate_batch(&model, None, &prompts, &config)?;
        for (answer, prompt) in answers.iter().zip(prompts.iter().flat_map(|it| [it, it])) {
            for (step, output) in answer.outputs.iter().enumerate() {
                let before = [&prompt[..], &answer.ids()[..step]].concat();
                let batch = TokenBatch::single(&before)?;
                let expected =
                    model.forward(&batch, &mut model.new_cache(), LogitsAt::LastToken)?;
                let found = Tensor::new(output.logits.as_deref().unwrap(), &Device::Cpu)?;
                near(&found, &expected.flatten_all()?, &format!("{name}, step {step}"))?;
                let scores = output.scores.as_deref().unwrap();
                let token = &answer.tokens[step];
                assert!((scores[token.id as usize] - token.logprob).abs() < 1e-4);
                assert_eq!(
                    output.hidden_states[0].dims()[0],
                    if step == 0 { prompt.len() } else { 1 }
                );
            }
        }
    }
    Ok(())
}

/// Drafts of each kind: the tokens, scores, logits, hidden states and attentions that transformers has without them.
#[test]
fn outputs_of_drafted_answers_as_transformers() -> Result<()> {
    let file = golden("outputs/cases.json");
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let cases: Vec<_> = cases.iter().filter(|case| case.case.starts_with("drafted")).collect();
    assert_eq!(cases.len(), 2);
    let mut accepted = [0; 3];
    for case in cases {
        let file = golden(&format!("outputs/{}.safetensors", case.model));
        let expected = safetensors::load(file, &Device::Cpu)?;
        let model = tiny(&case.model);
        let config = everything().overlaid(&GenerationConfig::from_json(&case.options)?);
        let drafters = [
            Drafting::from(PromptLookup::new(3, 1)?),
            Drafting::from(DraftModel::new(&model, &*model, &config)?),
            Drafting::from(DraftModel::early_exit(&*model, 1, &config)?),
        ];
        for (drafting, accepted) in drafters.into_iter().zip(&mut accepted) {
            let stream = generate(&model, &case.prompt, &config)?;
            let mut stream = stream.with_drafter(drafting.whole());
            while stream.next().transpose()?.is_some() {}
            assert_eq!(stream.generated(), case.answers[0]);
            *accepted += stream.timings().accepted_tokens;
            for (token, output) in stream.sequence().outputs().iter().enumerate() {
                compare(&case.model, output, &expected, &format!("{}.0.{token}", case.case))?;
            }
        }
    }
    assert!(accepted.iter().all(|&accepted| accepted > 0), "{accepted:?}");
    Ok(())
}

/// Several tokens of a pass are told as the steps that they stand for; contrasts and cached prompts keep
/// theirs apart.
#[test]
fn drafts_and_contrasts_keep_the_outputs_of_plain_steps() -> Result<()> {
    let near = |one: &[Tensor], other: &[Tensor]| -> Result<()> {
        assert_eq!(one.len(), other.len());
        for (one, other) in one.iter().zip(other) {
            assert_eq!(one.dims(), other.dims());
            let difference = (one - other)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
            assert!(difference < 1e-4, "{difference}");
        }
        Ok(())
    };
    for name in ["llama-tiny", "gemma2-tiny"] {
        let model = tiny(name);
        let config = everything().max_new_tokens(30).top_k(1);
        let prompt = [5, 17, 42, 8, 5, 17, 42];
        let run = |lookup: Option<PromptLookup>| -> Result<Vec<StepOutput>> {
            let mut stream = generate(&model, &prompt, &config)?;
            if let Some(lookup) = lookup {
                let drafting = sconce::generation::Drafting::from(lookup).whole();
                stream = stream.with_drafter(drafting);
            }
            while stream.next().transpose()?.is_some() {}
            let accepted = stream.timings().accepted_tokens;
            assert!(accepted == 0 || stream.timings().drafted_tokens > 0);
            Ok(stream.sequence().outputs().to_vec())
        };
        let (plain, drafted) = (run(None)?, run(Some(PromptLookup::new(5, 1)?))?);
        assert_eq!((plain.len(), drafted.len()), (30, 30));
        assert_eq!(plain[1].hidden_states[0].dims()[0], 1);
        for (plain, drafted) in plain.iter().zip(&drafted) {
            near(&plain.hidden_states, &drafted.hidden_states)?;
            near(&plain.attentions, &drafted.attentions)?;
        }
        // DoLa chooses by other logits than the model's own.
        let dola = GenerationConfig::from_json(&json!({"dola_layers": [1]}))?;
        let answers = generate_batch(&model, None, &[prompt.to_vec()], &config.overlaid(&dola))?;
        let first = &answers[0].outputs[0];
        assert_eq!(first.logits, plain[0].logits);
        assert_ne!(first.scores, first.logits);
        near(&first.hidden_states, &plain[0].hidden_states)?;
    }
    Ok(())
}

#[test]
fn outputs_are_kept_on_request_alone() -> Result<()> {
    let model = tiny("llama-tiny");
    let config = GenerationConfig::default().max_new_tokens(3);
    let run = |config: &GenerationConfig| generate_batch(&model, None, &[vec![5, 17]], config);
    let beams = GenerationConfig::default().num_beams(2);
    for config in [config.clone(), config.clone().overlaid(&beams)] {
        assert!(run(&config)?[0].outputs.is_empty());
        // As in transformers, nothing comes of it without `return_dict_in_generate`.
        assert!(run(&config.clone().output_scores(true))?[0].outputs.is_empty());
        let only = config.clone().return_dict_in_generate(true).output_hidden_states(true);
        let outputs = &run(&only)?[0].outputs;
        assert_eq!(outputs.len(), 3);
        assert!(outputs.iter().all(|output| output.scores.is_none() && output.logits.is_none()));
        assert!(outputs.iter().all(|it| it.attentions.is_empty() && !it.hidden_states.is_empty()));
        assert_eq!(outputs[0].hidden_states[0].dims()[0], 2);
    }
    let contrastive = config.clone().penalty_alpha(0.6).top_k(4).return_dict_in_generate(true);
    assert_eq!(contrastive.mode(), GenerationMode::ContrastiveSearch);
    let outputs = &run(&contrastive.output_attentions(true))?[0].outputs;
    assert!(outputs.iter().all(|it| it.hidden_states.is_empty() && !it.attentions.is_empty()));
    // A model that shows nothing.
    let table = Table::saying(&[1, 2, 3], 6).shared();
    let error = generate_batch(&table, None, &[vec![1]], &everything()).unwrap_err();
    assert!(error.to_string().contains("output_hidden_states"), "{error}");
    Ok(())
}

/// Stands for bytes that are no character.
const CUT: char = char::REPLACEMENT_CHARACTER;

#[derive(Deserialize)]
struct Healing {
    model: String,
    prompt: Vec<u32>,
    healed: Vec<u32>,
}

#[test]
fn tokens_are_healed_as_by_transformers() -> Result<()> {
    let cases: Vec<Healing> =
        serde_json::from_slice(&fs::read(golden("outputs/healing.json")).unwrap()).unwrap();
    let changed = cases.iter().filter(|case| case.prompt.last() != case.healed.last()).count();
    assert!(changed >= 20, "{changed}");
    let (mut models, mut shortened, mut continued) = (BTreeMap::new(), 0, 0);
    for case in &cases {
        let (model, tokenizer) = models
            .entry(&case.model)
            .or_insert_with(|| (tiny(&case.model), Tokenizer::open(golden(&case.model)).unwrap()));
        let healed = heal_tokens(model, tokenizer, &case.prompt)?;
        assert_eq!(healed, case.healed, "{:?}", tokenizer.decode(&case.prompt, true)?);
        let config = GenerationConfig::default().max_new_tokens(3).token_healing(true);
        let prompts = std::slice::from_ref(&case.prompt);
        let answer = generate_batch(model, Some(tokenizer), prompts, &config)?.remove(0);
        assert_eq!(answer.healed_prompt.as_ref(), Some(&healed));
        let plain = GenerationConfig::default().max_new_tokens(3);
        let expected = generate_batch(model, None, std::slice::from_ref(&healed), &plain)?;
        assert_eq!(answer.ids(), expected[0].ids());
        // A stream gives what the last token has become, and then the answer: all that the prompt, which is
        // trimmed, has not said. Characters of which there are only the first bytes are none yet.
        let text = generate_text(model, tokenizer, &case.prompt, &config)?.into_text()?;
        let decoded = |ids: &[u32]| tokenizer.decode(ids, true);
        let whole = decoded(&[&healed[..], &answer.ids()].concat())?;
        let (said, healed) = (decoded(&case.prompt)?, decoded(&healed)?);
        let complete = |text: &str| text.trim().trim_end_matches(CUT).to_owned();
        let both = complete(&said).chars().zip(complete(&healed).chars()).collect::<Vec<_>>();
        let shared: String = both.iter().take_while(|(a, b)| a == b).map(|(a, _)| *a).collect();
        assert_eq!(whole.trim_start().strip_prefix(&*shared), Some(&*text), "{said:?} {healed:?}");
        shortened += usize::from(shared != complete(&said));
        continued += usize::from(said.trim().ends_with(CUT));
        assert!(
            generate(model, &case.prompt, &config)
                .unwrap_err()
                .to_string()
                .contains("token_healing")
        );
    }
    // Few are another token altogether, and few end within a character.
    assert!(shortened > 0 && shortened < cases.len() / 2, "{shortened}");
    assert!(continued < cases.len() / 2, "{continued}");
    Ok(())
}

/// One plan for both: a sequence whose plan asks for outputs through a loop of its own.
#[test]
fn a_loop_of_ones_own_keeps_scores_and_logits() -> Result<()> {
    let config = everything().max_new_tokens(2).repetition_penalty(2.0);
    let plan = config.plan(&[1], sconce::models::ModelLimits::new(3, 10), None)?;
    let mut sequence = Sequence::new(&[1], plan)?;
    sequence.advance(&mut [0.5, 1.0, 0.7])?;
    let output = &sequence.outputs()[0];
    assert_eq!(output.logits.as_deref(), Some(&[0.5, 1.0, 0.7][..]));
    assert_eq!(output.scores.as_deref(), Some(&[0.5, 0.5, 0.7][..]));
    assert!(output.hidden_states.is_empty());
    Ok(())
}
