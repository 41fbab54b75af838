"""Makes the tiny random models that speak in `voices/` and the numbers the Python reference computes with them.

    venv/bin/python tests/goldens/make_voices.py            # all of them (packages: see make.py)
    venv/bin/python tests/goldens/make_voices.py vits-tiny  # only these

Made with transformers 4.57.6 and torch 2.9.1. A folder is a checkpoint with its tokenizer, `expected.json` and
`expected.safetensors`. A case is a text with options and a seed: its ids, and by its number what the reference computes of them stage
by stage (`case.stage`). The seed is set right before the model runs, so the same generator gives the same noise.
"""

import io
import json
import shutil
import sys
from contextlib import chdir
from functools import partial
from importlib.metadata import version
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import save_file
from transformers import (
    SpeechT5Config, SpeechT5ForTextToSpeech, SpeechT5HifiGan, SpeechT5HifiGanConfig, SpeechT5Tokenizer, VitsConfig, VitsModel,
    VitsTokenizer,
)

torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "voices"
LETTERS = {
    letter: number
    for number, letter in enumerate(["k", "'", "z", "y", "u", "d", "h", "e", "s", "w", "–", "3", "c", "p", "-", "1", "j", "m", "i", "X"]
                                    + [" ", "f", "l", "o", "0", "b", "r", "a", "4", "2", "n", "_", "x", "v", "t", "q", "5", "6", "g"])
}
VITS = dict(
    vocab_size=len(LETTERS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, window_size=3, ffn_dim=24, ffn_kernel_size=3,
    flow_size=8, spectrogram_bins=5, upsample_initial_channel=32, upsample_rates=[4, 3], upsample_kernel_sizes=[8, 7],
    resblock_kernel_sizes=[3, 5], resblock_dilation_sizes=[[1, 3], [2]], duration_predictor_flow_bins=5,
    duration_predictor_num_flows=3, duration_predictor_filter_channels=12, prior_encoder_num_flows=2,
    prior_encoder_num_wavenet_layers=2, posterior_encoder_num_wavenet_layers=1, wavenet_dilation_rate=2,
)
TOKENIZER = dict(language="eng", add_blank=True, normalize=True, phonemize=False)
# The first and the last letter of the vocabulary are special tokens, at which texts are split.
TEXTS = ["Hello - my dog is cute", "  Würde é 12,7 …", "a", "Kick ok kk  X x"]
# name: options of the model, of the tokenizer, and calls: a text, arguments of the forward pass, changed scales.
GOLDENS = {
    "vits-tiny": (
        VITS, TOKENIZER,
        [(text, {}, scales) for text in TEXTS for scales in [{}, {"noise_scale": 0.0, "noise_scale_duration": 0.0}]]
        + [(TEXTS[0], {}, {"speaking_rate": 0.5, "noise_scale": 0.3})],
    ),
    "vits-speakers-tiny": (
        VITS | dict(num_speakers=3, speaker_embedding_size=6, use_bias=False, hidden_act="gelu", ffn_kernel_size=2, sampling_rate=22050),
        TOKENIZER | dict(add_blank=False, language="ron"),
        [(TEXTS[0], {"speaker_id": number}, {}) for number in [0, 2]] + [(TEXTS[0], {}, {})],
    ),
    # Piper's: a vocoder whose blocks have one convolution where the others have two.
    "vits-small-tiny": (
        VITS | dict(upsample_rates=[2, 2], upsample_kernel_sizes=[4, 4]),
        TOKENIZER,
        [("hello dog", {}, {}), ("hello dog", {}, {"noise_scale": 0.0, "noise_scale_duration": 0.0})],
    ),
    "vits-certain-tiny": (
        VITS | dict(
            use_stochastic_duration_prediction=False, window_size=None, num_speakers=2, speaker_embedding_size=4,
            wavenet_kernel_size=3, leaky_relu_slope=0.2,
        ),
        TOKENIZER | dict(normalize=False),
        [("hello dog", {"speaker_id": 1}, {}), (" Hé!\tok ", {}, {"speaking_rate": 1.7})],
    ),
}


SPEECHT5 = dict(
    hidden_size=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24, decoder_layers=2, decoder_attention_heads=4,
    decoder_ffn_dim=20, num_mel_bins=6, speech_decoder_prenet_units=8, speech_decoder_prenet_dropout=0.4,
    speech_decoder_postnet_layers=3, speech_decoder_postnet_units=10, speech_decoder_postnet_kernel=3, speaker_embedding_dim=5,
    encoder_max_relative_position=4, max_text_positions=60,
)
VOCODER = dict(
    model_in_dim=6, upsample_initial_channel=16, upsample_rates=[4, 2], upsample_kernel_sizes=[8, 4], resblock_kernel_sizes=[3],
    resblock_dilation_sizes=[[1, 3]],
)
SPEAKERS = [[0.3, -1.0, 0.5, 2.0, 0.1], [-0.2, 0.4, 0.0, -0.7, 1.5]]
# name: options of the model and of the vocoder, and calls: a text and arguments of `generate_speech`.
SPEECHT5_GOLDENS = {
    "speecht5-tiny": (
        SPEECHT5, VOCODER,
        [
            ("Hello, my dog is cute.", {"threshold": 1.4, "maxlenratio": 2.0}, 0),
            ("  Two   words, é日本 x", {"threshold": 0.3, "minlenratio": 0.5}, 1),
            ("Hello, my dog is cute.", {"threshold": 0.3}, 1),
            ("a", {"threshold": 100.0, "maxlenratio": 5.0}, 0),
        ],
    ),
    "speecht5-three-tiny": (
        SPEECHT5 | dict(reduction_factor=3, speech_decoder_prenet_layers=1, hidden_act="relu", speech_decoder_postnet_layers=2),
        VOCODER | dict(normalize_before=False, sampling_rate=8000, leaky_relu_slope=0.2),
        [("Hello, my dog is cute.", {"threshold": 1.2, "minlenratio": 0.3}, 1)],
    ),
}


def main(names):
    for name in names or [*GOLDENS, *SPEECHT5_GOLDENS]:
        if name in GOLDENS:
            make(name, *GOLDENS[name])
        else:
            make_speecht5(name, *SPEECHT5_GOLDENS[name])


def make(name, options, tokenizer_options, calls):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(LETTERS, ensure_ascii=False))
    tokenizer = VitsTokenizer(folder / "vocab.json", pad_token="k", unk_token="k", **tokenizer_options)
    tokenizer.save_pretrained(folder)
    config = VitsConfig(**options)
    if options.get("window_size", 4) is None:
        config.window_size = None
    model = VitsModel(config)
    randomize(model, 1)
    model.eval()
    if name == "vits-small-tiny":
        for block in model.decoder.resblocks:
            del block.convs2
            block.forward = partial(small_block, block)
    (folder / "config.json").write_text(
        json.dumps({**json.loads(config.to_json_string(use_diff=True)), "architectures": ["VitsModel"]}, indent=2) + "\n"
    )
    # What speaking does not need is trained beside it, and is in real checkpoints, too; here it would be most of the file.
    unused = ("posterior_encoder.", "duration_predictor.post_")
    state = {key: weight.contiguous() for key, weight in model.state_dict().items() if not key.startswith(unused)}
    if name == "vits-speakers-tiny":
        # As older files have it.
        for old, new in [("weight_g", "parametrizations.weight.original0"), ("weight_v", "parametrizations.weight.original1")]:
            state = {key.replace(new, old): weight for key, weight in state.items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    cases, arrays = [], {}
    for number, (text, arguments, scales) in enumerate(calls):
        for scale in ["speaking_rate", "noise_scale", "noise_scale_duration"]:
            setattr(model, scale, scales.get(scale, getattr(config, scale)))
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        stages, found = {}, {}
        hooks = [
            model.text_encoder.register_forward_hook(lambda _, __, out: found.update(encoder=out)),
            model.duration_predictor.register_forward_hook(lambda _, __, out: found.update(durations=out)),
        ]
        torch.manual_seed(number)
        with torch.no_grad():
            out = model(ids, **arguments)
        for hook in hooks:
            hook.remove()
        stages["hidden_states"] = found["encoder"].last_hidden_state[0]
        stages["prior_means"] = found["encoder"].prior_means[0]
        stages["prior_log_variances"] = found["encoder"].prior_log_variances[0]
        stages["log_durations"] = found["durations"][0, 0]
        stages["spectrogram"] = out.spectrogram[0].T
        stages["waveform"] = out.waveform[0]
        assert out.waveform.shape[1] == out.sequence_lengths[0] and out.waveform.abs().max() > 0.01, name
        arrays |= {f"{number}.{stage}": array.contiguous().clone() for stage, array in stages.items()}
        cases.append({"text": text, "seed": number, "ids": ids[0].tolist(), "options": arguments | scales})
        print(name, number, "samples", out.waveform.shape[1], "ids", ids.shape[1])
    save_file(arrays, folder / "expected.safetensors")
    made_with = {package: version(package) for package in ["transformers", "torch"]}
    lines = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (folder / "expected.json").write_text(f'{{"made_with": {json.dumps(made_with)},\n "cases": [\n  {lines}\n ]}}\n')
    print(name, sum(file.stat().st_size for file in folder.iterdir()) // 1000, "kB")


def small_block(block, hidden_states):
    for convolution in block.convs1:
        hidden_states = hidden_states + convolution(torch.nn.functional.leaky_relu(hidden_states, block.leaky_relu_slope))
    return hidden_states


def make_speecht5(name, options, vocoder_options, calls):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "vocoder").mkdir(parents=True)
    trained = io.BytesIO()
    # A few rules instead of the many of NFKC, which would be most of the folder.
    rules = folder / "rules.tsv"
    rules.write_text("E9\t65\nA0\t20\n")
    # The model says where its rules are: no path of the machine that made it.
    with chdir(folder):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["hello, my dog is cute. Two words x Ha", "the quick brown fox jumps over a lazy dog"]),
            model_writer=trained, model_type="char", vocab_size=34, normalization_rule_tsv=rules.name, pad_id=1, bos_id=0, eos_id=2, unk_id=3, minloglevel=2,
        )
    rules.unlink()
    (folder / "spm_char.model").write_bytes(trained.getvalue())
    tokenizer = SpeechT5Tokenizer(str(folder / "spm_char.model"))
    config = SpeechT5Config(**options, vocab_size=len(tokenizer))
    model = SpeechT5ForTextToSpeech(config)
    vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(**vocoder_options))
    generator = torch.Generator().manual_seed(7)
    for part in [model, vocoder]:
        for key, weight in [*part.named_parameters(), *part.named_buffers()]:
            noise = torch.randn(weight.shape, generator=generator)
            if key.endswith("num_batches_tracked") or not weight.is_floating_point() or key.endswith(".pe"):
                continue
            if key.endswith(("running_var", "scale")):
                weight.data = 1 + 0.2 * noise.abs()
            elif key.endswith(("bias", "running_mean", "mean")):
                weight.data = 0.1 * noise
            elif "norm" in key or key.endswith("alpha"):
                weight.data = 1 + 0.2 * noise
            elif "embed" in key:
                weight.data = 0.6 * noise
            else:
                weight.data = noise * ((0.2 if key.startswith("conv_post") else 1.3) / weight[0].numel() ** 0.5)
        part.eval()
        path = folder if part is model else folder / "vocoder"
        written = {**json.loads(part.config.to_json_string(use_diff=True)), "architectures": [type(part).__name__]}
        (path / "config.json").write_text(json.dumps(written, indent=2) + "\n")
        save_file({key: weight.contiguous() for key, weight in part.state_dict().items()}, path / "model.safetensors", {"format": "pt"})
    cases, arrays = [], {}
    for number, (text, arguments, speaker) in enumerate(calls):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        embeddings = torch.tensor([SPEAKERS[speaker]])
        with torch.no_grad():
            torch.manual_seed(number)
            spectrogram = model.generate_speech(ids, speaker_embeddings=embeddings, **arguments)
            torch.manual_seed(number)
            waveform = model.generate_speech(ids, speaker_embeddings=embeddings, vocoder=vocoder, **arguments)
        arrays |= {f"{number}.spectrogram": spectrogram.contiguous(), f"{number}.waveform": waveform.contiguous()}
        cases.append({
            "text": text, "seed": number, "ids": ids[0].tolist(), "options": {"speaker_embeddings": SPEAKERS[speaker]} | arguments,
        })
        print(name, number, "frames", len(spectrogram), "ids", ids.shape[1], "samples", len(waveform), float(waveform.abs().max()))
    save_file(arrays, folder / "expected.safetensors")
    made_with = {package: version(package) for package in ["transformers", "torch", "sentencepiece"]}
    lines = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (folder / "expected.json").write_text(f'{{"made_with": {json.dumps(made_with)},\n "cases": [\n  {lines}\n ]}}\n')
    print(name, sum(file.stat().st_size for file in folder.rglob("*.*")) // 1000, "kB")


def randomize(model, seed):
    """Wide enough for every part to matter; no norm weight or bias is trivial."""
    generator = torch.Generator().manual_seed(seed)
    for key, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if key.endswith(("bias", "translate", "log_scale")):
            weight.data = 0.1 * noise
        elif "norm" in key and weight.dim() == 1:
            weight.data = 1 + 0.2 * noise
        elif key.endswith(("original0", "embed_tokens.weight", "embed_speaker.weight")):
            weight.data = 0.6 + 0.2 * noise
        else:
            fan_in = weight[0].numel() if weight.dim() > 1 else 1
            weight.data = noise * (1.3 / fan_in**0.5)
    with torch.no_grad():
        # Durations of a few frames.
        if hasattr(model.duration_predictor, "proj"):
            model.duration_predictor.proj.bias += 0.7
        else:
            model.duration_predictor.flows[0].log_scale += 1.2
            model.duration_predictor.flows[0].translate -= 0.5


if __name__ == "__main__":
    main(sys.argv[1:])
