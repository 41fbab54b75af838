"""Makes the tiny random codecs in `codecs/` and the numbers the Python reference computes with them.

    venv/bin/python tests/goldens/make_codecs.py               # all of them (packages: see make.py)
    venv/bin/python tests/goldens/make_codecs.py encodec-tiny  # only these

A folder is a checkpoint, `expected.json` and `expected.safetensors`. For each case these hold the samples `(channels, samples)`, the
codes of each chunk `(books, frames)`, its scale where there is one, and the samples that the codes decode to. Weights are taken for
which the codes stay the same when samples are disturbed a little, so that no rounding decides.
"""

import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel, MimiConfig, MimiModel

torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "codecs"
ENCODEC = dict(
    sampling_rate=1600, hidden_size=8, num_filters=4, upsampling_ratios=[4, 2], codebook_size=16,
    target_bandwidths=[0.8, 1.6, 3.2], compress=2,
)
DAC = dict(
    encoder_hidden_size=4, downsampling_ratios=[2, 3], decoder_hidden_size=16, upsampling_ratios=[3, 2], n_codebooks=3, codebook_size=16,
    codebook_dim=4, sampling_rate=1200,
)
MIMI = dict(
    sampling_rate=1600, hidden_size=16, num_filters=4, upsampling_ratios=[4, 2], codebook_size=16, codebook_dim=8,
    vector_quantization_hidden_dimension=8, num_quantizers=4, num_semantic_quantizers=1, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=2, head_dim=8, intermediate_size=24, sliding_window=12, upsample_groups=16, max_position_embeddings=200,
    frame_rate=100,
)
# name: class of the config, of the model, options, names of tensors
GOLDENS = {
    "encodec-tiny": (EncodecConfig, EncodecModel, ENCODEC, "old"),
    "encodec-stereo-tiny": (
        EncodecConfig, EncodecModel,
        ENCODEC | dict(
            audio_channels=2, normalize=True, chunk_length_s=0.25, overlap=0.1, norm_type="time_group_norm", use_causal_conv=False,
        ),
        "new",
    ),
    "encodec-music-tiny": (
        EncodecConfig, EncodecModel,
        ENCODEC | dict(
            use_causal_conv=False, use_conv_shortcut=False, num_residual_layers=2, upsampling_ratios=[5, 2], sampling_rate=2000,
            target_bandwidths=[3.2], num_lstm_layers=1,
        ),
        "new",
    ),
    "encodec-zero-tiny": (
        EncodecConfig, EncodecModel, ENCODEC | dict(pad_mode="constant", trim_right_ratio=0.5, kernel_size=5, last_kernel_size=3), "new",
    ),
    "dac-tiny": (DacConfig, DacModel, DAC, "new"),
    "mimi-tiny": (MimiConfig, MimiModel, MIMI, "new"),
}
LENGTHS = {"encodec-stereo-tiny": [400, 1000, 61]}
SAME = 1e-3


def main(names):
    for name in names or GOLDENS:
        make(name, *GOLDENS[name])


def make(name, config_class, model_class, options, form):
    for seed in range(1, 200):
        torch.manual_seed(seed)
        model = model_class(config_class(**options)).eval()
        randomize(model)
        cases, tensors = {}, {}
        good = True
        for number, length in enumerate(LENGTHS.get(name, [400, 173, 7 if config_class is not DacConfig else 23])):
            channels = getattr(model.config, "audio_channels", 1)
            samples = sound(channels, length, number)
            for how in hows(model):
                case = f"{length}-{how}" if how is not None else f"{length}"
                found, codes, scales = run(model, samples, how)
                for _ in range(3):
                    other = samples * (1 + SAME * 0.1 * torch.randn_like(samples))
                    good &= all(torch.equal(a, b) for a, b in zip(codes, run(model, other, how)[1]))
                tensors[f"{case}.samples"] = samples.clone()
                for chunk, part in enumerate(codes):
                    tensors[f"{case}.codes.{chunk}"] = part.to(torch.int64).contiguous().clone()
                tensors[f"{case}.decoded"] = found.contiguous().clone()
                cases[case] = {"bandwidth" if config_class is EncodecConfig else "books": how, "scales": scales}
        if good:
            break
    else:
        raise SystemExit(f"{name}: no seed is good")
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    unread = ("embed_avg", "inited", "cluster_size")
    weights = {key: value for key, value in weights.items() if not key.endswith(unread) or "mimi" in name}
    if form == "old":
        rename = lambda key: key.replace("parametrizations.weight.original0", "weight_g").replace("parametrizations.weight.original1", "weight_v")
        weights = {rename(key): value for key, value in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(tensors, folder / "expected.safetensors")
    expected = {"seed": seed, "transformers": version("transformers"), "torch": version("torch"), "cases": cases}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(name, "seed", seed, sorted(cases))


def randomize(model):
    """Weights of a size that keeps signals alive, and codebooks near what is quantized."""
    for key, value in model.named_parameters():
        with torch.no_grad():
            if key.endswith("bias") or "bias_" in key:
                value.normal_(0, 0.1)
            elif "alpha" in key:
                value.uniform_(0.5, 1.5)
            elif "original0" in key or "norm" in key and value.dim() == 1:
                value.uniform_(0.7, 1.3)
            elif "layer_scale" in key and value.dim() == 1:
                value.uniform_(0.5, 1.0)
    for key, value in model.named_buffers():
        if key.endswith(("codebook.embed", "embed_sum")):
            value.normal_(0, 0.5)
        if key.endswith("cluster_size"):
            value.uniform_(0.5, 1.5)


def sound(channels, length, number):
    time = torch.arange(length) / 100
    rows = [torch.sin(time * (3 + number + channel)) * 0.4 + torch.sin(time * 41) * 0.2 + 0.1 * torch.randn(length) for channel in range(channels)]
    return torch.stack(rows)


def hows(model):
    if isinstance(model, EncodecModel):
        return model.config.target_bandwidths[:2]
    if isinstance(model, DacModel):
        return [None, 2]
    return [None, 3]


@torch.no_grad()
def run(model, samples, how):
    if isinstance(model, EncodecModel):
        encoded = model.encode(samples[None], bandwidth=how)
        codes = [chunk[0] for chunk in encoded.audio_codes]
        if encoded.last_frame_pad_length:
            codes[-1] = codes[-1][:, : -encoded.last_frame_pad_length]
        decoded = model.decode(encoded.audio_codes, encoded.audio_scales, last_frame_pad_length=encoded.last_frame_pad_length)
        scales = [None if scale is None else scale.item() for scale in encoded.audio_scales]
        return decoded.audio_values[0], codes, scales
    if isinstance(model, DacModel):
        encoded = model.encode(samples[None], n_quantizers=how)
        codes = encoded.audio_codes[0]
        return model.decode(audio_codes=encoded.audio_codes).audio_values, [codes], [None]
    encoded = model.encode(samples[None], num_quantizers=how)
    return model.decode(encoded.audio_codes).audio_values[0], [encoded.audio_codes[0]], [None]


if __name__ == "__main__":
    main(sys.argv[1:])
