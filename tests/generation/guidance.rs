//! Guidance: what answers are guided away from is computed beside them.

use std::path::PathBuf;
use std::sync::Arc;

use sconce::generation::processors::{Guidance, PrefixAllowedTokens};
use sconce::generation::{
    CancelHandle, DraftModel, Drafting, FinishReason, Generated, GenerationConfig, PromptLookup,
    Sequence, TokenStream, complete, generate, generate_batch, generate_from, generate_seq2seq,
};
use sconce::models::{AutoModel, Autoregressive, CausalLm, Seq2SeqLm};
use sconce::{LoadOptions, Result};

use crate::table::{Table, goldens};

const PROMPTS: [&[u32]; 3] = [&[5, 17, 42, 8], &[7], &[9, 30, 31]];

fn tiny(name: &str) -> Arc<dyn CausalLm> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    AutoModel::open::<dyn CausalLm>(path, &LoadOptions::default()).unwrap()
}

const NEGATIVE: [u32; 2] = [3, 8];

fn guided(config: GenerationConfig) -> GenerationConfig {
    config.guidance_scale(2.5).negative_prompt_ids(NEGATIVE.to_vec())
}

fn config() -> GenerationConfig {
    guided(plain())
}

fn plain() -> GenerationConfig {
    GenerationConfig::default().max_new_tokens(8)
}

/// The same by a processor that computes for itself, as a loop of one's own has it.
fn apart(model: &Arc<dyn CausalLm>, prompt: &[u32], config: &GenerationConfig) -> Vec<Generated> {
    let mut plan = config.plan(prompt, model.limits(), None).unwrap();
    let guidance = Guidance::new(2.5, model.clone(), Some(&NEGATIVE)).unwrap();
    plan.processors_mut().insert(0, Box::new(guidance));
    let decoder: Arc<dyn Autoregressive> = model.clone();
    let sequence = Sequence::new(prompt, plan);
    complete(&decoder, &model.new_cache(), [sequence]).unwrap().remove(0).unwrap()
}

#[test]
fn rows_beside_the_answers_are_guided_as_by_passes_of_their_own() -> Result<()> {
    for name in ["llama-gqa-tiny", "gemma2-tiny", "gpt2-tiny"] {
        let model = tiny(name);
        let sampled = config().do_sample(true).num_return_sequences(2).seed(4);
        let beams = plain().num_beams(3).num_return_sequences(2).repetition_penalty(1.2);
        let groups = plain().num_beams(4).num_beam_groups(2).diversity_penalty(1.0);
        for unguided in [plain(), beams, groups] {
            let config = guided(unguided.clone());
            let prompts = PROMPTS.map(<[u32]>::to_vec);
            let together = generate_batch(&model, None, &prompts, &config)?;
            let each = together.len() / prompts.len();
            for (prompt, together) in prompts.iter().zip(together.chunks(each)) {
                let alone = generate_batch(&model, None, std::slice::from_ref(prompt), &config)?;
                let apart = apart(&model, prompt, &unguided);
                assert_eq!((together.len(), alone.len(), apart.len()), (each, each, each));
                for ((together, alone), apart) in together.iter().zip(&alone).zip(&apart) {
                    assert_eq!(together.ids(), alone.ids(), "{name}");
                    assert_eq!(together.ids(), apart.ids(), "{name}");
                }
            }
            let plain = generate_batch(&model, None, &prompts, &unguided)?;
            assert!(plain.iter().zip(&together).any(|(plain, it)| plain.ids() != it.ids()));
        }
        // Several answers to one prompt share what both of their rows begin with.
        let answers = generate_batch(&model, None, &[PROMPTS[0].to_vec()], &sampled)?;
        for (number, answer) in answers.iter().enumerate() {
            let alone = sampled.clone().num_return_sequences(1).seed(4 + number as u64);
            let alone = generate_batch(&model, None, &[PROMPTS[0].to_vec()], &alone)?;
            assert_eq!(answer.ids(), alone[0].ids());
        }
    }
    Ok(())
}

/// One pass for each step, with a row for each answer and one for what it is guided away from.
#[test]
fn guidance_takes_no_passes_of_its_own() -> Result<()> {
    let table = Arc::new(Table { next: goldens().table, context: 1000, ..Table::default() });
    let model: Arc<dyn CausalLm> = table.clone();
    let prompts = [vec![3, 4, 5], vec![11]];
    let answers = generate_batch(&model, None, &prompts, &config().max_new_tokens(4))?;
    assert_eq!(answers[0].tokens.len(), 4);
    let calls: Vec<_> = table.calls.lock().unwrap().drain(..).collect();
    assert_eq!(calls, [(4, 3), (4, 1), (4, 1), (4, 1)]);
    Ok(())
}

/// The row that guides an answer follows its drafts, right and wrong ones, and goes back with them.
#[test]
fn guided_answers_are_drafted() -> Result<()> {
    for name in ["llama-gqa-tiny", "gemma2-tiny", "gpt2-tiny"] {
        let (model, small) = (tiny(name), tiny("llama-tiny"));
        for config in [config(), config().do_sample(true).temperature(1.5).seed(3)] {
            let config = config.max_new_tokens(30);
            let repeated = [PROMPTS[0], PROMPTS[0], PROMPTS[0]].concat();
            let expected: Vec<_> = generate(&model, &repeated, &config)?
                .map(|token| Ok(token?.id))
                .collect::<Result<_>>()?;
            let early = DraftModel::early_exit(&*model, 1, &config)?;
            let drafters = [
                Drafting::from(PromptLookup::new(4, 1)?),
                Drafting::from(early),
                Drafting::from(DraftModel::new(&model, &*model, &config)?),
                Drafting::from(DraftModel::new(&small, &*model, &config)?),
            ];
            let mut accepted = 0;
            for drafting in drafters {
                for drafting in [drafting.clone().whole(), drafting] {
                    let mut stream = generate(&model, &repeated, &config)?.with_drafter(drafting);
                    let found: Vec<_> =
                        stream.by_ref().map(|token| Ok(token?.id)).collect::<Result<_>>()?;
                    assert_eq!(found, expected, "{name}");
                    accepted += stream.timings().accepted_tokens;
                }
            }
            assert!(accepted > 0, "{name}");
            // Beside others, which draft other lengths, or nothing.
            let prompts = [repeated.clone(), PROMPTS[1].to_vec(), PROMPTS[2].repeat(4)];
            let drafted = config.clone().prompt_lookup_num_tokens(5).max_matching_ngram_size(1);
            let (plain, drafted) = (
                generate_batch(&model, None, &prompts, &config)?,
                generate_batch(&model, None, &prompts, &drafted)?,
            );
            for (plain, drafted) in plain.iter().zip(&drafted) {
                assert_eq!(plain.ids(), drafted.ids(), "{name}");
            }
        }
    }
    Ok(())
}

/// What may come depends on what has come: drafts are held to it as plain steps are, and so is a draft model.
#[test]
fn answers_of_allowed_tokens_are_drafted() -> Result<()> {
    for name in ["llama-gqa-tiny", "gemma2-tiny", "gpt2-tiny"] {
        let (model, small) = (tiny(name), tiny("llama-tiny"));
        for config in [plain(), plain().do_sample(true).seed(3), config()] {
            let config = config.max_new_tokens(25);
            let prompt = PROMPTS[0].repeat(3);
            let stream = |drafting: Option<Drafting>| -> Result<_> {
                // After each token one of the three that follow it, round and round.
                let allowed = |tokens: &[u32]| {
                    let last = tokens.last().map_or(0, |id| id % 12);
                    Ok((1..4).map(|step| 20 + (last + step) % 12).collect())
                };
                let plan = config.plan(&prompt, model.limits(), None)?;
                let plan = plan.with_prefix_allowed_tokens(PrefixAllowedTokens::new(allowed));
                let mut sequence = Sequence::new(&prompt, plan)?;
                if let Some(drafting) = drafting {
                    sequence = sequence.with_drafter(drafting);
                }
                let mut stream = TokenStream::new(model.clone(), model.new_cache(), sequence)?;
                let ids = stream.by_ref().map(|token| Ok(token?.id)).collect::<Result<Vec<_>>>()?;
                Ok((ids, stream.timings().accepted_tokens))
            };
            let (expected, _) = stream(None)?;
            assert!(expected.iter().all(|id| (20..32).contains(id)));
            let mut accepted = 0;
            for drafting in [
                Drafting::from(PromptLookup::new(4, 1)?),
                Drafting::from(DraftModel::early_exit(&*model, 1, &config)?),
                Drafting::from(DraftModel::new(&small, &*model, &config)?),
            ] {
                let (found, of_draft) = stream(Some(drafting.whole()))?;
                assert_eq!(found, expected, "{name}");
                accepted += of_draft;
            }
            assert!(accepted > 0, "{name}");
        }
    }
    Ok(())
}

/// The cache that a stream leaves holds the answer alone, and a later turn goes on from it.
#[test]
fn a_guided_stream_leaves_its_own_row() -> Result<()> {
    let model = tiny("llama-gqa-tiny");
    let mut stream = generate(&model, PROMPTS[0], &config())?;
    let first: Vec<_> = stream.by_ref().map(|token| Ok(token?.id)).collect::<Result<_>>()?;
    let (cache, tokens) = stream.into_parts();
    assert_eq!((cache.rows(), tokens.len()), (1, 12));
    let prompt = [tokens.as_slice(), &[20, 21]].concat();
    let go_on = |cache, cached: &[u32]| -> Result<Vec<u32>> {
        let stream = generate_from(&model, cache, cached, &prompt, &config())?;
        assert_eq!(stream.timings().cached_tokens, cached.len().saturating_sub(1));
        stream.map(|token| Ok(token?.id)).collect()
    };
    assert_eq!(go_on(cache, &tokens)?, go_on(model.new_cache(), &[])?);
    assert_eq!(first.len(), 8);
    Ok(())
}

#[test]
fn an_encoder_decoder_is_not_guided() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/seq2seq/t5-tiny");
    let model = AutoModel::open::<dyn Seq2SeqLm>(path, &LoadOptions::default()).unwrap();
    for config in [config(), config().num_beams(2)] {
        let cancel = CancelHandle::default();
        let error = generate_seq2seq(&model, None, &[vec![5, 6]], &[0], &config, &cancel);
        assert!(error.unwrap_err().to_string().contains("guidance_scale"));
    }
}

/// The row that guides an answer is longer than the answer's own.
#[test]
fn an_answer_ends_where_what_guides_it_fills_the_context() {
    let model = Table { next: goldens().table, context: 10, ..Table::default() }.shared();
    let config = GenerationConfig::default().max_new_tokens(100).guidance_scale(2.0);
    let guided = |negative: usize| config.clone().negative_prompt_ids(vec![4; negative]);
    for (negative, new) in [(1, 8), (2, 8), (5, 5), (9, 1), (10, 1)] {
        for config in [guided(negative), guided(negative).num_beams(2)] {
            let prompts = [vec![3, 4], vec![5; 6]];
            let answers = generate_batch(&model, None, &prompts, &config).unwrap();
            assert_eq!(answers[0].ids().len(), new, "after {negative} tokens");
            assert_eq!(answers[0].finish_reason, FinishReason::Length);
        }
    }
    let error = generate(&model, &[3], &guided(11)).unwrap_err().to_string();
    assert!(error.contains("negative_prompt_ids") && error.contains("context of 10"), "{error}");
    // Without a scale nothing is guided.
    assert_eq!(generate(&model, &[3], &guided(11).guidance_scale(1.0)).unwrap().count(), 9);
}
