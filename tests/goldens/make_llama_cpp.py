"""Writes llama_cpp.json: what llama.cpp generates greedily with GGUF files of SmolLM2-135M-Instruct that this crate saved.

    python3.11 -m venv venv
    venv/bin/pip install llama-cpp-python==0.3.36 numpy==2.4.6
    cargo test --release --test smollm2 llama_cpp   # saves the files, and may fail for want of the numbers
    venv/bin/python tests/goldens/make_llama_cpp.py target/tmp/smollm2-q8_0.gguf target/tmp/smollm2-q4_0.gguf
"""

import json
import sys
from pathlib import Path

import llama_cpp
import numpy as np

# Both engines round activations, each in its own places: a step whose best two logits are closer could go either way.
MARGIN = 0.1
NEW_TOKENS = 24


def chat(text):
    return f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


PROMPTS = [
    chat("Where is the Eiffel Tower?"),
    chat("What is the capital of Germany?"),
    chat("List the days of the week."),
    chat("What are the months of the year?"),
    chat("Say hello."),
    "2, 4, 6, 8, 10, 12, 14,",
    "10 9 8 7 6 5",
    "The alphabet: A B C D E F G",
    "The opposite of hot is cold. The opposite of up is down. The opposite of left is",
    "France: Paris\nGermany: Berlin\nItaly: Rome\nSpain:",
]


def generate(llama, ids):
    """The new ids, and the smallest lead of a best logit."""
    llama.reset()
    llama.eval(ids)
    generated, margin = [], float("inf")
    for _ in range(NEW_TOKENS):
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llama.ctx, -1), (llama.n_vocab(),))
        second, best = np.argsort(logits)[-2:].tolist()
        margin = min(margin, float(logits[best] - logits[second]))
        generated.append(best)
        if best == llama.token_eos():
            break
        llama.eval([best])
    return generated, margin


def main(paths):
    cases = []
    for path in map(Path, paths):
        llama = llama_cpp.Llama(str(path), n_ctx=512, n_threads=1, n_threads_batch=1, verbose=False)
        for text in PROMPTS:
            ids = llama.tokenize(text.encode(), add_bos=False, special=True)
            generated, margin = generate(llama, ids)
            note = "" if margin >= MARGIN else "  (left out)"
            print(f"{path.stem}: margin {margin:.3f}{note}\n    {llama.detokenize(ids + generated, special=True).decode()!r}")
            if margin >= MARGIN:
                level = path.stem.rpartition("-")[2]
                cases.append({"level": level, "margin": round(margin, 3), "text": text, "ids": ids, "generated": generated})
        kept = sum(case["level"] == path.stem.rpartition("-")[2] for case in cases)
        if kept < 3:
            sys.exit(f"nothing written: {kept} prompts with clear steps of {path}")
    lines = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in cases)
    text = f'{{"made_with": {{"llama-cpp-python": "{llama_cpp.__version__}"}},\n "cases": [\n  {lines}\n ]}}\n'
    Path(__file__).with_name("llama_cpp.json").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
