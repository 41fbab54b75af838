"""Writes tests/goldens/outputs/healing.json: what transformers makes of the last token of a prompt (`heal_tokens`).

    pip install transformers==4.57.6 torch==2.9.1 tokenizers==0.22.2
    python tests/goldens/make_healing.py

Last tokens with a space are left out: where the vocabulary has no token of a space alone, transformers looks for
tokens that begin with the first letter of the unknown token. Kept are cases in which the best two logits are apart.
"""

import json
import pathlib
import random

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent
WORDS = ["the", "a", "in", "hello", "world", "t", "th", "he", "o", "wor", "an", "er", "i", "s", "un", "e", "r", "http:", "1"]

cases = []
for name in ["llama-tiny", "gemma2-tiny", "gpt2-tiny"]:
    # SDPA leaves out the soft cap of Gemma 2.
    model = AutoModelForCausalLM.from_pretrained(HERE / name, attn_implementation="eager", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(HERE / name)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    vocab = tokenizer.get_vocab()
    tails = [t for t in vocab if t.isascii() and t.isalpha() and sum(o.startswith(t) for o in vocab) > 1]
    rng = random.Random(3)
    for number in range(60):
        words = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 4)))
        text = words + " ," + rng.choice(tails) + (" " if number % 5 == 0 else "")
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=number % 2 == 0).input_ids
        again = tokenizer(text.strip(), return_tensors="pt").input_ids
        tail = tokenizer.convert_ids_to_tokens(again[0, -1].item())
        if again.shape[1] < 3 or not (tail.isascii() and tail.isalpha()):
            continue
        healed = model.heal_tokens(ids, tokenizer)[0].tolist()
        # What begins a text stays here, and is padding there.
        expected = again[0].tolist()[:-1] + healed[-1:]
        seen = [i for i in again[0].tolist()[:-1] if i != tokenizer.bos_token_id]
        with torch.no_grad():
            logits = model(torch.tensor([seen])).logits[0, -1]
        for token, number in vocab.items():
            if token.startswith(tail) and number < logits.numel():
                logits[number] += 11.0 if token == tail else 10.0
        best = logits.topk(2).values
        if best[0] - best[1] < 0.02:
            continue
        cases.append({"model": name, "prompt": ids[0].tolist(), "healed": expected})
lines = ",\n".join(json.dumps(case) for case in cases)
(HERE / "outputs" / "healing.json").write_text(f"[\n{lines}\n]\n")
print(len(cases), sum(case["prompt"] != case["healed"] for case in cases))
