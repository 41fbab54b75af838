#!/usr/bin/env bash
# transformers 4.57.6: with `prompt_lookup_num_tokens` an answer can be longer than `max_new_tokens` (and `max_length`) allows. The tokens
# copied from the prompt are not cut to the room that is left; all that the model agrees with are kept, and one of its own on top.
# Drafts of an assistant model are cut.
# Touches: speculative decoding: the room left bounds a draft, one token less than it.
# Expected: the tokens of plain greedy decoding, so at most `max_new_tokens`.
# Seen: a model that repeats itself writes 19 tokens where 11 are allowed (10 looked up at a time), 7 where 5 are (4 at a time).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 transformers==4.57.6 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import LlamaConfig, LlamaForCausalLM

sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)
model = LlamaForCausalLM(LlamaConfig(vocab_size=8, **sizes)).eval()
model.lm_head.weight.data.zero_()  # always token 0
prompt = torch.zeros(1, 4, dtype=torch.long)
given = dict(attention_mask=torch.ones_like(prompt), do_sample=False, pad_token_id=1, eos_token_id=1)


def lengths(**options):
    rows = [model.generate(prompt, max_new_tokens=most, **given, **options) for most in range(1, 15)]
    return [row.shape[1] - prompt.shape[1] for row in rows]


plain, by_four, by_ten = lengths(), lengths(prompt_lookup_num_tokens=4), lengths(prompt_lookup_num_tokens=10)
print(plain, by_four, by_ten, sep="\n")
assert plain == list(range(1, 15))
assert by_four == [1, 2, 3, 4, 7, 7, 7, 8, 9, 12, 12, 12, 13, 14]
assert by_ten == [1, 2, 3, 4, 8, 8, 8, 8, 9, 10, 19, 19, 19, 19]
PYTHON
