//! One block of tool calls, from its opening marker to where it ends.

use std::mem;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::tokenizer::chat::response::ToolCall;
use crate::tokenizer::chat::response::format::{Body, CallSyntax};
use crate::tokenizer::chat::response::json::{self, ObjectScan, Progress};
use crate::tokenizer::chat::response::look::{self, Verdict};
use crate::tokenizer::chat::response::parser::{ResponseEvent, ResponsePiece};
use crate::tokenizer::chat::response::python::{self, Extent};
use crate::tokenizer::chat::response::xml;

/// Tool calls in the making.
#[derive(Debug, Clone)]
pub(super) struct Block {
    syntax: &'static CallSyntax,
    /// All of its text, and the white space before.
    text: String,
    /// The next byte to look at.
    at: usize,
    /// How much of the text is passed on.
    given: usize,
    /// Where the text begins that is given back if it breaks: after the last call.
    kept: usize,
    phase: Phase,
    in_list: bool,
    /// The name and the id that stand before the arguments.
    named: Option<(String, String)>,
    /// The number of the current call, once it has been reported.
    begun: Option<usize>,
    /// The number of the next call.
    next: usize,
    salt: u64,
    /// What the functions take, for calls that do not say it.
    tools: Arc<[Value]>,
    out: Vec<ResponsePiece>,
}

#[derive(Debug, Clone)]
enum Phase {
    /// What shows the kind of the body.
    Body,
    /// A name, and maybe an id, up to the brace of the arguments.
    Head,
    Object(ObjectScan),
    /// In a list an object or its end; then a comma or its end.
    Item,
    Comma,
    /// After an object that no marker closes: perhaps a semicolon and one more.
    Semicolon,
    /// A list of Python calls that begins here, or Python up to the closing marker.
    Calls(usize, Extent),
    Source(usize),
    /// Calls in XML.
    Xml(xml::CallScan),
    /// The closing marker, after which the object is reported.
    Close(Option<ObjectScan>),
    /// It is broken, and goes on up to its closing marker.
    Lost(String),
}

/// What becomes of a block that is over.
pub(super) struct Over {
    /// The text that comes after it.
    pub(super) rest: String,
    /// Whether it ended as content.
    pub(super) broken: bool,
    /// The number of the next call.
    pub(super) next: usize,
}

/// What a phase has come to.
enum Step {
    /// It waits for text.
    Wait,
    Next(Phase),
    /// The block ends here.
    Over,
    Broken(String),
}

impl Block {
    /// A block that begins with `space`; `next` is the number of its first call.
    pub(super) fn new(
        syntax: &'static CallSyntax,
        space: String,
        next: usize,
        salt: u64,
        tools: Arc<[Value]>,
    ) -> Self {
        Self {
            syntax,
            at: space.len() + syntax.open.len(),
            text: space,
            given: 0,
            kept: 0,
            phase: Phase::Body,
            in_list: false,
            named: None,
            begun: None,
            next,
            salt,
            tools,
            out: Vec::new(),
        }
    }

    /// Takes in text and says whether the block is over.
    pub(super) fn advance(&mut self, text: &str, at_end: bool) -> Option<Over> {
        self.text += text;
        loop {
            let mut phase = mem::replace(&mut self.phase, Phase::Body);
            match self.step(&mut phase, at_end) {
                Step::Wait => {
                    self.phase = phase;
                    return None;
                }
                Step::Next(next) => self.phase = next,
                Step::Broken(reason) => self.phase = Phase::Lost(reason),
                Step::Over => {
                    let broken = match phase {
                        Phase::Lost(reason) => Some(reason),
                        _ => None,
                    };
                    return Some(self.over(broken));
                }
            }
        }
    }

    /// What is to be passed on.
    pub(super) fn take_pieces(&mut self) -> Vec<ResponsePiece> {
        mem::take(&mut self.out)
    }

    fn over(&mut self, reason: Option<String>) -> Over {
        let broken = reason.is_some();
        match reason {
            Some(reason) => {
                let text = self.text[self.kept..self.at].to_owned();
                let index = self.begun;
                self.give(self.at, ResponseEvent::ToolCallBroken { index, text, reason });
            }
            None if self.given < self.at => self.give(self.at, ResponseEvent::Markup),
            None => {}
        }
        Over { rest: self.text.split_off(self.at), broken, next: self.next }
    }

    fn step(&mut self, phase: &mut Phase, at_end: bool) -> Step {
        let step = match phase {
            Phase::Body => self.body(),
            Phase::Head => self.head(),
            Phase::Object(scan) => self.object(scan),
            Phase::Item => match self.next_byte() {
                None => Step::Wait,
                Some(b'{') => Step::Next(Phase::Object(ObjectScan::new(self.at))),
                Some(b']') => self.end_list(),
                Some(_) => Step::Broken(look::unexpected(&self.text[self.at..])),
            },
            Phase::Comma => match self.next_byte() {
                None => Step::Wait,
                Some(b',') => {
                    self.at += 1;
                    Step::Next(Phase::Item)
                }
                Some(b']') => self.end_list(),
                Some(_) => Step::Broken(look::unexpected(&self.text[self.at..])),
            },
            Phase::Semicolon => self.semicolon(at_end),
            Phase::Calls(start, extent) => match extent.advance(&self.text) {
                None => Step::Wait,
                Some(end) => {
                    self.at = end;
                    self.source(*start, end)
                }
            },
            Phase::Source(start) => match self.find_close(at_end) {
                None => Step::Wait,
                Some(end) => self.source(*start, end),
            },
            Phase::Xml(scan) => self.xml(scan, at_end),
            Phase::Close(object) => self.close(object, at_end),
            Phase::Lost(_) => self.lost(at_end),
        };
        match step {
            Step::Wait if at_end => {
                self.at = self.text.len();
                Step::Broken("the answer ends within it".to_owned())
            }
            step => step,
        }
    }

    fn body(&mut self) -> Step {
        let first = self.next_byte();
        // A list is of objects, or of Python calls.
        let inside = self.text[self.at..].strip_prefix('[').map(str::trim_start);
        match (self.syntax.body, first) {
            (_, None) => Step::Wait,
            (Body::Xml, _) => Step::Next(Phase::Xml(xml::CallScan::new(self.at))),
            (Body::Python, _) => Step::Next(Phase::Calls(self.at, Extent::new(self.at))),
            (_, Some(b'{')) => Step::Next(Phase::Object(ObjectScan::new(self.at))),
            (Body::Code, Some(b'[')) if inside == Some("") => Step::Wait,
            (Body::Code, Some(b'[')) if inside.is_some_and(|rest| !rest.starts_with('{')) => {
                Step::Next(Phase::Source(self.at))
            }
            (_, Some(b'[')) => {
                self.in_list = true;
                self.at += 1;
                Step::Next(Phase::Item)
            }
            (Body::Code, _) => Step::Next(Phase::Source(self.at)),
            (Body::Named { before, .. }, _) => match look::literal(&self.text[self.at..], before) {
                Verdict::Yes => {
                    self.at += before.len();
                    Step::Next(Phase::Head)
                }
                Verdict::Maybe => Step::Wait,
                Verdict::No => Step::Broken(look::unexpected(&self.text[self.at..])),
            },
            (Body::Json, _) => Step::Broken(look::unexpected(&self.text[self.at..])),
        }
    }

    fn head(&mut self) -> Step {
        let Body::Named { id, arguments, .. } = self.syntax.body else { return Step::Over };
        match look::head(&self.text[self.at..], id, arguments) {
            Ok(head) => {
                self.at += head.length;
                let index = self.begin(self.at, head.name.clone(), head.id.clone());
                self.named = Some((head.name, self.id(index, head.id)));
                Step::Next(Phase::Object(ObjectScan::new(self.at)))
            }
            Err(Verdict::Maybe) => Step::Wait,
            Err(_) => Step::Broken("there is no name with arguments".to_owned()),
        }
    }

    fn object(&mut self, scan: &mut ObjectScan) -> Step {
        let progress = scan.advance(&self.text);
        match &self.named {
            Some(_) => {
                let (Progress::Open(end) | Progress::Over(end) | Progress::Broken(end, _)) =
                    progress;
                self.argue(end);
            }
            // A call that has an id of its own is reported when that is known.
            None if matches!(self.syntax.body, Body::Named { .. }) => {}
            None => {
                if let (Some(name), Some(arguments)) = (&scan.name, scan.arguments.clone()) {
                    if self.begun.is_none() {
                        self.begin(arguments.start, name.clone(), None);
                    }
                    self.argue(arguments.end);
                }
            }
        }
        match progress {
            Progress::Open(_) => Step::Wait,
            Progress::Broken(at, reason) => {
                self.at = at;
                Step::Broken(reason)
            }
            Progress::Over(end) => {
                self.at = end;
                if !self.in_list && !self.syntax.close.is_empty() {
                    return Step::Next(Phase::Close(Some(scan.clone())));
                }
                match self.finish(scan) {
                    Err(reason) => Step::Broken(reason),
                    Ok(()) if self.in_list => Step::Next(Phase::Comma),
                    Ok(()) if self.syntax.body == Body::Json => Step::Next(Phase::Semicolon),
                    Ok(()) => Step::Over,
                }
            }
        }
    }

    fn end_list(&mut self) -> Step {
        self.at += 1;
        match self.syntax.close {
            "" => Step::Over,
            _ => Step::Next(Phase::Close(None)),
        }
    }

    fn semicolon(&mut self, at_end: bool) -> Step {
        match look::another(&self.text[self.at..]) {
            Ok(length) => {
                self.at += length;
                Step::Next(Phase::Object(ObjectScan::new(self.at)))
            }
            Err(Verdict::Maybe) if !at_end => Step::Wait,
            Err(_) => Step::Over,
        }
    }

    fn close(&mut self, object: &mut Option<ObjectScan>, at_end: bool) -> Step {
        let rest = self.text[self.at..].trim_start();
        let closed = look::literal(rest, self.syntax.close);
        match closed {
            Verdict::Maybe if !at_end => return Step::Wait,
            // What is complete counts, also where its end was cut off.
            Verdict::Maybe | Verdict::Yes => {}
            Verdict::No => {
                self.at = self.text.len() - rest.len();
                return Step::Broken(look::unexpected(&self.text[self.at..]));
            }
        }
        let end = match closed {
            Verdict::Yes => self.text.len() - rest.len() + self.syntax.close.len(),
            _ => self.text.len(),
        };
        if let Some(object) = object.take()
            && let Err(reason) = self.finish(&object)
        {
            return Step::Broken(reason);
        }
        self.at = end;
        Step::Over
    }

    /// Where the source ends, with `at` behind the closing marker.
    fn find_close(&mut self, at_end: bool) -> Option<usize> {
        let close = self.syntax.close;
        if close.is_empty() {
            self.at = self.text.len();
            return at_end.then_some(self.at);
        }
        let found = self.text[self.at..].find(close).map(|found| self.at + found);
        match found {
            Some(end) => self.at = end + close.len(),
            // What is here begins no marker that is still to come.
            None => self.at = self.text.len() - look::overlap(&self.text[self.at..], close),
        }
        found
    }

    /// Passes on what has come of calls in XML.
    fn xml(&mut self, scan: &mut xml::CallScan, at_end: bool) -> Step {
        loop {
            let progress = scan.advance(&self.text, self.syntax.close, &self.tools, at_end);
            self.at = scan.at;
            match progress {
                xml::Progress::Open => return Step::Wait,
                xml::Progress::Over => return Step::Over,
                xml::Progress::Broken(reason) => return Step::Broken(reason),
                xml::Progress::Begun(name) => _ = self.begin(self.at, name, None),
                xml::Progress::Arguments(json) => self.argue_json(json),
                xml::Progress::Called(name, arguments) => {
                    self.argue_json(if arguments.is_empty() { "{}" } else { "}" }.to_owned());
                    if let Some(index) = self.begun.take() {
                        let call = ToolCall { id: self.id(index, None), name, arguments };
                        self.finished(index, call);
                    }
                }
            }
        }
    }

    /// Reports calls in Python, or a program as a call of `python`.
    fn source(&mut self, start: usize, end: usize) -> Step {
        let source = self.text[start..end].trim();
        let calls = match python::calls(source) {
            Ok(calls) => calls,
            Err(_) if self.syntax.body == Body::Code && !source.is_empty() => {
                let code = Value::from(source);
                vec![("python".to_owned(), Map::from_iter([("code".to_owned(), code)]))]
            }
            Err(reason) => return Step::Broken(reason),
        };
        for (name, arguments) in calls {
            // The tools that are built into Llama 3.1: `brave_search.call(query="…")`.
            let name = name.strip_suffix(".call").unwrap_or(&name).to_owned();
            self.report(self.at, name, arguments, None);
        }
        Step::Over
    }

    /// Up to the closing marker, or to the next block.
    fn lost(&mut self, at_end: bool) -> Step {
        let (open, close) = (self.syntax.open, self.syntax.close);
        if close.is_empty() {
            return Step::Over;
        }
        match look::lost(&self.text[self.at..], open, close) {
            Ok(length) => {
                self.at += length;
                Step::Over
            }
            Err(_) if at_end => {
                self.at = self.text.len();
                Step::Over
            }
            Err(length) => {
                self.at += length;
                Step::Wait
            }
        }
    }

    /// Reports an object that is complete.
    fn finish(&mut self, scan: &ObjectScan) -> Result<(), String> {
        let source = &self.text[scan.start()..self.at];
        let value: Map<String, Value> =
            serde_json::from_str(source).map_err(|error| format!("no valid JSON: {error}"))?;
        if let Some((name, id)) = self.named.take()
            && let Some(index) = self.begun.take()
        {
            let call = ToolCall { id, name, arguments: value };
            self.finished(index, call);
            return Ok(());
        }
        let own_id = match (self.syntax.body, value.get("id")) {
            (Body::Named { .. }, Some(Value::String(id))) => Some(id.clone()),
            _ => None,
        };
        let (name, arguments) = json::call(value)?;
        match self.begun.take() {
            Some(index) => {
                let call = ToolCall { id: self.id(index, None), name, arguments };
                self.finished(index, call);
            }
            None => self.report(self.at, name, arguments, own_id),
        }
        Ok(())
    }

    /// All of a call at once.
    fn report(
        &mut self,
        end: usize,
        name: String,
        arguments: Map<String, Value>,
        id: Option<String>,
    ) {
        let index = self.begin(end, name.clone(), id.clone());
        self.begun = None;
        let json = Value::Object(arguments.clone()).to_string();
        self.give(end, ResponseEvent::ToolCallArguments { index, json });
        let call = ToolCall { id: self.id(index, id), name, arguments };
        self.finished(index, call);
    }

    fn begin(&mut self, end: usize, name: String, id: Option<String>) -> usize {
        let index = self.next;
        self.next += 1;
        self.begun = Some(index);
        let id = self.id(index, id);
        self.give(end, ResponseEvent::ToolCallBegun { index, id, name });
        index
    }

    /// Passes on the arguments up to here.
    fn argue(&mut self, end: usize) {
        if let Some(index) = self.begun.filter(|_| self.given < end) {
            let json = self.text[self.given..end].to_owned();
            self.give(end, ResponseEvent::ToolCallArguments { index, json });
        }
    }

    /// Passes on arguments that the text up to here means.
    fn argue_json(&mut self, json: String) {
        if let Some(index) = self.begun {
            self.give(self.at, ResponseEvent::ToolCallArguments { index, json });
        }
    }

    fn finished(&mut self, index: usize, call: ToolCall) {
        self.give(self.at, ResponseEvent::ToolCallFinished { index, call });
        self.kept = self.at;
    }

    fn give(&mut self, end: usize, event: ResponseEvent) {
        let text = self.text[self.given..end].to_owned();
        self.given = end;
        self.out.push(ResponsePiece { text, event });
    }

    /// The model's own id, or one that no other call of the conversation has.
    fn id(&self, index: usize, own: Option<String>) -> String {
        own.unwrap_or_else(|| look::id(self.salt, index))
    }

    /// The next byte that is no white space, which is passed over.
    fn next_byte(&mut self) -> Option<u8> {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest.bytes().next()
    }
}
