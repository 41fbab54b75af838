//! The tokens of all beams of a prompt.

use crate::generation::sampler::Token;

/// The tokens of all beams of a prompt, as a tree: beams that fork share what came before.
#[derive(Debug, Default)]
pub(super) struct History(Vec<Link>);

#[derive(Debug)]
struct Link {
    /// The place of the token before.
    before: Option<usize>,
    token: Token,
    /// The beam that it continued.
    beam: usize,
}

impl History {
    /// Adds a token and returns its place.
    pub(super) fn push(&mut self, before: Option<usize>, token: Token, beam: usize) -> usize {
        self.0.push(Link { before, token, beam });
        self.0.len() - 1
    }

    /// All tokens up to a place, and the beam that each continued.
    pub(super) fn until(&self, last: Option<usize>) -> (Vec<Token>, Vec<usize>) {
        let mut link = last.map(|place| &self.0[place]);
        let (mut tokens, mut beams) = (Vec::new(), Vec::new());
        while let Some(Link { before, token, beam }) = link {
            tokens.push(token.clone());
            beams.push(*beam);
            link = before.map(|place| &self.0[place]);
        }
        tokens.reverse();
        beams.reverse();
        (tokens, beams)
    }
}
