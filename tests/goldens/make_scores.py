"""Probabilities of given texts: the expected values of tests/generation/score.rs.

    pip install transformers==4.57.6 torch==2.9.1
    python tests/goldens/make_scores.py

Texts of several lengths go through tiny checkpoints in one pass each. Choices are scored as HFLM of lm-evaluation-harness 0.4 does it
(`TemplateLM._encode_pair`, `loglikelihood`). Transition scores are those of greedy and beam search.
"""

import json
import random
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

assert transformers.__version__ == "4.57.6"

HERE = Path(__file__).parent
TOP = 3


def load(name):
    return AutoModelForCausalLM.from_pretrained(HERE / name, dtype=torch.float32, attn_implementation="eager").eval()


def logprobs(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].log_softmax(-1)


def scored(model, ids):
    # As in lm-evaluation-harness, the last token is only predicted: it does not count for scaling by length.
    rows = logprobs(model, ids[:-1]) if len(ids) > 1 else torch.zeros(0, TOP)
    top = rows.topk(TOP)
    return {
        "ids": ids,
        "logprobs": [rows[at, id].item() for at, id in enumerate(ids[1:])],
        "greedy": [bool(rows[at].argmax() == id) for at, id in enumerate(ids[1:])],
        "top": [[[int(i), v] for i, v in zip(*pair)] for pair in zip(top.indices.tolist(), top.values.tolist())],
    }


def texts(model):
    numbers = random.Random(model.config.model_type)
    return [[numbers.randrange(3, 200) for _ in range(length)] for length in (9, 2, 33, 1, 20)]


def encode_pair(tokenizer, context, continuation):
    spaces = len(context) - len(context.rstrip())
    if spaces > 0:
        continuation = context[-spaces:] + continuation
        context = context[:-spaces]
    whole = tokenizer.encode(context + continuation)
    before = tokenizer.encode(context)
    return before, whole[len(before) :]


def choices(model, tokenizer, context, continuations):
    results = []
    for continuation in continuations:
        if context == "":
            before = [tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id]
            after = tokenizer.encode(continuation, add_special_tokens=False)
        else:
            before, after = encode_pair(tokenizer, context, continuation)
        rows = logprobs(model, (before + after)[:-1])[-len(after) :]
        total = sum(rows[at, id].item() for at, id in enumerate(after))
        greedy = rows.argmax(-1).tolist() == after
        results.append({"ids": after, "logprob": total, "per_char": total / len(continuation), "greedy": greedy})
    return {"context": context, "choices": continuations, "results": results}


def transitions(model, **options):
    prompt = torch.tensor([[3, 40, 17], [20, 12, 5]])
    mode = {"max_new_tokens": 5, "return_dict_in_generate": True, "output_scores": True, "eos_token_id": 40, "pad_token_id": 0}
    out = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, **mode, **options)
    beams = out.get("beam_indices")
    case = {
        "generated": out.sequences[:, 3:].tolist(),
        "scores": [step.tolist() for step in out.scores],
        "beam_indices": beams if beams is None else beams.tolist(),
    }
    for normalize in (False, True):
        found = model.compute_transition_scores(out.sequences, out.scores, beams, normalize_logits=normalize)
        case["normalized" if normalize else "plain"] = found.tolist()
    return case


def narrow(value):
    """Numbers as short as f32 allows."""
    if isinstance(value, float):
        return None if value in (float("inf"), -float("inf")) else float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: narrow(item) for key, item in value.items()}
    return [narrow(item) for item in value] if isinstance(value, list) else value


def main():
    models = {}
    for name in ["llama-gqa-tiny", "gemma3-tiny", "qwen2-tiny", "llama-rope-dynamic-tiny", "phi3-longrope-tiny"]:
        # A fresh model for each text: with rope scaling `dynamic`, transformers keeps the frequencies of the longest so far.
        models[name] = [scored(load(name), ids) for ids in texts(load(name))]
    name = "llama-gqa-tiny"
    model = load(name)
    tokenizer = AutoTokenizer.from_pretrained(HERE / name)
    questions = [
        choices(model, tokenizer, "The cat sat on", [" the mat", " a", " the mat and the hill"]),
        choices(model, tokenizer, "It was  ", ["over", "a dog"]),
        choices(model, tokenizer, "", ["The cat", "It"]),
    ]
    # Few tokens, so that the scores of all steps stay small.
    config = transformers.LlamaConfig(vocab_size=48, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    torch.manual_seed(3)
    small = transformers.LlamaForCausalLM(config).eval()
    cases = [transitions(small), transitions(small, num_beams=3)]
    golden = {"models": models, "choices": {"model": name, "questions": questions}, "transitions": cases}
    lines = json.dumps(narrow(golden), ensure_ascii=False, separators=(",", ":")).replace('{"ids"', '\n{"ids"').replace('{"generated"', '\n{"generated"')
    (HERE / "scores.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
