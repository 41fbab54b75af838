//! `strftime_now`: Python's `datetime.now().strftime(format)` with glibc's codes in the C locale.

use std::fmt::Write;
use std::time::SystemTime;

use chrono::{DateTime, Datelike, Local, Timelike};

use super::{Outcome, fail};

/// Formats a time (`None`: now) in the local time zone.
pub(super) fn strftime(now: Option<SystemTime>, format: &str) -> Outcome<String> {
    let now = now.map_or_else(Local::now, DateTime::<Local>::from);
    let mut text = String::new();
    let mut rest = format.chars();
    while let Some(char) = rest.next() {
        if text.len() > MAX_LENGTH {
            return Err(fail("strftime_now: the format is too long"));
        }
        if char != '%' {
            text.push(char);
            continue;
        }
        let before = rest.as_str();
        let flag = rest.clone().next().filter(|flag| "-_0^#".contains(*flag));
        if flag.is_some() {
            rest.next();
        }
        let Some(code) = rest.next() else {
            text.push('%');
            text.push_str(before);
            break;
        };
        match field(&now, code, flag) {
            Some(field) => text.push_str(&field),
            // glibc writes codes that it does not know as they are.
            None => {
                text.push('%');
                text.extend(flag);
                text.push(code);
            }
        }
    }
    Ok(text)
}

fn field(now: &DateTime<Local>, code: char, flag: Option<char>) -> Option<String> {
    let number = |value: i64, width: usize, fill: char| {
        let fill = match flag {
            Some('-') => None,
            Some('_') => Some(' '),
            Some('0') => Some('0'),
            _ => Some(fill),
        };
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = match fill {
            None => write!(text, "{value}"),
            Some('0') => write!(text, "{value:0width$}"),
            Some(_) => write!(text, "{value:width$}"),
        };
        text
    };
    let zeros = |value: u32, width: usize| number(i64::from(value), width, '0');
    let spaces = |value: u32| number(i64::from(value), 2, ' ');
    let hour12 = now.hour12().1;
    let weekday = now.weekday();
    let from_monday = weekday.num_days_from_monday();
    let from_sunday = weekday.num_days_from_sunday();
    let day_of_year = now.ordinal0();
    let text = match code {
        'a' => now.format("%a").to_string(),
        'A' => now.format("%A").to_string(),
        'b' | 'h' => now.format("%b").to_string(),
        'B' => now.format("%B").to_string(),
        'c' => now.format("%a %b %e %H:%M:%S %Y").to_string(),
        'C' => number(i64::from(now.year().div_euclid(100)), 2, '0'),
        'd' => zeros(now.day(), 2),
        'D' | 'x' => now.format("%m/%d/%y").to_string(),
        'e' => spaces(now.day()),
        // Python's own: microseconds.
        'f' => format!("{:06}", now.nanosecond() / 1000 % 1_000_000),
        'F' => now.format("%Y-%m-%d").to_string(),
        'g' => number(i64::from(now.iso_week().year().rem_euclid(100)), 2, '0'),
        'G' => number(i64::from(now.iso_week().year()), 1, '0'),
        'H' => zeros(now.hour(), 2),
        'I' => zeros(hour12, 2),
        'j' => zeros(now.ordinal(), 3),
        'k' => spaces(now.hour()),
        'l' => spaces(hour12),
        'm' => zeros(now.month(), 2),
        'M' => zeros(now.minute(), 2),
        'n' => "\n".to_owned(),
        'p' => if now.hour12().0 { "PM" } else { "AM" }.to_owned(),
        'P' => if now.hour12().0 { "pm" } else { "am" }.to_owned(),
        'r' => now.format("%I:%M:%S %p").to_string(),
        'R' => now.format("%H:%M").to_string(),
        's' => now.timestamp().to_string(),
        'S' => zeros(now.second(), 2),
        't' => "\t".to_owned(),
        'T' | 'X' => now.format("%H:%M:%S").to_string(),
        'u' => (from_monday + 1).to_string(),
        'U' => zeros((day_of_year + 7 - from_sunday) / 7, 2),
        'V' => zeros(now.iso_week().week(), 2),
        'w' => from_sunday.to_string(),
        'W' => zeros((day_of_year + 7 - from_monday) / 7, 2),
        'y' => number(i64::from(now.year().rem_euclid(100)), 2, '0'),
        'Y' => number(i64::from(now.year()), 1, '0'),
        // Python's `now()` knows no time zone.
        'z' | 'Z' => String::new(),
        '%' => "%".to_owned(),
        _ => return None,
    };
    Some(match (flag, code) {
        (Some('^'), _) => text.to_uppercase(),
        (Some('#'), 'p') => text.to_lowercase(),
        (Some('#'), _) => text.to_uppercase(),
        _ => text,
    })
}

/// Dates are shorter.
const MAX_LENGTH: usize = 1 << 20;
