"""Makes `flan_t5.json`: what the Python reference generates with the real weights of a FLAN-T5-small.

    venv/bin/python tests/goldens/make_flan_t5.py CACHE  # packages: see make.py

CACHE is the folder into which the tests put their packages (`tests/support/packages.rs`), after `cargo test --test flan_t5` has put
them there. Made with transformers 4.57.6 and torch 2.9.1: greedy and with four beams, in f32; the script fails unless f64 gives the
same ids, so that rounding decides nothing.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import AutoTokenizer, T5ForConditionalGeneration

FOLDER = Path(sys.argv[1]) / "flan-t5-small-folder-1"
OUT = Path(__file__).parent / "flan_t5.json"
MOST = 24
PROMPTS = [
    "translate English to German: The house is wonderful.",
    "translate English to French: Where is the railway station?",
    "Is Paris in France? Answer yes or no.",
    "What is the capital of Italy?",
    "Why is the sky blue?",
    "Question: Who wrote Hamlet? Answer:",
    "Which of these is a fruit: chair, apple, stone?",
    "Write a title: The parser fails on empty lines. A test was added, and the loop now skips them.",
    "summarize: The tower is 324 metres tall, about the same height as an 81-storey building, and the tallest structure in Paris. "
    "Its base is square, measuring 125 metres on each side.",
    "summarize: A storm moved over the coast on Monday night. Hundreds of homes were without power, and two roads were closed by trees.",
    "Premise: A man plays the guitar. Hypothesis: Somebody makes music. Does the premise entail the hypothesis?",
    "Is this review positive or negative? The film was dull, and I left before the end.",
    "Is this review positive or negative? What a lovely evening, I would go again!",
    "If I have 3 apples and buy 4 more, how many apples do I have?",
    "Rename the function load_config to read_config and update all callers; run the tests; fix two failures in the command line.",
    "The user asked for a dark theme. Colours were moved into a file of variables, and a switch was put into the settings page.",
    "Fix flaky test: the timeout of the network mock was too short on slow machines.",
    "Upgrade the database from version 12 to 15, migrate two tables, and write down how to go back.",
    "Add caching to the image service, because the same pictures were resized again and again.",
    "a",
]


def answers(model, ids):
    with torch.no_grad():
        return {name: model.generate(ids, num_beams=beams, do_sample=False, max_new_tokens=MOST)[0].tolist()
                for name, beams in (("greedy", 1), ("beams", 4))}


def main():
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    model = T5ForConditionalGeneration.from_pretrained(FOLDER, dtype=torch.float32).eval()
    found = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        found.append((prompt, ids, answers(model, ids)))
    model = model.double()
    lines = []
    for prompt, ids, made in found:
        assert made == answers(model, ids), f"rounding decides: {prompt}"
        made = {name: {"ids": one, "text": tokenizer.decode(one, skip_special_tokens=True)} for name, one in made.items()}
        print(prompt[:60], "|", made["greedy"]["text"], "|", made["beams"]["text"])
        lines.append(json.dumps({"prompt": prompt, "ids": ids[0].tolist()} | made, ensure_ascii=False))
    head = {"made_with": f"transformers {version('transformers')}, torch {version('torch')}", "max_new_tokens": MOST}
    OUT.write_text(json.dumps(head)[:-1] + ', "prompts": [\n ' + ",\n ".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
