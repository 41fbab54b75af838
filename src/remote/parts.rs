//! One answer, put together from what a service sends of it.

use serde_json::{Map, Value};

use crate::generation::{FinishReason, ServedDetails};
use crate::remote::details::{add_logprobs, add_more};
use crate::remote::wire::{CallDelta, Choice};
use crate::tokenizer::chat::{Response, ResponseEvent, ResponsePiece, ToolCall};
use crate::warning::warn;

/// What has come of one answer.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) response: Response,
    pub(super) finish: Option<FinishReason>,
    pub(super) details: ServedDetails,
    calls: Vec<Call>,
}

#[derive(Debug, Default)]
struct Call {
    /// The service's number for it.
    number: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    /// How much of the arguments was passed on.
    passed: usize,
    is_begun: bool,
}

impl Parts {
    /// Takes what has come, and returns it in pieces.
    pub(super) fn add(&mut self, choice: Choice) -> Vec<ResponsePiece> {
        let mut pieces = Vec::new();
        let mut say = |text: String, event: fn(String) -> ResponseEvent| {
            if !text.is_empty() {
                pieces.push(ResponsePiece { text: text.clone(), event: event(text) });
            }
        };
        if let Some(logprobs) = &choice.logprobs {
            add_logprobs(&mut self.details, logprobs);
        }
        add_more(&mut self.details, choice.more);
        let mut delta = choice.delta.unwrap_or_default();
        add_more(&mut self.details, std::mem::take(&mut delta.more));
        let reasoning = delta.reasoning_content.into_text();
        let other = delta.reasoning.into_text();
        say(if reasoning.is_empty() { other } else { reasoning }, ResponseEvent::Reasoning);
        say(choice.text.unwrap_or_default(), ResponseEvent::Content);
        say(delta.content.into_text(), ResponseEvent::Content);
        say(delta.refusal.unwrap_or_default(), ResponseEvent::Content);
        for call in delta.tool_calls {
            self.add_call(call, &mut pieces);
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            self.finish = Some(finish_reason(&reason));
        }
        self.keep(pieces)
    }

    /// The rest of the pieces, now that nothing more comes.
    pub(super) fn end(&mut self, finish: FinishReason) -> Vec<ResponsePiece> {
        self.finish.get_or_insert(finish);
        let calls = std::mem::take(&mut self.calls);
        let pieces = calls.into_iter().enumerate().map(|(index, call)| ResponsePiece {
            text: String::new(),
            event: call.finished(index),
        });
        let pieces = pieces.collect();
        self.keep(pieces)
    }

    fn keep(&mut self, pieces: Vec<ResponsePiece>) -> Vec<ResponsePiece> {
        pieces.iter().for_each(|piece| self.response.add(piece.event.clone()));
        pieces
    }

    fn add_call(&mut self, delta: CallDelta, pieces: &mut Vec<ResponsePiece>) {
        let id = delta.id.unwrap_or_default();
        let function = delta.function;
        let (name, arguments) = function.map(|f| (f.name, f.arguments)).unwrap_or_default();
        let name = name.unwrap_or_default();
        let known = match delta.index {
            Some(_) => self.calls.iter().position(|call| call.number == delta.index),
            // Without a number, a new name or id is a new call.
            None if !name.is_empty() => None,
            None => self.calls.len().checked_sub(1),
        };
        let index = known.unwrap_or_else(|| {
            self.calls.push(Call { number: delta.index, ..Call::default() });
            self.calls.len() - 1
        });
        let call = &mut self.calls[index];
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        match arguments {
            Some(Value::String(text)) => call.arguments += &text,
            None | Some(Value::Null) => {}
            Some(json) => call.arguments += &json.to_string(),
        }
        if call.name.is_empty() {
            return;
        }
        if !call.is_begun {
            call.is_begun = true;
            if call.id.is_empty() {
                call.id = format!("call_{index}");
            }
            let (id, name) = (call.id.clone(), call.name.clone());
            let event = ResponseEvent::ToolCallBegun { index, id, name };
            pieces.push(ResponsePiece { text: call.name.clone(), event });
        }
        if call.passed < call.arguments.len() {
            let json = call.arguments[call.passed..].to_owned();
            call.passed = call.arguments.len();
            let event = ResponseEvent::ToolCallArguments { index, json: json.clone() };
            pieces.push(ResponsePiece { text: json, event });
        }
    }
}

impl Call {
    fn finished(self, index: usize) -> ResponseEvent {
        let Self { id, name, arguments, is_begun, .. } = self;
        let read = match arguments.trim() {
            _ if name.is_empty() => Err("the call names no function".to_owned()),
            "" => Ok(Map::new()),
            text => serde_json::from_str(text).map_err(|error| error.to_string()),
        };
        match read {
            Ok(arguments) => {
                ResponseEvent::ToolCallFinished { index, call: ToolCall { id, name, arguments } }
            }
            Err(reason) => {
                let text = format!("{name}({arguments})");
                ResponseEvent::ToolCallBroken { index: is_begun.then_some(index), text, reason }
            }
        }
    }
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        // A model that calls tools has ended its answer. Services do not tell stop strings apart.
        "stop" | "eos" | "tool_calls" | "function_call" => FinishReason::EndOfSequence,
        "length" | "max_tokens" => FinishReason::Length,
        "content_filter" => FinishReason::ContentFilter,
        other => {
            warn(&format!("a service ended an answer for a reason that is not known: {other:?}"));
            FinishReason::EndOfSequence
        }
    }
}
