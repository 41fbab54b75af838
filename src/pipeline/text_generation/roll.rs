//! Long chats lose their oldest turns.

use std::ops::Range;

use crate::error::Result;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::chat::{ChatOptions, Message};

/// How many tokens a prompt may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) most: usize,
    /// If something has to go, so much goes that this holds, where it can.
    pub(super) wanted: usize,
}

/// A chat that fits, or has nothing more to lose.
pub(super) struct Rolled {
    pub(super) ids: Vec<u32>,
    /// The tokens of the whole chat, where they had to be counted; else those of `ids`.
    pub(super) whole: usize,
    /// The messages that are left out.
    pub(super) dropped: Range<usize>,
}

/// Leaves out the oldest turns of a chat until it fits. Messages up to `dropped` are left out in any case; so the
/// beginning stays the same from turn to turn, and with it what is cached.
pub(super) fn rolled(
    tokenizer: &Tokenizer,
    messages: &[Message],
    options: &ChatOptions,
    room: Room,
    dropped: usize,
) -> Result<Rolled> {
    let system = dropped_messages(messages, 0).start;
    let encode = |end: usize| -> Result<Vec<u32>> {
        let kept = [&messages[..system], &messages[end.clamp(system, messages.len())..]].concat();
        Ok(tokenizer.encode_chat(&kept, options)?.encoding.ids)
    };
    let start = dropped.clamp(system, messages.len());
    let ids = encode(start)?;
    let whole = ids.len();
    if whole <= room.most {
        return Ok(Rolled { ids, whole, dropped: system..start });
    }
    // Turns begin with the user; the last one stays.
    let is_start = |&at: &usize| at > start && messages[at].role() == "user";
    let starts: Vec<_> = (system..messages.len()).filter(is_start).collect();
    let Some(&last) = starts.last() else {
        return Ok(Rolled { ids, whole, dropped: system..start });
    };
    // The fewer messages, the fewer tokens: the first that fits is looked for by halves.
    let (mut low, mut high) = (0, starts.len() - 1);
    while low < high {
        let middle = low.midpoint(high);
        match encode(starts[middle])?.len() <= room.wanted {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    let end = starts.get(low).copied().unwrap_or(last);
    Ok(Rolled { ids: encode(end)?, whole, dropped: system..end })
}

/// The messages up to `end`, but for the system prompt.
pub(super) fn dropped_messages(messages: &[Message], end: usize) -> Range<usize> {
    let is_system = |message: &Message| matches!(message.role(), "system" | "developer");
    let system = messages.iter().take_while(|message| is_system(message)).count();
    system..end.max(system)
}
