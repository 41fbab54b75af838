"""Writes tests/goldens/logits: what transformers' logits processors, stop strings and `generate` do.

    pip install transformers==4.57.6 torch==2.9.1 tokenizers==0.22.2
    python tests/goldens/make_logits.py

In the JSON files `null` stands for a logit of -inf, and the strings "nan" and "inf" for themselves.
"""

import json
import math
import pathlib
import random

import tokenizers
import torch
import transformers
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.generation import GenerationMixin, LogitsProcessor, LogitsProcessorList, StopStringCriteria
from transformers.modeling_outputs import CausalLMOutput

transformers.logging.set_verbosity_error()
OUT = pathlib.Path(__file__).parent / "logits"
VOCAB = 24


class Table(PreTrainedModel, GenerationMixin):
    """A model whose logits depend on the last token only."""

    config_class = PretrainedConfig

    def __init__(self, table):
        super().__init__(PretrainedConfig(vocab_size=len(table), use_cache=False))
        self.generation_config = GenerationConfig(use_cache=False)
        self.table = torch.nn.Parameter(table)

    def forward(self, input_ids, attention_mask=None, **_):
        return CausalLMOutput(logits=self.table[input_ids])

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **_):
        return {"input_ids": input_ids}


class Users(LogitsProcessor):
    """Stands for a caller's own processor: adds 1.5 to the logits of even ids."""

    def __call__(self, input_ids, scores):
        scores = scores.clone()
        scores[:, ::2] += 1.5
        return scores


def readable(values):
    def one(value):
        if math.isnan(value):
            return "nan"
        if math.isinf(value):
            return "inf" if value > 0 else None
        return float(f"{value:.8g}")

    return [one(value) for value in values]


def process(options, prompt, tokens, logits, user):
    """Runs the processors as `generate` sets them up."""
    model = Table(torch.zeros(VOCAB, VOCAB))
    config = GenerationConfig(use_cache=False, **options)
    ids = torch.tensor([prompt])
    model._prepare_special_tokens(config, device="cpu")
    config = model._prepare_generated_length(
        config, "max_length" not in options, "min_length" not in options, "input_ids", len(prompt), ids
    )
    processors = model._get_logits_processor(
        config,
        input_ids_seq_length=len(prompt),
        encoder_input_ids=ids,
        logits_processor=LogitsProcessorList([Users()] if user else []),
        device="cpu",
    )
    return processors(torch.tensor([tokens]), torch.tensor([logits]))[0].tolist()


SAMPLE = {"do_sample": True, "top_k": 0}
PROCESSORS = [
    {},
    {"do_sample": True},
    *({**SAMPLE, "temperature": t} for t in (0.1, 0.7, 1.9)),
    *({"do_sample": True, "top_k": k} for k in (1, 2, 5, 23, 24, 100)),
    *({**SAMPLE, "top_p": p} for p in (0.0, 0.01, 0.3, 0.5, 0.8, 0.95, 0.999)),
    *({**SAMPLE, "min_p": p} for p in (0.0, 0.05, 0.3, 0.9, 1.0)),
    *({**SAMPLE, "typical_p": p} for p in (0.05, 0.2, 0.6, 0.9, 0.99)),
    *({**SAMPLE, "epsilon_cutoff": e} for e in (0.001, 0.02, 0.1, 0.9)),
    *({**SAMPLE, "eta_cutoff": e} for e in (0.001, 0.02, 0.1, 0.9)),
    *({"repetition_penalty": p} for p in (0.6, 1.3, 5.0)),
    *({"encoder_repetition_penalty": p} for p in (0.6, 1.3)),
    *({"no_repeat_ngram_size": n} for n in (1, 2, 3, 30)),
    *({"encoder_no_repeat_ngram_size": n} for n in (1, 2)),
    {"bad_words_ids": [[3], [1, 2], [7, 1, 2], [0]], "eos_token_id": 0},
    {"sequence_bias": [[[3], 2.5], [[1, 2], -4.0], [[2, 1], 1.25], [[9], -0.5], [[3], 0.75], [[1, 2, 1], 3.0]]},
    {"min_length": 5, "eos_token_id": 4},
    {"min_length": 500, "eos_token_id": [4, 5]},
    {"min_length": 500},
    {"min_new_tokens": 2, "eos_token_id": [4, 5]},
    {"min_new_tokens": 2, "min_length": 500, "eos_token_id": [4, 5]},
    {"forced_bos_token_id": 6},
    {"forced_eos_token_id": 6, "max_new_tokens": 3},
    {"forced_eos_token_id": [6, 7], "max_length": 7},
    {"forced_eos_token_id": 6, "max_new_tokens": 3, "max_length": 7},
    {"forced_eos_token_id": [8]},
    {"remove_invalid_values": True},
    {"exponential_decay_length_penalty": [0, 1.3], "eos_token_id": [4, 5]},
    {"exponential_decay_length_penalty": [1, 0.5], "eos_token_id": 4},
    {"suppress_tokens": [0, 5, 6, 100]},
    {"begin_suppress_tokens": [5, 6]},
    {"begin_suppress_tokens": [5, 6], "forced_bos_token_id": 1},
    {"renormalize_logits": True},
    {**SAMPLE, "top_p": 0.7, "renormalize_logits": True},
    {"do_sample": True, "temperature": 0.6, "top_k": 8, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.2},
    {"do_sample": True, "temperature": 1.4, "top_k": 12, "typical_p": 0.8, "epsilon_cutoff": 0.01},
    {
        "do_sample": True,
        "temperature": 0.8,
        "top_k": 15,
        "top_p": 0.97,
        "min_p": 0.01,
        "typical_p": 0.95,
        "epsilon_cutoff": 0.001,
        "eta_cutoff": 0.002,
        "renormalize_logits": True,
        "sequence_bias": [[[3], 2.5], [[2, 1], 1.25]],
        "encoder_repetition_penalty": 1.1,
        "repetition_penalty": 1.3,
        "no_repeat_ngram_size": 3,
        "encoder_no_repeat_ngram_size": 4,
        "bad_words_ids": [[11], [1, 2]],
        "min_new_tokens": 1,
        "eos_token_id": [4, 5],
        "suppress_tokens": [10],
        "begin_suppress_tokens": [9],
        "exponential_decay_length_penalty": [1, 1.2],
    },
    {"do_sample": False, "temperature": 0.1, "top_k": 2, "top_p": 0.1, "min_p": 0.5},
    # What is ruled out is a number again, which grows.
    *(
        {"remove_invalid_values": True, "exponential_decay_length_penalty": [0, factor], "min_new_tokens": 9, "eos_token_id": [4, 7]}
        for factor in (0.5, 1.1, 1.3)
    ),
]
CONTEXTS = [  # the prompt, and what has been generated since
    ([1], []),
    ([1, 2, 3], []),
    ([1, 2, 3, 2, 1], [2, 1]),
    ([7, 1, 2, 9, 9, 1], [2, 7, 1]),
]


def processor_cases():
    draw = random.Random(1)
    cases = []
    for options in PROCESSORS:
        for number, (prompt, new) in enumerate(CONTEXTS):
            if options.get("max_length", 1000) <= len(prompt):
                continue
            kind = (number + len(cases)) % 4
            logits = [round(draw.gauss(0, 3), 3) for _ in range(VOCAB)]
            if kind == 1:  # ties
                logits = [float(round(logit / 2)) for logit in logits]
            if kind == 2:
                for index in draw.sample(range(10, VOCAB), 6):
                    logits[index] = -math.inf
            if kind == 3:  # all the same but one
                logits = [0.5] * VOCAB
                logits[draw.randrange(VOCAB)] = 1.5
            if "remove_invalid_values" in options:
                logits[3], logits[4], logits[5] = math.nan, math.inf, -math.inf
            user = number % 2 == 1
            expected = process(options, prompt, prompt + new, logits, user)
            cases.append(
                {
                    "options": options,
                    "prompt": prompt,
                    "new": new,
                    "user": user,
                    "logits": readable(logits),
                    "expected": readable(expected),
                }
            )
    return cases


PIECES = ["<s>", "</s>", "<pad>", *"abcdef"]
PIECES += ["st", "op", "stop", "las", "topper", "s", "to", "pped", "opera", "tion", " ", " stop", "o", "p", "t"]
PIECES += ["##", "#", "\n", "###x", "é", "中", "\n\n", "aa", "aab", "<|e", "|>", "n", "<|end|>"]
BYTES = [b"\xf0\x9f", b"\x98", b"\x80", b"\xc3", b"\xa9"]  # an emoji and an é in parts


def small_tokenizer():
    """Byte-level, for decoding: one token for each of the pieces and bytes."""
    visible = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    letters = {byte: chr(byte) for byte in visible}
    for byte in range(256):
        letters.setdefault(byte, chr(256 + len(letters) - len(visible)))
    spelled = ["".join(letters[byte] for byte in piece.encode()) for piece in PIECES]
    spelled += ["".join(letters[byte] for byte in part) for part in BYTES]
    special = {"<s>", "</s>", "<pad>", "<|end|>"}
    model = tokenizers.models.BPE(vocab={token: index for index, token in enumerate(spelled)}, merges=[])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([token for token in spelled if token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def stop_string_cases(tokenizer):
    stop_strings = [
        ["stop"], ["stop", "##"], ["###"], ["p"], ["aab"], ["aaab"], ["\n\n"], ["é"], ["a中", "中b"],
        [" stop"], ["stop stop"], ["<|end|>"], ["tion\n", "opop"], ["o"], ["toto"],
    ]  # fmt: skip
    words = [
        ["st", "op"], ["stop"], ["st", "opera"], ["st", "o", "p"], ["las", "topper"], ["s", "to", "pped"],
        ["stop", "a", "t"], ["st", "op", "a", "t"], ["st", "opera", "tion", "\n"], ["#", "##", "#"], ["##", "###x"],
        ["aa", "aab"], ["a", "aa", "b"], ["aa", "aa", "b", "b"], ["\n", "\n"], ["\n\n", "\n"], ["é", "a", "中", "b"],
        ["s", " stop", " stop"], ["<|end|>"], ["<|e", "n", "d", "|>"], ["op", "opera", "op"], ["to", "to", "topper"],
    ]  # fmt: skip
    draw = random.Random(2)
    words += [[draw.choice(PIECES[3:]) for _ in range(8)] for _ in range(6)]
    cases = []
    for stops in stop_strings:
        criterion = StopStringCriteria(tokenizer, stops)
        for pieces in words:
            ids = [PIECES.index(piece) for piece in pieces]
            found = [bool(criterion(torch.tensor([ids[: n + 1]]), None)[0]) for n in range(len(ids))]
            cases.append({"stop_strings": stops, "pieces": pieces, "stops": found})
    return cases


def generate_cases(tokenizer):
    size = len(PIECES) + len(BYTES)
    torch.manual_seed(3)
    table = (torch.randn(size, size) * 2).mul(100).round().div(100)
    table[:, :3] -= 1  # special tokens come, but not often
    model = Table(table)
    prompts = [[3], [0, 4, 12], [0, 20, 9], [11], [5, 6, 7, 8, 9, 10, 11]]
    options = [
        {},
        {"max_new_tokens": 12},
        {"max_length": 14},
        {"max_length": 9, "max_new_tokens": 3},
        {"max_new_tokens": 30, "eos_token_id": 1},
        {"max_new_tokens": 30, "eos_token_id": [10, 16, 22], "min_new_tokens": 6},
        {"max_new_tokens": 30, "eos_token_id": [10, 16, 22], "min_length": 9},
        {"max_new_tokens": 30, "repetition_penalty": 1.8},
        {"max_new_tokens": 30, "no_repeat_ngram_size": 2},
        {"max_new_tokens": 40, "repetition_penalty": 1.3, "no_repeat_ngram_size": 3, "eos_token_id": 2},
        {"max_new_tokens": 5, "forced_eos_token_id": 1, "eos_token_id": 1},
        {"max_new_tokens": 20, "no_repeat_ngram_size": 1, "stop_strings": ["o"]},
        {"max_new_tokens": 30, "no_repeat_ngram_size": 1, "stop_strings": ["#", "st", "ab"], "eos_token_id": 1},
        {"max_new_tokens": 30, "no_repeat_ngram_size": 1, "stop_strings": ["a", "n"]},
        {
            "max_new_tokens": 30,
            "eos_token_id": 1,
            "exponential_decay_length_penalty": [3, 1.5],
            "repetition_penalty": 1.5,
        },
        {"max_new_tokens": 30, "suppress_tokens": [3, 4, 5, 6, 7, 8], "begin_suppress_tokens": [20, 21, 22, 23]},
    ]
    cases = []
    for option in options:
        for prompt in prompts:
            extra = {"tokenizer": tokenizer} if "stop_strings" in option else {}
            answer = model.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), pad_token_id=2, **option, **extra
            )[0].tolist()
            shown = tokenizer.decode(answer, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            before = tokenizer.decode(prompt, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            cases.append(
                {
                    "options": option,
                    "prompt": prompt,
                    "answer": answer[len(prompt) :],
                    "text": shown[len(before) :],
                }
            )
    return {"table": [readable(row) for row in table.tolist()], "cases": cases}


def chacha8(seed):
    """The 64-bit words of ChaCha with 8 rounds, keyed with the seed in little-endian order."""
    counter = 0
    while True:
        start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, seed & 0xFFFFFFFF, seed >> 32] + [0] * 10
        start[12] = counter
        state = list(start)

        def quarter(a, b, c, d):
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[x] = (state[x] + state[y]) & 0xFFFFFFFF
                mixed = state[z] ^ state[x]
                state[z] = (mixed << turn | mixed >> (32 - turn)) & 0xFFFFFFFF

        for _ in range(4):
            for column in range(4):
                quarter(column, column + 4, column + 8, column + 12)
            for column in range(4):
                quarter(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
        words = [(a + b) & 0xFFFFFFFF for a, b in zip(start, state)]
        yield from (low | high << 32 for low, high in zip(words[::2], words[1::2]))
        counter += 1


def draws():
    """Of 1000 equally likely tokens, those that a seed draws."""
    cases = []
    for seed in (0, 1, 42, 2**64 - 1):
        words = chacha8(seed)
        cases.append({"seed": seed, "draws": [(next(words) >> 11) * 1000 >> 53 for _ in range(20)]})
    return cases


def write(name, data):
    rows = data if isinstance(data, list) else None
    if rows:
        text = "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"
    else:
        text = json.dumps(data, ensure_ascii=False) + "\n"
    (OUT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    tokenizer = small_tokenizer()
    write("processors.json", processor_cases())
    write("stop_strings.json", stop_string_cases(tokenizer))
    write("draws.json", draws())
    write("generate.json", generate_cases(tokenizer))
    (OUT / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
