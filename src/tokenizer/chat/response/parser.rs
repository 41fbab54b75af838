//! Answers taken apart while they come.

use std::mem;
use std::sync::Arc;

use serde_json::Value;

use crate::fingerprint::fingerprint;
use crate::tokenizer::chat::response::block::Block;
use crate::tokenizer::chat::response::format::{CallSyntax, Look, ResponseFormat};
use crate::tokenizer::chat::response::look::{self, Verdict};
use crate::tokenizer::chat::response::{Response, ToolCall};

/// Takes an answer apart while it comes. Text is passed on as soon as it cannot belong to a marker. How the
/// answer is cut into pieces makes no difference to what comes out.
///
/// ```
/// use sconce::tokenizer::chat::{ResponseEvent, ResponseFormat, ResponseParser};
///
/// let mut parser = ResponseParser::new(ResponseFormat::named("think")?);
/// let mut pieces = parser.push("<think>Hm");
/// pieces.extend(parser.push(".</thi"));
/// pieces.extend(parser.push("nk>Yes"));
/// pieces.extend(parser.finish());
/// let events: Vec<_> = pieces.iter().map(|piece| &piece.event).collect();
/// assert!(matches!(events[1], ResponseEvent::Reasoning(text) if text == "Hm"));
/// assert!(matches!(events[4], ResponseEvent::Content(text) if text == "Yes"));
/// let whole: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
/// assert_eq!(whole, "<think>Hm.</think>Yes");
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ResponseParser {
    format: ResponseFormat,
    state: State,
    /// What has come and is not passed on.
    pending: String,
    /// White space that is left out if a marker follows.
    space: String,
    after_marker: bool,
    /// Whether there was content, and reasoning.
    said: bool,
    thought: bool,
    /// The index of the next tool call.
    calls: usize,
    salt: u64,
    tools: Arc<[Value]>,
    out: Vec<ResponsePiece>,
}

/// A part of an answer, and what it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ResponsePiece {
    /// The text as the model wrote it, markers included. The texts of all pieces are the answer.
    pub text: String,
    /// What it is.
    pub event: ResponseEvent,
}

/// What a part of an answer is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ResponseEvent {
    /// Text for the reader.
    Content(String),
    /// What the model thinks.
    Reasoning(String),
    /// Markers, and the white space beside them.
    Markup,
    /// A tool call has begun.
    ToolCallBegun {
        /// Its number in the answer.
        index: usize,
        /// [`ToolCall::id`].
        id: String,
        /// The function.
        name: String,
    },
    /// More of a call's arguments. The arguments of Python calls come all at once; of calls in XML, text comes
    /// as it is written, and any other value when it is complete.
    ToolCallArguments {
        /// The number of the call.
        index: usize,
        /// A part of the JSON text.
        json: String,
    },
    /// A call is complete.
    ToolCallFinished {
        /// The number of the call.
        index: usize,
        /// The call.
        call: ToolCall,
    },
    /// A call cannot be read: what was reported of it is void, and all of it is content.
    ToolCallBroken {
        /// The number of the call, if it had begun.
        index: Option<usize>,
        /// The whole text of the call.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Debug, Clone)]
enum State {
    Content,
    Reasoning,
    Call(Box<Block>),
}

/// What begins in the content.
enum Marker {
    /// A marker of this length that says nothing else.
    Wrapper(usize),
    Reasoning(usize),
    Call(&'static CallSyntax),
}

impl ResponseParser {
    /// For an answer that begins with content.
    #[must_use]
    pub fn new(format: ResponseFormat) -> Self {
        Self {
            format,
            state: State::Content,
            pending: String::new(),
            space: String::new(),
            after_marker: false,
            said: false,
            thought: false,
            calls: 0,
            salt: 0,
            tools: Arc::new([]),
            out: Vec::new(),
        }
    }

    /// For the answer to `prompt`, the text of the whole conversation: if it ends with the marker that opens
    /// reasoning, the answer begins within it. The ids of tool calls differ from those of other prompts.
    #[must_use]
    pub fn following(self, prompt: &str) -> Self {
        let salt = fingerprint(0, prompt.as_bytes());
        match self.format.opens_reasoning(prompt) {
            true => Self { salt, ..self.in_reasoning() },
            false => Self { salt, ..self },
        }
    }

    /// Tells it the tools that the model was given, as chat templates take them. Calls in XML, as `qwen3-coder`
    /// writes them, say of a value only how it is spelled: the schema of the tool says what it is. Without one
    /// it is text.
    #[must_use]
    pub fn with_tools(self, tools: impl IntoIterator<Item = Value>) -> Self {
        Self { tools: tools.into_iter().collect(), ..self }
    }

    /// For an answer that begins within reasoning, which the prompt has opened. Does nothing in a format
    /// without reasoning.
    #[must_use]
    pub fn in_reasoning(mut self) -> Self {
        if self.format.markers().reasoning.is_some() {
            self.state = State::Reasoning;
            self.after_marker = true;
        }
        self
    }

    /// Adds text and returns what is certain now.
    pub fn push(&mut self, text: &str) -> Vec<ResponsePiece> {
        self.pending += text;
        while self.advance(false) {}
        mem::take(&mut self.out)
    }

    /// Ends the answer and returns what was held back. The parser is not to be used again.
    pub fn finish(&mut self) -> Vec<ResponsePiece> {
        while self.advance(true) {}
        let space = mem::take(&mut self.space);
        let event = match self.state {
            _ if self.after_marker => ResponseEvent::Markup,
            State::Reasoning => ResponseEvent::Reasoning(space.clone()),
            _ => ResponseEvent::Content(space.clone()),
        };
        self.give(space, event);
        mem::take(&mut self.out)
    }

    /// Takes a whole answer apart.
    #[must_use]
    pub fn parse(mut self, text: &str) -> Response {
        let mut response = Response::default();
        let pieces = self.push(text).into_iter().chain(self.finish());
        pieces.for_each(|piece| response.add(piece.event));
        response
    }

    /// Goes on by a marker; `false` where text is wanted.
    fn advance(&mut self, at_end: bool) -> bool {
        match mem::replace(&mut self.state, State::Content) {
            State::Content => self.content(at_end),
            State::Reasoning => {
                self.state = State::Reasoning;
                self.reasoning(at_end)
            }
            State::Call(block) => self.call(block, at_end),
        }
    }

    fn content(&mut self, at_end: bool) -> bool {
        let (at, marker) = self.next_marker(at_end);
        let text = self.take(at);
        self.text(text, ResponseEvent::Content);
        match marker {
            None => false,
            Some(Marker::Wrapper(length)) => {
                self.markup(length);
                true
            }
            Some(Marker::Reasoning(length)) => {
                self.markup(length);
                self.state = State::Reasoning;
                true
            }
            Some(Marker::Call(syntax)) => {
                let space = mem::take(&mut self.space);
                let block = Block::new(syntax, space, self.calls, self.salt, self.tools.clone());
                self.state = State::Call(Box::new(block));
                true
            }
        }
    }

    fn reasoning(&mut self, at_end: bool) -> bool {
        let Some((_, close)) = self.format.markers().reasoning else { return false };
        let found = self.pending.find(close);
        let held = if at_end { 0 } else { look::overlap(&self.pending, close) };
        let text = self.take(found.unwrap_or(self.pending.len() - held));
        self.text(text, ResponseEvent::Reasoning);
        if found.is_some() {
            self.markup(close.len());
            self.state = State::Content;
        }
        found.is_some()
    }

    fn call(&mut self, mut block: Box<Block>, at_end: bool) -> bool {
        let over = block.advance(&mem::take(&mut self.pending), at_end);
        self.out.extend(block.take_pieces());
        let Some(over) = over else {
            self.state = State::Call(block);
            return false;
        };
        self.pending = over.rest;
        self.calls = over.next;
        self.said |= over.broken;
        self.after_marker = !over.broken;
        true
    }

    /// The first place where a marker begins, or where one might begin with what is still to come.
    fn next_marker(&self, at_end: bool) -> (usize, Option<Marker>) {
        let mut blank = !self.said;
        for (at, char) in self.pending.char_indices() {
            if let Some(marker) = self.marker(&self.pending[at..], blank, at_end) {
                return (at, marker);
            }
            blank &= char.is_whitespace();
        }
        (self.pending.len(), None)
    }

    /// The marker that a text begins with; `Some(None)` where that depends on what comes. `blank` says that
    /// there was no content before.
    fn marker(&self, text: &str, blank: bool, at_end: bool) -> Option<Option<Marker>> {
        let markers = self.format.markers();
        let mut open = false;
        let mut fits = |verdict| {
            open |= verdict == Verdict::Maybe;
            verdict == Verdict::Yes
        };
        if let Some((marker, _)) = markers.reasoning.filter(|_| blank && !self.thought)
            && fits(look::literal(text, marker))
        {
            return Some(Some(Marker::Reasoning(marker.len())));
        }
        for wrapper in markers.wrappers {
            if fits(look::literal(text, wrapper)) {
                return Some(Some(Marker::Wrapper(wrapper.len())));
            }
        }
        for syntax in markers.calls {
            if fits(begins(syntax, text, blank)) {
                return Some(Some(Marker::Call(syntax)));
            }
        }
        (open && !at_end).then_some(None)
    }

    /// Passes text on, without the white space that may stand beside a marker.
    fn text(&mut self, text: String, event: fn(String) -> ResponseEvent) {
        if self.format == ResponseFormat::PLAIN {
            return self.give(text.clone(), event(text));
        }
        let core = text.trim();
        if core.is_empty() {
            self.space += &text;
            return;
        }
        let start = text.len() - text.trim_start().len();
        let end = start + core.len();
        let space = mem::take(&mut self.space) + &text[..start];
        let is_reasoning = matches!(self.state, State::Reasoning);
        match self.after_marker && (is_reasoning || !self.said) {
            true => self.give(space, ResponseEvent::Markup),
            false => self.give(space.clone(), event(space)),
        }
        self.give(core.to_owned(), event(core.to_owned()));
        text[end..].clone_into(&mut self.space);
        self.after_marker = false;
        match is_reasoning {
            true => self.thought = true,
            false => self.said = true,
        }
    }

    /// Passes a marker on, with the white space before it.
    fn markup(&mut self, length: usize) {
        let text = mem::take(&mut self.space) + &self.take(length);
        self.give(text, ResponseEvent::Markup);
        self.after_marker = true;
    }

    fn take(&mut self, length: usize) -> String {
        let rest = self.pending.split_off(length);
        mem::replace(&mut self.pending, rest)
    }

    fn give(&mut self, text: String, event: ResponseEvent) {
        if !text.is_empty() {
            self.out.push(ResponsePiece { text, event });
        }
    }
}

/// Whether a text begins with a call in this syntax.
fn begins(syntax: &CallSyntax, text: &str, blank: bool) -> Verdict {
    let marked = look::literal(text, syntax.open);
    let inside = || match syntax.open {
        "" => text,
        open => text[open.len()..].trim_start(),
    };
    match (marked, syntax.look) {
        (Verdict::Yes, Look::Json) => look::json(inside()),
        (Verdict::Yes, Look::Python) if blank => look::python(inside()),
        (Verdict::Yes, Look::Python) => Verdict::No,
        (marked, _) => marked,
    }
}
