"""Makes the tiny random models of letters per frame in `ctc/` and the numbers the Python reference computes with them.

    venv/bin/python tests/goldens/make_ctc.py                     # all of them
    venv/bin/python tests/goldens/make_ctc.py wav2vec2-base-tiny  # only these

Made with torch 2.9.1, transformers 4.57.6 and safetensors 0.7.0; the versions in use stand in each `expected.json`.

A folder is a checkpoint, `expected.json` and `expected.safetensors`. A row of a case has a number of inputs, some of which may be
zeros of padding, and a seed; its inputs follow from these by `inputs` below. For each row the arrays hold what the reference gives it
alone: hidden states after the last layer (`case.row.hidden`) and logits (`case.row.logits`), without the frames of the padding. Where
a row is masked, the reference got an attention mask. The script fails unless a batch of rows, padded and masked, gives each row the same,
where the model is one that is used with masks (`feat_extract_norm` is `layer`), and has no part in which padding leaks into rows.
"""

import json
import math
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForAudioClassification,
    AutoModelForCTC,
    Data2VecAudioConfig,
    HubertConfig,
    UniSpeechConfig,
    UniSpeechSatConfig,
    Wav2Vec2BertConfig,
    Wav2Vec2Config,
    WavLMConfig,
)

torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "ctc"
COMMON = dict(
    vocab_size=20, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48, conv_dim=(12, 16, 16, 12, 12, 12, 20),
    num_conv_pos_embeddings=10, num_conv_pos_embedding_groups=4, classifier_proj_size=12, mask_time_prob=0.0,
)
STABLE = COMMON | dict(feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True)
BERT = dict(
    vocab_size=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, feature_projection_input_dim=16,
    left_max_position_embeddings=6, right_max_position_embeddings=3, conv_depthwise_kernel_size=7, classifier_proj_size=12,
    mask_time_prob=0.0,
)
# name: config class, options, form.
GOLDENS = {
    "wav2vec2-base-tiny": (Wav2Vec2Config, COMMON, ""),
    "wav2vec2-large-tiny": (Wav2Vec2Config, STABLE | dict(num_conv_pos_embeddings=9), "bin"),
    "wav2vec2-adapter-tiny": (
        Wav2Vec2Config,
        COMMON | dict(
            feat_extract_norm="layer", num_hidden_layers=2, add_adapter=True, num_adapter_layers=2, output_hidden_size=24, adapter_stride=2,
            feat_extract_activation="gelu_new", hidden_act="relu",
        ),
        "",
    ),
    "mms-tiny": (Wav2Vec2Config, STABLE | dict(adapter_attn_dim=8, num_hidden_layers=2), "languages"),
    "wav2vec2-classifier-tiny": (
        Wav2Vec2Config, COMMON | dict(num_labels=5, use_weighted_layer_sum=True, num_hidden_layers=2), "classifier",
    ),
    "hubert-base-tiny": (HubertConfig, COMMON | dict(feat_proj_layer_norm=False), "old"),
    "hubert-large-tiny": (HubertConfig, STABLE | dict(conv_pos_batch_norm=True), ""),
    "hubert-classifier-tiny": (HubertConfig, STABLE | dict(num_labels=4, num_hidden_layers=2), "classifier"),
    "wavlm-base-tiny": (WavLMConfig, COMMON | dict(num_buckets=12, max_bucket_distance=20), ""),
    "wavlm-large-tiny": (WavLMConfig, STABLE | dict(num_buckets=320, max_bucket_distance=800, num_hidden_layers=2), ""),
    "data2vec-audio-tiny": (Data2VecAudioConfig, COMMON | dict(num_conv_pos_embeddings=2, conv_pos_kernel_size=5), ""),
    "unispeech-tiny": (UniSpeechConfig, COMMON | dict(num_hidden_layers=2), ""),
    "unispeech-sat-tiny": (UniSpeechSatConfig, STABLE | dict(num_hidden_layers=2), ""),
    "wav2vec2-bert-tiny": (Wav2Vec2BertConfig, BERT, ""),
    "wav2vec2-bert-adapter-tiny": (
        Wav2Vec2BertConfig,
        BERT | dict(add_adapter=True, num_adapter_layers=2, output_hidden_size=24, use_intermediate_ffn_before_adapter=True),
        "",
    ),
    "wav2vec2-bert-classifier-tiny": (Wav2Vec2BertConfig, BERT | dict(num_labels=3, num_hidden_layers=1), "classifier"),
}


def inputs(count, width, seed):
    """`(count, width)`: numbers that both languages compute alike."""
    values = []
    for at in range(count * width):
        noise = (at * 7919 + seed * 104729) % 1009 / 1009 - 0.5
        values.append(math.sin(0.031 * (seed + 1) * at) + 0.5 * math.sin(0.0017 * at + seed) + 0.4 * noise)
    return torch.tensor(values, dtype=torch.float64).to(torch.float32).reshape(count, width)


def randomize(model):
    """Every parameter is other than what training starts with, so that none is without effect."""
    generator = torch.Generator().manual_seed(7)
    for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
        if not parameter.is_floating_point():
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if "running_var" in name:
                parameter.copy_(1.0 + 0.5 * noise.abs())
            elif "original0" in name:
                parameter.copy_(1.5 + 0.3 * noise)
            elif "gru_rel_pos_const" in name or ("norm" in name and name.endswith("weight")):
                parameter.copy_(1.0 + 0.2 * noise)
            elif "rel_attn_embed" in name or "distance_embedding" in name:
                parameter.copy_(noise)
            elif parameter.dim() >= 2:
                size = parameter[0].numel()
                parameter.copy_(1.3 * noise / math.sqrt(size))
            else:
                parameter.copy_(0.2 * noise)


def make(name):
    config_class, options, form = GOLDENS[name]
    torch.manual_seed(3)
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    classifies = form == "classifier"
    config = config_class(**options)
    config._attn_implementation = "eager"
    kind = AutoModelForAudioClassification if classifies else AutoModelForCTC
    model = kind.from_config(config, attn_implementation="eager").eval()
    randomize(model)
    body = getattr(model, model.base_model_prefix)
    features = config_class is Wav2Vec2BertConfig
    width = config.feature_projection_input_dim if features else 1
    masks = features or getattr(config, "feat_extract_norm", "layer") == "layer"
    field = "input_features" if features else "input_values"

    def run(x, mask):
        """Of one row of inputs or several, what the model gives."""
        x = x if features else x.squeeze(-1)
        with torch.no_grad():
            out = {} if classifies else {"hidden": body(**{field: x.clone(), "attention_mask": mask}).last_hidden_state}
            out["logits"] = model(**{field: x.clone(), "attention_mask": mask}).logits
        return out

    def frames(count):
        return int(model._get_feat_extract_output_lengths(torch.tensor(count)))

    few = 30 if features else 6400
    lengths = [few, few // 2 + 7, few + few // 3, 1 if features else 400]
    rows = [{"inputs": n, "padded": n, "seed": seed, "masked": False} for seed, n in enumerate(lengths)]
    cases = [{"name": "alone", "rows": rows}]
    if not masks:
        # Padding is part of what is normed, with a mask or without.
        cases.append({"name": "padded", "rows": [
            {"inputs": few, "padded": few + 900, "seed": 4, "masked": False},
            {"inputs": few, "padded": few + 900, "seed": 4, "masked": True},
        ]})
    arrays = {}
    for case in cases:
        for number, row in enumerate(case["rows"]):
            x = torch.zeros(row["padded"], width)
            x[: row["inputs"]] = inputs(row["inputs"], width, row["seed"])
            mask = None
            if row["masked"]:
                mask = torch.zeros(1, row["padded"], dtype=torch.long)
                mask[:, : row["inputs"]] = 1
            for part, value in run(x[None], mask).items():
                value = value[0]
                if value.dim() == 2 and row["masked"]:
                    value = value[: frames(row["inputs"])]
                arrays[f"{case['name']}.{number}.{part}"] = value.contiguous().clone()
    # Where these stand, rows of a batch see the padding of each other in the reference.
    leaks = any(config.to_dict().get(leak) for leak in ["add_adapter", "conv_pos_batch_norm", "conv_pos_kernel_size"])
    if masks and not leaks:
        batch = torch.zeros(len(lengths), max(lengths), width)
        mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
        for seed, n in enumerate(lengths):
            batch[seed, :n] = inputs(n, width, seed)
            mask[seed, :n] = 1
        for part, value in run(batch, mask).items():
            for row, n in enumerate(lengths):
                alone = arrays[f"alone.{row}.{part}"]
                together = value[row] if value.dim() == 2 else value[row, : len(alone)]
                apart = (together - alone).abs().max().item()
                assert apart < 2e-5 * max(1.0, alone.abs().max().item()), f"{name}: row {row} of a batch is {apart} apart"
    spread = arrays["alone.0.logits"].std().item()
    assert spread > 0.05, f"{name}: logits hardly differ ({spread})"

    if form == "languages":
        model.save_pretrained(folder)
        # Another language, with other letters.
        other = torch.nn.Linear(config.hidden_size, 26)
        generator = torch.Generator().manual_seed(11)
        adapter = {key: 0.3 * torch.randn(value.shape, generator=generator) for key, value in model._get_adapters().items()}
        adapter["lm_head.weight"] = 0.3 * torch.randn(26, config.hidden_size, generator=generator)
        adapter["lm_head.bias"] = 0.3 * torch.randn(26, generator=generator)
        save_file(adapter, folder / "adapter.fra.safetensors")
        french = AutoModelForCTC.from_pretrained(folder, attn_implementation="eager").eval()
        french.config._name_or_path = str(folder)
        french.load_adapter("fra")
        with torch.no_grad():
            arrays["language.logits"] = french(inputs(few, 1, 0).squeeze(-1)[None]).logits[0].clone()
        del other
    elif form in ("bin", "old"):
        state = {
            key.replace("parametrizations.weight.original0", "weight_g").replace("parametrizations.weight.original1", "weight_v"): value
            for key, value in model.state_dict().items()
        }
        config.architectures = [type(model).__name__]
        config.save_pretrained(folder)
        if form == "bin":
            torch.save(state, folder / "pytorch_model.bin")
        else:
            save_file({key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors", {"format": "pt"})
    else:
        model.save_pretrained(folder)
    expected = {
        "versions": {package: version(package) for package in ["torch", "transformers", "safetensors"]},
        "classifies": classifies,
        "width": width,
        "ratio": config.inputs_to_logits_ratio,
        "cases": cases,
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    save_file(arrays, folder / "expected.safetensors")
    size = sum(path.stat().st_size for path in folder.glob("*model*"))
    assert size < 250_000, f"{name}: {size} bytes of weights"
    print(f"{name}: {size} bytes of weights, logits {spread:.2f}")


if __name__ == "__main__":
    for name in sys.argv[1:] or GOLDENS:
        make(name)
