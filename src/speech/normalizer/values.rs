//! Numbers as they are read word by word: whole numbers of any size, and digits that are not added to.

/// What the words so far stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A whole number that more can be added to, in decimal digits without leading zeros.
    Number(String),
    /// Digits that others can only follow: `10.5`, `0`, `1984`.
    Digits(String),
}

impl Value {
    pub(super) fn number(value: u64) -> Self {
        Self::Number(value.to_string())
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Number(text) | Self::Digits(text) => text,
        }
    }

    /// The digits to go on with, of which 0 as a number has none.
    pub(super) fn prefix(value: Option<&Self>) -> &str {
        match value {
            None => "",
            Some(Self::Number(number)) if number == "0" => "",
            Some(value) => value.text(),
        }
    }

    /// Whether a number ends in so many zeros.
    pub(super) fn ends_in_zeros(&self, count: usize) -> bool {
        match self {
            Self::Digits(_) => false,
            Self::Number(number) if number == "0" => true,
            Self::Number(number) => {
                number.len() >= count && number.bytes().rev().take(count).all(|digit| digit == b'0')
            }
        }
    }

    /// The number with a small one in place of its last zeros.
    pub(super) fn plus(&self, small: u64) -> Self {
        let small = small.to_string();
        match self.text() {
            "0" => Self::Number(small),
            text => Self::Number(format!("{}{small}", &text[..text.len() - small.len()])),
        }
    }

    /// The digits with others behind them.
    pub(super) fn followed_by(&self, digits: impl std::fmt::Display) -> Self {
        Self::Digits(format!("{}{digits}", self.text()))
    }

    /// The number that these digits make `10^zeros` times, if it is whole.
    pub(super) fn times(&self, zeros: usize) -> Option<String> {
        let (whole, fraction) = self.text().split_once('.').unwrap_or_else(|| (self.text(), ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let missing = zeros.checked_sub(fraction.len())?;
        Some(stripped(&format!("{whole}{fraction}{}", "0".repeat(missing))))
    }

    /// The number whose last three digits count `10^zeros` times.
    pub(super) fn multiplied(&self, zeros: usize) -> String {
        let text = self.text();
        let (before, residual) = text.split_at(text.len().saturating_sub(3));
        let residual = stripped(residual);
        let before = format!("{before}000");
        add(&before, &format!("{residual}{}", "0".repeat(zeros)))
    }
}

/// The digits of a number without leading zeros.
pub(super) fn stripped(digits: &str) -> String {
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    }
}

/// The sum of two numbers in decimal digits.
fn add(left: &str, right: &str) -> String {
    let mut digits = Vec::with_capacity(left.len().max(right.len()) + 1);
    let (mut left, mut right) = (left.bytes().rev(), right.bytes().rev());
    let mut carry = 0;
    loop {
        let (l, r) = (left.next(), right.next());
        if l.is_none() && r.is_none() && carry == 0 {
            break;
        }
        let sum = l.map_or(0, |digit| digit - b'0') + r.map_or(0, |digit| digit - b'0') + carry;
        digits.push(char::from(b'0' + sum % 10));
        carry = sum / 10;
    }
    stripped(&digits.iter().rev().collect::<String>())
}
