//! Python's format specifications: `[[fill]align][sign][z][#][0][width][grouping][.precision][type]`.

use minijinja::value::ValueKind;
use minijinja::{State, Value};

use super::operators::real;
use super::value::reserve;
use super::{Outcome, fail, text};

/// How a value is to be written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spec {
    pub(super) fill: Option<char>,
    pub(super) align: Option<char>,
    pub(super) sign: Option<char>,
    pub(super) alternate: bool,
    pub(super) width: usize,
    pub(super) grouping: Option<char>,
    pub(super) precision: Option<usize>,
    pub(super) kind: Option<char>,
}

impl Spec {
    fn parse(spec: &str) -> Outcome<Self> {
        let is_align = |char: &char| matches!(char, '<' | '>' | '=' | '^');
        let mut parsed = Self::default();
        let mut rest = spec.chars().peekable();
        let mut ahead = spec.chars();
        match (ahead.next(), ahead.next()) {
            (Some(fill), Some(align)) if is_align(&align) => {
                (parsed.fill, parsed.align) = (Some(fill), Some(align));
                rest.nth(1);
            }
            _ => parsed.align = rest.next_if(is_align),
        }
        parsed.sign = rest.next_if(|char| matches!(char, '+' | '-' | ' '));
        parsed.alternate = rest.next_if_eq(&'#').is_some();
        if rest.next_if_eq(&'0').is_some() {
            parsed.fill = parsed.fill.or(Some('0'));
            parsed.align = parsed.align.or(Some('='));
        }
        parsed.width = number(&mut rest)?.unwrap_or(0);
        parsed.grouping = rest.next_if(|char| matches!(char, ',' | '_'));
        if rest.next_if_eq(&'.').is_some() {
            let precision = number(&mut rest)?;
            parsed.precision =
                Some(precision.ok_or_else(|| fail("Format specifier missing precision"))?);
        }
        parsed.kind = rest.next();
        match rest.next() {
            None => Ok(parsed),
            Some(_) => Err(fail(format!("Invalid format specifier '{spec}'"))),
        }
    }

    /// Text, padded on the left, on the right or on both sides.
    pub(super) fn padded(&self, state: &State<'_, '_>, text: &str, align: char) -> Outcome<String> {
        let missing = self.width.saturating_sub(text.chars().count());
        reserve(state, missing.saturating_mul(4).saturating_add(text.len()))?;
        let (left, right) = match self.align.unwrap_or(align) {
            '<' => (0, missing),
            '^' => (missing / 2, missing - missing / 2),
            _ => (missing, 0),
        };
        let fill = |count: usize| std::iter::repeat_n(self.fill.unwrap_or(' '), count);
        Ok(fill(left).chain(text.chars()).chain(fill(right)).collect())
    }

    /// A number of its sign, a prefix (`0x`), digits, and what follows them.
    pub(super) fn number(
        &self,
        state: &State<'_, '_>,
        negative: bool,
        prefix: &str,
        digits: &str,
    ) -> Outcome<String> {
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let before = format!("{sign}{prefix}");
        // The digits of hexadecimal numbers are not followed by anything.
        let end = match self.kind {
            Some('x' | 'X') => None,
            _ => digits.find(|char: char| !char.is_ascii_digit()),
        };
        let (whole, rest) = digits.split_at(end.unwrap_or(digits.len()));
        let zeros = self.align == Some('=') && self.fill.unwrap_or(' ') == '0';
        let room = self.width.saturating_sub(before.len() + rest.len());
        reserve(state, self.width)?;
        let step = if matches!(self.kind, Some('b' | 'o' | 'x' | 'X')) { 4 } else { 3 };
        let mut whole =
            match (self.grouping, zeros && whole.starts_with(|c: char| c.is_ascii_digit())) {
                (Some(mark), fills) => grouped(whole, mark, step, if fills { room } else { 0 }),
                (None, _) => whole.to_owned(),
            };
        if self.align == Some('=') {
            let missing = room.saturating_sub(whole.chars().count());
            let fill = self.fill.unwrap_or(' ');
            whole = std::iter::repeat_n(fill, missing).chain(whole.chars()).collect();
        }
        self.padded(state, &format!("{before}{whole}{rest}"), '>')
    }

    /// The digits of a number that is not negative, as `kind` has them.
    pub(super) fn float(&self, number: f64, kind: char) -> String {
        let precision = self.precision.unwrap_or(6);
        if !number.is_finite() {
            let name = if number.is_nan() { "nan" } else { "inf" };
            let name = if kind.is_ascii_uppercase() { name.to_uppercase() } else { name.into() };
            return if kind == '%' { name + "%" } else { name };
        }
        let dotted = |digits: String, shown: usize| match shown == 0 && self.alternate {
            true => digits + ".",
            false => digits,
        };
        match kind {
            'f' | 'F' => dotted(fixed(number, precision), precision),
            '%' => dotted(fixed(number * 100.0, precision), precision) + "%",
            'e' | 'E' => {
                let (digits, exponent) = scientific(number, precision);
                exponential(&dotted(digits, precision), exponent, kind)
            }
            // Without a type: as `g`, but with a digit after the point.
            _ => {
                let is_bare = kind == '\0';
                let precision = precision.max(1);
                let (digits, exponent) = scientific(number, precision - 1);
                let most = precision as i64 - i64::from(is_bare);
                let stripped = |digits: &str| match (self.alternate, digits.contains('.')) {
                    (false, true) => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
                    (true, false) => digits.to_owned() + ".",
                    _ => digits.to_owned(),
                };
                if exponent < -4 || exponent >= most {
                    return exponential(
                        &stripped(&digits),
                        exponent,
                        if kind == 'G' { 'E' } else { 'e' },
                    );
                }
                let shown = usize::try_from(precision as i64 - 1 - exponent).unwrap_or(0);
                let digits = stripped(&fixed(number, shown));
                if is_bare && !digits.contains('.') { digits + ".0" } else { digits }
            }
        }
    }
}

/// Python's `format(value, spec)`.
pub(super) fn format(state: &State<'_, '_>, value: &Value, spec: &str) -> Outcome<String> {
    if spec.is_empty() {
        return text::str(state, value);
    }
    let parsed = Spec::parse(spec)?;
    let unknown = |kind: &str| {
        let code = parsed.kind.unwrap_or(' ');
        fail(format!("Unknown format code '{code}' for object of type '{kind}'"))
    };
    match value.kind() {
        ValueKind::String => {
            if !matches!(parsed.kind, None | Some('s')) {
                return Err(unknown("str"));
            }
            if parsed.sign.is_some() || parsed.alternate || parsed.grouping.is_some() {
                return Err(fail(
                    "Sign, '#' and grouping are not allowed in string format specifier",
                ));
            }
            let text = value.as_str().unwrap_or_default();
            let cut: String = text.chars().take(parsed.precision.unwrap_or(usize::MAX)).collect();
            // A zero before the width fills on the right.
            match (parsed.align, spec.contains('=')) {
                (Some('='), true) => {
                    Err(fail("'=' alignment not allowed in string format specifier"))
                }
                (Some('='), false) => Spec { align: Some('<'), ..parsed }.padded(state, &cut, '<'),
                _ => parsed.padded(state, &cut, '<'),
            }
        }
        ValueKind::Number | ValueKind::Bool => {
            let is_real = value.kind() == ValueKind::Number && !value.is_integer();
            match parsed.kind {
                None | Some('d' | 'n' | 'b' | 'o' | 'x' | 'X' | 'c') if !is_real => {
                    integer(state, value, &parsed)
                }
                None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%') => {
                    let number = real(value).unwrap_or(f64::NAN);
                    let digits = match (parsed.kind, parsed.precision) {
                        (None, None) => text::float(number.abs()),
                        (kind, _) => {
                            let kind =
                                kind.map_or('\0', |kind| if kind == 'n' { 'g' } else { kind });
                            parsed.float(number.abs(), kind)
                        }
                    };
                    parsed.number(state, number.is_sign_negative() && !number.is_nan(), "", &digits)
                }
                Some(_) => Err(unknown(if is_real { "float" } else { "int" })),
            }
        }
        kind => Err(fail(format!("unsupported format string passed to {kind}"))),
    }
}

fn integer(state: &State<'_, '_>, value: &Value, spec: &Spec) -> Outcome<String> {
    let number = match value.kind() {
        ValueKind::Bool => i128::from(value.is_true()),
        _ => i128::try_from(value.clone()).map_err(|_| fail("the integer is too large"))?,
    };
    if spec.precision.is_some() {
        return Err(fail("Precision not allowed in integer format specifier"));
    }
    let groups = match spec.kind {
        None | Some('d') => true,
        Some('b' | 'o' | 'x' | 'X') => spec.grouping == Some('_'),
        _ => false,
    };
    if let (Some(mark), false) = (spec.grouping, groups) {
        return Err(fail(format!("Cannot specify '{mark}' with this type of integer")));
    }
    if spec.kind == Some('c') {
        return spec.padded(state, &char_of(number)?.to_string(), '<');
    }
    let (prefix, digits) = based(number.unsigned_abs(), spec.kind.unwrap_or('d'));
    spec.number(state, number < 0, if spec.alternate { prefix } else { "" }, &digits)
}

/// A number's digits in the base that `kind` stands for, and what may be put before them.
pub(super) fn based(number: u128, kind: char) -> (&'static str, String) {
    match kind {
        'b' => ("0b", format!("{number:b}")),
        'o' => ("0o", format!("{number:o}")),
        'x' => ("0x", format!("{number:x}")),
        'X' => ("0X", format!("{number:X}")),
        _ => ("", number.to_string()),
    }
}

/// `chr(number)`.
pub(super) fn char_of(number: i128) -> Outcome<char> {
    let char = u32::try_from(number).ok().and_then(char::from_u32);
    char.ok_or_else(|| fail("%c arg not in range(0x110000)"))
}

/// `digits` with a mark after each `step` of them from the right, and zeros before them to the width.
fn grouped(digits: &str, mark: char, step: usize, width: usize) -> String {
    let mut out = Vec::new();
    let mut digits = digits.chars().rev();
    let mut count = 0;
    loop {
        let digit = match digits.next() {
            Some(digit) => digit,
            None if out.len() < width => '0',
            None => break,
        };
        if count > 0 && count % step == 0 {
            out.push(mark);
        }
        out.push(digit);
        count += 1;
    }
    out.into_iter().rev().collect()
}

fn fixed(number: f64, precision: usize) -> String {
    let shown = precision.min(MOST_DIGITS);
    format!("{number:.shown$}") + &"0".repeat(precision - shown)
}

/// The digits before the exponent, and the exponent.
fn scientific(number: f64, precision: usize) -> (String, i64) {
    let shown = precision.min(MOST_DIGITS);
    let text = format!("{number:.shown$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (digits.to_owned() + &"0".repeat(precision - shown), exponent.parse().unwrap_or(0))
}

fn exponential(digits: &str, exponent: i64, mark: char) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}{mark}{sign}{:02}", exponent.abs())
}

/// A run of digits.
pub(super) fn number(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Outcome<Option<usize>> {
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|char| char.to_digit(10)) {
        chars.next();
        number = Some(number.unwrap_or(0) * 10 + digit as usize);
        if number > Some(MOST) {
            return Err(fail("a width or precision is too large"));
        }
    }
    Ok(number)
}

/// No number has more digits that are not 0.
const MOST_DIGITS: usize = 1100;
/// The widest field and the most digits.
const MOST: usize = 1 << 20;
