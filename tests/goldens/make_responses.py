"""Answers of models taken apart: the expected values of tests/responses.rs.

    pip install regex        # into the environment of transformers==4.57.6
    python tests/goldens/make_responses.py

Two sources. The tool parsers and reasoning parsers of vLLM 0.11.2 (its source package, fetched here) run on the answers below, with
stand-ins for what they import and do not need here. The test vectors of llama.cpp (tests/test-chat.cpp, from the package that
fetch_llama_cpp.py fetches) are read from the C++ text. Ids that vLLM makes up are left out.
"""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import types
from pathlib import Path

import fetch_llama_cpp
from transformers import PreTrainedTokenizerBase  # noqa: F401: before its dependencies are stood in for

HERE = Path(__file__).parent
VLLM = "0.11.2"
CACHE = Path(os.environ.get("SCONCE_TEST_CACHE", Path.home() / ".cache/sconce-tests"))


# vLLM


def vllm():
    """The folder of vLLM's package; without its build, as fetch_llama_cpp.py does it."""
    folder = CACHE / f"vllm-{VLLM}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory() as scratch:
            backend = Path(scratch) / "setuptools"
            backend.mkdir()
            (backend / "__init__.py").touch()
            source = fetch_llama_cpp.BACKEND.replace("llama_cpp_python", "vllm").replace(fetch_llama_cpp.VERSION, VLLM)
            (backend / "build_meta.py").write_text(source)
            options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", scratch]
            pip = [sys.executable, "-m", "pip", "download", *options, f"vllm=={VLLM}"]
            subprocess.run(pip, check=True, env=os.environ | {"PYTHONPATH": scratch})
            [archive] = Path(scratch).glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                wanted = [m for m in tar if re.search(r"/vllm/(reasoning|entrypoints/openai/tool_parsers)/", m.name)]
                tar.extractall(folder, members=wanted, filter="data")
    return folder / f"vllm-{VLLM}/vllm"


class Record:
    """Stands in for pydantic's models."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


class Parser:
    """Stands in for the base classes of the parsers."""

    def __init__(self, tokenizer, *args, **kwargs):
        self.model_tokenizer = tokenizer
        self.vocab = tokenizer.vocab


MARKERS = ["[TOOL_CALLS]", "<think>", "</think>", "[THINK]", "[/THINK]", "<tool_call>", "</tool_call>"]


class Markers:
    """Stands in for a tokenizer: every marker is a token."""

    def __init__(self):
        self.vocab = {name: i for i, name in enumerate(MARKERS)}

    def encode(self, text, **kwargs):
        return [0]

    def decode(self, ids):
        return ""


class MistralTokens(Markers):
    """mistral-common's tokenizers from version 11 write names before arguments."""

    version = 11


def stand_in(name, **names):
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    sys.modules[name].__dict__.update(names)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Quiet:
    def __getattr__(self, name):
        return lambda *args, **kwargs: None


def parsers():
    records = ["ChatCompletionRequest", "DeltaFunctionCall", "DeltaMessage", "DeltaToolCall", "ExtractedToolCallInformation"]
    records += ["FunctionCall", "ToolCall", "ResponsesRequest", "ChatCompletionToolsParam"]
    stand_in("vllm.entrypoints.openai.protocol", **{name: type(name, (Record,), {}) for name in records})
    stand_in("vllm.entrypoints.chat_utils", make_tool_call_id=lambda: "made up")
    manager = type("ToolParserManager", (), {"register_module": staticmethod(lambda *args, **kwargs: lambda kind: kind)})
    stand_in("vllm.entrypoints.openai.tool_parsers.abstract_tool_parser", ToolParser=Parser, ToolParserManager=manager)
    helpers = ["extract_intermediate_diff", "find_common_prefix", "is_complete_json", "partial_json_loads"]
    stand_in("vllm.entrypoints.openai.tool_parsers.utils", **dict.fromkeys(helpers))
    stand_in("vllm.logger", init_logger=lambda name: Quiet())
    stand_in("vllm.envs", VLLM_TOOL_PARSE_REGEX_TIMEOUT_SECONDS=5)
    sys.modules["vllm"].envs = sys.modules["vllm.envs"]
    stand_in("vllm.transformers_utils.tokenizer", AnyTokenizer=object, MistralTokenizer=MistralTokens)
    stand_in("vllm.reasoning.abs_reasoning_parsers", ReasoningParser=Parser)
    stand_in("partial_json_parser", core=None)
    stand_in("partial_json_parser.core.options", Allow=None)
    stand_in("pydantic", Field=lambda **kwargs: None)
    root = vllm()
    sys.modules["vllm.reasoning.basic_parsers"] = load(root / "reasoning/basic_parsers.py")
    tools = root / "entrypoints/openai/tool_parsers"
    return {
        "hermes": load(tools / "hermes_tool_parser.py").Hermes2ProToolParser(Markers()),
        "llama3": load(tools / "llama_tool_parser.py").Llama3JsonToolParser(Markers()),
        "pythonic": load(tools / "pythonic_tool_parser.py").PythonicToolParser(Markers()),
        "phi4": load(tools / "phi4mini_tool_parser.py").Phi4MiniJsonToolParser(Markers()),
        "mistral": load(tools / "mistral_tool_parser.py").MistralToolParser(Markers()),
        "mistral 11": load(tools / "mistral_tool_parser.py").MistralToolParser(MistralTokens()),
        "qwen3 coder": load(tools / "qwen3coder_tool_parser.py").Qwen3CoderToolParser(Markers()),
        "think": load(root / "reasoning/qwen3_reasoning_parser.py").Qwen3ReasoningParser(Markers()),
        "think opened": load(root / "reasoning/deepseek_r1_reasoning_parser.py").DeepSeekR1ReasoningParser(Markers()),
    }


# (our format, vLLM's parser, the answers). White space beside markers is vLLM's content but not ours: compared without.
OF_VLLM = [
    ("hermes", "hermes", [
        "Just text, 2 < 3.",
        '<tool_call>\n{"name": "weather", "arguments": {"town": "Köln", "days": 2}}\n</tool_call>',
        '<tool_call>{"name": "f", "arguments": {}}</tool_call>\n<tool_call>\n{"name": "g", "arguments": {"a": [1, {"b": null}], "c": "}\\"{"}}\n</tool_call>',
        'Let me look. <tool_call>\n{"arguments": {"x": 1.5e3}, "name": "late"}\n</tool_call>',
        # The end of the block is cut off.
        '<tool_call>\n{"name": "f", "arguments": {"x": true}}',
        # Broken ones.
        '<tool_call>\n{"name": "f", "arguments": {"x": 1}\n</tool_call>',
        '<tool_call>\n{"name": f, "arguments": {"x": 1}}\n</tool_call>',
        "<tool_call>\n{'name': 'f', 'arguments': {}}\n</tool_call>",
        '<tool_call>\n{"arguments": {"x": 1}}\n</tool_call>',
        '<tool_call>\n{"name": "f", "argum',
        '<tool_call>\n{"name": "f", "arguments": {"x": "two\nlines"}}\n</tool_call>',
        '<tool_call>\n{"name": "f", "arguments": {"x": 1}} and more\n</tool_call>',
    ]),
    ("llama3", "llama3", [
        "This is just some text {without} any tool calls",
        '{"name": "searchTool", "parameters": {"query": "test query", "limit": 10}}',
        '{"name": "searchTool", "arguments": {"query": "test"}}',
        '{"name": "searchTool", "parameters": {"query": "test1"}}; {"name": "getOpenIncidentsTool", "parameters": {}}; {"name": "searchTool", "parameters": {"query": "test2"}}',
        '<|python_tag|>{"name": "f", "parameters": {"x": 1}}',
        '{"type": "function", "name": "f", "parameters": {"x": 1}}',
        '{"name": "invalidTool", "parameters": {invalid json}',
        '{"answer": 42}',
    ]),
    ("llama3", "pythonic", [
        "How can I help you today?",
        "[get_weather(city='San Francisco', metric='celsius')]",
        "[register_user(name='John Doe', age=37, address={'city': 'San Francisco', 'state': 'CA'}, role=None, passed_test=True, aliases=['John', 'Johnny'])]",
        "[get_weather()]",
        "[do_something_cool(additional_data={})]",
        "[do_something_cool(steps=[])]",
        "[get_weather(city='Martha\\'s Vineyard', metric='\\\"cool units\\\"')]",
        "[a(x=1), b(y=\"two, [three]\", z=0.5), c()]",
        "[a(x=y)]",
    ]),
    ("gemma3", "pythonic", ["[get_weather(city='Köln', days=3)]", "[f(a='x')]"]),
    ("gemma3", "llama3", ['{"name": "f", "parameters": {"x": "y"}}']),
    ("phi4", "phi4", [
        "Plain text with tools.",
        'functools[{"name": "f", "arguments": {"x": 1}}]',
        'functools[{"name": "f", "parameters": {"x": "é"}}, {"name": "g", "arguments": {}}]',
    ]),
    ("mistral", "mistral", [
        "Hello",
        '[TOOL_CALLS][{"name": "f", "arguments": {"x": 1}}]',
        '[TOOL_CALLS] [{"name": "f", "arguments": {"x": [1, 2]}}, {"name": "g", "arguments": {"y": {}}}]',
        'Let me see.[TOOL_CALLS][{"arguments": {"x": 1}, "name": "f"}]',
    ]),
    ("mistral", "mistral 11", [
        '[TOOL_CALLS]add{"a": 3, "b": 4}',
        # Content before a call becomes part of its name there, and a second call is lost.
        '[TOOL_CALLS]get_current_weather{"city": "Dallas", "state": "TX"}',
    ]),
    ("qwen3-coder", "qwen3 coder", [
        "Just text.",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
        "Let me look.\n<tool_call>\n<function=unknown>\n<parameter=x>\n3\n</parameter>\n<parameter=y>\nnull\n</parameter>\n</function>\n</tool_call>",
        "<tool_call>\n<function=get_time>\n</function>\n</tool_call>",
        "<tool_call><function=get_weather><parameter=city>Köln</parameter><parameter=ratio>0.50</parameter></function></tool_call>\n<tool_call>\n<function=get_time>\n<parameter=exact>\nTrue\n</parameter>\n</function>\n</tool_call>",
        "<tool_call>\n<function=write>\n<parameter=text>\n\n  if a < b:\n    print('x')\n\n</parameter>\n<parameter=lines>\n[1, 2, {\"a\": null}]\n</parameter>\n<parameter=options>\n{'mode': 'w', 'n': True}\n</parameter>\n</function>\n</tool_call>",
        "<tool_call>\n<function=get_weather>\n<parameter=days>\nmany\n</parameter>\n<parameter=ratio>\n2.0\n</parameter>\n<parameter=city>\n42\n</parameter>\n<parameter=exact>\nyes\n</parameter>\n</function>\n</tool_call>",
        # Without the end of a parameter, and of the block.
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>",
        "<tool_call>\n<function=write>\n<parameter=either>\n(1, 'a')\n</parameter>\n</function>\n</tool_call>",
    ]),
    ("hermes", "think", [
        "<think>\nabc\n</think>\n\nxyz",
        "<think>abc</think>",
        "<think></think>xyz",
        "<think>a\n\nb < c</think>x\ny",
        "no thoughts",
    ]),
    ("deepseek", "think opened", ["abc</think>xyz", "abc\n</think>\n\nxyz", "still thinking", "<think>abc</think>xyz"]),
]


def function(name, **types):
    properties = {name: {"type": kind} for name, kind in types.items()}
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}


TOOLS = [
    function("get_weather", city="string", days="integer", ratio="number", exact="boolean"),
    function("get_time", exact="bool"),
    function("write", text="string", lines="array", options="object", either=["string", "null"]),
]


def request():
    """TOOLS as vLLM hands them over."""
    tools = [Record(type=tool["type"], function=Record(**tool["function"])) for tool in TOOLS]
    return Record(tools=tools)


def of_vllm():
    known = parsers()
    for format, parser, answers in OF_VLLM:
        for answer in answers:
            case = {"from": f"vllm {parser}", "format": format, "text": answer}
            if parser.startswith("think"):
                reasoning, content = known[parser].extract_reasoning(answer, None)
                case |= {"content": content, "reasoning": reasoning, "calls": [], "in_reasoning": parser == "think opened"}
                # Where the answer repeats the opening marker, it has not begun in reasoning.
                case["in_reasoning"] &= not answer.startswith("<think>")
            else:
                with_tools = parser == "qwen3 coder"
                found = known[parser].extract_tool_calls(answer, request() if with_tools else None)
                calls = [{"name": c.function.name, "arguments": json.loads(c.function.arguments)} for c in found.tool_calls]
                case |= {"content": found.content, "reasoning": None, "calls": calls}
                case |= {"tools": TOOLS} if with_tools else {}
            yield case


# llama.cpp

# The templates whose vectors are taken, and our format.
TEMPLATES = {
    "Qwen-QwQ-32B": "hermes",
    "Qwen-Qwen2.5-7B-Instruct": "hermes",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": "hermes",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral",
    "unsloth-mistral-Devstral-Small-2507": "mistral",
    "mistralai-Ministral-3-14B-Reasoning-2512": "mistral",
    "fireworks-ai-llama-3-firefunction-v2": "phi4",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "deepseek",
    "llama-cpp-deepseek-r1": "deepseek",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "deepseek",
    "google-gemma-2-2b-it": "gemma3",
    "meta-llama-Llama-3.1-8B-Instruct": "llama3",
    "meta-llama-Llama-3.2-3B-Instruct": "llama3",
    "meta-llama-Llama-3.3-70B-Instruct": "llama3",
}

LITERAL = re.compile(r'R"(\w*#?)\((.*?)\)\1"|"((?:[^"\\]|\\.)*)"', re.DOTALL)


def texts(source):
    """The C++ texts in a source, neighbours put together."""
    found, end = [], None
    for match in LITERAL.finditer(source):
        text = match[2] if match[2] is not None else ast.literal_eval('"' + match[3].replace("\n", "\\n") + '"')
        if end is not None and not source[end : match.start()].strip():
            found[-1] += text
        else:
            found.append(text)
        end = match.end()
    return found


def arguments(source, at):
    """What stands between the parenthesis at `at` and its end."""
    depth, place = 0, at
    while True:
        if literal := LITERAL.match(source, place):
            place = literal.end()
            continue
        depth += {"(": 1, ")": -1}.get(source[place], 0)
        place += 1
        if depth == 0:
            return source[at + 1 : place - 1]


def message(source):
    """What the arguments of simple_assist_msg say: content, reasoning, tool, arguments, id."""
    fields = texts(source)
    content, reasoning, tool, args, id = fields + [""] * (5 - len(fields))
    call = {"name": tool, "arguments": json.loads(args or "{}")} | ({"id": id} if id else {})
    return {"content": content, "reasoning": reasoning or None, "calls": [call] if tool else []}


def messages(source):
    """message_assist… = simple_assist_msg(…)."""
    found = re.finditer(r"const common_chat_msg (\w+)\s*=\s*simple_assist_msg(?=\()", source)
    return {match[1]: message(arguments(source, match.end())) for match in found}


def of_llama_cpp():
    tree = fetch_llama_cpp.tree()
    source = (tree / "tests/test-chat.cpp").read_text()
    cut = re.compile(r"const common_chat_msg \w*(cutoff|unclosed|partial)\w*\s*=[^;]*;", re.DOTALL)
    known = messages(cut.sub("", source))
    for block in re.split(r"(?=peg_tester\()", source)[1:]:
        template = re.match(r'peg_tester\("models/templates/([^"]+)\.jinja"', block)
        template = template[1] if template else None
        # The one loop over several templates that has a tag.
        if block.startswith("peg_tester(path,") and "<tool_call>" in block:
            template = "Qwen-Qwen2.5-7B-Instruct"
        format = TEMPLATES.get(template)
        for chain in re.split(r"(?=\btst\.\s*test\()", block)[1:] if format else []:
            text = texts(arguments(chain, chain.index("(")))[0]
            body = chain[chain.index("(") + len(arguments(chain, chain.index("("))) + 2 :]
            body = body[: body.find("run(")]
            # A message that is continued, and JSON by grammar, are other matters.
            if any(word in body for word in ["continue_final_message", "json_schema", "is_partial"]):
                continue
            case = {"content": "", "reasoning": None, "calls": []}
            for match in re.finditer(r"expect(_\w+)?(?=\()", body):
                given = arguments(body, match.end())
                if match[1] is None:
                    case |= known.get(given.strip()) or message(given)
                elif match[1] in ["_content", "_reasoning"]:
                    case[match[1][1:]] = texts(given)[0]
                elif match[1] == "_tool_calls":
                    for call in re.finditer(r"\{\s*(\"\w+\"),\s*(R\".*?\)\")\s*,\s*(\{\}|\"\w*\")\s*\}", given, re.DOTALL):
                        name, args, id = (texts(part) for part in call.groups())
                        call = {"name": name[0], "arguments": json.loads(args[0])} | ({"id": id[0]} if id else {})
                        case["calls"].append(call)
            # Their default leaves reasoning in the content.
            if "[THINK]" in text and "reasoning_format" not in body:
                continue
            opened = "</think>" in text and "<think>" not in text
            if "think" in text and not opened and "reasoning_format" not in body:
                continue
            yield {"from": f"llama.cpp {template}", "format": format, "text": text, "in_reasoning": opened} | case


def main():
    cases = [*of_vllm(), *of_llama_cpp()]
    unique = {json.dumps([c["format"], c["text"], c.get("in_reasoning")]): c for c in cases}
    lines = [json.dumps(case, ensure_ascii=False) for case in unique.values()]
    (HERE / "responses.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(len(lines), "answers")


if __name__ == "__main__":
    main()
