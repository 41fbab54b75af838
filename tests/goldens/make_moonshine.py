"""Makes the tiny random Moonshines in `moonshine/` and the numbers the Python reference computes with them.

    venv/bin/python tests/goldens/make_moonshine.py                   # all of them
    venv/bin/python tests/goldens/make_moonshine.py moonshine-tiny    # only these

Made with torch 2.9.1, transformers 4.57.6 and safetensors 0.7.0. A folder is a checkpoint, `expected.json` and `expected.safetensors`. A
row has a number of samples, some of which may be zeros of padding, and a seed; samples follow from these by `samples` below. For each
row the arrays hold the encoder's hidden states (`row.encoder`) without the frames of the padding, and the decoder's logits for some
ids (`row.logits`); `expected.json` what `generate` goes on with by the largest logit, from weights whose best two logits are never
closer than 0.02, and whose texts have three different ids or more.
"""

import json
import math
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import MoonshineConfig, MoonshineForConditionalGeneration

torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "moonshine"
COMMON = dict(
    vocab_size=40, hidden_size=32, intermediate_size=40, encoder_num_hidden_layers=2, decoder_num_hidden_layers=2,
    encoder_num_attention_heads=2, decoder_num_attention_heads=2, max_position_embeddings=64, decoder_start_token_id=1, bos_token_id=1,
    eos_token_id=2,
)
GOLDENS = {
    "moonshine-tiny": (COMMON, ""),
    # As moonshine-base has it, two thirds of each head rotate and heads are padded for a kernel; a head of its own, biases.
    "moonshine-untied-tiny": (
        COMMON | dict(
            hidden_size=24, partial_rotary_factor=0.7, rope_theta=1000.0,
            tie_word_embeddings=False, attention_bias=True, pad_head_dim_to_multiple_of=8, encoder_num_hidden_layers=1,
        ),
        "bin",
    ),
}
ROWS = [
    {"samples": 9000, "padded": 9000, "seed": 0, "masked": False},
    {"samples": 4000, "padded": 4000, "seed": 1, "masked": False},
    {"samples": 1300, "padded": 1300, "seed": 2, "masked": False},
    {"samples": 5000, "padded": 7000, "seed": 3, "masked": True},
]
IDS = [1, 7, 30, 12, 12, 5, 39, 3]


def samples(count, seed):
    """Numbers that both languages compute alike."""
    values = []
    for at in range(count):
        noise = (at * 7919 + seed * 104729) % 1009 / 1009 - 0.5
        values.append(math.sin(0.031 * (seed + 1) * at) + 0.5 * math.sin(0.0017 * at + seed) + 0.4 * noise)
    return torch.tensor(values, dtype=torch.float64).to(torch.float32)


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if "norm" in name and name.endswith("weight"):
                parameter.copy_(1.0 + 0.2 * noise)
            elif parameter.dim() >= 2:
                parameter.copy_(1.6 * noise / math.sqrt(parameter[0].numel()))
            else:
                parameter.copy_(0.2 * noise)


def expect(model):
    arrays, greedy = {}, []
    for number, row in enumerate(ROWS):
        x = torch.zeros(row["padded"])
        x[: row["samples"]] = samples(row["samples"], row["seed"])
        mask = None
        if row["masked"]:
            mask = torch.zeros(1, row["padded"], dtype=torch.long)
            mask[:, : row["samples"]] = 1
        with torch.no_grad():
            hidden = model.model.encoder(x[None], attention_mask=mask).last_hidden_state[0]
            if row["masked"]:
                hidden = hidden[: int(mask[0, ::384].sum())]
            out = model(input_values=x[None], attention_mask=mask, decoder_input_ids=torch.tensor([IDS]), use_cache=False)
            arrays[f"{number}.encoder"], arrays[f"{number}.logits"] = hidden.contiguous().clone(), out.logits[0].contiguous().clone()
            ids = [1]
            for _ in range(10):
                logits = model(
                    input_values=x[None], attention_mask=mask, decoder_input_ids=torch.tensor([ids]), use_cache=False
                ).logits[0, -1]
                best = logits.topk(2).values
                if best[0] - best[1] < 0.02:
                    return None
                ids.append(int(logits.argmax()))
            greedy.append(ids[1:])
    # The same word again and again says little.
    if min(len(set(ids)) for ids in greedy) < 3:
        return None
    return arrays, greedy


def make(name):
    options, form = GOLDENS[name]
    for seed in range(1, 400):
        torch.manual_seed(seed)
        config = MoonshineConfig(**options)
        config._attn_implementation = "eager"
        model = MoonshineForConditionalGeneration(config).eval()
        randomize(model, seed)
        model.tie_weights()
        made = expect(model)
        if made:
            break
    arrays, greedy = made
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    config = MoonshineConfig(**options)
    config.architectures = ["MoonshineForConditionalGeneration"]
    config.save_pretrained(folder)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    if config.tie_word_embeddings:
        state.pop("proj_out.weight")
    if form == "bin":
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, folder / "model.safetensors", {"format": "pt"})
    expected = {
        "versions": {package: version(package) for package in ["torch", "transformers", "safetensors"]},
        "seed": seed, "rows": ROWS, "ids": IDS, "greedy": greedy,
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    save_file(arrays, folder / "expected.safetensors")
    size = sum(path.stat().st_size for path in folder.glob("*model*"))
    print(f"{name}: seed {seed}, {size} bytes of weights, {greedy[0]}")


if __name__ == "__main__":
    for name in sys.argv[1:] or GOLDENS:
        make(name)
