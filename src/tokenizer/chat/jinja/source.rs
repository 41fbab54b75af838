//! Template text, prepared for minijinja: what its parser does not know is put in terms of what it
//! does. Lines stay what they are, so that errors name the right one.
//!
//! - `{% generation %}…{% endgeneration %}` becomes a call block.
//! - `{% set x = VALUE %}` and `{% for x in VALUE %}` pass the value through functions that give it
//!   Python's type and bound its nesting.
//! - Defaults of macro arguments that name other arguments are set in the macro's body.
//! - `a + b`, `a ~ b` and `a % b` become calls, for Python's ways to add, to print and to format.
//! - Escapes in string literals become what Python makes of them.

use std::borrow::Cow;

/// Called with the body of a `{% generation %}` block.
pub(super) const GENERATION: &str = "__generation";
/// Called with what a `{% set %}` assigns.
pub(super) const VALUE: &str = "__value";
/// Called with what a `{% for %}` goes through.
pub(super) const ITERATE: &str = "__iterate";
/// What `+` becomes.
pub(super) const ADD: &str = "__add";
/// What `~` becomes.
pub(super) const CONCATENATE: &str = "__concatenate";
/// What `%` becomes.
pub(super) const MODULO: &str = "__modulo";

/// Prepares a template; fails with a line and a reason.
pub(super) fn prepare(template: &str) -> Result<String, (usize, String)> {
    if template.len() > MAX_TEMPLATE {
        let reason = format!("{} bytes are too many for a template", template.len());
        return Err((1, reason));
    }
    let template = template.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(template.len() + template.len() / 4);
    let mut rest = template.as_str();
    let mut branches = 0;
    while let Some(place) = rest.find('{') {
        let (data, from) = rest.split_at(place);
        out.push_str(data);
        let length = match (from.as_bytes().get(1), raw_block(from)) {
            (Some(b'#'), _) => from.find("#}").map_or(from.len(), |end| end + 2),
            (_, Some((begin, length))) => {
                // Jinja keeps a line break after `{% raw %}` where minijinja would not.
                let (begin, end) = from[..length].split_at(begin);
                out.push_str(begin);
                out.push_str(if begin.ends_with(['-', '+']) { "" } else { "+" });
                out.push_str(end);
                rest = &from[length..];
                continue;
            }
            (Some(open @ (b'%' | b'{')), None) => {
                let line = 1 + out.matches('\n').count();
                let close = if *open == b'%' { "%}" } else { "}}" };
                let tokens = tokens(&from[2..], close).map_err(|reason| (line, reason))?;
                let length = 2 + tokens.iter().map(|token| token.text.len()).sum::<usize>();
                let tag = Tag { tokens };
                branches += usize::from(tag.keyword() == Some("elif"));
                if branches > MAX_BRANCHES {
                    return Err((line, "has too many elif branches".to_owned()));
                }
                out.push_str(&from[..2]);
                tag.write_all(&mut out, *open == b'%').map_err(|reason| (line, reason))?;
                rest = &from[length..];
                continue;
            }
            _ => 1,
        };
        out.push_str(&from[..length]);
        rest = &from[length..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The length of a `{% raw %}…{% endraw %}` block, if here is one, after that up to the `%}`.
fn raw_block(from: &str) -> Option<(usize, usize)> {
    let mut place = basic_tag(from, "raw")?;
    let begin = place - 2;
    loop {
        place += from[place..].find("{%")?;
        match basic_tag(&from[place..], "endraw") {
            Some(length) => return Some((begin, place + length)),
            None => place += 2,
        }
    }
}

/// The length of the tag `{% name %}`, if here is one.
fn basic_tag(from: &str, name: &str) -> Option<usize> {
    let inside = from.strip_prefix("{%")?;
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    let after = inside.trim_ascii_start().strip_prefix(name)?.trim_ascii_start();
    let after = after.strip_prefix(['-', '+']).unwrap_or(after).strip_prefix("%}")?;
    Some(from.len() - after.len())
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Whitespace, and the signs that control it.
    Blank,
    Name,
    Number,
    Operator,
    Text,
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    /// How many brackets are open around it.
    depth: usize,
}

/// Splits a tag from behind its opening up to its end, which is left to the parser to find fault
/// with where it is missing.
fn tokens<'a>(tag: &'a str, close: &str) -> Result<Vec<Token<'a>>, String> {
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    let mut rest = tag;
    while let Some(first) = rest.chars().next() {
        let length_while = |is: fn(char) -> bool| rest.find(|char| !is(char)).unwrap_or(rest.len());
        let is_name = |char: char| char == '_' || char.is_alphanumeric();
        if depth == 0 && rest.starts_with(close) {
            break;
        }
        let signed = rest.get(1..).is_some_and(|rest| rest.starts_with(close));
        let (kind, length) = match first {
            '-' | '+' if depth == 0 && (signed || tokens.is_empty()) => (Kind::Blank, 1),
            _ if first.is_whitespace() => (Kind::Blank, length_while(char::is_whitespace)),
            '\'' | '"' => (Kind::Text, literal(rest, first)),
            '0'..='9' => (Kind::Number, length_while(is_name)),
            _ if is_name(first) => (Kind::Name, length_while(is_name)),
            '*' | '/' if rest[1..].starts_with(first) => (Kind::Operator, 2),
            '=' | '!' | '<' | '>' if rest[1..].starts_with('=') => (Kind::Operator, 2),
            _ => (Kind::Operator, first.len_utf8()),
        };
        let text = &rest[..length];
        if matches!(text, ")" | "]" | "}") && kind == Kind::Operator {
            depth = depth.saturating_sub(1);
        }
        tokens.push(Token { kind, text, depth });
        if matches!(text, "(" | "[" | "{") && kind == Kind::Operator {
            depth += 1;
        }
        if tokens.len() > MAX_TOKENS {
            return Err(format!("has a tag of more than {MAX_TOKENS} words"));
        }
        rest = &rest[length..];
    }
    Ok(tokens)
}

/// The length of the string literal that begins here.
fn literal(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, char) in rest.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if char == quote => return place + 1,
            _ => {}
        }
    }
    rest.len()
}

/// What stands between `{%` and `%}`.
struct Tag<'a> {
    tokens: Vec<Token<'a>>,
}

impl Tag<'_> {
    /// Writes the tag but for its delimiters.
    fn write_all(&self, out: &mut String, is_statement: bool) -> Result<(), String> {
        let is_blank = |index: &usize| self.tokens[*index].kind == Kind::Blank;
        let all = 0..self.tokens.len();
        // Signs of whitespace control stay outside.
        let begin = all.clone().find(|index| !is_blank(index)).unwrap_or(all.end);
        let end = all.clone().rfind(|index| !is_blank(index)).map_or(all.end, |last| last + 1);
        self.copy(out, 0, begin);
        match is_statement {
            true => self.write_statement(out, begin, end)?,
            false => self.write(out, begin, end),
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
            Some("set") if find(begin, "=").is_some() => {
                wrapped(out, VALUE, find(begin, "=").map_or(end, |sign| sign + 1), end);
            }
            Some("for") => match (find(begin, "in"), find(begin, "recursive")) {
                (Some(sign), None) => {
                    wrapped(out, ITERATE, sign + 1, find(sign, "if").unwrap_or(end));
                }
                _ => self.write(out, begin, end),
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

    fn keyword(&self) -> Option<&str> {
        self.next(0).map(|index| self.tokens[index].text)
    }

    /// Writes tokens, with operators and literals as the parser needs them.
    fn write(&self, out: &mut String, from: usize, to: usize) {
        let mut begin = from;
        for index in from..to {
            // Brackets are gone into when what they are part of is written.
            if self.tokens[index].depth == self.tokens[from].depth && self.ends(begin, index) {
                self.write_sum(out, begin, index);
                out.push_str(self.tokens[index].text);
                begin = index + 1;
            }
        }
        self.write_sum(out, begin, to);
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
            let opens = token.kind == Kind::Operator && matches!(token.text, "(" | "[" | "{");
            match token.kind {
                Kind::Text => out.push_str(&python_escapes(token.text)),
                _ if token.text == "+" && token.kind == Kind::Operator => {}
                _ => out.push_str(token.text),
            }
            index += 1;
            if opens {
                let inside = index..to;
                let close = inside.clone().find(|&index| self.tokens[index].depth == token.depth);
                let close = close.unwrap_or(to);
                self.write(out, index, close);
                index = close;
            }
        }
    }

    /// Operators between two operands outside of brackets: a `-` or `+` may be a sign instead.
    fn operators(&self, from: usize, to: usize, is: fn(&str) -> bool) -> Vec<usize> {
        let depth = self.tokens.get(from).map(|token| token.depth);
        let mut operand_ends = false;
        let mut found = Vec::new();
        for (index, token) in self.tokens.iter().enumerate().take(to).skip(from) {
            let operator = token.kind == Kind::Operator && Some(token.depth) == depth;
            if operator && operand_ends && is(token.text) {
                found.push(index);
            }
            if token.kind != Kind::Blank {
                operand_ends =
                    token.kind != Kind::Operator || matches!(token.text, ")" | "]" | "}");
            }
        }
        found
    }

    /// Whether what began at `begin` ends before a token, because it binds less tightly than `+`.
    fn ends(&self, begin: usize, index: usize) -> bool {
        let text = self.tokens[index].text;
        let before = (begin..index)
            .rfind(|&index| self.tokens[index].kind != Kind::Blank)
            .map_or("", |index| self.tokens[index].text);
        match self.tokens[index].kind {
            Kind::Operator => {
                matches!(text, "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "," | ":")
            }
            // Names of attributes, filters and tests may be spelled like these.
            Kind::Name if matches!(before, "." | "|" | "is") => false,
            Kind::Name => match text {
                "and" | "else" | "if" | "in" | "not" | "or" | "recursive" => true,
                "call" | "elif" | "filter" | "for" | "macro" | "print" | "set" | "with" => {
                    self.next(0) == Some(index)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// The next token that is not blank.
    fn next(&self, from: usize) -> Option<usize> {
        (from..self.tokens.len()).find(|&index| self.tokens[index].kind != Kind::Blank)
    }
}

/// A string literal whose escapes minijinja reads as Python's `unicode-escape` codec would.
fn python_escapes(literal: &str) -> Cow<'_, str> {
    if !literal.contains('\\') {
        return Cow::Borrowed(literal);
    }
    let mut out = String::with_capacity(literal.len());
    let mut rest = literal;
    while let Some(place) = rest.find('\\') {
        out.push_str(&rest[..place]);
        let escape = &rest[place..];
        let code = escape.chars().nth(1);
        let length = 1 + code.map_or(0, char::len_utf8);
        rest = &escape[length..];
        match code {
            Some('/') => out.push_str("\\\\/"),
            Some('a') => out.push_str("\\x07"),
            Some('v') => out.push_str("\\x0b"),
            Some('\n') => {}
            Some('U') => {
                let digits = rest.get(..8);
                let char = digits
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                    .and_then(char::from_u32);
                match char {
                    Some(char) => {
                        for unit in char.encode_utf16(&mut [0; 2]) {
                            out.push_str(&format!("\\u{unit:04x}"));
                        }
                        rest = &rest[8..];
                    }
                    None => out.push_str("\\U"),
                }
            }
            _ => out.push_str(&escape[..length]),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Templates have up to some 30 kB.
const MAX_TEMPLATE: usize = 1 << 20;
/// The engine recurses into long expressions.
const MAX_TOKENS: usize = 5000;
/// The engine recurses into branches.
const MAX_BRANCHES: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewrites() {
        for (template, expected) in [
            ("{%- generation -%}x{% endgeneration %}", "{%- call __generation() -%}x{% endcall %}"),
            ("{% set x = [1] -%}", "{% set x = __value(( [1])) -%}"),
            ("{% set x %}", "{% set x %}"),
            ("{% for a, b in c if d %}", "{% for a, b in __iterate(( c )) if d %}"),
            ("{% for a in c recursive %}", "{% for a in c recursive %}"),
            (
                "{{ '%s' % x.y[1]|upper + 1 }}",
                "{{ __add(( __modulo(( '%s' ), ( x.y[1]|upper )) ),( 1 )) }}",
            ),
            (
                "{{ a ~ -b if c ~ 1 }}",
                "{{ __concatenate(( a ),( -b ),) if __concatenate(( c ),( 1 ),) }}",
            ),
            (
                "{{ f(x=a%2*3, y=[b ~ c]) - 1 }}",
                "{{ f(x= __modulo((a), (2)) *3, y=[ __concatenate((b ),( c),) ]) - 1 }}",
            ),
            ("{% if 1 not in a ~ b %}", "{% if 1 not in __concatenate(( a ),( b ),) %}"),
            ("{{ a + b + c - d + -e }}", "{{ __add(( __add((a),(b),(c)) - d),(-e)) }}"),
            ("{{ a is not in b + c }}", "{{ a is not in __add((b),(c)) }}"),
            (
                "{% macro f(a, b=1 , c=a) -%}",
                "{% macro f(a, b=1 , c=__undefined) %}{% set c = c if c is defined else (a) -%}",
            ),
            ("{{- a ~ b -}}", "{{- __concatenate(( a ),( b ),) -}}"),
            ("{{ +1 + +x }}", "{{ __add((1),(x)) }}"),
            (
                "{{ '%}' }}{% raw %}{% set x = 1 %}{% endraw %}",
                "{{ '%}' }}{% raw +%}{% set x = 1 %}{% endraw %}",
            ),
            ("{# {% set x = 1 %} #}", "{# {% set x = 1 %} #}"),
            (r"{{ '\/\a\n' }}", r"{{ '\\/\x07\n' }}"),
            ("{{ {'a': {}} }}", "{{ {'a': {}} }}"),
        ] {
            let prepared = prepare(template).unwrap();
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(squeeze(&prepared), squeeze(expected));
        }
    }

    #[test]
    fn survives_what_does_not_end() {
        for template in
            ["{", "{%", "{{ '", "{#", "{% raw %}", "{% set", "{{ '%s' %", "{{ '\\", "{{ '\\U1"]
        {
            prepare(template).unwrap();
        }
    }
}
