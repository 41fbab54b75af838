#!/usr/bin/env bash
# transformers 4.57.6: `encoder_repetition_penalty` works on the first rows only. The source ids are not repeated for beams and for several
# returned sequences, as everything else is, and `gather` and `scatter` take fewer rows without a word. Of four samples of one text one
# is drawn to the words of its source; of two texts with two samples each, the second row of the first text gets the second one's words.
# `encoder_no_repeat_ngram_size`, beside it, counts its rows.
# Touches: the processors of generation; a chain that belongs to one sequence with its own source has no such rows.
# Expected: each returned sequence is drawn to the ids of its own source.
# Seen: with a penalty of 1,000 the positive scores of source ids are 1,000 times as high in row 0 of 4, and as they were in the others;
# with two texts row 0 and row 1 are changed, row 1 at the ids of the other text.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 transformers==4.57.6 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import T5Config, T5ForConditionalGeneration

torch.manual_seed(0)
sizes = dict(vocab_size=12, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
model = T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)).eval()


def changed(sources, samples):
    """Of each row the ids whose score at the first step is not the model's."""
    output = model.generate(
        torch.tensor(sources),
        encoder_repetition_penalty=1000.0,
        do_sample=True,
        top_k=0,
        num_return_sequences=samples,
        max_new_tokens=1,
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
    )
    return [row.nonzero().flatten().tolist() for row in output.scores[0] != output.logits[0]]


one, two = changed([[5, 6, 7, 1]], 4), changed([[5, 6], [8, 9]], 2)
print(one, two)
assert one == [[1, 5, 6, 7], [], [], []]
assert two == [[5, 6], [8, 9], [], []]
PYTHON
