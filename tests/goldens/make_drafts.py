"""Writes tests/goldens/drafts: what transformers drafts.

    pip install transformers==4.57.6 torch==2.9.1 tokenizers==0.22.2
    python tests/goldens/make_drafts.py

`lookup.json`: candidates of `PromptLookupCandidateGenerator`.
"""

import json
import pathlib
import random

import torch
import transformers
from transformers.generation.candidate_generator import PromptLookupCandidateGenerator

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent
OUT = HERE / "drafts"


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


def write(name, cases):
    OUT.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(case) for case in cases)
    (OUT / name).write_text(f"[\n{lines}\n]\n")


write("lookup.json", lookups())
