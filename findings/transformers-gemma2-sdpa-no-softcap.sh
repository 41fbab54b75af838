#!/usr/bin/env bash
# transformers 4.57.6: Gemma 2 computes something else with `attn_implementation="sdpa"`, which it gets unless another is asked for. The
# config's `attn_logit_softcapping` is applied by "eager" and silently left out by "sdpa", which takes no such argument. There is no warning.
# Touches: golden values of Gemma 2, and ports that cap the scores, as the model was trained: compare with "eager".
# Expected: the two agree to rounding.
# Seen: they do (2e-6) with `attn_logit_softcapping=None`; with a cap of 2 their logits differ by more than 0.5, and greedy decoding writes
# other tokens. "sdpa" with a cap equals "sdpa" without one, bit by bit.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 transformers==4.57.6 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

sizes = dict(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2)
heads = dict(num_attention_heads=2, num_key_value_heads=1, head_dim=16, query_pre_attn_scalar=16)
ends = dict(pad_token_id=None, eos_token_id=None, tie_word_embeddings=False, initializer_range=0.5)
prompt = torch.arange(3, 11)[None]


def run(cap, implementation):
    torch.manual_seed(0)
    model = Gemma2ForCausalLM(Gemma2Config(attn_logit_softcapping=cap, **sizes, **heads, **ends)).eval()
    usual = model.config._attn_implementation
    model.set_attn_implementation(implementation)
    with torch.no_grad():
        logits = model(prompt).logits
    written = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False)
    return usual, logits, written[0, prompt.shape[1] :].tolist()


seen = {(cap, kind): run(cap, kind) for cap in (None, 2.0) for kind in ("sdpa", "eager")}
far = {cap: (seen[cap, "sdpa"][1] - seen[cap, "eager"][1]).abs().max().item() for cap in (None, 2.0)}
print(far, *((key, written) for key, (_, _, written) in seen.items()), sep="\n")
assert {usual for usual, _, _ in seen.values()} == {"sdpa"}
assert far[None] < 1e-4 and far[2.0] > 0.5
assert seen[None, "sdpa"][2] == seen[None, "eager"][2] == seen[2.0, "sdpa"][2] != seen[2.0, "eager"][2]
assert torch.equal(seen[None, "sdpa"][1], seen[2.0, "sdpa"][1])
PYTHON
