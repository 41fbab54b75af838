//! What is said of signs and abbreviations in each language of XTTS.

/// A language that XTTS speaks.
#[derive(Debug)]
pub(super) struct Language {
    /// Without a region.
    pub(super) code: &'static str,
    /// Longer texts are said badly.
    pub(super) most_characters: usize,
    /// Short forms that are followed by a full stop, and what they stand for.
    pub(super) abbreviations: &'static [(&'static str, &'static str)],
    /// Of the signs of [`SIGNS`].
    pub(super) signs: [&'static str; 7],
    /// Of dollars, pounds and euros.
    pub(super) money: Option<Money>,
}

/// How money is said.
#[derive(Debug)]
pub(super) struct Money {
    /// Of dollars, pounds and euros: one, several; a cent, several.
    pub(super) forms: [[&'static str; 4]; 3],
    /// Between both.
    pub(super) between: &'static str,
    /// What "one" is before money, and before pounds.
    pub(super) one: [&'static str; 2],
}

/// The signs that are said.
pub(super) const SIGNS: [char; 7] = ['&', '@', '%', '#', '$', '£', '°'];

/// The language of a code, of which a region is ignored.
pub(super) fn language(code: &str) -> Option<&'static Language> {
    let code = code.split('-').next().unwrap_or(code);
    LANGUAGES.iter().find(|language| language.code == code)
}

const NOTHING: Language =
    Language { code: "", most_characters: 250, abbreviations: &[], signs: [""; 7], money: None };

const LANGUAGES: &[Language] = &[
    Language {
        code: "en",
        abbreviations: &[
            ("mrs", "misess"),
            ("mr", "mister"),
            ("dr", "doctor"),
            ("st", "saint"),
            ("co", "company"),
            ("jr", "junior"),
            ("maj", "major"),
            ("gen", "general"),
            ("drs", "doctors"),
            ("rev", "reverend"),
            ("lt", "lieutenant"),
            ("hon", "honorable"),
            ("sgt", "sergeant"),
            ("capt", "captain"),
            ("esq", "esquire"),
            ("ltd", "limited"),
            ("col", "colonel"),
            ("ft", "fort"),
        ],
        signs: ["and", "at", "percent", "hash", "dollar", "pound", "degree"],
        money: Some(Money {
            forms: [
                ["dollar", "dollars", "cent", "cents"],
                ["pound sterling", "pounds sterling", "penny", "pence"],
                ["euro", "euro", "cent", "cents"],
            ],
            between: ", ",
            one: ["one"; 2],
        }),
        ..NOTHING
    },
    Language {
        code: "es",
        most_characters: 239,
        abbreviations: &[
            ("sra", "señora"),
            ("sr", "señor"),
            ("dr", "doctor"),
            ("dra", "doctora"),
            ("st", "santo"),
            ("co", "compañía"),
            ("jr", "junior"),
            ("ltd", "limitada"),
        ],
        signs: ["y", "arroba", "por ciento", "numeral", "dolar", "libra", "grados"],
        money: Some(Money {
            forms: [
                ["dólar", "dólares", "centavo", "centavos"],
                ["libra", "libras", "penique", "peniques"],
                ["euro", "euros", "céntimo", "céntimos"],
            ],
            between: " con ",
            one: ["un", "una"],
        }),
    },
    Language {
        code: "fr",
        most_characters: 273,
        abbreviations: &[
            ("mme", "madame"),
            ("mr", "monsieur"),
            ("dr", "docteur"),
            ("st", "saint"),
            ("co", "compagnie"),
            ("jr", "junior"),
            ("ltd", "limitée"),
        ],
        signs: ["et", "arobase", "pour cent", "dièse", "dollar", "livre", "degrés"],
        money: Some(Money {
            forms: [
                ["dollar", "dollars", "cent", "cents"],
                ["livre", "livres", "penny", "pence"],
                ["euro", "euros", "centime", "centimes"],
            ],
            between: " et ",
            one: ["un"; 2],
        }),
    },
    Language {
        code: "de",
        most_characters: 253,
        abbreviations: &[
            ("fr", "frau"),
            ("dr", "doktor"),
            ("st", "sankt"),
            ("co", "firma"),
            ("jr", "junior"),
        ],
        signs: ["und", "at", "prozent", "raute", "dollar", "pfund", "grad"],
        money: Some(Money {
            forms: [
                ["Dollar", "Dollar", "Cent", "Cent"],
                ["Pfund", "Pfund", "Penny", "Pence"],
                ["Euro", "Euro", "Cent", "Cent"],
            ],
            between: " und ",
            one: ["ein"; 2],
        }),
    },
    Language {
        code: "it",
        most_characters: 213,
        abbreviations: &[
            ("sig", "signore"),
            ("dr", "dottore"),
            ("st", "santo"),
            ("co", "compagnia"),
            ("jr", "junior"),
            ("ltd", "limitata"),
        ],
        signs: ["e", "chiocciola", "per cento", "cancelletto", "dollaro", "sterlina", "gradi"],
        money: Some(Money {
            forms: [
                ["dollaro", "dollari", "centesimo", "centesimi"],
                ["sterlina", "sterline", "penny", "penny"],
                ["euro", "euro", "centesimo", "centesimi"],
            ],
            between: " e ",
            one: ["un", "una"],
        }),
    },
    Language {
        code: "pt",
        most_characters: 203,
        abbreviations: &[
            ("sra", "senhora"),
            ("sr", "senhor"),
            ("dr", "doutor"),
            ("dra", "doutora"),
            ("st", "santo"),
            ("co", "companhia"),
            ("jr", "júnior"),
            ("ltd", "limitada"),
        ],
        signs: ["e", "arroba", "por cento", "cardinal", "dólar", "libra", "graus"],
        ..NOTHING
    },
    Language {
        code: "pl",
        most_characters: 224,
        abbreviations: &[
            ("p", "pani"),
            ("m", "pan"),
            ("dr", "doktor"),
            ("sw", "święty"),
            ("jr", "junior"),
        ],
        signs: ["i", "małpa", "procent", "krzyżyk", "dolar", "funt", "stopnie"],
        ..NOTHING
    },
    Language {
        code: "ar",
        most_characters: 166,
        signs: ["و", "على", "في المئة", "رقم", "دولار", "جنيه", "درجة"],
        ..NOTHING
    },
    Language {
        code: "zh",
        most_characters: 82,
        signs: ["和", "在", "百分之", "号", "美元", "英镑", "度"],
        ..NOTHING
    },
    Language {
        code: "cs",
        most_characters: 186,
        abbreviations: &[("dr", "doktor"), ("ing", "inženýr"), ("p", "pan")],
        signs: ["a", "na", "procento", "křížek", "dolar", "libra", "stupně"],
        ..NOTHING
    },
    Language {
        code: "ru",
        most_characters: 182,
        abbreviations: &[("г-жа", "госпожа"), ("г-н", "господин"), ("д-р", "доктор")],
        signs: ["и", "собака", "процентов", "номер", "доллар", "фунт", "градус"],
        ..NOTHING
    },
    Language {
        code: "nl",
        most_characters: 251,
        abbreviations: &[
            ("dhr", "de heer"),
            ("mevr", "mevrouw"),
            ("dr", "dokter"),
            ("jhr", "jonkheer"),
        ],
        signs: ["en", "bij", "procent", "hekje", "dollar", "pond", "graden"],
        money: Some(Money {
            forms: [
                ["dollar", "dollar", "cent", "cent"],
                ["pond", "pond", "penny", "penny"],
                ["euro", "euro", "cent", "cent"],
            ],
            between: ", ",
            one: ["één"; 2],
        }),
    },
    Language {
        code: "tr",
        most_characters: 226,
        abbreviations: &[("b", "bay"), ("byk", "büyük"), ("dr", "doktor")],
        signs: ["ve", "at", "yüzde", "diyez", "dolar", "sterlin", "derece"],
        ..NOTHING
    },
    Language {
        code: "hu",
        most_characters: 224,
        abbreviations: &[("dr", "doktor"), ("b", "bácsi"), ("nőv", "nővér")],
        signs: ["és", "kukac", "százalék", "kettőskereszt", "dollár", "font", "fok"],
        ..NOTHING
    },
    Language {
        code: "ko",
        most_characters: 95,
        signs: ["그리고", "에", "퍼센트", "번호", "달러", "파운드", "도"],
        ..NOTHING
    },
    Language {
        code: "hi",
        most_characters: 150,
        signs: ["और", "ऐट दी रेट", "प्रतिशत", "हैश", "डॉलर", "पाउंड", "डिग्री"],
        ..NOTHING
    },
    Language { code: "ja", most_characters: 71, ..NOTHING },
];
