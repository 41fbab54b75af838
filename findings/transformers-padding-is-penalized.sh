#!/usr/bin/env bash
# transformers 4.57.6: with `repetition_penalty`, what a prompt generates depends on how long the other prompts of its batch are. The
# processor looks at the ids alone, where padding is a token like any other, and the usual padding of a decoder is its end token:
# in a batch of unequal prompts the end of all but the longest is penalized from the first step on, so their answers run on.
# Touches: batched generation; a processor has to see a sequence without its padding.
# Expected: the attention mask hides padding, so a prompt has the same scores alone and in a batch.
# Seen: alone the scores of 5 and 6 are changed after [5, 6]; beside a longer prompt those of 1, too, the end and padding.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 transformers==4.57.6 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import LlamaConfig, LlamaForCausalLM

END = 1
torch.manual_seed(0)
sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)
model = LlamaForCausalLM(LlamaConfig(vocab_size=8, **sizes)).eval()


def changed(prompts):
    """Of each prompt the ids whose score at the first step is not the model's, and the model's scores."""
    longest = max(map(len, prompts))
    output = model.generate(
        torch.tensor([[END] * (longest - len(prompt)) + prompt for prompt in prompts]),
        attention_mask=torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]),
        repetition_penalty=1.5,
        do_sample=False,
        pad_token_id=END,
        eos_token_id=END,
        max_new_tokens=1,
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
    )
    logits = output.logits[0]
    return [row.nonzero().flatten().tolist() for row in output.scores[0] != logits], logits[0]


(alone,), logits = changed([[5, 6]])
together, batched = changed([[5, 6], [2, 3, 4]])
print(alone, together)
assert torch.allclose(logits, batched, atol=1e-5)
assert alone == [5, 6]
assert together == [[1, 5, 6], [2, 3, 4]]
PYTHON
