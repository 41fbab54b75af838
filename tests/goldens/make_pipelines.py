"""Runs the Python pipelines on the tiny checkpoints in this folder and writes what they return.

    venv/bin/python tests/goldens/make_pipelines.py      # the venv of make.py: transformers==4.57.6 torch==2.9.1

Writes tests/goldens/pipelines/<name>.json: the task, the checkpoint, files that are added to it, and calls (input, options, output,
or the error that Python raises).
"""

import json
import shutil
import tempfile
from pathlib import Path

from transformers import pipeline
from transformers.utils import logging

logging.set_verbosity_error()
HERE = Path(__file__).parent

# Short enough for a tiny vocabulary; tells roles, tools, documents and the generation prompt apart.
TEMPLATE = (
    "{% for tool in tools or [] %}tool {{ tool.name }}\n{% endfor %}"
    "{% for document in documents or [] %}doc {{ document.text }}\n{% endfor %}"
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% if shout %}OH {% endif %}{% endif %}"
)

# The checkpoint's own, with the limit that `handle_long_generation` goes by.
TOKENIZER_CONFIG = json.dumps(
    json.loads((HERE / "llama-gqa-tiny/tokenizer_config.json").read_text()) | {"model_max_length": 128}
)

GREEDY = {"do_sample": False, "max_new_tokens": 12}
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a cat ?"}]
PREFILL = [*CHAT, {"role": "assistant", "content": "A cat is"}]

TEXT_GENERATION = {
    "checkpoint": "llama-gqa-tiny",
    "files": {"chat_template.jinja": TEMPLATE, "tokenizer_config.json": TOKENIZER_CONFIG},
    "calls": [
        ("The cat sat", GREEDY),
        ("", GREEDY),
        ("Two words , here .", GREEDY),
        (["The cat sat", "A dog and a bird ran over the hill"], GREEDY),
        ("The cat sat", GREEDY | {"return_full_text": False}),
        ("The cat sat", GREEDY | {"return_tensors": True}),
        ("The cat sat", GREEDY | {"return_text": True}),
        ("The cat sat", GREEDY | {"return_text": True, "return_full_text": False}),
        ("The cat sat", GREEDY | {"return_tensors": True, "return_full_text": False}),
        ("The cat sat", GREEDY | {"prefix": "Once upon a time "}),
        ("The cat sat", GREEDY | {"add_special_tokens": False}),
        ("The cat sat", GREEDY | {"skip_special_tokens": False}),
        ("The cat sat", GREEDY | {"clean_up_tokenization_spaces": False}),
        ("The cat sat", GREEDY | {"stop_sequence": "e"}),
        ("The cat sat", GREEDY | {"max_new_tokens": 30, "repetition_penalty": 1.7}),
        ("The cat sat", GREEDY | {"min_new_tokens": 12, "no_repeat_ngram_size": 2}),
        ("The cat sat", {"do_sample": False, "max_length": 20}),
        ("The cat sat " * 12, GREEDY | {"truncation": True, "max_length": 9}),
        ("The cat sat " * 12, GREEDY | {"truncation": "longest_first", "max_length": 9}),
        ("The cat sat " * 12, GREEDY | {"truncation": "nonsense", "max_length": 9}),
        # Here `max_length` is the prompt's alone.
        ("The cat sat " * 12, {"do_sample": False, "max_length": 80, "tokenizer_encode_kwargs": {"max_length": 9, "truncation": True}}),
        ("The cat sat", GREEDY | {"padding": True, "num_workers": 0}),
        ("The cat sat " * 12, GREEDY | {"handle_long_generation": "hole", "max_new_tokens": 100}),
        ("The cat sat", GREEDY | {"handle_long_generation": "gap"}),
        ("The cat sat", GREEDY | {"max_new_tokens": "many"}),
        ("The cat sat", GREEDY | {"no_such_option": 1}),
        (CHAT, GREEDY),
        ([CHAT, PREFILL], GREEDY),
        (PREFILL, GREEDY),
        (PREFILL, GREEDY | {"continue_final_message": False}),
        (CHAT, GREEDY | {"return_full_text": False}),
        (CHAT, GREEDY | {"return_tensors": True}),
        (CHAT, GREEDY | {"truncation": True, "max_length": 9}),
        (CHAT, GREEDY | {"tokenizer_encode_kwargs": {"shout": True}}),
        (CHAT, GREEDY | {"tokenizer_encode_kwargs": {"tools": [{"name": "look"}], "documents": [{"text": "Cats."}]}}),
    ],
}


# What a config.json says of a task, and of the call before it.
PARAMS = {"do_sample": False, "max_length": 30, "repetition_penalty": 1.5, "prefix": "Once upon a time "}
TASK_PARAMS = TEXT_GENERATION | {
    "files": TEXT_GENERATION["files"] | {
        "config.json": json.dumps(
            json.loads((HERE / "llama-gqa-tiny/config.json").read_text())
            | {"prefix": "It is so : ", "task_specific_params": {"summarization": {"num_beams": 4}, "text-generation": PARAMS}}
        ),
    },
    "calls": [
        ("The cat sat", {"max_new_tokens": 12}),
        ("The cat sat", {"max_new_tokens": 12, "repetition_penalty": 1.0}),
        ("The cat sat", {"max_new_tokens": 12, "prefix": "A dog"}),
        ("The cat sat", {"max_new_tokens": 12, "prefix": ""}),
        (CHAT, {"max_new_tokens": 12}),
    ],
}


def run(name, task, golden):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        shutil.copytree(HERE / golden["checkpoint"], folder)
        for file, text in golden["files"].items():
            (folder / file).write_text(text)
        calls = []
        for given, options in golden["calls"]:
            # A fresh pipeline each time: some calls leave their options behind.
            runner = pipeline(task, model=str(folder), torch_dtype="float32", device="cpu")
            runner.tokenizer.pad_token = runner.tokenizer.pad_token or runner.tokenizer.eos_token
            call = {"input": given, "options": options}
            try:
                output = runner(given, **options)
                call["output"] = json.loads(json.dumps(output, default=lambda tensor: tensor.tolist()))
            except Exception as error:
                call["error"] = f"{type(error).__name__}: {error}"[:200]
            calls.append(call)
    lines = ",\n  ".join(json.dumps(call, ensure_ascii=False) for call in calls)
    head = {"made_with": "transformers 4.57.6", "task": task, "checkpoint": golden["checkpoint"], "files": golden["files"]}
    head = ",\n ".join(f'"{key}": {json.dumps(value)}' for key, value in head.items())
    path = HERE / "pipelines" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{{{head},\n "calls": [\n  {lines}\n ]}}\n')


if __name__ == "__main__":
    run("text-generation", "text-generation", TEXT_GENERATION)
    run("task-params", "text-generation", TASK_PARAMS)
