//! Template text, prepared for minijinja: what its parser does not know, or reads otherwise than
//! Python, is put in terms of what it does. Lines stay what they are, so that errors name the right
//! one. See [`tag`](super::tag) for what is changed.

use super::tag::Tag;

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
                let begin = template.len() - from.len();
                let at_line = |reason: String| {
                    let line = 1 + template[..begin].matches('\n').count();
                    (line, reason)
                };
                let close = if *open == b'%' { "%}" } else { "}}" };
                let tag = Tag::parse(&from[2..], close).map_err(at_line)?;
                let length = 2 + tag.length();
                branches += usize::from(tag.keyword() == Some("elif"));
                if branches > MAX_BRANCHES {
                    return Err(at_line("has too many elif branches".to_owned()));
                }
                out.push_str(&from[..2]);
                tag.write_all(&mut out, *open == b'%').map_err(at_line)?;
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
        // One that does not end is left to the parser, as a whole.
        let Some(next) = from[place..].find("{%") else { return Some((begin, from.len())) };
        place += next;
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

/// Templates have up to some 30 kB.
const MAX_TEMPLATE: usize = 1 << 20;
/// The engine recurses into branches.
const MAX_BRANCHES: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewrites() {
        for (template, expected) in [
            ("{%- generation -%}x{% endgeneration %}", "{%- call __generation() -%}x{% endcall %}"),
            ("{% set x = 1 -%}", "{% set x = __value((1)) -%}"),
            ("{% set x.y = 1 %}", "{% set x.y = __attribute((1)) %}"),
            ("{% set x %}", "{% set x %}"),
            ("{% for a, b in c if d %}", "{% for a, b in __iterate((c)) if d %}"),
            ("{% for a in c + d recursive %}", "{% for a in __add((c),(d)) recursive %}"),
            (
                "{% macro f(a, b=1, c=a) -%}",
                "{% macro f(a, b=1, c=__undefined) %}{% set c = c if c is defined else (a) -%}",
            ),
            ("{% call(a, b) f(1, 2) %}", "{% call(a, b) f(1, 2) %}"),
            ("{{ '%s' % x.y[1]|upper }}", "{{ __modulo(('%s'),(x.y[1]|upper)) }}"),
            ("{{ a % 2 * 3 }}", "{{ __modulo((a),(2)) *3 }}"),
            ("{{- a ~ -b -}}", "{{- __concatenate((a),(-b),) -}}"),
            ("{{ a + b + c - d + -e }}", "{{ __add((__add((a),(b),(c)) - d),(-e)) }}"),
            ("{{ +1 }}", "{{ 1 }}"),
            ("{{- a, f(b, c) }}", "{{- __value((a, f(b, c))) }}"),
            ("{{ a if not b < c else d }}", "{{ a if not __compare((b),'<',(c)) else d }}"),
            ("{{ a not in b == c }}", "{{ __compare((a),'not in',(b),'==',(c)) }}"),
            ("{{ a is not in b and a is in c }}", "{{ a is not in b and a is in c }}"),
            (
                "{{ [1, {'a': (2,)}][0](x) + (3) }}",
                "{{ __add((__value([1, __value({'a': __value((2,))})])[0](x)),((3))) }}",
            ),
            (
                "{{ a.b[1:].c[::-1][d] + [e][f(1):] }}",
                "{{ __add((a.b.__slice((1),none,).c.__slice(none,none,(-1),)[d]),(__value([e]).__slice((f(1)),none,))) }}",
            ),
            ("{{ loop.changed(a, b) }}", "{{ loop.changed(__charged(a, b)) }}"),
            ("{# {% set x = 1 %} #}", "{# {% set x = 1 %} #}"),
            (
                "{{ '%}' }}{% raw %}{{ [1] }}{% endraw %}",
                "{{ '%}' }}{% raw +%}{{ [1] }}{% endraw %}",
            ),
            (r"{{ '\/\a\n' }}", r"{{ '\\/\x07\n' }}"),
        ] {
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(squeeze(&prepare(template).unwrap()), squeeze(expected));
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
