//! Answers are taken apart as vLLM and llama.cpp take them apart, however they are cut into pieces, and go
//! back through the chat templates they came from.
//!
//! Expected values: `tests/goldens/make_responses.py`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, too, end them by panicking"
)]

#[path = "support/packages.rs"]
mod packages;

use std::fs;

use proptest::prelude::*;
use sconce::tokenizer::chat::{
    ChatOptions, ChatTemplate, Message, Response, ResponseEvent, ResponseFormat, ResponseParser,
    ResponsePiece, SpecialTokenMap,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Case {
    from: String,
    format: ResponseFormat,
    text: String,
    content: Option<String>,
    reasoning: Option<String>,
    calls: Vec<Call>,
    #[serde(default)]
    in_reasoning: bool,
    #[serde(default)]
    tools: Vec<Value>,
}

#[derive(Deserialize)]
struct Call {
    name: String,
    arguments: Map<String, Value>,
    id: Option<String>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("goldens/responses.json")).unwrap()
}

fn parser(format: ResponseFormat, in_reasoning: bool) -> ResponseParser {
    let parser = ResponseParser::new(format);
    if in_reasoning { parser.in_reasoning() } else { parser }
}

fn parse(text: &str, format: &str) -> Response {
    Response::parse(text, ResponseFormat::named(format).unwrap())
}

/// Everything that a parser makes of pieces.
fn pieces<'a>(
    mut parser: ResponseParser,
    text: impl IntoIterator<Item = &'a str>,
) -> Vec<ResponsePiece> {
    let mut pieces: Vec<_> = text.into_iter().flat_map(|text| parser.push(text)).collect();
    pieces.extend(parser.finish());
    pieces
}

fn response(pieces: &[ResponsePiece]) -> Response {
    let mut response = Response::default();
    pieces.iter().for_each(|piece| response.add(piece.event.clone()));
    response
}

fn whole(pieces: &[ResponsePiece]) -> String {
    pieces.iter().map(|piece| piece.text.as_str()).collect()
}

/// Pieces with neighbours of a kind put together.
fn merged(pieces: Vec<ResponsePiece>) -> Vec<ResponseEvent> {
    let mut merged: Vec<ResponseEvent> = Vec::new();
    for piece in pieces {
        match (merged.last_mut(), &piece.event) {
            (Some(ResponseEvent::Content(a)), ResponseEvent::Content(b))
            | (Some(ResponseEvent::Reasoning(a)), ResponseEvent::Reasoning(b)) => *a += b,
            (
                Some(ResponseEvent::ToolCallArguments { json: a, .. }),
                ResponseEvent::ToolCallArguments { json: b, .. },
            ) => *a += b,
            (Some(ResponseEvent::Markup), ResponseEvent::Markup) => {}
            _ => merged.push(piece.event),
        }
    }
    merged
}

#[test]
fn as_the_references() {
    let mut faults = Vec::new();
    for case in cases() {
        let parser = parser(case.format, case.in_reasoning).with_tools(case.tools);
        let pieces = pieces(parser, [case.text.as_str()]);
        let found = response(&pieces);
        let same_calls = found.tool_calls.len() == case.calls.len()
            && found.tool_calls.iter().zip(&case.calls).all(|(found, call)| {
                found.name == call.name
                    && found.arguments == call.arguments
                    && call.id.as_ref().is_none_or(|id| *id == found.id)
            });
        // White space beside markers is left out here, and only trimmed by some of the references.
        let text = |text: &Option<String>| text.as_deref().unwrap_or("").trim().to_owned();
        let same = same_calls
            && found.content == text(&case.content)
            && text(&found.reasoning) == text(&case.reasoning);
        if !same || whole(&pieces) != case.text {
            faults.push(format!("{} {:?}: {found:?}", case.from, case.text));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The arguments of a call in XML come while they are written: text as it is, anything else once it is complete.
#[test]
fn arguments_in_xml_come_while_they_are_written() {
    let tools = json!([{"type": "function", "function": {"name": "write", "parameters": {
        "type": "object",
        "properties": {"text": {"type": "string"}, "lines": {"type": "integer"}, "note": {"type": "string"}},
    }}}]);
    let tools = tools.as_array().unwrap().clone();
    let format = ResponseFormat::named("qwen3-coder").unwrap();
    let mut parser = ResponseParser::new(format).with_tools(tools.clone());
    let mut told = |text: &str| -> Vec<String> {
        let pieces = parser.push(text);
        let told = pieces.into_iter().filter_map(|piece| match piece.event {
            ResponseEvent::ToolCallBegun { name, .. } => Some(format!("begun {name}")),
            ResponseEvent::ToolCallArguments { json, .. } => Some(json),
            ResponseEvent::ToolCallFinished { call, .. } => {
                Some(format!("finished {}", Value::Object(call.arguments)))
            }
            ResponseEvent::ToolCallBroken { reason, .. } => Some(format!("broken {reason}")),
            _ => None,
        });
        told.collect()
    };
    let none: [&str; 0] = [];
    for (text, expected) in [
        ("<tool_call>\n<function=wri", &none[..]),
        ("te>\n<parameter=text>\nNu", &["begun write"]),
        // It might have become `null`.
        ("ts\n", &["{\"text\":\"Nuts"]),
        // A line break belongs to it only if the text goes on.
        ("and \"bolts\"\n</par", &["\\nand \\\"bolts\\\""]),
        ("ameter>\n<parameter=lines>\n1", &["\""]),
        ("2\n</parameter>", &[",\"lines\":12"]),
        ("<parameter=note>null", &none),
        (
            "</parameter></function>",
            &[
                ",\"note\":null",
                "}",
                "finished {\"text\":\"Nuts\\nand \\\"bolts\\\"\",\"lines\":12,\"note\":null}",
            ],
        ),
        ("<function=stop></function>", &["begun stop", "{}", "finished {}"]),
        ("<function=write><parameter=text>oh", &["begun write", "{\"text\":\"oh"]),
        ("</tool_call>", &["broken `text` does not end"]),
        ("<tool_call><function=stop></function></tool_call>", &["begun stop", "{}", "finished {}"]),
    ] {
        assert_eq!(told(text), expected, "{text:?}");
    }
    // What comes in pieces is the JSON of the arguments, and all of the text.
    for case in cases().into_iter().filter(|case| case.format == format) {
        let parser = ResponseParser::new(format).with_tools(case.tools);
        let letters: Vec<_> = case.text.split_inclusive(|_: char| true).collect();
        let pieces = pieces(parser, letters);
        assert_eq!(whole(&pieces), case.text);
        let mut json = vec![String::new(); case.calls.len()];
        for piece in pieces {
            match piece.event {
                ResponseEvent::ToolCallArguments { index, json: more } => json[index] += &more,
                ResponseEvent::ToolCallBroken { .. } => panic!("{:?}", case.text),
                _ => {}
            }
        }
        for (json, call) in json.iter().zip(&case.calls) {
            let read: Map<String, Value> = serde_json::from_str(json).unwrap();
            assert_eq!(read, call.arguments, "{:?}", case.text);
        }
    }
}

/// What the models' own documents show, and no parser of the references reads.
#[test]
fn as_the_models_write() {
    let code = "import math\nprint(math.pi)";
    for (format, text, name, arguments) in [
        // Llama 3.1's built-in tools and its code interpreter.
        (
            "llama3",
            "<|python_tag|>brave_search.call(query=\"news\")",
            "brave_search",
            json!({"query": "news"}),
        ),
        ("llama3", &format!("<|python_tag|>{code}"), "python", json!({"code": code})),
        // Gemma 3.
        (
            "gemma3",
            "```tool_code\nprint(convert(amount=-2.5, to='EUR'))\n```",
            "convert",
            json!({"amount": -2.5, "to": "EUR"}),
        ),
        (
            "gemma3",
            "```json\n{\"name\": \"f\", \"parameters\": {\"x\": 1}}\n```",
            "f",
            json!({"x": 1}),
        ),
        // Phi-4-mini.
        (
            "phi4",
            "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"x\": 1}}]<|/tool_call|>",
            "f",
            json!({"x": 1}),
        ),
        // SmolLM3.
        (
            "smollm3",
            "<think>\n\n</think>\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
            "f",
            json!({}),
        ),
        (
            "smollm3",
            "<code>\nf(x=(1, 2), y={'a': True})\n</code>",
            "f",
            json!({"x": [1, 2], "y": {"a": true}}),
        ),
        ("smollm3", &format!("<code>\n{code}\n</code>"), "python", json!({"code": code})),
        // DeepSeek-V3 and R1.
        (
            "deepseek",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"x\": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            "f",
            json!({"x": 1}),
        ),
        // As OpenAI's API writes it.
        (
            "hermes",
            "<tool_call>{\"function\": {\"name\": \"f\", \"arguments\": \"{\\\"x\\\": 1}\"}}</tool_call>",
            "f",
            json!({"x": 1}),
        ),
    ] {
        let found = parse(text, format);
        assert!(found.content.is_empty() && found.broken.is_empty(), "{text}: {found:?}");
        let [call] = found.tool_calls.as_slice() else { panic!("{text}: {found:?}") };
        assert_eq!((call.name.as_str(), Value::from(call.arguments.clone())), (name, arguments));
    }
}

#[test]
fn what_is_broken_comes_back_with_the_reason() {
    for (format, text, reason) in [
        (
            "hermes",
            "Hi\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}\n</tool_call> Bye",
            "an unexpected `<`",
        ),
        ("hermes", "<tool_call>[1]</tool_call>", "an unexpected `1`"),
        (
            "hermes",
            "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
            "its arguments are no object",
        ),
        ("hermes", "<tool_call>{\"name\": 1}</tool_call>", "its `name` is no text"),
        ("hermes", "<tool_call>{\"name\": \"f\"}</tool", ""),
        ("hermes", "a <tool_call>{\"name\": \"f\"", "the answer ends within it"),
        (
            "llama3",
            "{\"name\": \"f\", \"parameters\": {\"x\": }}",
            "no valid JSON: expected value at line 1 column 35",
        ),
        ("llama3", "[f(x=y)] and more", "`y` is no literal"),
        ("mistral", "[TOOL_CALLS]", "the answer ends within it"),
        ("mistral", "[TOOL_CALLS]f!{}", "there is no name with arguments"),
        ("gemma3", "```tool_code\n```", "there is no call in it"),
        ("smollm3", "<code>f(", "the answer ends within it"),
    ] {
        let found = parse(text, format);
        if reason.is_empty() {
            assert_eq!((found.tool_calls.len(), found.content.as_str()), (1, ""), "{text}");
            continue;
        }
        assert_eq!(found.content, text);
        assert_eq!(found.broken.len(), 1, "{text}: {found:?}");
        assert_eq!(found.broken[0].reason, reason, "{text}");
        assert!(text.contains(&found.broken[0].text));
    }
    // What is complete before the break is not taken back.
    let found = parse("[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}, oh]", "mistral");
    assert_eq!((found.tool_calls.len(), found.content.as_str()), (1, ", oh]"));
}

#[test]
fn text_comes_as_soon_as_it_is_certain() {
    let format = ResponseFormat::named("hermes").unwrap();
    let mut parser = ResponseParser::new(format);
    let mut events = |text: &str| {
        let pieces = parser.push(text);
        pieces.into_iter().map(|piece| piece.event).collect::<Vec<_>>()
    };
    assert_eq!(events("2 <"), [ResponseEvent::Content("2".into())]);
    let rest = [ResponseEvent::Content(" ".into()), ResponseEvent::Content("< 3".into())];
    assert_eq!(events(" 3"), rest);
    assert_eq!(events("<tool_call>{\"name\": \"f\", \"arg"), []);
    let begun = events("uments\": {\"x\"");
    assert!(
        matches!(&begun[0], ResponseEvent::ToolCallBegun { index: 0, name, .. } if name == "f")
    );
    assert_eq!(begun[1], ResponseEvent::ToolCallArguments { index: 0, json: "{\"x\"".into() });
    let more = ResponseEvent::ToolCallArguments { index: 0, json: ": 1}".into() };
    assert_eq!(events(": 1}}"), [more]);
    assert!(matches!(events("</tool_call>")[0], ResponseEvent::ToolCallFinished { index: 0, .. }));
}

#[test]
fn formats_are_told_by_templates() {
    let folder = packages::llama_cpp().unwrap().join("models/templates");
    for (template, format) in [
        ("Qwen-Qwen2.5-7B-Instruct", "hermes"),
        ("Qwen-Qwen3-0.6B", "hermes"),
        ("Qwen-QwQ-32B", "hermes"),
        ("Qwen3-Coder", "qwen3-coder"),
        ("HuggingFaceTB-SmolLM3-3B", "smollm3"),
        ("meta-llama-Llama-3.1-8B-Instruct", "llama3"),
        ("meta-llama-Llama-3.2-3B-Instruct", "llama3"),
        ("meta-llama-Llama-3.3-70B-Instruct", "llama3"),
        ("NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "hermes"),
        ("mistralai-Mistral-Nemo-Instruct-2407", "mistral"),
        ("Mistral-Small-3.2-24B-Instruct-2506", "mistral"),
        ("mistralai-Ministral-3-14B-Reasoning-2512", "mistral"),
        ("deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek"),
        ("google-gemma-2-2b-it", "gemma3"),
        ("microsoft-Phi-3.5-mini-instruct", "plain"),
    ] {
        let jinja = fs::read_to_string(folder.join(format!("{template}.jinja"))).unwrap();
        assert_eq!(ResponseFormat::of_template(&jinja).name(), format, "{template}");
    }
    assert!(ResponseFormat::named("hermès").unwrap_err().to_string().contains("hermes"));
    let hermes = ResponseFormat::named("hermes").unwrap();
    assert!(hermes.needs("</think>") && !hermes.needs("<|im_end|>"));
    assert!(
        hermes.opens_reasoning("<think>\n") && !hermes.opens_reasoning("<think>\n\n</think>\n\n")
    );
}

/// A message through its template and back gives the message, which gives the same text again.
#[test]
fn back_through_the_template() {
    let folder = packages::llama_cpp().unwrap().join("models/templates");
    let special = SpecialTokenMap::from_iter([
        ("bos_token".to_owned(), json!("<s>")),
        ("eos_token".to_owned(), json!("</s>")),
    ]);
    let call = |name: &str, id: &str, arguments: Value| json!({"type": "function", "id": id, "function": {"name": name, "arguments": arguments}});
    let weather = call("weather", "a1b2c3d4e", json!({"town": "Köln", "days": [1, 2.5, null]}));
    let second = call("f", "000000002", json!({}));
    let plain = Message::assistant("Sunny, 3 < 5.");
    let calling = |content: &str, calls: &[&Value]| {
        let calls: Vec<_> = calls.iter().copied().cloned().collect();
        Message::assistant(content).with("tool_calls", calls)
    };
    let thinking = |message: Message| message.with("reasoning_content", "Hm,\nlet me see.");
    for (template, end, messages) in [
        (
            "Qwen-Qwen2.5-7B-Instruct",
            "<|im_end|>",
            vec![plain.clone(), calling("Look:", &[&weather, &second])],
        ),
        (
            "Qwen-Qwen3-0.6B",
            "<|im_end|>",
            vec![
                thinking(plain.clone()),
                thinking(calling("", &[&weather])),
                thinking(calling("Look:", &[&weather, &second])),
            ],
        ),
        (
            "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
            "<|im_end|>",
            vec![plain.clone(), calling("", &[&weather])],
        ),
        (
            "meta-llama-Llama-3.1-8B-Instruct",
            "<|eot_id|>",
            vec![plain.clone(), calling("", &[&weather])],
        ),
        (
            "meta-llama-Llama-3.2-3B-Instruct",
            "<|eot_id|>",
            vec![plain.clone(), calling("", &[&weather])],
        ),
        (
            "mistralai-Mistral-Nemo-Instruct-2407",
            "</s>",
            vec![plain.clone(), calling("", &[&weather, &second])],
        ),
        (
            "Mistral-Small-3.2-24B-Instruct-2506",
            "</s>",
            vec![plain.clone(), calling("", &[&weather, &second])],
        ),
        (
            "unsloth-mistral-Devstral-Small-2507",
            "</s>",
            vec![plain.clone(), calling("", &[&weather, &second])],
        ),
        ("HuggingFaceTB-SmolLM3-3B", "<|im_end|>", vec![plain.clone()]),
        ("google-gemma-2-2b-it", "<end_of_turn>", vec![plain]),
    ] {
        let jinja = fs::read_to_string(folder.join(format!("{template}.jinja"))).unwrap();
        let format = ResponseFormat::of_template(&jinja);
        let chat = ChatTemplate::new(&jinja).unwrap();
        let tool = json!({"type": "function", "function": {"name": "weather", "description": "", "parameters": {"type": "object", "properties": {}}}});
        let options = ChatOptions::default().tools([tool]).now(std::time::UNIX_EPOCH);
        let question = Message::user("How is the weather?");
        let text = |messages: &[Message], options: &ChatOptions| {
            chat.render(messages, &special, options).unwrap().text
        };
        let prompt =
            text(std::slice::from_ref(&question), &options.clone().add_generation_prompt(true));
        for message in messages {
            let whole = text(&[question.clone(), message.clone()], &options);
            let answer =
                whole.strip_prefix(&prompt).unwrap_or_else(|| panic!("{template}: {whole}"));
            let answer = answer
                .trim_end()
                .strip_suffix(end)
                .unwrap_or_else(|| panic!("{template}: {answer}"));
            let pieces = pieces(ResponseParser::new(format).following(&prompt), [answer]);
            let found = response(&pieces);
            assert!(found.broken.is_empty(), "{template}: {answer}: {found:?}");
            let again = text(&[question.clone(), found.to_message()], &options);
            // Where the format has no ids, there are none to keep.
            assert_eq!(again, whole, "{template}");
            assert_eq!(found.content, message.text(), "{template}");
            let calls = message.as_json().get("tool_calls").and_then(Value::as_array);
            assert_eq!(found.tool_calls.len(), calls.map_or(0, Vec::len), "{template}");
        }
    }
}

/// Texts of which much looks like markup.
fn texts() -> impl Strategy<Value = String> {
    let fragments = prop::sample::select(vec![
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "{\"name\": \"f\", \"arguments\": {\"x\": \"é\"}}",
        "{\"name\": \"g\", \"parameters\": {\"y\": [1, {}]",
        "}",
        "{",
        "\"",
        "\\",
        "[",
        "]",
        ",",
        ";",
        "\n",
        " ",
        "a",
        "é",
        "[TOOL_CALLS]",
        "[ARGS]",
        "[CALL_ID]",
        "name",
        "[THINK]",
        "[/THINK]",
        "<|python_tag|>",
        "f(x=1)",
        "[f(x='a')",
        "functools",
        "<|tool_call|>",
        "<|/tool_call|>",
        "```",
        "```json",
        "```tool_code",
        "<code>",
        "</code>",
        "(",
        ")",
        "=",
        "<｜tool▁call▁begin｜>",
        "function<｜tool▁sep｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
        "<",
        "<t",
        "\"name\"",
        ":",
    ]);
    prop_oneof![
        4 => prop::collection::vec(fragments, 0..14).prop_map(|parts| parts.concat()),
        1 => prop::sample::select(cases().into_iter().map(|case| case.text).collect::<Vec<_>>()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn however_it_is_cut(
        text in texts(),
        name in prop::sample::select(ResponseFormat::NAMES.to_vec()),
        in_reasoning: bool,
        cuts in prop::collection::vec(0usize..1000, 0..6),
    ) {
        let format = ResponseFormat::named(name).unwrap();
        let at_once = pieces(parser(format, in_reasoning), [text.as_str()]);
        prop_assert_eq!(&whole(&at_once), &text);
        let mut places: Vec<_> = cuts.iter().map(|cut| cut % (text.len() + 1)).filter(|&at| text.is_char_boundary(at)).collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        let cut = pieces(parser(format, in_reasoning), places.windows(2).map(|ends| &text[ends[0]..ends[1]]));
        let chars = pieces(parser(format, in_reasoning), text.split("").filter(|char| !char.is_empty()));
        prop_assert_eq!(&whole(&cut), &text);
        prop_assert_eq!(&whole(&chars), &text);
        let found = response(&at_once);
        // Broken calls are content.
        for broken in &found.broken {
            prop_assert!(found.content.contains(&broken.text));
        }
        let expected = merged(at_once);
        for event in &expected {
            let ResponseEvent::ToolCallFinished { index, call } = event else { continue };
            let begun = |event: &&ResponseEvent| match event {
                ResponseEvent::ToolCallBegun { index: of, id, name } => {
                    of == index && *id == call.id && *name == call.name
                }
                _ => false,
            };
            prop_assert_eq!(expected.iter().filter(begun).count(), 1);
            let arguments: String = expected.iter().map(|event| match event {
                ResponseEvent::ToolCallArguments { index: of, json } if of == index => json,
                _ => "",
            }).collect();
            let arguments: Map<String, Value> = serde_json::from_str(&arguments).unwrap();
            prop_assert_eq!(&arguments, &call.arguments);
        }
        prop_assert_eq!(&merged(cut), &expected);
        prop_assert_eq!(&merged(chars), &expected);
    }
}
