//! The tokens of all beams of a prompt.

use std::iter;

use crate::generation::outputs::StepOutput;
use crate::generation::sampler::Token;

/// The tokens of all beams of a prompt, as a tree: beams that fork share what came before.
#[derive(Debug, Default)]
pub(super) struct History(Vec<Link>);

#[derive(Debug)]
struct Link {
    /// The place of the token before.
    before: Option<usize>,
    token: Token,
    /// What its step has computed, if it is kept.
    output: Option<StepOutput>,
    /// The beam that it continued.
    beam: usize,
}

impl History {
    /// Adds a token and returns its place.
    pub(super) fn push(
        &mut self,
        before: Option<usize>,
        token: Token,
        output: Option<StepOutput>,
        beam: usize,
    ) -> usize {
        self.0.push(Link { before, token, output, beam });
        self.0.len() - 1
    }

    /// All tokens up to a place, what their steps have computed, and the beam that each continued.
    pub(super) fn until(&self, last: Option<usize>) -> (Vec<Token>, Vec<StepOutput>, Vec<usize>) {
        let links = iter::successors(last, |&place| self.0[place].before);
        let mut links: Vec<_> = links.map(|place| &self.0[place]).collect();
        links.reverse();
        let tokens = links.iter().map(|link| link.token.clone()).collect();
        let outputs = links.iter().filter_map(|link| link.output.clone()).collect();
        (tokens, outputs, links.iter().map(|link| link.beam).collect())
    }
}
