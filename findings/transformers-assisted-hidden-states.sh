#!/usr/bin/env bash
# transformers 4.57.6: with drafts (an assistant, prompt lookup, an early exit) and `output_hidden_states` or
# `output_attentions`, the tokens that the first pass confirms come with the hidden states and attentions of the first
# tokens of the prompt. `_split_model_outputs` counts them from the beginning of the pass, which holds the prompt. Ids,
# scores and logits are right, and so is every later pass.
# Touches: outputs of the steps of drafted answers, which must be those of plain ones.
# Expected: with the model itself as its assistant the same hidden states, step by step, as without one.
# Seen: the second step's hidden states are those of the prompt's first token (difference 0), and far from the plain
# ones; attentions likewise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==4.57.6 torch==2.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

transformers.logging.set_verbosity_error()
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, initializer_range=0.3
)
model = LlamaForCausalLM(config).eval()
model.set_attn_implementation("eager")
prompt = torch.tensor([[5, 17, 42, 8, 23, 30]])
options = {
    "attention_mask": torch.ones_like(prompt),
    "do_sample": False,
    "max_new_tokens": 4,
    "pad_token_id": 0,
    "return_dict_in_generate": True,
    "output_hidden_states": True,
    "output_attentions": True,
    "output_logits": True,
}
plain = model.generate(prompt, **options)
drafted = model.generate(prompt, assistant_model=model, num_assistant_tokens=2, assistant_confidence_threshold=0.0, **options)
assert torch.equal(plain.sequences, drafted.sequences)
assert all((a - b).abs().max() < 1e-4 for a, b in zip(plain.logits, drafted.logits))
away = [float((a[-1] - b[-1][:, -1:]).abs().max()) for a, b in zip(plain.hidden_states[1:], drafted.hidden_states[1:])]
of_prompt = float((plain.hidden_states[0][-1][:, :1] - drafted.hidden_states[1][-1]).abs().max())
print(transformers.__version__, "plain and drafted:", away, "the prompt's first token and the second step:", of_prompt)
assert away[0] > 0.1 and of_prompt < 1e-4
weights = [it.attentions[1][-1][0, 0, -1] for it in (plain, drafted)]
print("attention of the second step:", *weights)
assert (weights[0][: len(weights[1])] - weights[1][: len(weights[0])]).abs().max() > 0.1
PYTHON
