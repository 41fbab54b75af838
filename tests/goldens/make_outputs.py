"""Writes tests/goldens/outputs: what the steps of `generate` return on request, by the answers that come of them.

    pip install transformers==4.57.6 torch==2.9.1 safetensors==0.8.0
    python tests/goldens/make_outputs.py

For each case of `cases.json`, `<model>.safetensors` holds for answer `a` and its token `t`, as `<case>.<a>.<t>.<kind>`:
`scores`, `logits`, `hidden_states.<layer>`, `attentions.<layer>` and, of encoder-decoders,
`cross_attentions.<layer>`; and as `encoder<prompt>.hidden_states.<layer>` and `encoder<prompt>.attentions.<layer>` what
their encoders have computed. With beams it is the row that the token was chosen from (`beam_indices`). Each prompt is
generated alone, so that nothing is padded.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

HERE = pathlib.Path(__file__).parent
OUT = HERE / "outputs"
MODELS = {"llama-gqa-tiny": False, "gemma2-tiny": False, "seq2seq/t5-tiny": True, "seq2seq/bart-tiny": True}
PROMPTS = [[5, 17, 42, 8, 23], [7, 30]]
CASES = {
    "greedy": {"max_new_tokens": 3, "repetition_penalty": 1.3},
    "sampled": {"max_new_tokens": 3, "do_sample": True, "top_k": 1, "temperature": 0.5},
    "beams": {"max_new_tokens": 3, "num_beams": 3, "num_return_sequences": 2},
    "drafted": {"max_new_tokens": 5},
}
# Of this case, what has been said before comes again. It is plain greedy search; scores and logits are the same with
# drafts of each kind. (Hidden states and attentions are not: transformers takes those of a first pass that drafts have
# part in from the beginning of the prompt.)
REPEATED = [[5, 17, 42, 5, 17, 42, 5, 17], [7, 7, 7]]
DRAFTS = [{"assistant_model": None}, {"prompt_lookup_num_tokens": 3, "max_matching_ngram_size": 1}, {"assistant_early_exit": 1}]
EVERYTHING = ["return_dict_in_generate", "output_scores", "output_logits", "output_hidden_states", "output_attentions"]

torch.set_num_threads(1)
OUT.mkdir(exist_ok=True)
cases = []
for name, is_seq2seq in MODELS.items():
    kind = AutoModelForSeq2SeqLM if is_seq2seq else AutoModelForCausalLM
    model = kind.from_pretrained(HERE / name, attn_implementation="eager", dtype=torch.float32).eval()
    tensors = {}
    for case, options in CASES.items():
        if case == "drafted" and name != "llama-gqa-tiny":
            continue
        for number, prompt in enumerate(REPEATED if case == "drafted" else PROMPTS):
            ids = torch.tensor([prompt])
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                eos_token_id=[],
                pad_token_id=1,
                **({"bos_token_id": None, "forced_eos_token_id": None, "forced_bos_token_id": None} if is_seq2seq else {}),
                **options,
                **dict.fromkeys(EVERYTHING, True),
            )
            for drafts in DRAFTS if case == "drafted" else []:
                drafts = {name: model if value is None else value for name, value in drafts.items()}
                drafted = model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    do_sample=False,
                    eos_token_id=[model.config.vocab_size],
                    pad_token_id=1,
                    **options,
                    **drafts,
                    **dict.fromkeys(EVERYTHING, True),
                )
                for kind in ["scores", "logits"]:
                    for one, other in zip(out[kind], drafted[kind]):
                        assert torch.allclose(one, other, atol=1e-4), (name, drafts, kind)
            first = 1 if is_seq2seq else len(prompt)
            answers = out.sequences[:, first:].tolist()
            beams = out.get("beam_indices")
            label = f"{case}{number}"
            names = ["hidden_states", "attentions"] + (["cross_attentions"] if is_seq2seq else [])
            for answer, tokens in enumerate(answers):
                for token in range(len(tokens)):
                    row = int(beams[answer, token]) if beams is not None else answer
                    at = f"{label}.{answer}.{token}"
                    tensors[f"{at}.scores"] = out.scores[token][row]
                    tensors[f"{at}.logits"] = out.logits[token][row]
                    for kind in names:
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
