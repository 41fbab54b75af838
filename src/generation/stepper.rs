//! The step loop: one forward pass, one token for each sequence, or several where they were drafted.

use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::generation::ahead;
use crate::generation::draft::Costs;
use crate::generation::outputs::RowPlace;
use crate::generation::pass::{Passed, Wants, numbers, pass};
use crate::generation::plan::Plan;
use crate::generation::sampler::Token;
use crate::generation::sequence::Sequence;
use crate::generation::shadow::{self, Shadow};
use crate::generation::stop::FinishReason;
use crate::models::{Autoregressive, LogitsAt};
use crate::nn::cache::KvCache;

/// Sequences that are computed together, and the cache that holds their tokens, one row for each.
///
/// Everything that generates is made of it: [`TokenStream`](super::TokenStream) is a stepper with one
/// sequence, [`generate_batch`](super::generate_batch) is a loop over [`step`](Self::step). A sequence
/// gets the tokens that it would get alone.
///
/// ```no_run
/// use sconce::generation::{Event, GenerationConfig, Sequence, Stepper};
/// use sconce::models::{AutoModel, CausalLm};
///
/// let model = AutoModel::open::<dyn CausalLm>("HuggingFaceTB/SmolLM2-135M", &Default::default())?;
/// let config = GenerationConfig::default().max_new_tokens(8);
/// let prompts: [&[u32]; 2] = [&[504, 3575, 282], &[2683, 28]];
/// let sequences = prompts.map(|prompt| {
///     Sequence::new(prompt, config.plan(prompt, model.limits(), None)?)
/// });
/// let sequences = sequences.into_iter().collect::<sconce::Result<Vec<_>>>()?;
/// let mut stepper = Stepper::new(model.clone(), model.new_cache(), sequences)?;
/// while !stepper.is_over() {
///     for event in stepper.step()? {
///         if let Event::Token { sequence, token } = event {
///             println!("{sequence}: {}, {}", token.id, token.logprob);
///         }
///     }
/// }
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug)]
pub struct Stepper {
    model: Arc<dyn Autoregressive>,
    pub(super) cache: KvCache,
    pub(super) sequences: Vec<Sequence>,
    /// What passes cost, where tokens are drafted.
    costs: Costs,
}

/// What a step has done to a sequence, which is told by its place in [`Stepper::sequences`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A token has come.
    Token {
        /// The place of the sequence.
        sequence: usize,
        /// The token.
        token: Token,
    },
    /// It is over.
    Finished {
        /// The place of the sequence.
        sequence: usize,
        /// Why it is over.
        reason: FinishReason,
    },
    /// It is over because of an error that is its own: no token could be chosen, or none decoded.
    Failed {
        /// The place of the sequence.
        sequence: usize,
        /// What went wrong.
        error: Error,
    },
}

impl Stepper {
    /// Computes `sequences` together. `cache` is new, or has one row for each of them, which holds what
    /// is computed of it already ([`Sequence::reuse`]).
    ///
    /// The prompt of neighbours that have the same, as several answers to one prompt have, is computed
    /// once.
    ///
    /// # Errors
    ///
    /// When the cache holds other rows than the sequences say, or a plan has several beams.
    pub fn new(
        model: Arc<dyn Autoregressive>,
        mut cache: KvCache,
        mut sequences: Vec<Sequence>,
    ) -> Result<Self> {
        sequences.iter().try_for_each(|it| shadow::refuse_sources(&it.plan, &cache))?;
        let computed: Vec<_> = sequences.iter().map(|sequence| sequence.computed).collect();
        let is_new = cache.rows() == 0;
        let found = if is_new { vec![0; computed.len()] } else { cache.row_lengths() };
        if found != computed {
            let reason = format!("the cache holds rows of {found:?} tokens, not of {computed:?}");
            return Err(Error::input(reason));
        }
        sequences.iter().try_for_each(|sequence| sequence.plan.refuse_beams())?;
        sequences.iter_mut().try_for_each(|sequence| sequence.draft_by_early_exit(&*model))?;
        let mut rows = 0;
        for place in 0..sequences.len() {
            let prompt = sequences[place].tokens();
            let shares = is_new && place > 0 && sequences[place - 1].tokens() == prompt;
            rows += usize::from(!shares);
            sequences[place].row = rows - 1;
        }
        let mut shadows = 0;
        for place in 0..sequences.len() {
            let (before, after) = sequences.split_at_mut(place);
            let sequence = &mut after[0];
            sequence.shadow =
                Shadow::of(&sequence.plan, &sequence.tokens[..sequence.plan.prompt_tokens()]);
            let Some(shadow) = &mut sequence.shadow else { continue };
            let neighbour = before.last().filter(|last| is_new && last.row == sequence.row);
            let neighbour = neighbour.and_then(|last| last.shadow.as_ref());
            shadows += usize::from(!neighbour.is_some_and(|other| other.is_like(shadow)));
            shadow.row = rows + shadows - 1;
        }
        if !is_new && shadows > 0 {
            let mut empty = cache.emptied();
            empty.extend_rows((0..shadows).map(|_| &[][..]));
            cache.admit(empty)?;
        }
        cache.reserve(sequences.iter().map(|sequence| sequence.plan.slots()).max().unwrap_or(0));
        Ok(Self { model, cache, sequences, costs: Costs::default() })
    }

    /// Runs the model once, on what each sequence that is not over has not computed yet: its prompt, or
    /// its last token. Each gets its next token; with a drafter ([`Sequence::with_drafter`]) also those
    /// after it that were guessed right, with an event for each.
    ///
    /// A sequence that was cancelled ends without another token. While prompts are computed, the pass is
    /// given up once all its sequences are cancelled or out of time.
    ///
    /// # Errors
    ///
    /// What the model refuses; no sequence has changed then. What concerns one sequence alone is an
    /// [`Event`].
    pub fn step(&mut self) -> Result<Vec<Event>> {
        let started = Instant::now();
        let mut events =
            self.end(|sequence| sequence.cancel.is_cancelled().then_some(FinishReason::Cancelled));
        events.extend(self.draft());
        let running: Vec<_> = self.running().collect();
        if running.is_empty() {
            return Ok(events);
        }
        let before: Vec<_> = self.sequences.iter().map(|sequence| sequence.computed).collect();
        let (logits, passed) = match self.pass(&running) {
            Err(Error::Interrupted) if interrupted(&self.sequences, &running) => {
                for &place in &running {
                    self.sequences[place].timings.record(started.elapsed(), 0);
                }
                events.extend(self.end(Sequence::interruption));
                return Ok(events);
            }
            passed => passed?,
        };
        let mut all = numbers(&logits)?;
        drop(logits);
        let Passed { each, vocab, longest_before, .. } = passed;
        let mut lengths = self.cache.row_lengths();
        for (number, &sequence) in running.iter().enumerate() {
            let row = self.sequences[sequence].row;
            let next = running.get(number + 1).map(|&next| self.sequences[next].row);
            let advancing = &mut self.sequences[sequence];
            let new = advancing.tokens.len() - before[sequence] + advancing.drafted;
            let place = RowPlace { row, before: before[sequence], longest_before, new };
            // Padding is on the left.
            let own = (row + 1) * each - (advancing.drafted + 1) * vocab..(row + 1) * each;
            let answered = advancing.answer.len();
            if let Some(shadow) = &advancing.shadow {
                let end = (shadow.row + 1) * each;
                let logits = &all[end - (advancing.drafted + 1) * vocab..end];
                advancing.plan.guide_away_from(logits.chunks(vocab));
            }
            let logits = &mut all[own.clone()];
            let tokens = match next == Some(row) {
                true => advancing.advance_through(logits.to_vec().chunks_mut(vocab)),
                false => advancing.advance_through(logits.chunks_mut(vocab)),
            };
            advancing.record(&passed, place, own)?;
            lengths[row] = advancing.computed;
            if let Some(shadow) = &mut advancing.shadow {
                // Of what was chosen, the last is not computed.
                shadow.note_computed(answered + tokens.len().saturating_sub(1));
                lengths[shadow.row] = shadow.computed();
            }
            let count = tokens.iter().filter(|token| token.is_ok()).count();
            advancing.timings.record(started.elapsed(), count);
            events.extend(tokens.into_iter().map(|token| match token {
                Ok(token) => Event::Token { sequence, token },
                Err(error) => Event::Failed { sequence, error },
            }));
            events.extend(advancing.finish.map(|reason| Event::Finished { sequence, reason }));
        }
        if lengths != self.cache.row_lengths() {
            self.cache.truncate_rows(&lengths)?;
        }
        Ok(events)
    }

    /// Takes steps until all sequences are over, and returns them; `told` gets all events.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub fn run(mut self, mut told: impl FnMut(Event)) -> Result<Vec<Sequence>> {
        while !self.is_over() {
            self.step()?.into_iter().for_each(&mut told);
        }
        Ok(self.sequences)
    }

    /// Takes in the sequences of another stepper of the same model, behind its own. Both must have taken a
    /// step, so that new prompts are computed apart and go on together with the rest.
    ///
    /// # Errors
    ///
    /// When the models are not the same, or one has sequences that it has not computed.
    pub fn join(&mut self, mut other: Self) -> Result<()> {
        if !Arc::ptr_eq(&self.model, &other.model) {
            return Err(Error::input("sequences of another model cannot join"));
        }
        if [&*self, &other].iter().any(|it| it.cache.rows() == 0 && !it.is_over()) {
            return Err(Error::input("sequences join once their stepper has taken a step"));
        }
        let rows = self.cache.rows();
        self.cache.admit(other.cache)?;
        for sequence in &mut other.sequences {
            sequence.row += rows;
            sequence.shadow.iter_mut().for_each(|shadow| shadow.row += rows);
        }
        self.sequences.append(&mut other.sequences);
        Ok(())
    }

    /// Puts a second continuation of a sequence behind the others and returns its place. It goes on from
    /// the same tokens by a plan of its own, a clone of the first's with another seed, say
    /// ([`Sequence::plan`], [`Plan::with_seed`]). What is computed is shared.
    ///
    /// # Errors
    ///
    /// When there is no such sequence, or the plan was made for a prompt of another length.
    pub fn fork(&mut self, sequence: usize, plan: Plan) -> Result<usize> {
        let count = self.sequences.len();
        let forked = self.sequences.get(sequence).ok_or_else(|| {
            Error::input(format!("no sequence {sequence} in a stepper of {count}"))
        })?;
        let mut forked = forked.clone().with_plan(plan)?;
        forked.shadow = forked.shadow.filter(|_| forked.plan.guidance().is_some());
        self.sequences.push(forked);
        Ok(count)
    }

    /// Whether all sequences are over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.running().next().is_none()
    }

    /// The sequences, also those that are over.
    #[must_use]
    pub fn sequences(&self) -> &[Sequence] {
        &self.sequences
    }

    /// Takes a sequence out, `None` where there is none; those after it move up by one place. If it is
    /// not over it can go on in another stepper, which computes it anew.
    pub fn remove(&mut self, sequence: usize) -> Option<Sequence> {
        let removed = (sequence < self.sequences.len()).then(|| self.sequences.remove(sequence));
        removed.map(|sequence| Sequence { computed: 0, shadow: None, ..sequence })
    }

    /// Takes the last `count` tokens of a sequence back, for one whose caller has not seen them.
    pub(super) fn take_back(&mut self, sequence: usize, count: usize) {
        let taken = &mut self.sequences[sequence];
        taken.take_back(count);
        let mut lengths = self.cache.row_lengths();
        if let Some(length) = lengths.get_mut(taken.row) {
            *length = taken.computed.min(*length);
            if let Some(shadow) = &mut taken.shadow {
                shadow.go_back(taken.answer.len());
                lengths[shadow.row] = shadow.computed().min(lengths[shadow.row]);
            }
            // A draft is shorter than what every cache can go back by.
            let _went_back = self.cache.truncate_rows(&lengths).is_ok();
        }
    }

    /// Leaves the row of one sequence in the cache, the tokens of which are all that was computed.
    pub(super) fn keep_row_of(&mut self, sequence: usize) {
        let row = self.sequences[sequence].row;
        if self.cache.rows() > 1 && self.cache.select_rows(&[row]).is_err() {
            self.cache.clear();
        }
    }

    /// The cache. Rows of sequences that are over leave it with the next step. Behind those of the sequences
    /// are the rows of what guided ones are guided away from.
    #[must_use]
    pub fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// The places of the sequences that are not over.
    fn running(&self) -> impl Iterator<Item = usize> {
        let places = self.sequences.iter().enumerate();
        places.filter(|(_, sequence)| !sequence.is_over()).map(|(place, _)| place)
    }

    /// Ends those that have a reason to.
    pub(super) fn end(&mut self, reason: impl Fn(&Sequence) -> Option<FinishReason>) -> Vec<Event> {
        let running = self.sequences.iter_mut().enumerate().filter(|(_, it)| !it.is_over());
        let ended = running.filter_map(|(place, sequence)| {
            sequence.finish = reason(sequence);
            Some(Event::Finished { sequence: place, reason: sequence.finish? })
        });
        ended.collect()
    }

    /// A pass of the sequences at these places, and of the tokens that they have drafted.
    fn pass(&mut self, running: &[usize]) -> Result<(Tensor, Passed)> {
        let batch = self.batch(running)?;
        let Self { model, cache, sequences, costs } = self;
        let checkpoint = || match interrupted(sequences, running) {
            true => Err(Error::Interrupted),
            false => Ok(()),
        };
        let drafted: usize = running.iter().map(|&place| sequences[place].drafted).sum();
        let at = if drafted > 0 { LogitsAt::EveryToken } else { LogitsAt::LastToken };
        let started = Instant::now();
        let mut wants = vec![Wants::default(); batch.rows()];
        for &place in running {
            let Sequence { row, plan, .. } = &sequences[place];
            wants[*row] = wants[*row].with(plan);
        }
        let passed = pass(&**model, &batch, cache, at, &checkpoint, &wants)?;
        let mut computed = running.iter().map(|&place| &sequences[place]);
        let drafts = computed.clone().any(|sequence| sequence.drafting.is_some());
        if drafts && computed.all(Sequence::is_at_its_last) {
            costs.record(
                batch.attention_mask().iter().filter(|&&mask| mask == 1).count(),
                started.elapsed().as_secs_f64(),
            );
        }
        Ok(passed)
    }

    /// Lets the sequences draft that have drafters, unless keys depend on how long a row is.
    fn draft(&mut self) -> Vec<Event> {
        let Self { model, cache, sequences, costs } = self;
        let running: Vec<_> =
            (0..sequences.len()).filter(|&place| !sequences[place].is_over()).collect();
        let failed = ahead::draft(sequences, &running, costs, &**model);
        let longest = running.iter().map(|&place| sequences[place].drafted).max().unwrap_or(0);
        let tokens = cache.tokens();
        if longest > 0 && model.reusable(cache, tokens, tokens + 1 + longest) < tokens {
            running.iter().for_each(|&place| sequences[place].drafted = 0);
        }
        let interrupted = running.iter().filter_map(|&sequence| {
            Some(Event::Finished { sequence, reason: sequences[sequence].finish? })
        });
        let failed = failed.into_iter();
        let failed = failed.map(|(sequence, error)| Event::Failed { sequence, error });
        failed.chain(interrupted).collect()
    }

    /// What is not computed yet, in the order of the cache's rows: those of the sequences at these
    /// places, and no others any more.
    fn batch(&mut self, running: &[usize]) -> Result<TokenBatch> {
        let (mut kept, mut tokens) = (Vec::new(), Vec::new());
        let mut rows = Vec::with_capacity(running.len());
        for &place in running {
            let sequence = &self.sequences[place];
            // Several answers to a prompt have one row until they have tokens of their own.
            let shares = kept.last() == Some(&sequence.row) && sequence.answer().is_empty();
            if !shares {
                kept.push(sequence.row);
                tokens.push(sequence.pending());
            }
            rows.push(kept.len() - 1);
        }
        // Behind them what they are guided away from; shared as long.
        let own = kept.len();
        for &place in running {
            let Sequence { answer, shadow, draft, drafted, .. } = &mut self.sequences[place];
            let Some(shadow) = shadow else { continue };
            let shares = kept.len() > own && kept.last() == Some(&shadow.row) && answer.is_empty();
            let answer = answer.iter().map(|token| token.id);
            let pending = shadow.pending(answer.chain(draft.tokens[..*drafted].iter().copied()));
            if !shares {
                kept.push(shadow.row);
                tokens.push(pending);
            }
            shadow.row = kept.len() - 1;
        }
        if self.cache.rows() > 0 && !kept.iter().copied().eq(0..self.cache.rows()) {
            self.cache.select_rows(&kept)?;
        }
        for (&place, row) in running.iter().zip(rows) {
            self.sequences[place].row = row;
        }
        TokenBatch::padded(&tokens, 0, PaddingSide::Left)
    }
}

/// Whether each of the sequences at these places has a reason to end.
fn interrupted(sequences: &[Sequence], running: &[usize]) -> bool {
    running.iter().all(|&place| sequences[place].interruption().is_some())
}
