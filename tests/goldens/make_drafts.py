"""Writes tests/goldens/drafts: what transformers drafts, and what assisted generation comes to.

    pip install transformers==4.57.6 torch==2.9.1 tokenizers==0.22.2
    python tests/goldens/make_drafts.py

`lookup.json`: candidates of `PromptLookupCandidateGenerator`. `assisted.json`: greedy answers of checkpoints beside
this file with prompt lookup and with an assistant, and how many forward passes of the model they took, that of the
first token included. `early_exit.json`: the same with the first layers of the model itself. The assistant's
confidence threshold stays as it is set (with scikit-learn transformers would adapt it).
"""

import json
import pathlib
import random

import torch
import transformers
from transformers import AutoModelForCausalLM
from transformers.generation import candidate_generator
from transformers.generation.candidate_generator import PromptLookupCandidateGenerator

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
candidate_generator.is_sklearn_available = lambda: False
HERE = pathlib.Path(__file__).parent
OUT = HERE / "drafts"
NEW_TOKENS = 40
# Model and assistant.
PAIRS = [
    ("llama-tiny", "llama-tiny"),
    ("llama-tiny", "llama-gqa-tiny"),
    ("mistral-tiny", "mistral-tiny"),
    ("gpt2-tiny", "llama-tiny"),
    ("qwen3-tiny", "qwen3-tiny"),
]


def lookups():
    rng = random.Random(1)
    fixed = [
        ([5, 6, 9, 8, 5, 6, 7, 7, 5, 6], None, 3, 2),
        ([5, 6, 9, 8, 5, 7, 7, 6, 6], None, 3, 2),
        ([5, 6, 1, 8, 5, 6], [1], 3, 2),
        ([1, 2, 3], None, 3, 2),
        ([7, 7, 7], None, 3, 2),
        ([7], None, 3, 2),
        ([7, 7], None, 3, 9),
    ]
    drawn = []
    for _ in range(250):
        vocab = rng.choice([2, 4, 8])
        tokens = [rng.randrange(vocab) for _ in range(rng.randrange(1, 30))]
        eos = rng.choice([None, [0], [0, 1]])
        drawn.append((tokens, eos, rng.randrange(1, 8), rng.randrange(1, 6)))
    for tokens, eos, num_tokens, max_ngram in fixed + drawn:
        generator = PromptLookupCandidateGenerator(
            eos_token_id=torch.tensor(eos or [-1]),
            num_output_tokens=num_tokens,
            max_matching_ngram_size=max_ngram,
            max_length=1000,
        )
        ids, _ = generator.get_candidates(torch.tensor([tokens]))
        yield {
            "tokens": tokens,
            "eos": eos,
            "num_tokens": num_tokens,
            "max_ngram": max_ngram,
            "candidates": ids[0, len(tokens) :].tolist(),
        }


def load(name):
    # SDPA leaves out the soft cap of Gemma 2.
    return AutoModelForCausalLM.from_pretrained(HERE / name, attn_implementation="eager", dtype=torch.float32).eval()


def answer(model, prompt, max_new_tokens=NEW_TOKENS, **options):
    passes = 0

    def count(*_):
        nonlocal passes
        passes += 1

    hook = model.register_forward_hook(count)
    ids = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=EOS,
        pad_token_id=0,
        **options,
    )
    hook.remove()
    return ids[0, len(prompt) :].tolist(), passes


def assisted():
    for name, other in PAIRS:
        model, assistant = load(name), load(other)
        expected = json.loads((HERE / name / "expected.json").read_text())
        for row, prompt in enumerate(row for case in expected["cases"] if case.get("greedy") for row in case["rows"]):
            # What comes twice is found.
            said = prompt + answer(model, prompt)[0][:20]
            for prompt in [prompt, said + prompt]:
                plain, _ = answer(model, prompt)
                if len(plain) < 5:
                    continue
                # Here nothing is drafted with the prompt: the pass for the first token is one of its own.
                begun, rest = prompt + plain[:1], {"max_new_tokens": NEW_TOKENS - 1}
                lookup, lookup_passes = answer(
                    model, begun, prompt_lookup_num_tokens=6, max_matching_ngram_size=3, **rest
                )
                config = assistant.generation_config
                config.num_assistant_tokens = 5
                config.num_assistant_tokens_schedule = ["constant", "heuristic_transient"][row % 2]
                config.assistant_confidence_threshold = 0.4
                ids, passes = answer(model, begun, assistant_model=assistant, **rest)
                assert plain[1:] == lookup[: NEW_TOKENS - 1] == ids, name
                if lookup != ids:
                    # Where all of the last candidates are right, prompt lookup goes beyond max_new_tokens.
                    continue
                yield {
                    "model": name,
                    "assistant": other,
                    "schedule": config.num_assistant_tokens_schedule,
                    "prompt": prompt,
                    "generated": plain,
                    "lookup_passes": 1 + lookup_passes,
                    "passes": 1 + passes,
                }


def early_exits():
    """As `assisted`, with the model's own first layers as the assistant; passes of all layers count."""
    for name, layers in [("llama-tiny", 1), ("mistral-tiny", 1), ("gemma2-tiny", 2)]:
        model = load(name)
        whole = model.config.num_hidden_layers
        config = model.generation_config
        config.num_assistant_tokens = 5
        config.num_assistant_tokens_schedule = "constant"
        config.assistant_confidence_threshold = 0.0
        expected = json.loads((HERE / name / "expected.json").read_text())
        for prompt in [row for case in expected["cases"] if case.get("greedy") for row in case["rows"]][:4]:
            passes = 0

            def count(*_):
                nonlocal passes
                passes += model.config.num_hidden_layers == whole

            plain, _ = answer(model, prompt)
            begun = prompt + plain[:1]
            hook = model.register_forward_hook(count)
            ids, _ = answer(model, begun, assistant_early_exit=layers, max_new_tokens=NEW_TOKENS - 1)
            hook.remove()
            assert plain[1:] == ids, name
            yield {"model": name, "layers": layers, "prompt": prompt, "generated": plain, "passes": 1 + passes}


def write(name, cases):
    OUT.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(case) for case in cases)
    (OUT / name).write_text(f"[\n{lines}\n]\n")


EOS = []
write("lookup.json", lookups())
EOS = [7]
write("assisted.json", assisted())
write("early_exit.json", early_exits())
