//! Messages as services take them.

use serde_json::{Map, Value};

use crate::tokenizer::chat::Message;

/// The message with the arguments of its tool calls as text, and without the reasoning, which services do not
/// take back.
pub(super) fn to_wire(message: &Message) -> Value {
    let fields = message.as_json().iter().filter(|(name, _)| *name != "reasoning_content");
    let mut fields: Map<String, Value> =
        fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    let calls = fields.get_mut("tool_calls").and_then(Value::as_array_mut);
    for call in calls.into_iter().flatten() {
        if let Some(arguments) = call.pointer_mut("/function/arguments")
            && !arguments.is_string()
        {
            *arguments = Value::String(arguments.to_string());
        }
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_become_text_and_reasoning_stays_here() {
        let call = |arguments| json!([{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}]);
        let message = Message::new("assistant", Value::Null)
            .with("reasoning_content", "Hm.")
            .with("tool_calls", call(json!({"town": "Paris"})));
        let wire = to_wire(&message);
        let expected = json!({
            "role": "assistant", "content": null, "tool_calls": call(json!("{\"town\":\"Paris\"}")),
        });
        assert_eq!(wire, expected);
        let again = to_wire(&Message::from_json(wire.clone()).unwrap());
        assert_eq!(again, wire);
    }
}
