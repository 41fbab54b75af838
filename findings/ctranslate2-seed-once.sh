#!/usr/bin/env bash
# ctranslate2 4.8.5: `set_random_seed` works once. The threads of a Generator take the seed when they first sample; one that is set later
# changes nothing, so the same call after the same seed gives another text, and goes on where the last ended.
# Touches: comparing samples with this peer: a new process, or a new Generator, for each of them.
# Expected: the same samples after the same seed, as from torch.
# Seen: the samples after the first and the second `set_random_seed(7)` differ; seed 8 in between changes none; each process gives the same
# two, and so does a new Generator after the seed is set.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet ctranslate2==4.8.5 numpy==2.4.6
cat > samples.py <<'PYTHON'
import os
import sys

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerDecoderModelSpec

SIZE = 16
zeros = lambda *shape: np.zeros(shape, np.float32)
spec = TransformerDecoderModelSpec.from_config(num_layers=1, num_heads=2, rotary_dim=0)
decoder, layer = spec.decoder, spec.decoder.layer[0]
decoder.embeddings.weight, decoder.scale_embeddings = zeros(SIZE, SIZE), False
decoder.projection.weight = zeros(SIZE, SIZE)  # all tokens are equally likely
for norm in (decoder.layer_norm, layer.self_attention.layer_norm, layer.ffn.layer_norm):
    norm.gamma, norm.beta = 1 + zeros(SIZE), zeros(SIZE)
for linear, rows in [
    (layer.self_attention.linear[0], 3 * SIZE),
    (layer.self_attention.linear[1], SIZE),
    (layer.ffn.linear_0, SIZE),
    (layer.ffn.linear_1, SIZE),
]:
    linear.weight, linear.bias = zeros(rows, SIZE), zeros(rows)
spec.register_vocabulary(["<unk>", "<s>", "</s>"] + [chr(ord("a") + place) for place in range(SIZE - 3)])
spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = "<unk>", "<s>", "</s>"
spec.validate()
spec.optimize()
folder = sys.argv[1]
os.mkdir(folder)
spec.save(folder)


def generator():
    return ctranslate2.Generator(folder, device="cpu", inter_threads=1, intra_threads=1)


def sample(generator, seed):
    ctranslate2.set_random_seed(seed)
    options = dict(max_length=12, sampling_topk=0, suppress_sequences=[["</s>"]], include_prompt_in_result=False)
    return "".join(generator.generate_batch([["<s>"]], **options)[0].sequences[0])


first = generator()
print(sample(first, 7), sample(first, int(sys.argv[2])), sample(generator(), 7))
PYTHON
for run in "one 7" "two 7" "three 8"; do
    venv/bin/python samples.py $run | tee -a seen
done
read -r one two three < seen
[ "$(sort -u seen | wc -l)" = 1 ] && [ "$one" != "$two" ] && [ "$one" = "$three" ]
