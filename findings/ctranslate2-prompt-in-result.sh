#!/usr/bin/env bash
# ctranslate2 4.8.5: `include_prompt_in_result` of `generate_batch` changes what is generated, not only what is returned. With it (so by
# default) the prompt counts for `no_repeat_ngram_size` and `repetition_penalty`; without it they see the new tokens alone, as
# does `max_length`.
# Touches: comparing generation with this peer: transformers counts the prompt of a decoder, so only one of the two compares.
# Expected: the same new tokens, with the prompt before them or not.
# Seen: after the prompt "a b a", where "a" is followed by "b" or (nearly as likely) "d" and pairs may not repeat: "d e" with the prompt
# in the result, "b a b c" without; with a penalty of 1.5 after "a b": "c" and "a b c".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet ctranslate2==4.8.5 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import os

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerDecoderModelSpec

names = ["<unk>", "<s>", "</s>", "a", "b", "c", "d", "e"]
likely = {"ab": 2.0, "ad": 1.9, "ba": 2.0, "bc": 1.9, "de": 2.0, "c": 3.0, "e": 2.0}  # what follows what; one letter: the end
size = len(names)
logits = np.full((size, size), -10.0)
for pair, logit in likely.items():
    logits[names.index(pair[0]), names.index(pair[1]) if pair[1:] else 2] = logit

# A layer of zeros between one-hot embeddings and a norm: the next token depends on the last alone.
one_hot = np.eye(size)
normed = (one_hot - 1 / size) / np.sqrt(one_hot.var(axis=1, keepdims=True) + 1e-5)
solved = np.linalg.lstsq(np.c_[normed, np.ones(size)], logits, rcond=None)[0].astype(np.float32)
zeros = lambda *shape: np.zeros(shape, np.float32)
spec = TransformerDecoderModelSpec.from_config(num_layers=1, num_heads=2, rotary_dim=0)
decoder, layer = spec.decoder, spec.decoder.layer[0]
decoder.embeddings.weight, decoder.scale_embeddings = one_hot.astype(np.float32), False
decoder.projection.weight, decoder.projection.bias = solved[:size].T.copy(), solved[size]
for norm in (decoder.layer_norm, layer.self_attention.layer_norm, layer.ffn.layer_norm):
    norm.gamma, norm.beta = 1 + zeros(size), zeros(size)
for linear, rows in [
    (layer.self_attention.linear[0], 3 * size),
    (layer.self_attention.linear[1], size),
    (layer.ffn.linear_0, size),
    (layer.ffn.linear_1, size),
]:
    linear.weight, linear.bias = zeros(rows, size), zeros(rows)
spec.register_vocabulary(names)
spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = names[:3]
spec.validate()
spec.optimize()
os.mkdir("model")
spec.save("model")
generator = ctranslate2.Generator("model", device="cpu", intra_threads=1)


def new_tokens(prompt, with_prompt, **options):
    prompt = prompt.split()
    result = generator.generate_batch([["<s>", *prompt]], max_length=9, include_prompt_in_result=with_prompt, **options)
    tokens = result[0].sequences[0]
    if with_prompt:
        assert tokens[: len(prompt)] == prompt
        tokens = tokens[len(prompt) :]
    return " ".join(tokens)


pairs = [new_tokens("a b a", with_prompt, no_repeat_ngram_size=2) for with_prompt in (True, False)]
penalty = [new_tokens("a b", with_prompt, repetition_penalty=1.5) for with_prompt in (True, False)]
plain = [new_tokens("d", with_prompt) for with_prompt in (True, False)]
print(pairs, penalty, plain)
assert pairs == ["d e", "b a b c"]
assert penalty == ["c", "a b c"]
assert plain == ["e", "e"]
PYTHON
