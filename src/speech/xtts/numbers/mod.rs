//! Whole numbers in words, as the package `num2words` of Python says them.

mod join;
mod slavic;
mod tables;

use join::joined;
use slavic::{CZECH, POLISH, RUSSIAN, slavic};
use tables::{
    DUTCH, DUTCH_TENS, ENGLISH, ENGLISH_ORDINALS, ENGLISH_TENS, FRENCH, FRENCH_TENS, GERMAN,
    GERMAN_TENS, HUNGARIAN, HUNGARIAN_TENS, ITALIAN, ITALIAN_TENS, PORTUGUESE, PORTUGUESE_HUNDREDS,
    PORTUGUESE_TENS, SPANISH, SPANISH_HUNDREDS, SPANISH_TENS, TURKISH, TURKISH_TENS,
};

/// A number in words of a language; `None` where the language is not known, or the number is too large.
pub(super) fn cardinal(number: u64, language: &str) -> Option<String> {
    if number >= 1_000_000_000_000 || language == "hu" && number >= 2000 {
        return None;
    }
    Some(match language {
        "cs" => slavic(number, &CZECH),
        "de" => german(number),
        "en" => english(number),
        "es" => spanish(number),
        "fr" => french(number),
        "hu" => hungarian(number),
        "it" => italian(number),
        "nl" => dutch(number),
        "pl" => slavic(number, &POLISH),
        "pt" => portuguese(number),
        "ru" => slavic(number, &RUSSIAN),
        "tr" => turkish(number),
        _ => return None,
    })
}

/// The English word for a place in a row.
pub(super) fn ordinal(number: u64) -> Option<String> {
    let words = cardinal(number, "en")?;
    let at = words.rfind([' ', '-']).map_or(0, |at| at + 1);
    let last = &words[at..];
    let irregular = ENGLISH_ORDINALS.iter().find(|(word, _)| *word == last);
    let last = match (irregular, last.strip_suffix('y')) {
        (Some((_, ordinal)), _) => (*ordinal).to_owned(),
        (None, Some(bare)) => format!("{bare}ieth"),
        (None, None) => format!("{last}th"),
    };
    Some(format!("{}{last}", &words[..at]))
}

/// What divides the whole part from the fraction, where digits of a fraction are said one by one.
pub(super) fn point(language: &str) -> Option<&'static str> {
    Some(match language {
        "de" => "Komma",
        "en" => "point",
        "es" => "punto",
        "fr" => "virgule",
        "it" => "virgola",
        "nl" => "komma",
        "pt" => "vírgula",
        _ => return None,
    })
}

fn english(number: u64) -> String {
    let small = |number: u64| -> String {
        let (hundreds, rest) = (number / 100, number % 100);
        let rest_words = match rest {
            0 => String::new(),
            1..20 => ENGLISH[rest as usize].to_owned(),
            _ if rest.is_multiple_of(10) => ENGLISH_TENS[rest as usize / 10].to_owned(),
            _ => format!("{}-{}", ENGLISH_TENS[rest as usize / 10], ENGLISH[rest as usize % 10]),
        };
        match (hundreds, rest) {
            (0, _) => rest_words,
            (_, 0) => format!("{} hundred", ENGLISH[hundreds as usize]),
            _ => format!("{} hundred and {rest_words}", ENGLISH[hundreds as usize]),
        }
    };
    if number == 0 {
        return ENGLISH[0].to_owned();
    }
    let mut out = String::new();
    for (size, name) in
        [(1_000_000_000, " billion"), (1_000_000, " million"), (1000, " thousand"), (1, "")]
    {
        let group = number / size % 1000;
        if group == 0 {
            continue;
        }
        if !out.is_empty() {
            out.push_str(if size == 1 && group < 100 { " and " } else { ", " });
        }
        out.push_str(&small(group));
        out.push_str(name);
    }
    out
}

fn german(number: u64) -> String {
    fn small(number: u64, one: &str) -> String {
        match number {
            0 => String::new(),
            1 => one.to_owned(),
            2..20 => GERMAN[number as usize].to_owned(),
            20..100 => {
                let tens = GERMAN_TENS[number as usize / 10];
                match number % 10 {
                    0 => tens.to_owned(),
                    ones => format!("{}und{tens}", small(ones, "ein")),
                }
            }
            100..1000 => {
                format!("{}hundert{}", small(number / 100, "ein"), small(number % 100, "eins"))
            }
            _ => {
                let thousands = number / 1000;
                let thousands =
                    if thousands == 1 { "ein".to_owned() } else { small(thousands, "eins") };
                format!("{thousands}tausend{}", small(number % 1000, "eins"))
            }
        }
    }
    if number == 0 {
        return GERMAN[0].to_owned();
    }
    let mut words = Vec::new();
    for (size, name, many) in
        [(1_000_000_000, "Milliarde", "Milliarden"), (1_000_000, "Million", "Millionen")]
    {
        match number / size % 1000 {
            0 => {}
            1 => words.push(format!("eine {name}")),
            count => words.push(format!("{} {many}", small(count, "eins"))),
        }
    }
    words.push(small(number % 1_000_000, "eins"));
    joined(words, " ")
}

fn spanish(number: u64) -> String {
    let small = |number: u64| -> String {
        let (hundreds, rest) = (number / 100, number % 100);
        let rest_words = match rest {
            0 => String::new(),
            1..30 => SPANISH[rest as usize].to_owned(),
            _ if rest.is_multiple_of(10) => SPANISH_TENS[rest as usize / 10].to_owned(),
            _ => format!("{} y {}", SPANISH_TENS[rest as usize / 10], SPANISH[rest as usize % 10]),
        };
        let hundreds = match (hundreds, rest) {
            (1, 0) => "cien",
            _ => SPANISH_HUNDREDS[hundreds as usize],
        };
        joined(vec![hundreds.to_owned(), rest_words], " ")
    };
    let million = |number: u64| -> String {
        let thousands = match number / 1000 {
            0 => String::new(),
            1 => "mil".to_owned(),
            count => format!("{} mil", small(count)),
        };
        joined(vec![thousands, small(number % 1000)], " ")
    };
    if number == 0 {
        return SPANISH[0].to_owned();
    }
    let millions = match number / 1_000_000 {
        0 => String::new(),
        1 => "un millón".to_owned(),
        count => format!("{} millones", million(count)),
    };
    joined(vec![millions, million(number % 1_000_000)], " ")
}

fn french(number: u64) -> String {
    fn small(number: u64) -> String {
        match number {
            0 => String::new(),
            1..17 => FRENCH[number as usize].to_owned(),
            17..20 => format!("dix-{}", FRENCH[number as usize - 10]),
            20..70 => {
                let tens = FRENCH_TENS[number as usize / 10];
                match number % 10 {
                    0 => tens.to_owned(),
                    1 => format!("{tens} et un"),
                    ones => format!("{tens}-{}", FRENCH[ones as usize]),
                }
            }
            71 => "soixante et onze".to_owned(),
            70..80 => format!("soixante-{}", small(number - 60)),
            80 => "quatre-vingts".to_owned(),
            81..100 => format!("quatre-vingt-{}", small(number - 80)),
            _ => {
                let hundreds = match number / 100 {
                    1 => "cent".to_owned(),
                    count => format!("{} cent", FRENCH[count as usize]),
                };
                match number % 100 {
                    0 if number > 100 => format!("{hundreds}s"),
                    rest => joined(vec![hundreds, small(rest)], " "),
                }
            }
        }
    }
    if number == 0 {
        return FRENCH[0].to_owned();
    }
    let mut words = Vec::new();
    for (size, name) in [(1_000_000_000, "milliard"), (1_000_000, "million")] {
        match number / size % 1000 {
            0 => {}
            1 => words.push(format!("un {name}")),
            count => words.push(format!("{} {name}s", small(count))),
        }
    }
    match number / 1000 % 1000 {
        0 => {}
        1 => words.push("mille".to_owned()),
        count => {
            let count_words = small(count);
            let is_plural = count % 100 == 80 || count.is_multiple_of(100);
            let bare = count_words.strip_suffix('s').filter(|_| is_plural);
            words.push(format!("{} mille", bare.unwrap_or(&count_words)));
        }
    }
    words.push(small(number % 1000));
    joined(words, " ")
}

fn italian(number: u64) -> String {
    fn small(number: u64) -> String {
        match number {
            0 => String::new(),
            1..20 => ITALIAN[number as usize].to_owned(),
            20..100 => {
                let tens = ITALIAN_TENS[number as usize / 10];
                match number % 10 {
                    0 => tens.to_owned(),
                    3 => format!("{tens}tré"),
                    ones @ (1 | 8) => {
                        format!("{}{}", &tens[..tens.len() - 1], ITALIAN[ones as usize])
                    }
                    ones => format!("{tens}{}", ITALIAN[ones as usize]),
                }
            }
            _ => {
                let hundreds = match number / 100 {
                    1 => String::new(),
                    count => ITALIAN[count as usize].to_owned(),
                };
                let rest = number % 100;
                let cento = if rest == 8 || (80..90).contains(&rest) { "cent" } else { "cento" };
                format!("{hundreds}{cento}{}", accented(small(rest).replace('é', "e")))
            }
        }
    }
    fn accented(words: String) -> String {
        if words == "tre" { "tré".to_owned() } else { words }
    }
    if number == 0 {
        return ITALIAN[0].to_owned();
    }
    let mut words = Vec::new();
    for (size, one, many) in
        [(1_000_000_000, "miliardo", "miliardi"), (1_000_000, "milione", "milioni")]
    {
        match number / size % 1000 {
            0 => {}
            1 => words.push(format!("un {one}")),
            count => words.push(format!("{} {many}", small(count))),
        }
    }
    let (thousands, rest) = (number / 1000 % 1000, number % 1000);
    let thousands = match thousands {
        0 => String::new(),
        1 => "mille".to_owned(),
        count => format!("{}mila", small(count).replace('é', "e")),
    };
    let rest = if thousands.is_empty() { small(rest) } else { accented(small(rest)) };
    words.push(format!("{thousands}{rest}"));
    joined(words, " e ")
}

fn portuguese(number: u64) -> String {
    let small = |number: u64| -> String {
        if number == 100 {
            return "cem".to_owned();
        }
        let (hundreds, rest) = (PORTUGUESE_HUNDREDS[number as usize / 100], number % 100);
        let rest = match rest {
            1..20 => joined(vec![PORTUGUESE[rest as usize].to_owned()], ""),
            _ => {
                let tens = PORTUGUESE_TENS[rest as usize / 10].to_owned();
                joined(vec![tens, PORTUGUESE[rest as usize % 10].to_owned()], " e ")
            }
        };
        joined(vec![hundreds.to_owned(), rest], " e ")
    };
    if number == 0 {
        return "zero".to_owned();
    }
    let mut out = String::new();
    let (millions, thousands, rest) = (number / 1_000_000, number / 1000 % 1000, number % 1000);
    match millions {
        0 => {}
        1 => out.push_str("um milhão"),
        1000 => out.push_str("mil milhões"),
        count => {
            let thousands = match count / 1000 {
                0 => String::new(),
                1 => "mil".to_owned(),
                thousands => format!("{} mil", small(thousands)),
            };
            out = joined(vec![thousands, small(count % 1000), "milhões".to_owned()], " ");
        }
    }
    let thousands = match thousands {
        0 => String::new(),
        1 => "mil".to_owned(),
        count => format!("{} mil", small(count)),
    };
    if !thousands.is_empty() {
        let count = number / 1000 % 1000;
        let between = if count < 100 && !out.is_empty() { " e " } else { " " };
        out = joined(vec![out, thousands], between);
    }
    let between = match out.is_empty() || rest >= 100 && !rest.is_multiple_of(100) {
        true => " ",
        false => " e ",
    };
    joined(vec![out, small(rest)], between)
}

fn dutch(number: u64) -> String {
    fn small(number: u64) -> String {
        match number {
            0 => String::new(),
            1..20 => DUTCH[number as usize].to_owned(),
            20..100 => {
                let tens = DUTCH_TENS[number as usize / 10];
                match number % 10 {
                    0 => tens.to_owned(),
                    1 => format!("eenen{tens}"),
                    ones @ (2 | 3) => format!("{}ën{tens}", DUTCH[ones as usize]),
                    ones => format!("{}en{tens}", DUTCH[ones as usize]),
                }
            }
            _ => {
                let hundreds = if number >= 200 { DUTCH[number as usize / 100] } else { "" };
                format!("{hundreds}honderd{}", small(number % 100))
            }
        }
    }
    if number == 0 {
        return DUTCH[0].to_owned();
    }
    let mut words = Vec::new();
    for (size, name) in [(1_000_000_000, "miljard"), (1_000_000, "miljoen")] {
        match number / size % 1000 {
            0 => {}
            1 => words.push(format!("een {name}")),
            count => words.push(format!("{} {name}", small(count))),
        }
    }
    let thousands = match number / 1000 % 1000 {
        0 => String::new(),
        1 => "duizend".to_owned(),
        count => format!("{}duizend", small(count)),
    };
    words.push(format!("{thousands}{}", small(number % 1000)));
    joined(words, " ")
}

fn turkish(number: u64) -> String {
    if number == 0 {
        return "sıfır".to_owned();
    }
    let small = |number: u64| -> String {
        let hundreds = match number / 100 {
            0 => String::new(),
            1 => "yüz".to_owned(),
            count => format!("{}yüz", TURKISH[count as usize]),
        };
        let (tens, ones) = (number / 10 % 10, number % 10);
        format!("{hundreds}{}{}", TURKISH_TENS[tens as usize], TURKISH[ones as usize])
    };
    let mut out = String::new();
    for (size, name) in [(1_000_000_000, "milyar"), (1_000_000, "milyon"), (1000, "bin"), (1, "")] {
        match number / size % 1000 {
            0 => {}
            1 if size == 1000 => out.push_str(name),
            count => out.push_str(&format!("{}{name}", small(count))),
        }
    }
    out
}

fn hungarian(number: u64) -> String {
    if number == 0 {
        return "nulla".to_owned();
    }
    let thousand = if number >= 1000 { "ezer" } else { "" };
    let hundreds = match number / 100 % 10 {
        0 => String::new(),
        1 => "száz".to_owned(),
        2 => "kétszáz".to_owned(),
        count => format!("{}száz", HUNGARIAN[count as usize]),
    };
    let (tens, ones) = (number / 10 % 10, number % 10);
    let tens = match (tens, ones) {
        (1, 0) => "tíz",
        (2, 0) => "húsz",
        _ => HUNGARIAN_TENS[tens as usize],
    };
    format!("{thousand}{hundreds}{tens}{}", HUNGARIAN[ones as usize])
}
