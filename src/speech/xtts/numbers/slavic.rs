//! Numbers of languages whose thousands have three forms.

use super::join::joined;

/// A language whose thousands have three forms.
pub(super) struct Slavic {
    zero: &'static str,
    /// From 1 to 19.
    ones: [&'static str; 20],
    /// 1 and 2, of thousands.
    of_thousands: [&'static str; 2],
    tens: [&'static str; 10],
    hundreds: [&'static str; 10],
    /// Of one, of two to four, of more.
    sizes: [[&'static str; 3]; 3],
    /// Whether "one" is said before a size.
    says_one: bool,
    /// Whether 21 is as 1.
    is_by_last: bool,
}

pub(super) fn slavic(number: u64, language: &Slavic) -> String {
    let small = |number: u64, is_of_thousands: bool| -> String {
        let (hundreds, rest) = (number as usize / 100, number as usize % 100);
        let (tens, ones) = if rest < 20 { (0, rest) } else { (rest / 10, rest % 10) };
        let ones = match ones {
            1 | 2 if is_of_thousands => language.of_thousands[ones - 1],
            _ => language.ones[ones],
        };
        let words = [language.hundreds[hundreds], language.tens[tens], ones];
        joined(words.map(str::to_owned).to_vec(), " ")
    };
    if number == 0 {
        return language.zero.to_owned();
    }
    let mut words = Vec::new();
    for (place, size) in [1_000_000_000, 1_000_000, 1000].into_iter().enumerate() {
        let count = number / size % 1000;
        if count == 0 {
            continue;
        }
        let (last, teen) = (count % 10, (11..20).contains(&(count % 100)));
        let form = match last {
            _ if count == 1 => 0,
            1 if language.is_by_last && !teen => 0,
            2..=4 if !teen => 1,
            _ => 2,
        };
        if count > 1 || language.says_one {
            words.push(small(count, place == 2));
        }
        words.push(language.sizes[place][form].to_owned());
    }
    words.push(small(number % 1000, false));
    joined(words, " ")
}

pub(super) const POLISH: Slavic = Slavic {
    zero: "zero",
    ones: [
        "",
        "jeden",
        "dwa",
        "trzy",
        "cztery",
        "pięć",
        "sześć",
        "siedem",
        "osiem",
        "dziewięć",
        "dziesięć",
        "jedenaście",
        "dwanaście",
        "trzynaście",
        "czternaście",
        "piętnaście",
        "szesnaście",
        "siedemnaście",
        "osiemnaście",
        "dziewiętnaście",
    ],
    of_thousands: ["jeden", "dwa"],
    tens: [
        "",
        "",
        "dwadzieścia",
        "trzydzieści",
        "czterdzieści",
        "pięćdziesiąt",
        "sześćdziesiąt",
        "siedemdziesiąt",
        "osiemdziesiąt",
        "dziewięćdziesiąt",
    ],
    hundreds: [
        "",
        "sto",
        "dwieście",
        "trzysta",
        "czterysta",
        "pięćset",
        "sześćset",
        "siedemset",
        "osiemset",
        "dziewięćset",
    ],
    sizes: [
        ["miliard", "miliardy", "miliardów"],
        ["milion", "miliony", "milionów"],
        ["tysiąc", "tysiące", "tysięcy"],
    ],
    says_one: false,
    is_by_last: false,
};
pub(super) const CZECH: Slavic = Slavic {
    zero: "nula",
    ones: [
        "",
        "jedna",
        "dva",
        "tři",
        "čtyři",
        "pět",
        "šest",
        "sedm",
        "osm",
        "devět",
        "deset",
        "jedenáct",
        "dvanáct",
        "třináct",
        "čtrnáct",
        "patnáct",
        "šestnáct",
        "sedmnáct",
        "osmnáct",
        "devatenáct",
    ],
    of_thousands: ["jedna", "dva"],
    tens: [
        "",
        "",
        "dvacet",
        "třicet",
        "čtyřicet",
        "padesát",
        "šedesát",
        "sedmdesát",
        "osmdesát",
        "devadesát",
    ],
    hundreds: [
        "",
        "sto",
        "dvěstě",
        "třista",
        "čtyřista",
        "pětset",
        "šestset",
        "sedmset",
        "osmset",
        "devětset",
    ],
    sizes: [
        ["miliarda", "miliardy", "miliard"],
        ["milion", "miliony", "milionů"],
        ["tisíc", "tisíce", "tisíc"],
    ],
    says_one: false,
    is_by_last: false,
};
pub(super) const RUSSIAN: Slavic = Slavic {
    zero: "ноль",
    ones: [
        "",
        "один",
        "два",
        "три",
        "четыре",
        "пять",
        "шесть",
        "семь",
        "восемь",
        "девять",
        "десять",
        "одиннадцать",
        "двенадцать",
        "тринадцать",
        "четырнадцать",
        "пятнадцать",
        "шестнадцать",
        "семнадцать",
        "восемнадцать",
        "девятнадцать",
    ],
    of_thousands: ["одна", "две"],
    tens: [
        "",
        "",
        "двадцать",
        "тридцать",
        "сорок",
        "пятьдесят",
        "шестьдесят",
        "семьдесят",
        "восемьдесят",
        "девяносто",
    ],
    hundreds: [
        "",
        "сто",
        "двести",
        "триста",
        "четыреста",
        "пятьсот",
        "шестьсот",
        "семьсот",
        "восемьсот",
        "девятьсот",
    ],
    sizes: [
        ["миллиард", "миллиарда", "миллиардов"],
        ["миллион", "миллиона", "миллионов"],
        ["тысяча", "тысячи", "тысяч"],
    ],
    says_one: true,
    is_by_last: true,
};
