//! What services say about answers beside their texts: log-probabilities, and fields without a place here.

use serde_json::{Map, Value};

use crate::generation::{ServedDetails, ServedToken};

/// Takes the log-probabilities of a piece of an answer: those of a chat, a list of tokens with theirs, or those
/// of a text, lists of tokens and of numbers.
pub(super) fn add_logprobs(details: &mut ServedDetails, logprobs: &Value) {
    for list in ["content", "refusal"] {
        let tokens = logprobs.get(list).and_then(Value::as_array).into_iter().flatten();
        details.tokens.extend(tokens.filter_map(token));
    }
    let list = |name: &str| logprobs.get(name).and_then(Value::as_array);
    let Some(tokens) = list("tokens") else { return };
    for (place, text) in tokens.iter().enumerate() {
        let at = |name: &str| list(name).and_then(|list| list.get(place));
        let top = at("top_logprobs").and_then(Value::as_object).into_iter().flatten();
        let mut top_logprobs: Vec<_> = top.map(|(token, number)| plain(token, number)).collect();
        top_logprobs.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
        let number = at("token_logprobs").unwrap_or(&Value::Null);
        let token = plain(text.as_str().unwrap_or_default(), number);
        details.tokens.push(ServedToken { top_logprobs, ..token });
    }
}

/// Keeps fields that have no place here. Of one that comes again, lists are joined, and else the last stays.
pub(super) fn add_more(details: &mut ServedDetails, more: Map<String, Value>) {
    for (name, value) in more {
        match (details.more.get_mut(&name), value) {
            (_, Value::Null) => {}
            (Some(Value::Array(all)), Value::Array(next)) => all.extend(next),
            (_, value) => drop(details.more.insert(name, value)),
        }
    }
}

fn token(value: &Value) -> Option<ServedToken> {
    let text = value.get("token")?.as_str()?;
    let byte = |byte: &Value| byte.as_u64().and_then(|byte| u8::try_from(byte).ok());
    let bytes = value.get("bytes").and_then(Value::as_array);
    let top = value.get("top_logprobs").and_then(Value::as_array).into_iter().flatten();
    Some(ServedToken {
        bytes: bytes.and_then(|bytes| bytes.iter().map(byte).collect()),
        top_logprobs: top.filter_map(token).collect(),
        ..plain(text, value.get("logprob").unwrap_or(&Value::Null))
    })
}

fn plain(token: &str, logprob: &Value) -> ServedToken {
    let logprob = logprob.as_f64().map_or(f32::NEG_INFINITY, |number| number as f32);
    ServedToken { token: token.to_owned(), logprob, ..ServedToken::default() }
}
