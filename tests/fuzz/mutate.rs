//! Damage to bytes and to JSON.

use serde_json::{Map, Value, json};

use crate::random::Random;

/// Numbers that overflow one way or another.
pub const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    255,
    65_536,
    1 << 20,
    1 << 30,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    1 << 40,
    1 << 61,
    1 << 63,
    u64::MAX,
];

/// A few of: bytes changed, a number overwritten, a part doubled, left out or moved, the end cut off.
/// `range` is where.
pub fn bytes(random: &mut Random, bytes: &mut Vec<u8>, range: std::ops::Range<usize>) {
    for _ in 0..random.between(1, 3) {
        let end = range.end.min(bytes.len());
        if range.start >= end {
            return;
        }
        let at = range.start + random.below(end - range.start);
        let length = random.between(1, 32).min(end - at);
        match random.below(8) {
            0..=2 => bytes[at] = random.byte(),
            3 => bytes[at] ^= 1 << random.below(8),
            4 => {
                let number = random.of(NUMBERS).to_le_bytes();
                let width = *random.of(&[4, 8]);
                let width = width.min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            5 => {
                let part = bytes[at..at + length].repeat(random.between(1, 40));
                bytes.splice(at..at, part);
            }
            6 => drop(bytes.drain(at..at + length)),
            _ if random.once_in(3) => bytes.truncate(at),
            _ => bytes[at..at + length].reverse(),
        }
    }
}

/// One to three places changed: another value, a field left out, renamed or exchanged, a list grown.
pub fn json(random: &mut Random, value: &mut Value) {
    for _ in 0..random.between(1, 3) {
        let number = random.below(places(value));
        let donor = nth(value, random.below(places(value))).clone();
        let place = nth_mut(value, number);
        match random.below(10) {
            0..=3 => *place = lie(random),
            4 => nudge(random, place),
            5 => *place = donor,
            6 => grow(random, place),
            7 => shrink(random, place),
            8 => rename(random, place),
            _ => *place = json!([place.clone()]),
        }
    }
}

/// A value that was not meant.
pub fn lie(random: &mut Random) -> Value {
    match random.below(16) {
        0 => Value::Null,
        1 => json!(random.once_in(2)),
        2..=4 => json!(random.of(NUMBERS)),
        5 => json!(-1_i64 << random.below(63)),
        6 => json!(*random.of(&[0.5, -0.5, 1e300, -1e300, 1e-300, 1e9, f64::MAX])),
        7 => json!(random.below(100)),
        8 => json!([]),
        9 => json!({}),
        10 => json!([lie(random), lie(random)]),
        11 => json!({"type": lie(random), "content": lie(random)}),
        12 => json!("x".repeat(*random.of(&[0, 1, 100, 100_000, 1_000_000]))),
        13 => {
            let deep = random.between(1, 200);
            (0..deep).fold(json!(1), |inner, _| json!([inner]))
        }
        _ => json!(*random.of(TEXTS)),
    }
}

/// Texts that mean something somewhere.
pub const TEXTS: &[&str] = &[
    "",
    " ",
    "\0",
    "\u{feff}",
    "\u{1b}[31m",
    "\u{202e}abc",
    "../../../etc/passwd",
    "/dev/zero",
    "C:\\x",
    "a\\b",
    "NaN",
    "-1",
    "1e999",
    "none",
    "true",
    "gelu",
    "default",
    "linear",
    "yarn",
    "dynamic",
    "longrope",
    "BPE",
    "WordPiece",
    "WordLevel",
    "Unigram",
    "Sequence",
    "Replace",
    "ByteLevel",
    "Metaspace",
    "Precompiled",
    "TemplateProcessing",
    "$A",
    "<s>",
    "[UNK]",
    "float16",
    "relative_key_query",
    "full_attention",
    "sliding_attention",
    "LlamaTokenizer",
    "BertTokenizer",
    "T5Tokenizer",
    "XLMRobertaTokenizer",
    "PreTrainedTokenizerFast",
    "{{ messages }}",
    "{% for x in range(999999999) %}{{ x }}{% endfor %}",
];

/// A number a little or much larger or smaller, a text longer.
fn nudge(random: &mut Random, place: &mut Value) {
    *place = match &*place {
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(0.0);
            let number = match random.below(6) {
                0 => number + 1.0,
                1 => number - 1.0,
                2 => number * 2.0,
                3 => number * 1000.0,
                4 => number / 2.0,
                _ => -number,
            };
            if number.fract() == 0.0 && number.abs() < 1e18 {
                json!(number as i64)
            } else {
                json!(number)
            }
        }
        Value::String(text) => json!(match random.below(4) {
            0 => text.repeat(random.between(2, 50)),
            1 => text.to_uppercase(),
            2 => text.chars().skip(1).collect(),
            _ => format!("{text}{}", random.of(TEXTS)),
        }),
        Value::Bool(flag) => json!(!flag),
        _ => lie(random),
    };
}

fn grow(random: &mut Random, place: &mut Value) {
    let times = *random.of(&[2, 10, 100, 1000]);
    match place {
        Value::Array(items) if items.len() * times < 100_000 => {
            *items = repeated(items, times);
        }
        Value::Object(fields) if fields.len() < 1000 => {
            for number in 0..times {
                let name = format!("{}{number}", random.of(TEXTS));
                fields.insert(name, lie_small(random));
            }
        }
        _ => nudge(random, place),
    }
}

/// The items, so many times.
pub fn repeated(items: &[Value], times: usize) -> Vec<Value> {
    items.iter().cycle().take(items.len() * times).cloned().collect()
}

fn lie_small(random: &mut Random) -> Value {
    json!(*random.of(NUMBERS))
}

fn shrink(random: &mut Random, place: &mut Value) {
    match place {
        Value::Array(items) if !items.is_empty() => {
            let at = random.below(items.len());
            match random.once_in(2) {
                true => drop(items.remove(at)),
                false => items.truncate(at),
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            let name = fields.keys().nth(random.below(fields.len())).cloned();
            name.and_then(|name| fields.shift_remove(&name));
        }
        _ => *place = Value::Null,
    }
}

fn rename(random: &mut Random, place: &mut Value) {
    let Value::Object(fields) = place else { return nudge(random, place) };
    let names: Vec<_> = fields.keys().cloned().collect();
    if names.is_empty() {
        return;
    }
    let (from, to) = (random.of(&names).clone(), random.of(&names).clone());
    let to = if random.once_in(2) { to } else { (*random.of(TEXTS)).to_owned() };
    if let Some(value) = fields.shift_remove(&from) {
        fields.insert(to, value);
    }
}

/// How many values there are, itself included.
fn places(value: &Value) -> usize {
    1 + children(value).map(places).sum::<usize>()
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(fields) => Box::new(fields.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn nth(value: &Value, mut number: usize) -> &Value {
    if number == 0 {
        return value;
    }
    number -= 1;
    for child in children(value) {
        let count = places(child);
        if number < count {
            return nth(child, number);
        }
        number -= count;
    }
    value
}

fn nth_mut(value: &mut Value, mut number: usize) -> &mut Value {
    if number == 0 {
        return value;
    }
    number -= 1;
    let mut which = 0;
    for child in children(value) {
        let count = places(child);
        if number < count {
            break;
        }
        number -= count;
        which += 1;
    }
    let child = match value {
        Value::Array(items) => items.get_mut(which),
        Value::Object(fields) => fields.values_mut().nth(which),
        _ => None,
    };
    nth_mut(child.expect("a child of that number"), number)
}

/// A JSON object in bytes, damaged as JSON or, now and then, as bytes.
pub fn json_bytes(random: &mut Random, text: &mut Vec<u8>) {
    match serde_json::from_slice::<Value>(text) {
        Ok(mut value) if !random.once_in(8) => {
            json(random, &mut value);
            *text = serde_json::to_vec(&value).expect("JSON");
        }
        _ => {
            let whole = 0..text.len();
            bytes(random, text, whole);
        }
    }
}

/// Some of `fields`, or others of the same kind, each with a value that was not meant.
pub fn fields(random: &mut Random, fields: &[&str], most: usize) -> Map<String, Value> {
    let count = random.between(1, most);
    (0..count).map(|_| ((*random.of(fields)).to_owned(), lie(random))).collect()
}
