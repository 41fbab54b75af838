"""Writes tests/goldens/old_outputs: what the steps of modes return on request that transformers has moved out.

    pip install torch==2.9.1 safetensors==0.8.0
    pip install --no-deps --target old transformers==4.55.4 tokenizers==0.21.4
    PYTHONPATH=old python tests/goldens/make_old_outputs.py

4.55 is the last version that has contrastive search, DoLa and groups of beams. The files are as those of
`make_outputs.py`. A case whose choices are too close is left out: of contrastive search by the ranking, of the others
where noise changes an id. Constrained search is not here: its `beam_indices` name rows that the tokens are not from.
"""

import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, LogitsProcessor
from transformers.generation import utils

assert transformers.__version__ == "4.55.4"
transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent
OUT = HERE / "old_outputs"
MODELS = {"llama-gqa-tiny": False, "gpt2-tiny": False, "seq2seq/t5-tiny": True}
PROMPTS = [[5, 17, 42, 8, 23], [7, 30]]
CASES = {
    "contrastive": {"max_new_tokens": 4, "penalty_alpha": 0.6, "top_k": 4, "repetition_penalty": 1.2},
    "dola": {"max_new_tokens": 4, "dola_layers": [0, 1], "repetition_penalty": 1.2},
    "groups": {
        "max_new_tokens": 3,
        "num_beams": 4,
        "num_beam_groups": 2,
        "diversity_penalty": 1.5,
        "num_return_sequences": 2,
        "repetition_penalty": 1.2,
    },
}
EVERYTHING = ["return_dict_in_generate", "output_scores", "output_logits", "output_hidden_states", "output_attentions"]
MARGIN = 2e-4
margins = []


def ranking(context_hidden, next_hidden, next_top_k_probs, cosine_matrix_mask, alpha, beam_width):
    def unit(x):
        return x / x.norm(dim=2, keepdim=True)

    likeness = torch.matmul(unit(context_hidden), unit(next_hidden).transpose(1, 2)).squeeze(-1).max(-1).values
    scores = ((1 - alpha) * next_top_k_probs.view(-1) - alpha * likeness).sort(descending=True).values
    margins.append(float(scores[0] - scores[1]))
    return ranked(context_hidden, next_hidden, next_top_k_probs, cosine_matrix_mask, alpha, beam_width)


ranked = utils._ranking_fast
utils._ranking_fast = ranking


class Noise(LogitsProcessor):
    def __init__(self, seed):
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids, scores):
        return scores + MARGIN * torch.randn(scores.shape, generator=self.random)


def generate(model, prompt, options, *processors):
    ids = torch.tensor([prompt])
    return model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        eos_token_id=[],
        pad_token_id=1,
        logits_processor=list(processors),
        **options,
        **dict.fromkeys(EVERYTHING, True),
    )


OUT.mkdir(exist_ok=True)
cases = []
for name, is_seq2seq in MODELS.items():
    kind = AutoModelForSeq2SeqLM if is_seq2seq else AutoModelForCausalLM
    model = kind.from_pretrained(HERE / name, attn_implementation="eager", torch_dtype=torch.float32).eval()
    tensors = {}
    for case, options in CASES.items():
        # The decoder of an encoder-decoder has hidden states of another name, which DoLa does not look at.
        if case == "dola" and is_seq2seq:
            continue
        for number, prompt in enumerate(PROMPTS):
            margins.clear()
            out = generate(model, prompt, options)
            noisy = [generate(model, prompt, options, Noise(seed)) for seed in range(4)]
            if min(margins, default=1) < MARGIN or any(not torch.equal(it.sequences, out.sequences) for it in noisy):
                continue
            first = 1 if is_seq2seq else len(prompt)
            answers = out.sequences[:, first:].tolist()
            beams = out.get("beam_indices")
            label = f"{case}{number}"
            for answer, tokens in enumerate(answers):
                for token in range(len(tokens)):
                    row = int(beams[answer, token]) if beams is not None else answer
                    at = f"{label}.{answer}.{token}"
                    tensors[f"{at}.scores"] = out.scores[token][row]
                    tensors[f"{at}.logits"] = out.logits[token][row]
                    for kind in ["hidden_states", "attentions"] + (["cross_attentions"] if is_seq2seq else []):
                        key = kind if kind == "cross_attentions" or not is_seq2seq else f"decoder_{kind}"
                        for layer, tensor in enumerate(out[key][token]):
                            tensors[f"{at}.{kind}.{layer}"] = tensor[row]
            if is_seq2seq:
                for kind in ["hidden_states", "attentions"]:
                    for layer, tensor in enumerate(out[f"encoder_{kind}"]):
                        tensors[f"encoder{number}.{kind}.{layer}"] = tensor[0]
            cases.append({"model": name, "case": label, "prompt": prompt, "options": options, "answers": answers})
    tensors = {key: tensor.contiguous().clone() for key, tensor in tensors.items()}
    save_file(tensors, OUT / f"{pathlib.Path(name).name}.safetensors")
lines = ",\n".join(json.dumps(case) for case in cases)
(OUT / "cases.json").write_text(f"[\n{lines}\n]\n")
print(len(cases), "cases")
