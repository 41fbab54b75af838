//! `continue_final_message`, as `render_jinja_template` of transformers 4.57 does it: a tag is put
//! at the end of the last message, and the rendered text is cut where the tag came out.

use serde_json::Value;

use crate::error::{Error, Result};

use super::jinja;
use super::message::Message;

/// Puts the tag at the end of the last message's text; returns the text as it was.
pub(super) fn mark(messages: &mut [Message]) -> Result<String> {
    let last = messages.last_mut().and_then(Message::content_mut);
    let text = match last {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => parts
            .iter_mut()
            .rev()
            .find_map(|part| part.get_mut("text"))
            .and_then(|text| match text {
                Value::String(text) => Some(text),
                _ => None,
            })
            .ok_or_else(|| refused("there is no text to continue in the final message"))?,
        _ => return Err(refused("the final message has no content that is text")),
    };
    let original = text.clone();
    text.push_str(TAG);
    Ok(original)
}

/// Cuts the rendered text after what the template made of the last message.
pub(super) fn cut(rendered: &mut String, final_text: &str) -> Result<()> {
    let place = match rendered.rfind(TAG.trim_end()) {
        Some(place) if rendered.contains(jinja::strip(final_text)) => place,
        _ => {
            return Err(refused(
                "the final message does not appear in the chat after applying the template, \
                 which may have deleted portions of it",
            ));
        }
    };
    // A template that trims the message has also trimmed the tag's space.
    let kept = match rendered[place..].starts_with(TAG) {
        true => place,
        false => jinja::strip_end(&rendered[..place]).len(),
    };
    rendered.truncate(kept);
    Ok(())
}

pub(super) fn refused(reason: &str) -> Error {
    Error::option("continue_final_message", reason)
}

/// Ends in a space, to tell templates that trim messages from those that do not.
const TAG: &str = "CONTINUE_FINAL_MESSAGE_TAG ";
