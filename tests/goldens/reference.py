"""What make.py does with one entry of its table: weights, files, and the reference's numbers."""

import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from tiny_tokenizer import VOCAB, save_tokenizer

torch.set_num_threads(1)
torch.manual_seed(0)

NEW_TOKENS = 40
DISTINCT = 12
# What makes the scores.
ATTENTION = ["q_proj", "k_proj", "query_key_value", "c_attn"]
FINAL_NORMS = ["norm", "ln_f", "final_layer_norm", "final_layernorm"]


def make(golden, folder):
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch) / golden.name
        for seed in range(1, 500):
            packed = save_checkpoint(golden, checkpoint, seed)
            try:
                expected, logits = expect(golden, checkpoint)
                break
            except Unsuitable as reason:
                last = reason
        else:
            raise RuntimeError(f"{golden.name}: no seed makes a clear case: {last}")
        check_matters(golden, checkpoint, logits)
        for kind in golden.gguf:
            converter().convert(kind, checkpoint, packed)

        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file in sorted(checkpoint.iterdir()):
            if golden.weights or file.suffix == ".gguf":
                shutil.copy(file, folder / file.name)
        write_expected(folder, golden, seed, expected, logits)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{golden.name}: seed {seed}, {size // 1000} kB, smallest margin {expected['margin']:.3f}")


def converter():
    """llama.cpp's, fetched the first time that a GGUF file is wanted."""
    import gguf_files

    return gguf_files


class Unsuitable(Exception):
    """These random weights make too close a call, or too dull a text."""


def save_checkpoint(golden, folder, seed):
    """A folder as on the Hub; returns the packed rows of block-quantized tensors."""
    shutil.rmtree(folder, ignore_errors=True)
    model = AutoModelForCausalLM.from_config(golden.config(**golden.options))
    randomize(golden, model, seed)
    packed = converter().quantize(model, golden, seed) if golden.gguf else {}
    model.to(getattr(torch, golden.dtype))
    if golden.weights == "sharded":
        total = sum(weight.nbytes for weight in model.parameters())
        model.save_pretrained(folder, max_shard_size=f"{total * 2 // 3 // 1000}KB")
    else:
        (model.base_model if golden.base_model else model).save_pretrained(folder)
    if golden.weights == "bin":
        (folder / "model.safetensors").unlink()
        names = model.state_dict()
        if golden.options["tie_word_embeddings"]:
            names.pop("lm_head.weight")
        torch.save(names, folder / "pytorch_model.bin")
    (folder / "generation_config.json").unlink(missing_ok=True)
    if golden.generation_config:
        write_json(folder / "generation_config.json", golden.generation_config)
    config = json.loads((folder / "config.json").read_text())
    config.update(golden.config_json)
    for key in golden.absent:
        config.pop(key, None)
    write_json(folder / "config.json", config)
    save_tokenizer(folder)
    return packed


def randomize(golden, model, seed):
    """Wide enough for attention to be peaked and logits to be apart; no norm weight or bias is trivial."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if weight.dim() == 1 and name.endswith(".bias"):
            weight.data = 0.1 * noise
        elif weight.dim() == 1:
            weight.data = golden.norm_mean + 0.2 * noise
            if name.split(".")[1] in FINAL_NORMS and golden.logit_gain != 1.0:
                # What the model multiplies by is 1 more where the mean is 0.
                less = 1.0 - golden.norm_mean
                weight.data = golden.logit_gain * (weight.data + less) - less
        elif "embed" in name or ".wte" in name:
            weight.data = golden.embedding_gain * noise
        elif ".wpe" in name:
            weight.data = noise
        else:
            gain = golden.attention_gain if any(part in name for part in ATTENTION) else 1.0
            # Routers too must not make too close a call.
            gain = 3.0 if "lm_head" in name or name.endswith(".gate.weight") else gain
            # GPT-2 holds its matrices transposed.
            inputs = weight.shape[0] if ".c_" in name else weight.shape[-1]
            weight.data = gain * noise / inputs**0.5


def load(golden, folder, **overrides):
    """A fresh model every time: some rope scalings remember what they have seen."""
    config = AutoConfig.from_pretrained(folder, **overrides)
    model = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation=golden.attention
    )
    model.generation_config = GenerationConfig(pad_token_id=0, eos_token_id=None)
    return model.eval()


def prompts(length, count, offset):
    """Ids all over the vocabulary, the specials left out."""
    return [[4 + (offset + 31 * row + 37 * i + 11 * i * i) % (VOCAB - 4) for i in range(n)] for row, n in enumerate(length[:count])]


def expect(golden, folder):
    cases = [
        {"name": "plain", "rows": prompts([12], 1, 1)},
        {"name": "long", "rows": prompts([40], 1, 2)},
        {"name": "batch", "rows": prompts([7, 3, 11], 3, 3)},
    ]
    logits, margin = {}, float("inf")
    for case in cases:
        if case["name"] == "long":
            continue
        # Where frequencies follow the longest row of a batch, what a row gives alone is what counts.
        batches = [[row] for row in case["rows"]] if golden.cache_exact_up_to else [case["rows"]]
        case["greedy"] = []
        for batch in batches:
            rows, least = greedy(golden, folder, batch, **({} if golden.cached else {"use_cache": False}))
            case["greedy"] += rows
            margin = min(margin, least)
            distinct = len(set(case["greedy"][0]))
            if margin < golden.margin or case["name"] == "plain" and distinct < DISTINCT:
                raise Unsuitable(f"margin {margin}, {distinct} distinct ids")
    for case in cases:
        left = all_logits(golden, folder, case["rows"], "left")
        right = all_logits(golden, folder, case["rows"], "right")
        for row, (a, b) in enumerate(zip(left, right)):
            assert torch.allclose(a, b, rtol=0, atol=5e-5), f"{folder.name}: padding changes the logits"
            logits[f"{case['name']}.{row}"] = a.contiguous()
    expected = {"margin": margin, "cases": cases}
    if golden.cache_exact_up_to:
        uncached, _ = greedy(golden, folder, cases[0]["rows"], use_cache=False)
        cases[0]["greedy_uncached"] = uncached
    if golden.generation_config:
        expected["stops"] = stops(golden, folder, cases[0])
    return expected, logits


def all_logits(golden, folder, rows, side):
    """One forward pass over the padded batch; the logits of each row's own tokens."""
    ids, mask = pad(rows, side)
    positions = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 1)
    with torch.no_grad():
        logits = load(golden, folder)(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    return [logits[row][mask[row] == 1] for row in range(len(rows))]


def greedy(golden, folder, rows, **options):
    """generate() on the left-padded batch: ids, and the smallest lead of a best logit."""
    ids, mask = pad(rows, "left")
    out = load(golden, folder).generate(
        ids,
        attention_mask=mask,
        do_sample=False,
        max_new_tokens=NEW_TOKENS,
        return_dict_in_generate=True,
        output_logits=True,
        **options,
    )
    best = torch.stack(out.logits).topk(2).values
    return out.sequences[:, ids.shape[1] :].tolist(), (best[..., 0] - best[..., 1]).min().item()


def stops(golden, folder, plain):
    """Makes the last end-of-sequence id one that the plain case generates half way, and lets generate() stop there."""
    ids = plain["greedy"][0]
    end = next(i for i in range(NEW_TOKENS // 2, NEW_TOKENS) if ids[i] not in ids[:i])
    for file in ["config.json", "generation_config.json"]:
        content = json.loads((folder / file).read_text())
        content["eos_token_id"][-1] = ids[end]
        write_json(folder / file, content)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    out = model.generate(torch.tensor(plain["rows"]), max_new_tokens=NEW_TOKENS, pad_token_id=0)
    generated = out[0, len(plain["rows"][0]) :].tolist()
    assert generated == ids[: end + 1]
    return {"ids": plain["rows"][0], "generated": generated}


def pad(rows, side):
    width = max(map(len, rows))
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    for row, tokens in enumerate(rows):
        start = width - len(tokens) if side == "left" else 0
        ids[row, start : start + len(tokens)] = torch.tensor(tokens)
        mask[row, start : start + len(tokens)] = 1
    return ids, mask


def check_matters(golden, folder, logits):
    for option, value in golden.matters.items():
        ids = torch.tensor(prompts([40], 1, 2))
        with torch.no_grad():
            other = load(golden, folder, **{option: value})(input_ids=ids).logits[0]
        change = (other - logits["long.0"]).abs().max().item()
        assert change > 0.1, f"{golden.name}: {option} changes the logits by {change} only"


def write_expected(folder, golden, seed, expected, logits):
    save_file(logits, folder / "expected.safetensors")
    head = {
        "made_with": {name: version(name) for name in ["transformers", "torch"]}
        | {"llama.cpp": "llama-cpp-python 0.3.36"},
        "seed": seed,
        "margin": round(expected["margin"], 4),
        "cache_exact_up_to": golden.cache_exact_up_to,
        "stops": expected.get("stops"),
    } | ({"refused": golden.refused} if golden.refused else {})
    lines = [f'"{key}": {json.dumps(value)}' for key, value in head.items()]
    cases = ",\n  ".join(json.dumps(case) for case in expected["cases"])
    text = "{" + ",\n ".join([*lines, f'"cases": [\n  {cases}\n ]']) + "}\n"
    json.loads(text)
    (folder / "expected.json").write_text(text)


def write_json(path, content):
    path.write_text(json.dumps(content, indent=2) + "\n")
