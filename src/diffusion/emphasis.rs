//! Weights of words in a text, by the grammar of Automatic1111.
//!
//! Reference: `parse_prompt_attention` of diffusers' community pipeline `lpw_stable_diffusion`.

use crate::error::{Error, Result};

/// What brackets multiply by.
const MORE: f64 = 1.1;

/// The parts of a text and their weights: `(more)`, `(as much:1.3)`, `[less]`, `\(a bracket\)`. Brackets that are not
/// closed count to the end.
pub(super) fn weighted(text: &str) -> Result<Vec<(String, f64)>> {
    let mut parts: Vec<(String, f64)> = Vec::new();
    let (mut round, mut square) = (Vec::new(), Vec::new());
    let multiply = |parts: &mut [(String, f64)], factor: f64| {
        parts.iter_mut().for_each(|(_, weight)| *weight *= factor);
    };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\\' => 1 + usize::from(rest[1..].starts_with(['(', ')', '[', ']', '\\'])),
            ':' => number(&rest[1..]).map_or(1, |number| number.len() + 2),
            '(' | ')' | '[' | ']' => 1,
            _ => rest.find(['\\', '(', ')', '[', ']', ':']).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        match token {
            "(" => round.push(parts.len()),
            "[" => square.push(parts.len()),
            ")" | "]" => {
                let (open, factor) = match token {
                    ")" => (&mut round, MORE),
                    _ => (&mut square, 1.0 / MORE),
                };
                match open.pop() {
                    Some(start) => multiply(&mut parts[start..], factor),
                    None => parts.push((token.to_owned(), 1.0)),
                }
            }
            _ if first == ':' && length > 1 && !round.is_empty() => {
                let found = &token[1..length - 1];
                let factor: f64 = found.parse().map_err(|_| {
                    Error::input(format!("{found:?} is no weight: `(word:1.3)` is one"))
                })?;
                let start = round.pop().unwrap_or_default();
                multiply(&mut parts[start..], factor);
            }
            _ if first == '\\' => parts.push((token[1..].to_owned(), 1.0)),
            _ => parts.push((token.to_owned(), 1.0)),
        }
    }
    round.into_iter().for_each(|start| multiply(&mut parts[start..], MORE));
    square.into_iter().for_each(|start| multiply(&mut parts[start..], 1.0 / MORE));
    // Neighbours of one weight are one text.
    let mut merged: Vec<(String, f64)> = Vec::new();
    for (text, weight) in parts {
        match merged.last_mut() {
            Some((last, same)) if *same == weight => last.push_str(&text),
            _ => merged.push((text, weight)),
        }
    }
    Ok(merged)
}

/// The number before the bracket that closes here, if that is all there is before it.
fn number(rest: &str) -> Option<&str> {
    let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    let count = digits.find(|digit: char| digit != '.' && !digit.is_ascii_digit())?;
    let is_number = count > 0 && digits[count..].starts_with(')');
    is_number.then(|| &rest[..rest.len() - digits.len() + count])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples in the reference's documentation.
    #[test]
    fn texts_are_taken_apart_as_in_the_reference() {
        let cases: [(&str, &[(&str, f64)]); 8] = [
            ("normal text", &[("normal text", 1.0)]),
            ("an (important) word", &[("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
            ("(unbalanced", &[("unbalanced", 1.1)]),
            (r"\(literal\]", &[("(literal]", 1.0)]),
            ("(unnecessary)(parens)", &[("unnecessaryparens", 1.1)]),
            (
                "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
                &[
                    ("a ", 1.0),
                    ("house", 1.573),
                    (" ", 1.1),
                    ("on", 1.0),
                    (" a ", 1.1),
                    ("hill", 0.55),
                    (", sun, ", 1.1),
                    ("sky", 1.4641),
                    (".", 1.1),
                ],
            ),
            ("a:1.3) b: c] \\", &[("a:1.3) b: c] ", 1.0)]),
            ("(é:-.5)ü", &[("é", -0.5), ("ü", 1.0)]),
        ];
        for (text, expected) in cases {
            let found = weighted(text).unwrap();
            let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
            let wanted: Vec<&str> = expected.iter().map(|(text, _)| *text).collect();
            assert_eq!(texts, wanted, "{text}");
            for ((_, weight), (_, wanted)) in found.iter().zip(expected) {
                assert!((weight - wanted).abs() < 1e-12, "{text}: {weight}");
            }
        }
        assert!(weighted("").unwrap().is_empty());
        assert!(weighted("(a:1.2.3)").is_err());
    }
}
