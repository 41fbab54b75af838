"""Makes the tiny random MusicGen and Bark models in `sound/` and the numbers the Python reference computes with them.

    venv/bin/python tests/goldens/make_music.py                # all of them (packages: see make.py)
    venv/bin/python tests/goldens/make_music.py musicgen-tiny  # only these

A folder is a checkpoint with a tokenizer, `expected.json` and `expected.safetensors`. For each case these hold the inputs and options,
the ids of each stage, and the samples. Weights are taken for which all ids stay the same when they are disturbed a little, so that no
rounding decides.
"""

import copy
import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tiny_tokenizer import save_tokenizer
from transformers import BarkConfig, BarkModel, EncodecConfig, GenerationConfig, MusicgenConfig, MusicgenForConditionalGeneration, T5Config
from transformers.models.bark import BarkCoarseConfig, BarkFineConfig, BarkSemanticConfig
from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkGenerationConfig,
    BarkSemanticGenerationConfig,
)
from transformers.models.bark.modeling_bark import BarkPreTrainedModel
from transformers.models.musicgen import MusicgenDecoderConfig

torch.set_num_threads(1)
# The reference's own does not know norms without biases.
BarkPreTrainedModel._init_weights = lambda self, module: None
FOLDER = Path(__file__).parent / "sound"
CODEC = dict(
    sampling_rate=2000, hidden_size=8, num_filters=4, upsampling_ratios=[5, 2], codebook_size=16, target_bandwidths=[3.2], compress=2,
)
TEXT = dict(
    vocab_size=272, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, relative_attention_num_buckets=8,
    relative_attention_max_distance=20, feed_forward_proj="relu",
)
DECODER = dict(vocab_size=16, max_position_embeddings=80, num_hidden_layers=2, ffn_dim=48, num_attention_heads=4, hidden_size=32, pad_token_id=16, bos_token_id=16)
MUSIC = {
    "musicgen-tiny": (TEXT, dict(use_causal_conv=False, use_conv_shortcut=False), DECODER | dict(num_codebooks=4)),
    "musicgen-stereo-tiny": (TEXT | dict(d_model=32), dict(use_causal_conv=False, num_filters=2), DECODER | dict(num_codebooks=8, audio_channels=2, activation_function="relu")),
}
TEXTS = [[5, 9, 33, 2, 1], [7, 1], [40, 41, 42, 43, 44, 45, 46, 1]]
GREEDY = dict(do_sample=False)
SMALL = 1e-4


def main(names):
    for name in names or [*MUSIC, "bark-tiny"]:
        (bark if name == "bark-tiny" else music)(name)


def randomize(model):
    for key, value in model.named_parameters():
        with torch.no_grad():
            if key.endswith("bias") or "bias_" in key:
                value.normal_(0, 0.1)
            elif "original0" in key or "norm" in key and value.dim() == 1:
                value.uniform_(0.7, 1.3)
            elif "codec" not in key and "audio_encoder" not in key:
                value.normal_(0, 0.25 if "embed" not in key else 0.7)
    for key, value in model.named_buffers():
        if key.endswith("codebook.embed"):
            value.normal_(0, 0.5)


def disturbed(model):
    other = copy.deepcopy(model)
    with torch.no_grad():
        for value in other.parameters():
            value.mul_(1 + SMALL * torch.randn_like(value))
    return other


def sound(channels, length):
    time = torch.arange(length) / 100
    return torch.stack([torch.sin(time * (5 + channel)) * 0.4 + 0.1 * torch.randn(length) for channel in range(channels)])


def written(folder, model, expected, tensors, seed):
    shutil.rmtree(folder, ignore_errors=True)
    if isinstance(model, BarkModel):
        # The reference's own does not know how to write it.
        options, model.generation_config = model.generation_config, GenerationConfig()
    model.save_pretrained(folder)
    if isinstance(model, BarkModel):
        fields = {key: value for key, value in vars(options).items() if key in ("sample_rate", "codebook_size") or key.endswith("_config")}
        keep = lambda value: {key: own for key, own in value.items() if own is not None} if isinstance(value, dict) else value
        fields = {key: keep(value) for key, value in fields.items()}
        (folder / "generation_config.json").write_text(json.dumps(fields | {"model_type": "bark"}, indent=1, default=str) + "\n")
    weights = load_file(folder / "model.safetensors")
    unread = ("embed_avg", "inited", "cluster_size", "attn.bias_k")
    weights = {key: value for key, value in weights.items() if not key.endswith(unread)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(tensors, folder / "expected.safetensors")
    expected = {"seed": seed, "transformers": version("transformers"), "torch": version("torch"), "cases": expected}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    save_tokenizer(folder)
    print(folder.name, "seed", seed, sorted(expected["cases"]))


def music(name):
    text, codec, decoder = MUSIC[name]
    channels = decoder.get("audio_channels", 1)
    for seed in range(1, 100):
        torch.manual_seed(seed)
        config = MusicgenConfig(
            text_encoder=T5Config(**text).to_dict(), audio_encoder=EncodecConfig(**(CODEC | codec)).to_dict(),
            decoder=MusicgenDecoderConfig(**decoder).to_dict(),
        )
        model = MusicgenForConditionalGeneration(config).eval()
        randomize(model)
        options = dict(guidance_scale=3.0, do_sample=True, max_length=30, pad_token_id=16, bos_token_id=16, decoder_start_token_id=16)
        for key, value in options.items():
            setattr(model.generation_config, key, value)
        prompt = sound(channels, 60)
        cases = {
            "guided": dict(texts=[TEXTS[0]], options=GREEDY | dict(max_new_tokens=20)),
            "batch": dict(texts=TEXTS, options=GREEDY | dict(max_new_tokens=14, guidance_scale=2.0)),
            "alone": dict(texts=[TEXTS[2]], options=GREEDY | dict(max_new_tokens=12, guidance_scale=1.0, suppress_tokens=[3])),
            "several": dict(texts=TEXTS[:2], options=GREEDY | dict(max_new_tokens=12)),
            "nothing": dict(texts=None, options=GREEDY | dict(max_new_tokens=16, guidance_scale=1.0)),
            "short": dict(texts=[TEXTS[1]], options=GREEDY | dict(max_new_tokens=4)),
            "continued": dict(texts=[TEXTS[0]], prompt=True, options=GREEDY | dict(max_new_tokens=18)),
            "length": dict(texts=[TEXTS[1]], options=GREEDY),
        }
        expected, tensors, good = {}, {}, True
        for case, how in cases.items():
            codes, audio = run_music(model, how, prompt)
            good &= torch.equal(codes, run_music(disturbed(model), how, prompt)[0])
            good &= len(set(codes.flatten().tolist())) > 5 or case == "short"
            tensors |= {f"{case}.codes": codes.contiguous(), f"{case}.audio": audio.contiguous()}
            expected[case] = how
            if not good:
                break
        if good:
            tensors["prompt"] = prompt
            return written(FOLDER / name, model, expected, tensors, seed)
    raise SystemExit(f"{name}: no seed is good")


@torch.no_grad()
def run_music(model, how, prompt):
    codes, decode = [], model.audio_encoder.decode
    model.audio_encoder.decode = lambda ids, **kwargs: codes.append(ids) or decode(ids, **kwargs)
    if how["texts"] is None:
        inputs = dict(model.get_unconditional_inputs(num_samples=1))
    else:
        longest = max(map(len, how["texts"]))
        inputs = dict(
            input_ids=torch.tensor([ids + [0] * (longest - len(ids)) for ids in how["texts"]]),
            attention_mask=torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in how["texts"]]),
        )
    if how.get("prompt"):
        inputs["input_values"] = prompt[None]
    audio = model.generate(**(inputs | how["options"]))
    model.audio_encoder.decode = decode
    codes = [code[0] for code in codes]
    if len(codes) == 2:
        codes = [torch.stack(codes, dim=2).flatten(1, 2)]
    return codes[0], audio


BARK = dict(num_layers=2, num_heads=2, hidden_size=16)
SEMANTIC = dict(
    eos_token_id=20, text_encoding_offset=24, text_pad_token=398, semantic_infer_token=399, semantic_vocab_size=20, max_input_semantic_length=16,
    max_new_tokens=24, do_sample=True, temperature=0.7,
)
COARSE = dict(
    coarse_semantic_pad_token=54, coarse_infer_token=55, max_coarse_input_length=16, max_coarse_history=30, sliding_window_len=6, do_sample=True,
    temperature=0.7,
)
FINE = dict(temperature=0.5, max_fine_history_length=8, max_fine_input_length=16, n_fine_codebooks=4)


def bark(name):
    for seed in range(1, 400):
        torch.manual_seed(seed)
        config = BarkConfig.from_sub_model_configs(
            BarkSemanticConfig(**BARK, block_size=64, input_vocab_size=400, output_vocab_size=40),
            BarkCoarseConfig(**BARK | dict(bias=False), block_size=64, input_vocab_size=60, output_vocab_size=60),
            BarkFineConfig(**BARK, block_size=16, input_vocab_size=20, output_vocab_size=20, n_codes_total=4, n_codes_given=1),
            EncodecConfig(**CODEC),
        )
        model = BarkModel(config).eval()
        randomize(model)
        model.generation_config = BarkGenerationConfig.from_sub_model_configs(
            BarkSemanticGenerationConfig(**SEMANTIC), BarkCoarseGenerationConfig(**COARSE), BarkFineGenerationConfig(**FINE),
            sample_rate=2000, codebook_size=16,
        )
        for part in ("semantic_config", "coarse_acoustics_config", "fine_acoustics_config"):
            setattr(model.generation_config, part, getattr(model.generation_config, part).to_dict())
        voice = {
            "semantic_prompt": torch.randint(0, 20, (23,)), "coarse_prompt": torch.randint(0, 16, (2, 33)),
            "fine_prompt": torch.randint(0, 16, (4, 33)),
        }
        greedy = dict(do_sample=False, fine_temperature=1.0)
        cases = {
            "plain": dict(text=TEXTS[0], options=greedy),
            "voice": dict(text=TEXTS[2], voice=True, options=greedy),
            "short": dict(text=TEXTS[1], options=greedy | dict(semantic_max_new_tokens=5)),
            "ended": dict(text=TEXTS[2], options=greedy | dict(min_eos_p=0.03)),
        }
        expected, tensors, good = {}, {}, True
        for case, how in cases.items():
            try:
                found = run_bark(model, how, voice)
                other = run_bark(disturbed(model), how, voice)
            except (RuntimeError, ValueError, IndexError):
                good = False
                break
            good &= all(torch.equal(found[stage], other[stage]) for stage in ("semantic", "coarse", "fine"))
            good &= case in ("short", "ended") or len(found["semantic"]) > 12 and len(set(found["semantic"].tolist())) > 4
            good &= len(found["semantic"]) >= 3
            tensors |= {f"{case}.{stage}": value.contiguous() for stage, value in found.items()}
            expected[case] = how
            if not good:
                break
        if good and len(tensors["ended.semantic"]) < 24:
            written(FOLDER / name, model, expected, tensors, seed)
            voice = {key: value.numpy() for key, value in voice.items()}
            np.savez(FOLDER / name / "voice.npz", **voice)
            np.savez_compressed(FOLDER / name / "voice-packed.npz", **voice)
            folder = FOLDER / name / "speaker_embeddings"
            folder.mkdir()
            for key, value in voice.items():
                np.save(folder / f"one_{key}.npy", value.astype(np.int64))
            entry = {key: f"speaker_embeddings/one_{key}.npy" for key in voice}
            (FOLDER / name / "speaker_embeddings_path.json").write_text(json.dumps({"repo_or_path": name, "one": entry}) + "\n")
            return
    raise SystemExit(f"{name}: no seed is good")


@torch.no_grad()
def run_bark(model, how, voice):
    length = SEMANTIC["max_input_semantic_length"]
    ids = how["text"][:length]
    inputs = dict(
        input_ids=torch.tensor([ids + [0] * (length - len(ids))]), attention_mask=torch.tensor([[1] * len(ids) + [0] * (length - len(ids))]),
    )
    if how.get("voice"):
        inputs["history_prompt"] = {key: value.clone() for key, value in voice.items()}
    stages = {}
    for stage, part in (("semantic", model.semantic), ("coarse", model.coarse_acoustics), ("fine", model.fine_acoustics)):
        part.generate = recorded(stages, stage, type(part).generate, part)
    audio = model.generate(**inputs, **how["options"])
    for part in (model.semantic, model.coarse_acoustics, model.fine_acoustics):
        del part.generate
    return stages | {"audio": audio[0]}


def recorded(stages, stage, generate, part):
    def run(*args, **kwargs):
        found = generate(part, *args, **kwargs)
        stages[stage] = found[0].clone().to(torch.int64)
        return found

    return run


if __name__ == "__main__":
    main(sys.argv[1:])
