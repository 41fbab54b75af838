//! What callers and files say at length: templates, texts, chains of a tokenizer's parts.

use serde_json::{Value, json};

use crate::mutate;
use crate::random::Random;

/// A Jinja template of pieces that print much, loop long, nest deep or fail.
pub fn template(random: &mut Random) -> String {
    const LOOPS: &[&str] = &[
        "{% for m in messages %}BODY{% endfor %}",
        "{% for i in range(3) %}BODY{% endfor %}",
        "{% for i in range(1000) %}BODY{% endfor %}",
        "{% for i in range(1000000000) %}BODY{% endfor %}",
        "{% for a in range(3000) %}{% for b in range(3000) %}BODY{% endfor %}{% endfor %}",
        "{% if true %}BODY{% endif %}",
        "{% macro again(n) %}BODY{{ again(n + 1) }}{% endmacro %}{{ again(0) }}",
        "{% macro once(n) %}BODY{% endmacro %}{{ once(1) }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}BODY{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}BODY{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(200) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}BODY{{ ns.x }}",
        "{% filter upper %}BODY{% endfilter %}",
        "{% generation %}BODY{% endgeneration %}",
        "{% set x %}BODY{% endset %}{{ x }}{{ x }}",
        "BODY",
    ];
    const PIECES: &[&str] = &[
        "{{ messages }}",
        "{{ m.content }}",
        "{{ messages[0]['content'] }}",
        "{{ messages[NUMBER] }}",
        "{{ 'x' * NUMBER }}",
        "{{ [1, 2] * NUMBER }}",
        "{{ 'x'.center(NUMBER) }}",
        "{{ 'x'.ljust(NUMBER, '-') }}",
        "{{ 'x'.zfill(NUMBER) }}",
        "{{ '%NUMBERd' % 5 }}",
        "{{ '%.NUMBERf' % 0.1 }}",
        "{{ '{:>NUMBER}'.format(1) }}",
        "{{ '{:.NUMBERf}'.format(0.1) }}",
        "{{ range(NUMBER) | list }}",
        "{{ range(0, NUMBER, 0) | list }}",
        "{{ range(NUMBER) | join('-') }}",
        "{{ messages | tojson(indent=NUMBER) }}",
        "{{ messages | pprint }}",
        "{{ (['a b ' * 1000] * 1000) | pprint }}",
        "{{ ('a b ' * NUMBER).encode() | pprint }}",
        "{{ NUMBER.to_bytes(NUMBER) }}",
        "{{ NUMBER.bit_length() }}{{ (NUMBER / 3).as_integer_ratio() }}",
        "{{ (('<' * NUMBER) | safe).join(['x'] * 1000) }}",
        "{{ 'a b' | indent(NUMBER) }}",
        "{{ 'abc' | truncate(NUMBER) }}",
        "{{ [1] | batch(NUMBER, 0) | list }}",
        "{{ [1, 2] | slice(NUMBER) | list }}",
        "{{ 'aaaa'.replace('', 'long ' * 1000).replace('', 'x' * 1000) }}",
        "{{ 'aaaa'.replace('a', 'x' * NUMBER) }}",
        "{{ 'a,b'.split(',', NUMBER) }}",
        "{{ ('x' * 100000) * 100000 }}",
        "{{ 2 ** NUMBER }}",
        "{{ NUMBER // 0 }}",
        "{{ 10 % 0 }}",
        "{{ -NUMBER }}",
        "{{ NUMBER * NUMBER }}",
        "{{ 'x'[NUMBER:] }}",
        "{{ 'xyz'[::0] }}",
        "{{ 'xyz'[::-NUMBER] }}",
        "{{ strftime_now('%NUMBERY') }}",
        "{{ strftime_now('%') }}",
        "{{ raise_exception('x' * 3000000) }}",
        "{{ raise_exception('\x1b[31m') }}",
        "{{ 'ab' | map('upper') | list }}",
        "{{ messages | map(attribute='content') | join }}",
        "{{ messages | selectattr('role', 'equalto', 'user') | list }}",
        "{{ messages | groupby('role') }}",
        "{{ messages | sort(attribute='content') }}",
        "{{ dict(a=1) | dictsort }}",
        "{{ undefined_name.field }}",
        "{{ loop.index }}",
        "{{ self }}",
        "{{ ns.x }}",
        "{{ cycler('a') }}",
        "{{ 'x' | float | round(NUMBER) }}",
        "{{ 1.5 | round(-NUMBER) }}",
        "{{ bos_token }}text{{ eos_token }}",
        "{%- break %}",
        "{%- continue %}",
        "{% include 'other' %}",
        "{% extends 'other' %}",
        "{% import 'other' as o %}",
        "{{ '{{' }}",
        "{# a comment",
        "{{ (",
        "{% endfor %}",
        "plain text",
    ];
    let number = |random: &mut Random| match random.once_in(3) {
        true => random.below(20).to_string(),
        false => random.of(mutate::NUMBERS).to_string(),
    };
    let mut text = String::new();
    for _ in 0..random.between(1, 4) {
        let mut part = "BODY".to_owned();
        for _ in 0..random.below(4) {
            let outer = *random.of(LOOPS);
            part = part.replace("BODY", outer);
        }
        while let Some(at) = part.find("BODY") {
            let piece = random.of(PIECES).replace("NUMBER", &number(random));
            part.replace_range(at..at + 4, &piece);
        }
        text.push_str(&part);
    }
    if random.once_in(6) {
        let nested = random.between(1, 3000);
        text = match random.below(3) {
            0 => format!("{{{{ {}1{} }}}}", "(".repeat(nested), ")".repeat(nested)),
            1 => format!("{}{text}{}", "{% if 1 %}".repeat(nested), "{% endif %}".repeat(nested)),
            _ => format!("{{{{ {}1 }}}}", "not ".repeat(nested)),
        };
    }
    text
}

/// Parts of a tokenizer, one after the other, that lengthen, split and repeat.
pub fn chain(random: &mut Random, kind: &str) -> Value {
    let part = |random: &mut Random| {
        let letter = *random.of(&["a", "e", " ", "", "▁", "(?=a)", ".", "\\w", "^", "(a|a)*$"]);
        let content = match random.below(4) {
            0 => letter.repeat(2),
            1 => "long ".repeat(random.between(1, 2000)),
            2 => String::new(),
            _ => "▁".to_owned(),
        };
        let pattern = json!({(*random.of(&["String", "Regex"])): letter});
        let behavior = *random.of(&[
            "Isolated",
            "Removed",
            "MergedWithPrevious",
            "Contiguous",
            "MergedWithNext",
        ]);
        let metaspace = json!({
            "type": "Metaspace", "replacement": "▁",
            "prepend_scheme": *random.of(&["always", "first", "never"]), "split": random.once_in(2),
        });
        let bytes = json!({
            "type": "ByteLevel", "add_prefix_space": random.once_in(2), "trim_offsets": true,
            "use_regex": random.once_in(2),
        });
        let replace = json!({"type": "Replace", "pattern": pattern, "content": content});
        match (kind, random.below(10)) {
            ("normalizer", 0..=3) | ("decoder", 0..=4) => replace,
            ("normalizer", 4) => json!({"type": "Prepend", "prepend": content}),
            ("normalizer", 5) => json!({"type": "ByteLevel"}),
            ("normalizer", 6) => json!({
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": random.once_in(2),
            }),
            ("normalizer", 7) => {
                let table = "AAAA".repeat(random.between(1, 4000));
                json!({"type": "Precompiled", "precompiled_charsmap": table})
            }
            ("normalizer", _) => {
                json!({"type": *random.of(&["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt"])})
            }
            ("pre_tokenizer", 0..=2) => json!({
                "type": "Split", "pattern": pattern, "behavior": behavior,
                "invert": random.once_in(2),
            }),
            ("pre_tokenizer" | "decoder", 3..=5) => metaspace,
            ("pre_tokenizer" | "decoder", 6 | 7) => bytes,
            ("pre_tokenizer", 8) => json!({"type": "Digits", "individual_digits": true}),
            ("pre_tokenizer", _) => json!({"type": "Punctuation", "behavior": behavior}),
            ("decoder", 8) => json!({"type": "Fuse"}),
            ("decoder", _) => json!({"type": "BPEDecoder", "suffix": letter}),
            _ => {
                let piece = |random: &mut Random| match random.once_in(2) {
                    true => json!({"Sequence": {"id": "A", "type_id": 0}}),
                    false => json!({"SpecialToken": {"id": "<s>", "type_id": 0}}),
                };
                let pieces = *random.of(&[1, 2, 3, 60, 1000]);
                let single: Vec<_> = (0..pieces).map(|_| piece(random)).collect();
                let tokens = json!({"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}});
                json!({
                    "type": "TemplateProcessing", "single": single, "pair": single,
                    "special_tokens": tokens,
                })
            }
        }
    };
    let parts: Vec<_> = (0..*random.of(&[1, 2, 3, 8, 40])).map(|_| part(random)).collect();
    let list = match kind {
        "normalizer" => "normalizers",
        "pre_tokenizer" => "pretokenizers",
        "decoder" => "decoders",
        _ => "processors",
    };
    json!({"type": "Sequence", list: parts})
}

/// A text of up to two megabytes.
pub fn long_text(random: &mut Random) -> String {
    let unit = *random.of(&[
        "a",
        " ",
        "\n",
        "word ",
        "Angela Merkel lives in Berlin. ",
        "é",
        "ﷺ",
        "e\u{301}\u{301}\u{301}",
        "\u{200d}",
        "👨‍👩‍👧‍👦",
        "東京",
        "<s>",
        "</s>",
        "[MASK] ",
        "<mask>",
        "0123456789",
        "(((",
        "\0",
        "\u{feff}",
        "aB",
        "don't ",
        "----",
    ]);
    let bytes = *random.of(&[1_000, 20_000, 200_000, 2_000_000]);
    let mut text = unit.repeat(bytes / unit.len());
    if random.once_in(2) {
        let end = *random.of(&["end", " end.", "[MASK]", "<mask>", "</s>"]);
        text.push_str(end);
    }
    text
}

/// The input of a task with its texts made long.
pub fn long(random: &mut Random, input: &mut Value) {
    match input {
        Value::String(text) => {
            let long = long_text(random);
            *text = match random.once_in(3) {
                true => format!("{text}{long}"),
                false => long,
            };
        }
        Value::Array(items) if items.len() == 1 || random.once_in(2) => {
            let at = random.below(items.len());
            if let Some(item) = items.get_mut(at) {
                long(random, item);
            }
        }
        Value::Array(items) => {
            *items = mutate::repeated(items, *random.of(&[1, 10, 500]));
        }
        Value::Object(fields) => {
            let texts: Vec<_> = fields.keys().filter(|name| *name != "role").cloned().collect();
            if !texts.is_empty() {
                let name = random.of(&texts).clone();
                long(random, &mut fields[&name]);
            }
        }
        _ => {}
    }
}
