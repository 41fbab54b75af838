//! The step loop, driven by hand.

use std::sync::Arc;
use std::time::Duration;

use sconce::Result;
use sconce::generation::{
    Event, FinishReason, Generated, GenerationConfig, LogitsProcessor, Plan, Sequence, Stepper,
    StoppingCriterion, Timings, generate, generate_batch,
};
use sconce::models::CausalLm;
use serde_json::json;

use crate::table::{Table, goldens, ids};

fn model() -> Arc<dyn CausalLm> {
    Table { next: goldens().table, context: 1000, ..Table::default() }.shared()
}

fn sampling() -> GenerationConfig {
    GenerationConfig::default().do_sample(true).temperature(2.0).max_new_tokens(12).seed(4)
}

fn sequence(model: &Arc<dyn CausalLm>, prompt: &[u32], config: &GenerationConfig) -> Sequence {
    Sequence::new(prompt, config.plan(prompt, model.limits(), None).unwrap()).unwrap()
}

fn stepper(model: &Arc<dyn CausalLm>, sequences: Vec<Sequence>) -> Stepper {
    Stepper::new(model.clone(), model.new_cache(), sequences).unwrap()
}

#[test]
fn sequences_leave_one_by_one() {
    let model = model();
    let prompts: [&[u32]; 3] = [&[3, 4, 5], &[11], &[20, 9]];
    let configs = [3, 12, 5].map(|new| sampling().max_new_tokens(new));
    let alone: Vec<_> = prompts
        .iter()
        .zip(&configs)
        .map(|(prompt, config)| ids(generate(&model, prompt, config).unwrap()))
        .collect();
    let sequences = prompts.iter().zip(&configs);
    let sequences = sequences.map(|(prompt, config)| sequence(&model, prompt, config)).collect();
    let mut stepper = stepper(&model, sequences);
    let cancel = stepper.sequences()[1].cancel_handle();
    let mut told = vec![Vec::new(); 3];
    let mut finished = Vec::new();
    for step in 0.. {
        if stepper.is_over() {
            break;
        }
        if step == 7 {
            cancel.cancel();
        }
        for event in stepper.step().unwrap() {
            match event {
                Event::Token { sequence, token } => told[sequence].push(token.id),
                Event::Finished { sequence, reason } => finished.push((step, sequence, reason)),
                other => panic!("{other:?}"),
            }
        }
    }
    let (length, cancelled) = (FinishReason::Length, FinishReason::Cancelled);
    assert_eq!(finished, [(2, 0, length), (4, 2, length), (7, 1, cancelled)]);
    assert_eq!((&told[0], &told[1][..], &told[2]), (&alone[0], &alone[1][..7], &alone[2]));
    for (told, sequence) in told.iter().zip(stepper.sequences()) {
        assert_eq!(told, sequence.generated());
        assert_eq!(sequence.timings().generated_tokens, told.len());
    }
    assert!(stepper.step().unwrap().is_empty());
    assert_eq!(stepper.remove(1).unwrap().finish_reason(), Some(cancelled));
    assert!(stepper.remove(2).is_none());
    assert_eq!(stepper.sequences().len(), 2);
}

#[test]
fn a_loop_of_ones_own_gives_the_same() {
    let model = model();
    let expected = ids(generate(&model, &[3, 4], &sampling()).unwrap());
    let table = goldens().table;
    let mut own = sequence(&model, &[3, 4], &sampling());
    let mut forks = Vec::new();
    while !own.is_over() {
        forks.push(own.clone());
        let last = own.tokens()[own.tokens().len() - 1];
        own.advance(&mut table[last as usize].clone()).unwrap();
    }
    // A clone goes on as the original does.
    for mut sequence in forks.into_iter().chain([own]) {
        while !sequence.is_over() {
            let last = sequence.tokens()[sequence.tokens().len() - 1];
            sequence.advance(&mut table[last as usize].clone()).unwrap();
        }
        assert_eq!(sequence.generated(), expected);
        assert_eq!(sequence.finish_reason(), Some(FinishReason::Length));
    }
}

#[test]
fn log_probabilities_are_the_models_own_and_those_drawn_with() {
    let (model, table) = (model(), goldens().table);
    let log_softmax = |logits: &[f32], id: u32, temperature: f64| {
        let scaled = logits.iter().map(|&logit| f64::from(logit) / temperature);
        let total: f64 = scaled.clone().map(f64::exp).sum();
        f64::from(logits[id as usize]) / temperature - total.ln()
    };
    let config = sampling().top_k(0).top_logprobs(3);
    for config in [config.clone(), config.do_sample(false)] {
        let temperature = if config.do_sample == Some(true) { 2.0 } else { 1.0 };
        let mut last = 3;
        for token in generate(&model, &[last], &config).unwrap() {
            let (token, logits) = (token.unwrap(), &table[last as usize]);
            let near = |found: f32, expected: f64| (f64::from(found) - expected).abs() < 1e-5;
            assert!(near(token.logprob, log_softmax(logits, token.id, temperature)));
            assert!(near(token.model_logprob, log_softmax(logits, token.id, 1.0)));
            let mut ranked: Vec<_> = (0..logits.len() as u32).collect();
            ranked.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
            let top: Vec<_> = token.top_logprobs.iter().map(|top| top.id).collect();
            assert_eq!(top, ranked[..3]);
            for top in &token.top_logprobs {
                assert!(near(top.logprob, log_softmax(logits, top.id, 1.0)));
            }
            last = token.id;
        }
    }
}

/// Fails when it sees a token.
#[derive(Debug, Clone)]
struct Breaks(u32);

impl LogitsProcessor for Breaks {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if tokens.contains(&self.0) {
            logits.fill(f32::NEG_INFINITY);
        }
        Ok(())
    }
}

#[test]
fn a_sequence_that_fails_leaves_the_others_alone() {
    let model = Table::saying(&[1, 2, 3, 4], 6).shared();
    let config = GenerationConfig::default().max_new_tokens(3);
    let plan = |prompt: &[u32]| -> Plan {
        let plan = config.plan(prompt, model.limits(), None).unwrap();
        plan.with_processor(Box::new(Breaks(4)))
    };
    let sequences = [1, 2].map(|id| Sequence::new(&[id], plan(&[id])).unwrap());
    let mut together = stepper(&model, sequences.to_vec());
    let mut failed = Vec::new();
    while !together.is_over() {
        let events = together.step().unwrap();
        failed.extend(events.into_iter().filter_map(|event| match event {
            Event::Failed { sequence, error } => Some((sequence, error.to_string())),
            _ => None,
        }));
    }
    assert!(matches!(&failed[..], [(1, error)] if error.contains("no token")), "{failed:?}");
    let [first, second] = together.sequences() else { panic!("two sequences") };
    assert_eq!((first.generated(), second.generated()), (&[2, 3, 4][..], &[3, 4][..]));
    assert_eq!((first.finish_reason(), second.finish_reason()), (Some(FinishReason::Length), None));
    let batch = stepper(&model, sequences.to_vec()).run(drop).unwrap();
    assert_eq!(batch.iter().filter(|sequence| sequence.finish_reason().is_none()).count(), 1);
}

/// Met after so many tokens of the answer.
#[derive(Debug, Clone)]
struct After(usize);

impl StoppingCriterion for After {
    fn is_met(&mut self, _tokens: &[u32]) -> Result<bool> {
        self.0 -= 1;
        Ok(self.0 == 0)
    }
}

#[test]
fn a_criterion_of_ones_own_ends_an_answer() {
    let model = Table::saying(&[1, 2, 3], 4).shared();
    let plan = GenerationConfig::default().plan(&[1], model.limits(), None).unwrap();
    let plan = plan.with_stopping_criterion(Box::new(After(3)));
    for plan in [plan.clone(), plan] {
        let sequence = Sequence::new(&[1], plan).unwrap();
        let [sequence] = &stepper(&model, vec![sequence]).run(drop).unwrap()[..] else {
            panic!("one")
        };
        assert_eq!(sequence.generated(), [2, 3, 1]);
        assert_eq!(sequence.finish_reason(), Some(FinishReason::StoppingCriterion));
    }
}

/// The time is that of the whole call, and what comes after it is not begun.
#[test]
fn the_time_of_a_batch_is_one() {
    let delay = Duration::from_millis(30);
    let table = Arc::new(Table { delay, ..Table::saying(&[1, 2], 4) });
    let model: Arc<dyn CausalLm> = table.clone();
    let config = GenerationConfig::default().max_new_tokens(1000).max_time(0.1);
    let answers = generate_batch(&model, None, &vec![vec![1]; 600], &config).unwrap();
    assert_eq!(answers.len(), 600);
    assert!(answers.iter().all(|answer| answer.finish_reason == FinishReason::Time));
    assert!(answers[..256].iter().all(|answer| !answer.tokens.is_empty()));
    assert!(answers[256..].iter().all(|answer| answer.tokens.is_empty()));
    assert!(table.calls.lock().unwrap().len() < 6);
}

#[test]
fn a_cache_of_other_rows_is_refused() {
    let model = model();
    let config = GenerationConfig::default();
    let mut first = stepper(&model, vec![sequence(&model, &[3], &config)]);
    first.step().unwrap();
    let (cache, sequences) = (first.cache().fork().unwrap(), first.sequences().to_vec());
    let others = vec![sequence(&model, &[3], &config), sequence(&model, &[4], &config)];
    for others in [others.clone(), others[..1].to_vec()] {
        let refused = Stepper::new(model.clone(), cache.fork().unwrap(), others);
        assert!(refused.unwrap_err().to_string().contains("rows of [1] tokens"));
    }
    let refused = Stepper::new(model.clone(), model.new_cache(), sequences.clone());
    assert!(refused.unwrap_err().to_string().contains("rows of [0] tokens, not of [1]"));
    let expected = ids(generate(&model, &[3], &config).unwrap());
    let rest = Stepper::new(model.clone(), cache, sequences.clone()).unwrap();
    assert_eq!(rest.run(drop).unwrap()[0].generated(), expected);

    // One that is taken out is computed again.
    let mut other = stepper(&model, vec![sequence(&model, &[4], &config)]);
    other.step().unwrap();
    other.step().unwrap();
    let taken = stepper(&model, vec![other.remove(0).unwrap()]).run(drop).unwrap();
    assert_eq!(taken[0].generated(), ids(generate(&model, &[4], &config).unwrap()));
}

#[test]
fn sequences_join_and_fork_on_the_way() {
    let table = Arc::new(Table { next: goldens().table, context: 1000, ..Table::default() });
    let model: Arc<dyn CausalLm> = table.clone();
    let configs = [12, 2, 6, 4].map(|new| sampling().max_new_tokens(new));
    let prompts: [&[u32]; 4] = [&[3, 4, 5], &[11], &[20, 9], &[7]];
    let begun = |which: &[usize]| {
        let sequence = |&number: &usize| sequence(&model, prompts[number], &configs[number]);
        stepper(&model, which.iter().map(sequence).collect())
    };
    let mut running = begun(&[0, 1]);
    assert!(running.join(begun(&[2])).unwrap_err().to_string().contains("taken a step"));
    for _ in 0..3 {
        running.step().unwrap();
    }
    let mut new = begun(&[2, 3]);
    new.step().unwrap();
    running.join(new).unwrap();
    running.step().unwrap();
    let plan = running.sequences()[0].plan().clone();
    assert_eq!(running.fork(0, plan.clone()).unwrap(), 4);
    assert!(
        running.fork(1, plan).is_err()
            && running.fork(9, running.sequences()[0].plan().clone()).is_err()
    );
    table.calls.lock().unwrap().clear();
    let sequences = running.run(drop).unwrap();
    assert_eq!(table.calls.lock().unwrap()[..3], [(4, 1), (4, 1), (3, 1)]);
    for (number, sequence) in [0, 1, 2, 3, 0].into_iter().zip(&sequences) {
        let alone = ids(generate(&model, prompts[number], &configs[number]).unwrap());
        assert_eq!(sequence.generated(), alone, "sequence {number}");
    }

    // What is over makes room.
    let mut over = begun(&[1]);
    over.step().unwrap();
    over.step().unwrap();
    let mut new = begun(&[2]);
    new.step().unwrap();
    over.join(new).unwrap();
    let alone = ids(generate(&model, prompts[2], &configs[2]).unwrap());
    assert_eq!(over.run(drop).unwrap()[1].generated(), alone);
    assert!(begun(&[]).join(stepper(&self::model(), Vec::new())).is_err());
}

#[test]
fn what_comes_out_is_json_and_back() {
    let model = model();
    let config = sampling().top_logprobs(2);
    let prompts = [vec![3], vec![4, 5]];
    let answers = generate_batch(&model, None, &prompts, &config).unwrap();
    let written = serde_json::to_value(&answers).unwrap();
    assert_eq!(serde_json::from_value::<Vec<Generated>>(written.clone()).unwrap(), answers);
    assert_eq!(written[0]["finish_reason"], json!("length"));
    assert!(written[0]["timings"]["total"].is_f64());
    assert_eq!(written[0]["tokens"][0]["top_logprobs"].as_array().map(Vec::len), Some(2));
    let negative = json!({"prompt_tokens": 1, "cached_tokens": 0, "generated_tokens": 0,
        "time_to_first_token": -1.0, "total": 0.0});
    assert!(serde_json::from_value::<Timings>(negative).is_err());
    for reason in [FinishReason::EndOfSequence, FinishReason::Time] {
        assert_eq!(reason.to_string().parse::<FinishReason>().unwrap(), reason);
    }
    assert_eq!(FinishReason::EndOfSequence.to_string(), "end_of_sequence");
    let error = "over".parse::<FinishReason>().unwrap_err().to_string();
    assert!(error.contains("`end_of_sequence`"), "{error}");
}
