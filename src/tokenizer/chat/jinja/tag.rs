//! The tags of a template, rewritten for minijinja:
//!
//! - `{% generation %}…{% endgeneration %}` becomes a call block.
//! - `{{ a, b }}` gets the brackets of a tuple.
//! - `{% set x = VALUE %}`, `{% for x in VALUE %}`, and lists, dicts and tuples wherever they are
//!   written pass through functions that give them Python's type and bound their size.
//! - `x[a:b]` becomes a method call, for Python's way to slice what cannot be, and since minijinja
//!   forgets to give call blocks the variables that are sliced in them.
//! - `x.name` becomes a method call where Python's text or numbers have a member of that name.
//! - Defaults of macro arguments that name other arguments are set in the macro's body.
//! - `a < b` and the like, `a + b`, `a ~ b` and `a % b` become calls, for Python's ways to compare, to
//!   add, to print and to format.
//! - Escapes in string literals become what Python makes of them.

use super::numbers;
use super::strings;
use super::words::{Kind, Token, python_escapes, tokens};

/// Called with the body of a `{% generation %}` block.
pub(super) const GENERATION: &str = "__generation";
/// Called with what a `{% set %}` assigns, and with lists, dicts and tuples.
pub(super) const VALUE: &str = "__value";
/// Called with what a `{% set %}` assigns to an attribute.
pub(super) const ATTRIBUTE: &str = "__attribute";
/// Called with what a `{% for %}` goes through.
pub(super) const ITERATE: &str = "__iterate";
/// What comparisons become.
pub(super) const COMPARE: &str = "__compare";
/// Called with what `loop.changed` compares.
pub(super) const CHARGED: &str = "__charged";
/// The method that slicing becomes.
pub(super) const SLICE: &str = "__slice";
/// The method that members of a value that may be methods become.
pub(super) const MEMBER: &str = "__member";
/// What `+` becomes.
pub(super) const ADD: &str = "__add";
/// What `~` becomes.
pub(super) const CONCATENATE: &str = "__concatenate";
/// What `%` becomes.
pub(super) const MODULO: &str = "__modulo";

/// What stands between `{%` and `%}`.
pub(super) struct Tag<'a> {
    tokens: Vec<Token<'a>>,
}

impl<'a> Tag<'a> {
    /// Splits a tag from behind its opening up to its end, which is left to the parser to find
    /// fault with where it is missing.
    pub(super) fn parse(tag: &'a str, close: &str) -> Result<Self, String> {
        tokens(tag, close).map(|tokens| Self { tokens })
    }

    /// Bytes between the delimiters.
    pub(super) fn length(&self) -> usize {
        self.tokens.iter().map(|token| token.text.len()).sum()
    }

    /// The first word.
    pub(super) fn keyword(&self) -> Option<&str> {
        self.next(0).map(|index| self.tokens[index].text)
    }

    /// Writes the tag but for its delimiters.
    pub(super) fn write_all(&self, out: &mut String, is_statement: bool) -> Result<(), String> {
        let is_blank = |index: &usize| self.tokens[*index].kind == Kind::Blank;
        let all = 0..self.tokens.len();
        // Signs of whitespace control stay outside.
        let begin = all.clone().find(|index| !is_blank(index)).unwrap_or(all.end);
        let end = all.clone().rfind(|index| !is_blank(index)).map_or(all.end, |last| last + 1);
        self.copy(out, 0, begin);
        let is_comma = |token: &Token<'_>| token.depth == 0 && token.text == ",";
        if is_statement {
            self.write_statement(out, begin, end)?;
        } else if self.tokens[begin..end].iter().any(is_comma) {
            // A tuple without its brackets.
            out.extend([VALUE, "(("]);
            self.write(out, begin, end);
            out.push_str("))");
        } else {
            self.write(out, begin, end);
        }
        self.copy(out, end, all.end);
        Ok(())
    }

    fn write_statement(&self, out: &mut String, begin: usize, end: usize) -> Result<(), String> {
        let find = |from: usize, text: &str| {
            (from..end)
                .find(|&index| self.tokens[index].depth == 0 && self.tokens[index].text == text)
        };
        let wrapped = |out: &mut String, function: &str, from: usize, to: usize| {
            self.copy(out, begin, from);
            out.extend([" ", function, "(("]);
            self.write(out, from, to);
            out.push_str(")) ");
            self.write(out, to, end);
        };
        match self.keyword() {
            Some("do") => return Err("Encountered unknown tag 'do'.".to_owned()),
            Some("generation") => out.extend(["call ", GENERATION, "()"]),
            Some("endgeneration") => out.push_str("endcall"),
            Some("set") => match find(begin, "=") {
                Some(sign) => {
                    let dotted = find(begin, ".").is_some_and(|dot| dot < sign);
                    wrapped(out, if dotted { ATTRIBUTE } else { VALUE }, sign + 1, end);
                }
                None => {
                    // What is set may be an attribute.
                    let filters = find(begin, "|").unwrap_or(end);
                    self.copy(out, begin, filters);
                    self.write(out, filters, end);
                }
            },
            Some("for") => match (find(begin, "in"), find(begin, "recursive")) {
                (Some(sign), None) => {
                    wrapped(out, ITERATE, sign + 1, find(sign, "if").unwrap_or(end));
                }
                (Some(sign), Some(_)) => {
                    self.copy(out, begin, sign + 1);
                    self.write(out, sign + 1, end);
                }
                _ => self.copy(out, begin, end),
            },
            Some("macro") => self.write_macro(out, begin, end),
            _ => self.write(out, begin, end),
        }
        Ok(())
    }

    /// `macro f(a, b=a)` becomes `macro f(a, b=undefined) %}{% set b = b if b is defined else (a)`:
    /// the engine sets arguments in another order than Python.
    fn write_macro(&self, out: &mut String, begin: usize, end: usize) {
        let mut late = String::new();
        let mut arguments = Vec::new();
        let mut index = begin;
        while index < end {
            let token = self.tokens[index];
            let next = self.next(index + 1).filter(|&next| next < end);
            if token.kind == Kind::Name && token.depth == 1 {
                arguments.push(token.text);
            }
            match next {
                Some(sign) if token.depth == 1 && self.tokens[sign].text == "=" => {
                    let ends = |index: &usize| match self.tokens[*index].depth {
                        0 => true,
                        depth => depth == 1 && self.tokens[*index].text == ",",
                    };
                    let close = (sign..end).find(ends).unwrap_or(end);
                    let names_another = self.tokens[sign..close]
                        .iter()
                        .any(|part| part.kind == Kind::Name && arguments.contains(&part.text));
                    let mut default = String::new();
                    self.write(&mut default, sign + 1, close);
                    out.extend([token.text, "="]);
                    if names_another {
                        out.push_str("__undefined");
                        let name = token.text;
                        late.push_str(&format!(
                            " %}}{{% set {name} = {name} if {name} is defined else ({default})"
                        ));
                    } else {
                        out.push_str(&default);
                    }
                    index = close;
                }
                _ => {
                    out.push_str(token.text);
                    index += 1;
                }
            }
        }
        out.push_str(&late);
    }

    fn copy(&self, out: &mut String, from: usize, to: usize) {
        out.extend(self.tokens[from..to].iter().map(|token| token.text));
    }

    /// Writes tokens, with operators and literals as the parser needs them.
    fn write(&self, out: &mut String, from: usize, to: usize) {
        let mut begin = from;
        for index in from..to {
            // Brackets are gone into when what they are part of is written.
            if self.tokens[index].depth == self.tokens[from].depth && self.ends(begin, index) {
                self.write_comparison(out, begin, index);
                out.push_str(self.tokens[index].text);
                begin = index + 1;
            }
        }
        self.write_comparison(out, begin, to);
    }

    /// `a < b`, or anything that binds more tightly.
    fn write_comparison(&self, out: &mut String, from: usize, to: usize) {
        let is = |text: &str| matches!(text, "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not");
        let signs = self.operators(from, to, is);
        if signs.is_empty() {
            return self.write_sum(out, from, to);
        }
        out.extend([" ", COMPARE, "(("]);
        let mut begin = from;
        for sign in signs {
            self.write_sum(out, begin, sign);
            let text = self.tokens[sign].text;
            begin = sign + 1;
            // `not` is followed by `in`.
            if text == "not" {
                begin = self.next(begin).map_or(to, |next| (next + 1).min(to));
            }
            let text = if text == "not" { "not in" } else { text };
            out.extend(["),'", text, "',("]);
        }
        self.write_sum(out, begin, to);
        out.push_str(")) ");
    }

    /// `a + b - c`, or anything that binds more tightly.
    fn write_sum(&self, out: &mut String, from: usize, to: usize) {
        let signs = self.operators(from, to, |text| matches!(text, "+" | "-"));
        let mut sum = String::new();
        self.write_concatenation(&mut sum, from, signs.first().copied().unwrap_or(to));
        let mut adding = false;
        for (place, &sign) in signs.iter().enumerate() {
            let end = signs.get(place + 1).copied().unwrap_or(to);
            match (self.tokens[sign].text, adding) {
                ("+", false) => sum = format!(" {ADD}(({sum}),("),
                ("+", true) => sum.push_str("),("),
                (_, true) => sum.push_str(")) -"),
                _ => sum.push('-'),
            }
            adding = self.tokens[sign].text == "+";
            self.write_concatenation(&mut sum, sign + 1, end);
        }
        out.push_str(&sum);
        out.push_str(if adding { ")) " } else { "" });
    }

    /// `a ~ b ~ c`, or anything that binds more tightly.
    fn write_concatenation(&self, out: &mut String, from: usize, to: usize) {
        let signs = self.operators(from, to, |text| text == "~");
        if signs.is_empty() {
            return self.write_product(out, from, to);
        }
        out.extend([" ", CONCATENATE, "("]);
        let mut begin = from;
        for end in signs.into_iter().chain([to]) {
            out.push('(');
            self.write_product(out, begin, end);
            out.push_str("),");
            begin = end + 1;
        }
        out.push_str(") ");
    }

    /// `a * b % c`, or anything that binds more tightly.
    fn write_product(&self, out: &mut String, from: usize, to: usize) {
        let signs = self.operators(from, to, |text| matches!(text, "*" | "/" | "//" | "%"));
        let Some(last) = signs.iter().rposition(|&sign| self.tokens[sign].text == "%") else {
            return self.write_operand(out, from, to);
        };
        let operand = |from: usize, to: usize| {
            let mut operand = String::new();
            self.write_operand(&mut operand, from, to);
            operand
        };
        let mut product = operand(from, signs[0]);
        for (place, &sign) in signs[..=last].iter().enumerate() {
            let right = operand(sign + 1, signs.get(place + 1).copied().unwrap_or(to));
            product = match self.tokens[sign].text {
                "%" => format!(" {MODULO}(({product}), ({right})) "),
                other => format!("({product}) {other} ({right})"),
            };
        }
        out.push_str(&product);
        let rest = signs.get(last + 1).copied().unwrap_or(to);
        self.write_operand(out, rest, to);
    }

    /// Anything without the operators above, but for inside of brackets.
    fn write_operand(&self, out: &mut String, from: usize, to: usize) {
        let mut index = from;
        while index < to {
            let token = self.tokens[index];
            index += 1;
            match (token.kind, token.text) {
                (Kind::Text, literal) => out.push_str(&python_escapes(literal)),
                (Kind::Operator, "+") => {}
                (Kind::Operator, open @ ("(" | "[" | "{")) => {
                    let is_close = |index: &usize| self.tokens[*index].depth == token.depth;
                    let close = (index..to).find(is_close).unwrap_or(to);
                    let bracket = if close < to { self.tokens[close].text } else { "" };
                    if let Some(colon) = self.slice(index - 1, close) {
                        self.write_slice(out, index, colon, close);
                        index = to.min(close + 1);
                        continue;
                    }
                    let (outside, inside) = self.passed_to(index - 1, close);
                    for function in [outside, open, inside] {
                        out.push_str(function);
                        out.push_str(if function.starts_with('_') { "(" } else { "" });
                    }
                    self.write(out, index, close);
                    for (function, bracket) in [(inside, ")"), ("_", bracket), (outside, ")")] {
                        out.push_str(if function.is_empty() { "" } else { bracket });
                    }
                    index = to.min(close + 1);
                }
                (Kind::Name, name) if self.is_member(index - 1) => {
                    out.extend([MEMBER, "('", name, "')"]);
                }
                (_, text) => out.push_str(text),
            }
        }
    }

    /// Operators between two operands outside of brackets: a `-` or `+` may be a sign instead, and
    /// `in` and `not` may belong to a test.
    fn operators(&self, from: usize, to: usize, is: fn(&str) -> bool) -> Vec<usize> {
        let depth = self.tokens.get(from).map(|token| token.depth);
        let mut before = "";
        let mut operand_ends = false;
        let mut found = Vec::new();
        for (index, token) in self.tokens.iter().enumerate().take(to).skip(from) {
            let here = Some(token.depth) == depth && operand_ends && is(token.text);
            let named = token.kind == Kind::Name;
            if here && (token.kind == Kind::Operator || named && !in_a_name(before)) {
                found.push(index);
            }
            if token.kind != Kind::Blank {
                let closes = matches!(token.text, ")" | "]" | "}");
                let word = named && matches!(token.text, "in" | "not" | "is");
                operand_ends = (token.kind != Kind::Operator || closes) && !word;
                // `is not in` is a test.
                before = if token.text == "not" && before == "is" { "is" } else { token.text };
            }
        }
        found
    }

    /// Whether what began at `begin` ends before a token, because it binds less tightly than a
    /// comparison.
    fn ends(&self, begin: usize, index: usize) -> bool {
        let text = self.tokens[index].text;
        let before = self.before(begin, index).map_or("", |before| self.tokens[before].text);
        match self.tokens[index].kind {
            Kind::Operator => matches!(text, "=" | "," | ":"),
            Kind::Name if in_a_name(before) => false,
            Kind::Name => match text {
                "and" | "else" | "if" | "or" | "recursive" => true,
                "not" => self.next(index + 1).is_none_or(|next| self.tokens[next].text != "in"),
                "call" | "elif" | "filter" | "for" | "macro" | "print" | "set" | "with" => {
                    self.next(0) == Some(index)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// The first colon in brackets that slice what is before them.
    fn slice(&self, open: usize, close: usize) -> Option<usize> {
        let Token { text, depth, .. } = self.tokens[open];
        let colon = |index: &usize| {
            let token = self.tokens[*index];
            token.depth == depth + 1 && token.text == ":"
        };
        (open..close).find(colon).filter(|_| text == "[" && self.follows_operand(open))
    }

    fn write_slice(&self, out: &mut String, from: usize, colon: usize, close: usize) {
        let depth = self.tokens[colon].depth;
        let colons = (colon..close)
            .filter(|&index| self.tokens[index].depth == depth && self.tokens[index].text == ":");
        out.extend([".", SLICE, "("]);
        let mut begin = from;
        for end in colons.chain([close]) {
            match self.next(begin).is_some_and(|next| next < end) {
                true => {
                    out.push('(');
                    self.write(out, begin, end);
                    out.push_str("),");
                }
                false => out.push_str("none,"),
            }
            begin = end + 1;
        }
        out.push(')');
    }

    /// The functions that brackets, and that what is in them, are passed to.
    fn passed_to(&self, open: usize, close: usize) -> (&'static str, &'static str) {
        let Token { text, depth, .. } = self.tokens[open];
        if self.follows_operand(open) {
            let name = self.before(0, open);
            let dot = name.and_then(|name| self.before(0, name));
            let is_changed = [dot, name]
                .map(|index| index.map_or("", |index| self.tokens[index].text))
                == [".", "changed"];
            return if is_changed && text == "(" { ("", CHARGED) } else { ("", "") };
        }
        let comma = |token: &Token<'_>| token.depth == depth + 1 && token.text == ",";
        match text == "(" && !self.tokens[open..close].iter().any(comma) {
            true => ("", ""),
            false => (VALUE, ""),
        }
    }

    /// Whether brackets call or index what is before them.
    fn follows_operand(&self, open: usize) -> bool {
        self.before(0, open).map(|index| self.tokens[index]).is_some_and(|before| {
            let word = matches!(before.text, "and" | "elif" | "else" | "if" | "in" | "not" | "or");
            match before.kind {
                Kind::Operator => matches!(before.text, ")" | "]" | "}"),
                Kind::Name => !word,
                _ => true,
            }
        })
    }

    /// Whether a name is that of a member, not called here, that Python's text or numbers have. Loops,
    /// which have some of the same names, have no methods that matter.
    fn is_member(&self, index: usize) -> bool {
        let text = |index: usize| self.tokens[index].text;
        let dot = self.before(0, index).filter(|&dot| text(dot) == ".");
        let of_loop = dot.and_then(|dot| self.before(0, dot)).is_some_and(|of| text(of) == "loop");
        let is_called = self.next(index + 1).is_some_and(|next| text(next) == "(");
        let name = text(index);
        dot.is_some()
            && !of_loop
            && !is_called
            && (strings::METHODS.contains(&name) || numbers::MEMBERS.contains(&name))
    }

    /// The token before another that is not blank.
    fn before(&self, from: usize, index: usize) -> Option<usize> {
        (from..index).rfind(|&index| self.tokens[index].kind != Kind::Blank)
    }

    /// The next token that is not blank.
    fn next(&self, from: usize) -> Option<usize> {
        (from..self.tokens.len()).find(|&index| self.tokens[index].kind != Kind::Blank)
    }
}

/// Whether a name after this is that of an attribute, filter or test, and no keyword.
fn in_a_name(before: &str) -> bool {
    matches!(before, "." | "|" | "is")
}
