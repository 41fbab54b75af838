"""Makes the tiny random voices of Kokoro in `voices/kokoro-*` and the numbers the Python reference computes with them.

    pip install --no-deps kokoro==0.9.4 loguru==0.7.3 attrs   # beside the packages of make.py
    venv/bin/python tests/goldens/make_kokoro.py

Made with kokoro 0.9.4 and torch 2.9.1. Sizes that the reference has written into its code (1024, 512 and 64 channels of the decoder, and
where a voice is cut in two) are made smaller here. A folder is laid out as `hexgrad/Kokoro-82M`; a case is phonemes with a voice, a speed
and a seed, which is set right before the model runs. `kokoro_cuts.json` holds how long texts are cut, and when words are heard.
"""

import json
import random
import shutil
import sys
import types
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Optional

import torch
from safetensors.torch import save_file

# The package imports what turns letters into phonemes, which is not needed.
package = types.ModuleType("kokoro")
package.__path__ = list(find_spec("kokoro").submodule_search_locations)
sys.modules["kokoro"] = package
for name in ["misaki", "misaki.en", "misaki.espeak"]:
    sys.modules[name] = types.ModuleType(name)
sys.modules["misaki"].en, sys.modules["misaki"].espeak = sys.modules["misaki.en"], sys.modules["misaki.espeak"]
sys.modules["misaki.en"].MToken = object
from kokoro import istftnet  # noqa: E402
from kokoro.model import KModel  # noqa: E402
from kokoro.pipeline import KPipeline  # noqa: E402

torch.set_num_threads(1)
GOLDENS = Path(__file__).parent
SYMBOLS = [";", ":", ",", ".", "!", "?", "—", "…", '"', "(", ")", "“", "”", " ", "A", "I", "O", "a", "b", "d", "e", "f", "h", "i", "k", "l"]
SYMBOLS += ["m", "n", "o", "p", "s", "t", "u", "v", "w", "z", "ə", "ɹ", "ɜ", "ˈ", "ˌ", "ː"]
CONFIG = {
    "istftnet": {
        "upsample_kernel_sizes": [7, 4], "upsample_rates": [3, 2], "gen_istft_hop_size": 3, "gen_istft_n_fft": 12,
        "resblock_dilation_sizes": [[1, 3, 5]], "resblock_kernel_sizes": [3], "upsample_initial_channel": 16,
    },
    "dim_in": 64, "dropout": 0.2, "hidden_dim": 8, "max_conv_dim": 512, "max_dur": 5, "multispeaker": True, "n_layer": 2, "n_mels": 80,
    "n_token": 44, "style_dim": 6, "text_encoder_kernel_size": 3,
    "plbert": {
        "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32, "num_hidden_layers": 2,
        "dropout": 0.1, "embedding_size": 12,
    },
    "vocab": {symbol: number + 1 for number, symbol in enumerate(SYMBOLS)},
}
ODD = CONFIG | {
    "istftnet": CONFIG["istftnet"] | {
        "upsample_kernel_sizes": [5], "upsample_rates": [5], "gen_istft_hop_size": 2, "gen_istft_n_fft": 10, "resblock_kernel_sizes": [3, 5],
        "resblock_dilation_sizes": [[1, 2, 3], [1, 3, 4]],
    },
    "hidden_dim": 6, "n_layer": 1, "style_dim": 4,
}
CALLS = [("həlˈO!", "af_one", 1.0), ("a.", "bf_two", 1.0), ("hˈI, aɪm hˈɪɹ — tˈu…", "af_one,bf_two", 1.4), ("du", "bf_two", 0.5)]


class Style:
    """A voice whose halves are of another width than 128."""

    def __init__(self, row):
        self.row, self.half = row, row.shape[1] // 2

    def to(self, _):
        return self

    def __getitem__(self, place):
        return self.row[:, self.half:] if place[1].start == 128 else self.row[:, :self.half]


def main():
    for name, config, prefix in [("kokoro-tiny", CONFIG, "module."), ("kokoro-odd-tiny", ODD, "")]:
        make(name, config, prefix)
    cuts()


def make(name, config, prefix):
    folder = GOLDENS / "voices" / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "voices").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n")
    wide, hidden = istftnet.AdainResBlk1d, config["hidden_dim"]
    channels = {1024: 12, 1024 + 2 + 64: 12 + 2 + 4, 512: config["istftnet"]["upsample_initial_channel"]}
    istftnet.AdainResBlk1d = lambda ins, outs, *rest, **options: wide(channels.get(ins, ins), channels.get(outs, outs), *rest, **options)
    state = folder / "state.pth"
    torch.save({}, state)
    model = KModel(repo_id="hexgrad/Kokoro-82M", config=dict(config), model=str(state)).eval()
    istftnet.AdainResBlk1d = wide
    state.unlink()
    model.decoder.asr_res = torch.nn.Sequential(istftnet.weight_norm(torch.nn.Conv1d(hidden, 4, kernel_size=1)))
    randomize(model)
    parts = ["bert", "bert_encoder", "predictor", "text_encoder", "decoder"]
    trained = {part: getattr(model, part).state_dict() for part in parts}
    if prefix:
        # The real file lacks the affine weights of norms that the code has gained since.
        for module in model.modules():
            if isinstance(module, torch.nn.InstanceNorm1d):
                module.weight.data.fill_(1), module.bias.data.fill_(0)
        of_norms = [f"{key}.norm." for key, module in model.decoder.named_modules() if isinstance(module, istftnet.AdaIN1d)]
        of_norms += [f"{key}.norm." for key, module in model.predictor.named_modules() if isinstance(module, istftnet.AdaIN1d)]
        trained = {
            part: {prefix + key: value for key, value in state.items() if not key.startswith(tuple(of_norms))}
            for part, state in trained.items()
        }
    for state in trained.values():
        for key in [key for key in state if ".pooler." in f".{key}" or key.endswith("position_ids")]:
            del state[key]
    if prefix:
        torch.save(trained, folder / "kokoro-v1_0.pth")
    else:
        # As convert_kokoro.py lays it out.
        flat = {f"{part}.{key}": value.contiguous() for part, state in trained.items() for key, value in state.items()}
        save_file(flat, folder / "model.safetensors", {"format": "pt"})
    generator = torch.Generator().manual_seed(5)
    for voice in ["af_one", "bf_two"]:
        torch.save(torch.randn(30, 1, 2 * config["style_dim"], generator=generator), folder / f"voices/{voice}.pt")
    cases, arrays = [], {}
    for number, (phonemes, voice, speed) in enumerate(CALLS):
        packs = [torch.load(folder / f"voices/{one}.pt") for one in voice.split(",")]
        pack = torch.mean(torch.stack(packs), dim=0)
        stages = {}
        keep = lambda stage, take: lambda _, __, out: stages.update({stage: take(out)})  # noqa: E731
        hooks = [
            model.bert.register_forward_hook(keep("bert", lambda out: out[0])),
            model.predictor.text_encoder.register_forward_hook(keep("prosody", lambda out: out[0])),
            model.predictor.duration_proj.register_forward_hook(keep("durations", lambda out: torch.sigmoid(out[0]).sum(-1) / speed)),
            model.predictor.F0_proj.register_forward_hook(keep("pitch", lambda out: out[0, 0])),
            model.predictor.N_proj.register_forward_hook(keep("energy", lambda out: out[0, 0])),
            model.text_encoder.register_forward_hook(keep("text", lambda out: out[0].T)),
            model.decoder.generator.m_source.register_forward_hook(keep("source", lambda out: out[0][0, :, 0])),
            model.decoder.decode[-1].register_forward_hook(keep("decoded", lambda out: out[0].T)),
        ]
        torch.manual_seed(number)
        # The reference's pipeline also counts phonemes that the model does not know, which are not spoken.
        known = sum(symbol in config["vocab"] for symbol in phonemes)
        found = model(phonemes, Style(pack[known - 1]), speed, return_output=True)
        after = torch.rand(1)
        for hook in hooks:
            hook.remove()
        stages["waveform"] = found.audio
        arrays |= {f"{number}.{stage}": array.contiguous().clone() for stage, array in stages.items()}
        voiced = (stages["pitch"] > 10).float().mean().item()
        frames = found.pred_dur.reshape(-1).tolist()
        cases.append({
            "phonemes": phonemes, "voice": voice, "speed": speed, "seed": number, "frames": frames, "next": after.item(),
            "ids": [0, *[config["vocab"][c] for c in phonemes if c in config["vocab"]], 0],
        })
        print(name, number, "frames", frames, "samples", len(found.audio), "voiced", voiced, "loudest", found.audio.abs().max().item())
    save_file(arrays, folder / "expected.safetensors")
    made_with = {package: version(package) for package in ["kokoro", "torch"]}
    lines = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (folder / "expected.json").write_text(f'{{"made_with": {json.dumps(made_with)},\n "cases": [\n  {lines}\n ]}}\n')
    print(name, sum(file.stat().st_size for file in folder.rglob("*.*")) // 1000, "kB")


def randomize(model):
    generator = torch.Generator().manual_seed(3)
    for key, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if key.endswith(("bias", "beta")):
            weight.data = 0.1 * noise
        elif "alpha" in key:
            weight.data = 1 + 0.3 * noise
        elif key.endswith("weight_g"):
            weight.data = (0.9 + 0.2 * noise).abs()
        elif weight.dim() == 1 or key.endswith("gamma"):
            weight.data = 1 + 0.2 * noise
        elif ".fc." in key:
            weight.data = 0.3 * noise / weight.shape[1] ** 0.5
        else:
            weight.data = noise * (1.3 / weight[0].numel() ** 0.5)
    # Some frames have a pitch and some have none.
    model.predictor.F0_proj.weight.data *= 20
    model.predictor.F0_proj.bias.data += 8
    # The phase of what is hardly heard depends on the last digits of the pitch; trained models take little notice of it.
    for convolution in model.decoder.generator.noise_convs:
        convolution.weight.data[:, convolution.in_channels // 2:] *= 0.05
    model.decoder.F0_conv.weight_g.data *= 0.01
    # Sounds of different lengths, and none too loud.
    model.predictor.duration_proj.linear_layer.weight.data *= 5
    model.decoder.generator.conv_post.weight_g.data *= 0.2
    for key, weight in model.predictor.named_parameters():
        if "lstm" in key and "weight" in key:
            weight.data *= 2
    model.bert_encoder.weight.data *= 3


@dataclass
class Token:
    text: str
    phonemes: Optional[str]
    whitespace: str
    start_ts: Optional[float] = None
    end_ts: Optional[float] = None


def cuts():
    draw = random.Random(11)
    sound = "abdefhiklmnopstuvwzəɹɜˈ"
    cases = []
    for ends, unread in [([".", ",", ";", ")", "…", "—"], 1), ([","], 0), ([], 0)]:
        tokens = []
        for _ in range(340):
            if ends and draw.random() < 0.12:
                if tokens:
                    tokens[-1].whitespace = ""
                mark = draw.choice(ends)
                tokens.append(Token(mark, mark, draw.choice([" ", " ", ""])))
            else:
                word = "".join(draw.choice(sound) for _ in range(draw.randint(1, 9)))
                tokens.append(Token(word.upper(), draw.choice([word] * 9 + [None]) if unread else word, draw.choice([" "] * 9 + [""])))
        given = [[token.text, token.phonemes, token.whitespace] for token in tokens]
        chunks = []
        for text, phonemes, kept in KPipeline.en_tokenize(None, tokens):
            frames = torch.tensor([draw.randint(1, 9) for _ in range(len(phonemes) + 2)])
            KPipeline.join_timestamps(kept, frames)
            times = [[token.start_ts, token.end_ts] for token in kept]
            chunks.append({"text": text, "phonemes": phonemes, "frames": frames.tolist(), "times": times})
        cases.append({"tokens": given, "chunks": chunks})
        print("cuts", [len(chunk["phonemes"]) for chunk in chunks])
    (GOLDENS / "voices/kokoro_cuts.json").write_text(json.dumps({"cases": cases}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
