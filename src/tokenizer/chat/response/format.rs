//! How models mark reasoning and tool calls: one table.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result, did_you_mean};

/// How a family of models marks reasoning and tool calls in its answers.
///
/// | name | models | reasoning | tool calls |
/// |---|---|---|---|
/// | `plain` | any | none | none |
/// | `think` | any that reason | `<think>` | none |
/// | `hermes` | Qwen2.5, Qwen3, QwQ, Hermes | `<think>` | `<tool_call>{"name": …, "arguments": …}</tool_call>` |
/// | `qwen3-coder` | Qwen3-Coder, Qwen3.5 | `<think>` | `<tool_call><function=f><parameter=x>1</parameter></function></tool_call>` |
/// | `smollm3` | SmolLM3 | `<think>` | as `hermes`, and Python in `<code>` |
/// | `llama3` | Llama 3.1, 3.2, 3.3 | none | `{"name": …, "parameters": …}`, `[f(x=1)]`, and both or code after `<\|python_tag\|>` |
/// | `mistral` | Mistral, Ministral, Magistral | `[THINK]` | `[TOOL_CALLS][{…}]`, `[TOOL_CALLS]name[ARGS]{…}` with or without `[CALL_ID]` |
/// | `phi4` | Phi-4, Phi-4-mini | `<think>` | `<\|tool_call\|>[{…}]<\|/tool_call\|>`, `functools[{…}]` |
/// | `gemma3` | Gemma 3 | none | `[f(x=1)]`, `{"name": …, "parameters": …}`, both in fences, `tool_code` |
/// | `deepseek` | DeepSeek-R1, V3 and what is distilled from them | `<think>` | `<｜tool▁call▁begin｜>function<｜tool▁sep｜>name` and fenced JSON |
#[derive(Clone, Copy)]
pub struct ResponseFormat(&'static Markers);

/// One row of the table.
#[derive(Debug)]
pub(super) struct Markers {
    name: &'static str,
    /// What reasoning stands between.
    pub(super) reasoning: Option<(&'static str, &'static str)>,
    pub(super) calls: &'static [CallSyntax],
    /// What stands around several calls.
    pub(super) wrappers: &'static [&'static str],
}

/// One way to write tool calls.
#[derive(Debug)]
pub(super) struct CallSyntax {
    /// What it begins with, maybe nothing.
    pub(super) open: &'static str,
    /// What must follow for it to be a call.
    pub(super) look: Look,
    pub(super) body: Body,
    /// What ends it; nothing where its brackets do.
    pub(super) close: &'static str,
}

/// What must follow the opening marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Anything: the marker says it all.
    Anything,
    /// An object with a name and arguments, or a list of such.
    Json,
    /// A list of Python calls, at the beginning of the answer.
    Python,
}

/// What a call consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// A JSON object, several after semicolons, or a list of objects.
    Json,
    /// As [`Json`](Self::Json), or else Python up to the closing marker: calls, or a program.
    Code,
    /// A list of Python calls.
    Python,
    /// Functions and their parameters in XML, up to the closing marker.
    Xml,
    /// As [`Json`](Self::Json), or else a name, maybe an id, and the arguments as an object.
    Named {
        /// What stands before the name.
        before: &'static str,
        /// What stands before the id.
        id: &'static str,
        /// What may stand before the arguments.
        arguments: &'static str,
    },
}

const THINK: Option<(&str, &str)> = Some(("<think>", "</think>"));

const TOOL_CALL: CallSyntax = CallSyntax {
    open: "<tool_call>",
    look: Look::Anything,
    body: Body::Json,
    close: "</tool_call>",
};
const BARE_JSON: CallSyntax =
    CallSyntax { open: "", look: Look::Json, body: Body::Json, close: "" };
const BARE_PYTHON: CallSyntax =
    CallSyntax { open: "", look: Look::Python, body: Body::Python, close: "" };

static FORMATS: [Markers; 10] = [
    Markers { name: "plain", reasoning: None, calls: &[], wrappers: &[] },
    Markers { name: "think", reasoning: THINK, calls: &[], wrappers: &[] },
    Markers { name: "hermes", reasoning: THINK, calls: &[TOOL_CALL], wrappers: &[] },
    Markers {
        name: "qwen3-coder",
        reasoning: THINK,
        calls: &[CallSyntax { body: Body::Xml, ..TOOL_CALL }],
        wrappers: &[],
    },
    Markers {
        name: "smollm3",
        reasoning: THINK,
        calls: &[
            TOOL_CALL,
            CallSyntax { open: "<code>", look: Look::Anything, body: Body::Code, close: "</code>" },
        ],
        wrappers: &[],
    },
    Markers {
        name: "llama3",
        reasoning: None,
        calls: &[
            CallSyntax {
                open: "<|python_tag|>",
                look: Look::Anything,
                body: Body::Code,
                close: "",
            },
            BARE_JSON,
            BARE_PYTHON,
        ],
        wrappers: &[],
    },
    Markers {
        name: "mistral",
        reasoning: Some(("[THINK]", "[/THINK]")),
        calls: &[CallSyntax {
            open: "[TOOL_CALLS]",
            look: Look::Anything,
            body: Body::Named { before: "", id: "[CALL_ID]", arguments: "[ARGS]" },
            close: "",
        }],
        wrappers: &[],
    },
    Markers {
        name: "phi4",
        reasoning: THINK,
        calls: &[
            CallSyntax {
                open: "<|tool_call|>",
                look: Look::Anything,
                body: Body::Json,
                close: "<|/tool_call|>",
            },
            CallSyntax { open: "functools", look: Look::Json, body: Body::Json, close: "" },
        ],
        wrappers: &[],
    },
    Markers {
        name: "gemma3",
        reasoning: None,
        calls: &[
            CallSyntax {
                open: "```tool_code",
                look: Look::Anything,
                body: Body::Code,
                close: "```",
            },
            CallSyntax { open: "```json", look: Look::Json, body: Body::Json, close: "```" },
            BARE_JSON,
            BARE_PYTHON,
        ],
        wrappers: &[],
    },
    Markers {
        name: "deepseek",
        reasoning: THINK,
        calls: &[CallSyntax {
            open: "<｜tool▁call▁begin｜>",
            look: Look::Anything,
            body: Body::Named {
                before: "function<｜tool▁sep｜>", id: "", arguments: "```json"
            },
            close: "```<｜tool▁call▁end｜>",
        }],
        wrappers: &["<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"],
    },
];

/// What a chat template or the name of an added token contains, and the format that it tells of: the first
/// that fits, where all of the strings are found.
const SIGNS: [(&[&str], &str); 13] = [
    (&["[TOOL_CALLS]"], "mistral"),
    (&["<｜tool▁call"], "deepseek"),
    (&["<|tool_call|>"], "phi4"),
    (&["functools"], "phi4"),
    (&["SmolLM", "<think>"], "smollm3"),
    (&["<function=", "<parameter="], "qwen3-coder"),
    // Other calls in XML, which no format here reads.
    (&["<function="], "think"),
    (&["<tool_call>"], "hermes"),
    (&["<|python_tag|>"], "llama3"),
    (&["<|start_header_id|>", "\"parameters\""], "llama3"),
    (&["[THINK]"], "mistral"),
    (&["<think>"], "think"),
    (&["<start_of_turn>"], "gemma3"),
];

impl ResponseFormat {
    /// Without any markers: everything is content.
    pub const PLAIN: Self = Self(&FORMATS[0]);

    /// The names of all formats.
    pub const NAMES: [&'static str; 10] = {
        let mut names = [""; 10];
        let mut row = 0;
        while row < names.len() {
            names[row] = FORMATS[row].name;
            row += 1;
        }
        names
    };

    /// A format by its name.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] when there is no such format.
    pub fn named(name: &str) -> Result<Self> {
        FORMATS.iter().find(|format| format.name == name).map(Self).ok_or_else(|| {
            let known = Self::NAMES.join(", ");
            let meant = did_you_mean(name, &Self::NAMES);
            Error::option(
                "response_format",
                format!("no format `{name}`{meant}; there are {known}"),
            )
        })
    }

    /// The format that a chat template writes: told by the markers in its text. `plain` where it has
    /// none of them.
    #[must_use]
    pub fn of_template(jinja: &str) -> Self {
        let fits = |signs: &[&str]| signs.iter().all(|sign| jinja.contains(sign));
        let name = SIGNS.iter().find(|(signs, _)| fits(signs)).map_or("plain", |(_, name)| name);
        FORMATS.iter().find(|format| format.name == name).map_or(Self::PLAIN, Self)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether an answer to `prompt` begins within reasoning, because the prompt opens it.
    #[must_use]
    pub fn opens_reasoning(self, prompt: &str) -> bool {
        self.0.reasoning.is_some_and(|(open, _)| prompt.trim_end().ends_with(open))
    }

    /// Whether a token is, or is part of, one of the format's markers: decoding must not leave it out.
    #[must_use]
    pub fn needs(self, token: &str) -> bool {
        let reasoning = self.0.reasoning.into_iter().flat_map(|(open, close)| [open, close]);
        let calls = self.0.calls.iter().flat_map(|call| {
            let inside = match call.body {
                Body::Named { before, id, arguments } => [before, id, arguments],
                _ => [""; 3],
            };
            [call.open, call.close].into_iter().chain(inside)
        });
        let wrappers = self.0.wrappers.iter().copied();
        !token.is_empty()
            && reasoning.chain(calls).chain(wrappers).any(|marker| marker.contains(token))
    }

    pub(super) fn markers(self) -> &'static Markers {
        self.0
    }
}

impl PartialEq for ResponseFormat {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ResponseFormat {}

impl fmt::Debug for ResponseFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseFormat({})", self.name())
    }
}

impl Serialize for ResponseFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.name().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ResponseFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).map_err(serde::de::Error::custom)
    }
}
