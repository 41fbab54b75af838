//! Regular expressions as Python's tokenizers read them.
//!
//! Python's tokenizers run on Oniguruma (Ruby syntax), ours on fancy-regex, which is pure Rust. The
//! few things that both accept and read differently are rewritten.

use serde_json::Value;

/// Rewrites every `{"Regex": "…"}` inside a part of `tokenizer.json`.
pub(super) fn translate_all(part: &mut Value) {
    match part {
        Value::Array(parts) => parts.iter_mut().for_each(translate_all),
        Value::Object(parts) => {
            for (key, value) in parts {
                match value {
                    Value::String(pattern) if key == "Regex" => *pattern = translate(pattern),
                    value => translate_all(value),
                }
            }
        }
        _ => {}
    }
}

/// Rewrites a pattern of Oniguruma for fancy-regex:
///
/// * `^` and `$` match at every line, so they become `(?m:^)` and `(?m:$)`; `(?m)`, by which
///   Oniguruma means that `.` matches newlines, becomes `(?s)`;
/// * `\w` does not match the joiners U+200C and U+200D;
/// * `{1,3}+` is a repetition repeated, not a possessive one.
pub(super) fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    // Where the atom that a quantifier would apply to begins, and the same for open groups.
    let mut atom = 0;
    let mut groups = Vec::new();
    let mut class_depth = 0_usize;
    while let Some(c) = rest.next() {
        let in_class = class_depth > 0;
        if !in_class && !"?*+{|)".contains(c) {
            atom = out.len();
        }
        match c {
            '\\' => match rest.next() {
                Some('w') => out.push_str(r"[\w&&[^\x{200c}\x{200d}]]"),
                Some('W') if in_class => out.push_str(r"\W\x{200c}\x{200d}"),
                Some('W') => out.push_str(r"[\W\x{200c}\x{200d}]"),
                Some(escaped) => {
                    out.extend(['\\', escaped]);
                    if "pPxu".contains(escaped) && rest.peek() == Some(&'{') {
                        for c in rest.by_ref() {
                            out.push(c);
                            if c == '}' {
                                break;
                            }
                        }
                    }
                }
                None => out.push('\\'),
            },
            '[' => {
                class_depth += 1;
                out.push('[');
                if rest.peek() == Some(&'^') {
                    out.extend(rest.next());
                }
                // A bracket that comes first stands for itself.
                if rest.peek() == Some(&']') {
                    rest.next();
                    out.push_str(r"\]");
                }
            }
            ']' if in_class => {
                class_depth -= 1;
                out.push(']');
            }
            _ if in_class => out.push(c),
            '^' => out.push_str("(?m:^)"),
            '$' => out.push_str("(?m:$)"),
            '(' => {
                groups.push(atom);
                out.push('(');
                if rest.peek() == Some(&'?') {
                    out.extend(rest.next());
                    while let Some(flag) = rest.next_if(|c| "imx-".contains(*c)) {
                        out.push(if flag == 'm' { 's' } else { flag });
                    }
                }
            }
            ')' => {
                atom = groups.pop().unwrap_or(0);
                out.push(')');
            }
            '{' => {
                let start = out.len();
                out.push('{');
                while let Some(c) = rest.next_if(|c| c.is_ascii_digit() || *c == ',') {
                    out.push(c);
                }
                if rest.peek() == Some(&'}') && out.len() > start + 1 {
                    out.extend(rest.next());
                    if rest.peek() == Some(&'+') {
                        out.insert_str(atom, "(?:");
                        out.push(')');
                    }
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn only_what_is_read_differently_changes() {
        let gpt4 =
            r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)";
        assert_eq!(translate(gpt4), gpt4);
        assert_eq!(translate(r"\s++$|^a"), r"\s++(?m:$)|(?m:^)a");
        assert_eq!(translate(r"[$^]"), r"[$^]");
        assert_eq!(translate(r"x\p{N}{1,3}+"), r"x(?:\p{N}{1,3})+");
        assert_eq!(translate(r"a(?:b|c){2}+d"), r"a(?:(?:b|c){2})+d");
        assert_eq!(translate(r"[]a]\$\{"), r"[\]a]\$\{");
        assert_eq!(translate(r"(?m:.)"), r"(?s:.)");
        assert_eq!(translate(r"[^\w\s]"), r"[^[\w&&[^\x{200c}\x{200d}]]\s]");
    }
}
