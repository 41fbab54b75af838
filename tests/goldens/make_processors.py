"""Writes the files `own_*.json` of tests/goldens/logits: what logits processors beyond those of `make_logits.py` do.

    pip install transformers==4.57.6 torch==2.9.1 tokenizers==0.22.2
    pip download --no-deps transformers==5.24.0     # top-h: the class is run from the wheel's source
    python tests/goldens/make_processors.py transformers-5.24.0-py3-none-any.whl

llama.cpp's samplers are its own, compiled by `llama_samplers.py`, which wants g++. In the JSON files `null` stands for a
logit of -inf, and "nan" and "inf" for themselves.
"""

import ast
import json
import math
import random
import sys
import zipfile

import llama_samplers as llama
import torch
from make_logits import OUT, VOCAB, Table, readable, write
from transformers import SynthIDTextWatermarkingConfig, WatermarkDetector, WatermarkingConfig
from transformers.generation import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    LogitsProcessor,
    MinPLogitsWarper,
    PrefixConstrainedLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
    UnbatchedClassifierFreeGuidanceLogitsProcessor,
)

DRAW = random.Random(4)


def top_h_class(wheel):
    """TopHLogitsWarper as transformers 5 has it."""
    source = zipfile.ZipFile(wheel).read("transformers/generation/logits_process.py").decode()
    [found] = [node for node in ast.parse(source).body if getattr(node, "name", "") == "TopHLogitsWarper"]
    scope = {"torch": torch, "LogitsProcessor": LogitsProcessor}
    exec(compile(ast.Module([found], []), str(wheel), "exec"), scope)
    return scope["TopHLogitsWarper"]


def gauss(count=VOCAB, spread=2.5):
    # Of equal logits torch.topk promises no order: there are nearly none.
    return [round(DRAW.gauss(0, spread), 4) for _ in range(count)]


def with_holes():
    logits = gauss()
    for index in DRAW.sample(range(VOCAB), 6):
        logits[index] = -math.inf
    return logits


def case(options, prompt, new, logits, expected):
    return {"options": options, "prompt": prompt, "new": new, "logits": readable(logits), "expected": readable(expected)}


def run(processor, tokens, logits):
    return processor(torch.tensor([tokens]), torch.tensor([logits]))[0].tolist()


def tokens(count, kinds=6):
    return [DRAW.randrange(kinds) for _ in range(count)]


def option_cases(top_h):
    """By options: what one processor does alone."""
    sample = {"do_sample": True, "top_k": 0}
    cases = []
    for h in (0.05, 0.3, 0.6, 0.9, 0.999):
        for logits in (gauss(), gauss(spread=0.3), with_holes(), gauss(150, 1.0)):
            cases.append(case(sample | {"top_h": h}, [1], [], logits, run(top_h(h), [1], logits)))
    for n in (0.3, 1.0, 1.7, 3.0):
        for logits in (gauss(), gauss(spread=0.3), with_holes()):
            left, _ = llama.apply(llama.sampler("top_n_sigma", n), logits)
            cases.append(case(sample | {"top_n_sigma": n}, [1], [], logits, left))
    for threshold in (0.02, 0.09, 0.15, 0.3, 0.5):
        for logits in (gauss(), gauss(spread=0.5), with_holes(), [2.0, 2.1, 1.9, 1.8, 0.3, -1.0]):
            left, _ = llama.apply(llama.sampler("xtc", 1.0, threshold, 1, 0), logits)
            options = sample | {"xtc_probability": 1.0, "xtc_threshold": threshold}
            cases.append(case(options, [1], [], logits, left))
    for temperature, spread, exponent in [(0.8, 0.5, 1.0), (1.0, 0.9, 2.0), (0.5, 0.5, 1.0), (1.5, 0.2, 0.5)]:
        for logits in (gauss(), gauss(spread=0.5), gauss(spread=8.0)):
            left, _ = llama.apply(llama.sampler("temp_ext", temperature, spread, exponent), logits)
            options = {"temperature": temperature, "dynatemp_range": spread, "dynatemp_exponent": exponent}
            cases.append(case(sample | options, [1], [], logits, left))
    for frequency, presence in [(0.7, 0.0), (0.0, 1.3), (0.4, 0.9), (-0.5, -0.25)]:
        for length in (0, 1, 12):
            prompt, new, logits = tokens(3), tokens(length), gauss()
            penalties = llama.sampler("penalties", VOCAB, 64, 1.0, frequency, presence)
            llama.accept(penalties, new)  # generated tokens count, and no others
            left, _ = llama.apply(penalties, logits)
            options = {"frequency_penalty": frequency, "presence_penalty": presence}
            cases.append(case(options, prompt, new, logits, left))
    return cases


def dry_cases():
    cases = []
    for number in range(60):
        multiplier, base = DRAW.choice([(0.8, 1.75), (1.0, 1.1), (2.5, 1.0), (0.3, 3.0)])
        allowed, last = DRAW.choice([(2, 64), (1, 64), (0, 20), (3, 64), (2, 9)])
        text = tokens(DRAW.randrange(2, 40), DRAW.choice([2, 3, 6]))
        if number % 3 == 0:  # a long repetition
            text = text + text
        breakers = DRAW.choice([[], [[5]], [[0], [3, 1]], [[1, 2], [1, 2, 3], [4]]])
        dry, logits = llama.sampler("dry", None, multiplier, base, allowed, last, None, 0), gauss(8)
        for breaker in breakers:
            llama.add_breaker(dry, breaker)
        llama.accept(dry, text)
        left, _ = llama.apply(dry, logits)
        cases.append(
            {
                "multiplier": multiplier,
                "base": base,
                "allowed_length": allowed,
                "last": last,
                "breakers": breakers,
                "tokens": text,
                "logits": logits,
                "expected": readable(left),
            }
        )
    long = [1, 2] * 400  # a penalty beyond the range of f32 without a limit
    dry, logits = llama.sampler("dry", None, 0.5, 1.75, 2, 1000, None, 0), gauss(8)
    llama.accept(dry, long)
    left, _ = llama.apply(dry, logits)
    options = {"multiplier": 0.5, "base": 1.75, "allowed_length": 2, "last": 1000, "breakers": []}
    return [*cases, options | {"tokens": long, "logits": logits, "expected": readable(left)}]


def mirostat_cases():
    """Each step: what llama.cpp has drawn, and the limit after that."""
    cases = []
    for tau, eta in [(3.0, 0.1), (5.0, 0.5), (0.7, 0.9)]:
        mirostat, steps = llama.sampler("mirostat_v2", 7, tau, eta), []
        for _ in range(12):
            logits = gauss(spread=DRAW.choice([0.5, 2.0, 5.0]))
            _, selected = llama.apply(mirostat, logits)
            steps.append({"logits": logits, "selected": selected, "limit": llama.mu(mirostat)})
        cases.append({"tau": tau, "eta": eta, "steps": steps})
    return cases


def kept_cases():
    """Filters that keep at least some tokens."""
    filters = [
        ("top_k", TopKLogitsWarper, [1, 3]),
        ("top_p", TopPLogitsWarper, [0.1, 0.6, 0.9]),
        ("min_p", MinPLogitsWarper, [0.05, 0.4, 1.0]),
        ("typical_p", TypicalLogitsWarper, [0.1, 0.6]),
        ("epsilon_cutoff", EpsilonLogitsWarper, [0.01, 0.3]),
        ("eta_cutoff", EtaLogitsWarper, [0.01, 0.3]),
    ]
    cases = []
    for name, warper, values in filters:
        for value in values:
            for least in (1, 2, 4, 30):
                logits = gauss()
                expected = run(warper(value, min_tokens_to_keep=least), [1], logits)
                made = {"filter": name, "value": value, "least": least, "logits": logits}
                cases.append(made | {"expected": readable(expected)})
    return cases


def watermark_cases():
    configs = [
        {},
        {"greenlist_ratio": 0.5, "bias": 1.25, "hashing_key": 99},
        {"context_width": 3, "hashing_key": 15485863},
        {"seeding_scheme": "selfhash"},
        {"seeding_scheme": "selfhash", "context_width": 4, "hashing_key": 2**40 + 7, "greenlist_ratio": 0.4},
    ]
    cases = []
    for options in configs:
        config, vocab = WatermarkingConfig(**options), 60
        processor = config.construct_processor(vocab, "cpu")
        model = Table(torch.zeros(2, 2)).config
        model.vocab_size, model.bos_token_id = vocab, 0
        processed = []
        for length in (1, 2, 9, 14):
            text, logits = [DRAW.randrange(vocab) for _ in range(length)], gauss(vocab)
            processed.append({"tokens": text, "logits": logits, "expected": readable(run(processor, text, logits))})
        detected = []
        detector = WatermarkDetector(model, "cpu", config)
        green = [0] + [DRAW.randrange(vocab) for _ in range(config.context_width)]
        for _ in range(30):  # a marked text
            marked = run(processor, green, [0.0] * vocab)
            best = [index for index, logit in enumerate(marked) if logit == max(marked)]
            green.append(DRAW.choice(best))
        for text in (green, green[1:], [DRAW.randrange(vocab) for _ in range(25)], [5] * 12):
            found = detector(torch.tensor([text]), z_threshold=2.5, return_dict=True)
            fields = {name: value[0].item() for name, value in vars(found).items()}
            detected.append({"tokens": text, "found": fields})
        cases.append({"config": options, "vocab": vocab, "processed": processed, "detected": detected})
    return cases


def synth_id_cases():
    configs = [
        {"ngram_len": 5, "keys": [654, 400, 836, 123, 340, 443, 597, 160, 57]},
        {"ngram_len": 2, "keys": [-9, 2**50], "sampling_table_seed": 5, "sampling_table_size": 1000},
        {"ngram_len": 3, "keys": [1, 2, 3], "context_history_size": 4, "skip_first_ngram_calls": True},
        {"ngram_len": 3, "keys": [11, 12], "debug_mode": True},
    ]
    cases = []
    for options in configs:
        processor = SynthIDTextWatermarkingConfig(**options).construct_processor(VOCAB, "cpu")
        prompt, answer, steps = [3, 1, 4], [], []
        for step in range(14):
            logits = with_holes() if step % 3 == 1 else gauss()
            expected = run(processor, prompt + answer, logits)
            steps.append({"logits": readable(logits), "expected": readable(expected)})
            answer.append(DRAW.randrange(2))  # contexts come again
        cases.append({"config": options, "prompt": prompt, "answer": answer, "steps": steps})
    return cases


def guidance_cases():
    """By a model whose logits depend on the last token only, which is the first row of the file."""
    torch.manual_seed(9)
    table = (torch.randn(12, 12) * 2).mul(100).round().div(100)
    model, cases = Table(table), []
    for scale in (1.5, 3.0, 0.0, -1.0):
        for negative in (None, [4, 9]):
            ids = None if negative is None else torch.tensor([negative])
            processor = UnbatchedClassifierFreeGuidanceLogitsProcessor(scale, model, ids)
            text, steps = [1, 7, 2], []
            for _ in range(4):
                logits = gauss(12)
                steps.append({"logits": logits, "expected": readable(run(processor, text, logits))})
                text.append(DRAW.randrange(12))
            cases.append({"scale": scale, "negative": negative, "tokens": text, "steps": steps})
    answers = []
    for options in ({"guidance_scale": 2.0}, {"guidance_scale": 1.5, "negative": [3, 8]}, {"guidance_scale": 1.0}):
        negative = options.get("negative")
        extra = {} if negative is None else {"negative_prompt_ids": torch.tensor([negative])}
        found = model.generate(
            torch.tensor([[1, 7, 2]]),
            guidance_scale=options["guidance_scale"],
            max_new_tokens=8,
            pad_token_id=0,
            **extra,
        )
        answers.append({"scale": options["guidance_scale"], "negative": negative, "answer": found[0, 3:].tolist()})
    return {"table": table.tolist(), "cases": cases, "answers": answers}


def prefix_cases():
    cases = []
    for _ in range(6):
        allowed, logits = DRAW.sample(range(VOCAB), DRAW.randrange(1, 8)), with_holes()
        expected = run(PrefixConstrainedLogitsProcessor(lambda _, __: allowed, 1), [1, 2], logits)
        cases.append({"allowed": allowed, "logits": readable(logits), "expected": readable(expected)})
    return cases


def sampling_cases(top_h):
    """Probabilities by options, and the chi-square that a fair sampler exceeds once in ten thousand times."""
    from make_logits import process

    cases = []
    for options in (
        {"do_sample": True, "top_k": 0},
        {"do_sample": True, "temperature": 0.6, "top_k": 9},
        {"do_sample": True, "top_k": 0, "top_p": 0.8, "repetition_penalty": 1.4},
        {"do_sample": True, "top_k": 0, "typical_p": 0.7, "temperature": 1.3},
        {"do_sample": True, "min_p": 0.05, "epsilon_cutoff": 0.01, "renormalize_logits": True},
    ):
        logits = gauss(spread=1.5)
        logits = process(options, [1, 2], [1, 2], logits, False), logits
        probabilities = torch.tensor(logits[0], dtype=torch.float64).softmax(0)
        degrees = int((probabilities > 0).sum()) - 1
        low, high = 0.0, 1000.0
        for _ in range(100):
            middle = (low + high) / 2
            tail = torch.special.gammaincc(torch.tensor(degrees / 2.0).double(), torch.tensor(middle / 2.0).double())
            low, high = (middle, high) if tail > 1e-4 else (low, middle)
        made = {"options": options, "prompt": [1, 2], "logits": logits[1], "most": high}
        cases.append(made | {"probabilities": [float(f"{p:.9g}") for p in probabilities.tolist()]})
    return cases


if __name__ == "__main__":
    top_h = top_h_class(sys.argv[1])
    write("own_options.json", option_cases(top_h))
    write("own_dry.json", dry_cases())
    write("own_mirostat.json", mirostat_cases())
    write("own_kept.json", kept_cases())
    write("own_watermark.json", watermark_cases())
    write("own_synth_id.json", synth_id_cases())
    write("own_guidance.json", guidance_cases())
    write("own_prefix.json", prefix_cases())
    write("own_sampling.json", sampling_cases(top_h))
